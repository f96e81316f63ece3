"""What speed.py times of PyTorch: our denoiser in it, and Diffusion-TS's size."""

import copy
import os
from collections.abc import Callable

import jax
import numpy as np
import timed
import torch
import torch_models as peer
from timed import DTYPES, FULL

from l2d_jax import networks, sampling
from l2d_jax.cascade import Cascade
from l2d_jax.models import num_tokens
from l2d_jax.schedules import NoiseSchedule


def tasks(
    model: Cascade, *, batch: int, training_batch: int, part: int
) -> tuple[dict[str, Callable[[], float]], float, int]:
    """Tasks by name, how far its denoiser's output is from ours, and a size.

    The size is the number of parameters of the model of Diffusion-TS's size.
    """
    set_up()
    network, condition = networks_of(model)
    error = difference(model, network, condition)
    schedule = networks.stage_schedule(model.config.data_stage)
    rows = ancestral(schedule)[:part]
    latent_dim, (length, channels) = model.config.encoder.latent_dim, model.layout.shape
    shape = (batch, length, channels)
    with torch.inference_mode():
        signal = condition(torch.randn(batch, latent_dim))
    series = torch.randn(training_batch, length, channels)
    latents = torch.randn(training_batch, latent_dim)
    # Copies are trained: the weights of the others are compared with ours.
    learner = peer.Trainer(*copy.deepcopy((network, condition)), schedule.alpha_bar)
    other = peer.Interpretable(length, channels)

    def denoise(x_t, t):
        return network(x_t, t, signal)

    def calls():
        x_t, t = torch.randn(shape), torch.tensor([50.0])
        with torch.inference_mode():
            for _ in range(part):
                denoise(x_t, t)

    def training():
        for _ in range(part):
            learner.step(series, latents)

    def chain():
        peer.sample(denoise, shape, rows)

    def other_chain():
        peer.sample(other, shape, rows, clip=True)

    found = {}
    for dtype in DTYPES:
        found |= {
            f"torch denoiser, {dtype}": task(calls, dtype, part * batch),
            f"torch training, {dtype}": task(training, dtype, part * training_batch),
            f"torch {FULL} steps, {dtype}": task(
                chain, dtype, batch * len(rows) / FULL
            ),
        }
    found[f"Diffusion-TS's size, {other.STEPS} steps, float32"] = task(
        other_chain, "float32", batch * len(rows) / other.STEPS
    )
    return found, error, sum(p.numel() for p in other.parameters())


def set_up() -> None:
    """All cores of this process, or the GPU, with float32 products as in JAX."""
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_default_device(device())
    if device() == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32


def device() -> str:
    """That of JAX."""
    return "cpu" if timed.on_cpu() else "cuda"


def task(work: Callable[[], None], dtype: str, made: float) -> Callable[[], float]:
    """Does the work in this type, to its end, and returns how many series it made."""

    def run() -> float:
        with torch.autocast(device(), torch.bfloat16, enabled=dtype == "bfloat16"):
            work()
        if device() == "cuda":
            torch.cuda.synchronize()
        return made

    return run


def networks_of(model: Cascade) -> tuple[peer.Denoiser, peer.Condition]:
    """The data denoiser and F, with the weights of the model."""
    c, (length, channels) = model.config.data_stage, model.layout.shape
    network = peer.Denoiser(
        length,
        channels,
        patch=c.patch,
        width=c.width,
        blocks=c.num_blocks,
        signal_width=c.condition_width,
    )
    condition = peer.Condition(
        model.config.encoder.latent_dim,
        tokens=num_tokens(length, c.patch),
        width=c.condition_width,
        layers=c.condition_layers,
    )
    peer.copy_weights(model.params["series_denoiser"], network, condition)
    return network, condition


def ancestral(schedule: NoiseSchedule) -> list[tuple[int, float, float, float]]:
    """The rows (t, a, b, s) of a chain of all steps, for `torch_models.sample`."""
    steps = sampling.timesteps(schedule.num_steps, FULL)
    table = sampling.solver_table("ancestral", schedule, steps, eta=1.0)
    return [
        (int(t), float(a), float(b), float(s))
        for t, (a, b, _, s) in zip(steps, table, strict=True)
    ]


def difference(model: Cascade, network, condition) -> float:
    """Largest difference of the two denoisers' outputs; raises where it is large.

    On a GPU JAX's own float32 products are of TF32's precision.
    """
    params = model.params["series_denoiser"]
    x_t, t, _ = timed.inputs(model, 16)
    r = jax.random.normal(jax.random.key(1), (16, model.config.encoder.latent_dim))
    ours = networks.make_series_denoiser(model.config)
    ours_f = networks.make_condition(model.config, model.layout.shape)
    signal = jax.vmap(ours_f.apply, (None, 0))(params["condition"], r)
    x_0 = jax.vmap(ours.apply, (None, 0, None, 0))(params["denoiser"], x_t, t, signal)
    with torch.inference_mode():
        signal = condition(torch.tensor(np.array(r)))
        theirs = network(torch.tensor(np.array(x_t)), torch.tensor([50.0]), signal)
    error = float(np.abs(np.asarray(x_0) - theirs.cpu().numpy()).max())
    assert error < (1e-4 if timed.on_cpu() else 1e-2), (
        f"the PyTorch denoiser differs from ours by {error}"
    )
    return error
