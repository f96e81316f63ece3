"""Series per second of sampling and training, beside PyTorch on the same device.

    python benchmarks/speed.py --quick
    python benchmarks/speed.py --out=runs/speed.json

Weights are random: time does not depend on them. What is compared runs in turn, several
times over; given are medians, with minimum and maximum. Long chains of others are timed
over a part of their steps, which all cost the same. PyTorch: `pip install -e .[bench]
'pandas<3'`, as the statsmodels that tsgm 0.1 pins needs an older pandas.

Others on the machine spoil seconds. Where it isn't idle, count those in which the
processor worked for this process, on one core: `taskset -c 0 ... --clock=cpu`.

On a GPU PyTorch works there too, operation by operation, as the peers' own code does;
its CUDA build has to be there. Batches are 4,096 then, float32 products are TF32's, and
memory is that of the GPU.

Compilation and memory are those of a fresh process that samples once, without and with
what the persistent cache kept.
"""

import argparse
import copy
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from kept import last_said
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs, networks, parallel, sampling, sizes, stages, train
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.data import Normalizer
from l2d_jax.files import write_text
from l2d_jax.models import num_tokens
from l2d_jax.programs import keep_programs
from l2d_jax.types import tree_size
from l2d_jax.workdir import library_version

SETS = {  # N, L, names of channels, ragged
    "stock": (3_662, 24, 6, False),
    "energy": (19_712, 24, 28, False),
    "character_trajectories": (2_858, 182, 3, True),
}
DTYPES = ("float32", "bfloat16")
FAST, FULL = 5, 100  # steps of the data chain
TSGM_STEPS = 1_000
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = "wall"  # or cpu, by --clock: on one core that others use too


# --- what is timed --------------------------------------------------------------------


def on_cpu() -> bool:
    """Else a GPU, with batches that fill it."""
    return jax.default_backend() == "cpu"


def untrained(name: str, dtype: str) -> Cascade:
    """A cascade of the set's config, with random weights: the same for both types."""
    num_series, length, channels, ragged = SETS[name]
    names = tuple(f"channel {c}" for c in range(channels))
    layout = Layout(length, names, ragged, 1, num_series)
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    normalizer = Normalizer(zeros, ones, -ones, ones)
    return Cascade(weights(name), normalizer, config_of(name, dtype), layout)


def config_of(name: str, dtype: str) -> FrozenConfigDict:
    """As `run` has it."""
    config = configs.load(name).get_config()
    config.training.compute_dtype = dtype
    _, length, channels, ragged = SETS[name]
    shape = length, channels + ragged
    return FrozenConfigDict(sizes.with_sizes(configs.resolve(config), shape)[0])


@lru_cache
def weights(name: str) -> dict:
    """Of a set, the same for both types."""
    _, length, channels, ragged = SETS[name]
    return random_weights(config_of(name, "float32"), (length, channels + ragged))


def random_weights(config: FrozenConfigDict, shape: tuple[int, int]) -> dict:
    """Of the latent and the data stage, no layer zero; a range of values, -1 to 1."""
    ones, rng = np.ones(shape[1], np.float32), np.random.default_rng(0)
    params = {"low": -ones, "high": ones}
    for make in (stages.latent_stage, stages.data_stage):
        stage = make(config, shape)
        shapes = jax.eval_shape(stage.init, jax.random.key(0))
        leaves = jax.tree.map(
            lambda leaf: 0.05 * rng.standard_normal(leaf.shape, np.float32), shapes
        )
        params |= stage.export(leaves, np.zeros((1, *shape)))
    return params


def interleaved(tasks: dict[str, Callable[[], float]], repeats: int) -> dict[str, dict]:
    """How many each task makes in a second, as it returns: one round after another."""
    for name, task in tasks.items():
        print(f"  {name}", file=sys.stderr, flush=True)
        task()  # compiles, and fills caches
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = CLOCKS[clock]()
            count = task()
            rates[name].append(count / (CLOCKS[clock]() - start))
    found = {name: summary(values) for name, values in rates.items()}
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {
        "median": float(f"{statistics.median(values):.4g}"),
        "min": float(f"{min(values):.4g}"),
        "max": float(f"{max(values):.4g}"),
    }


def median(result: dict[str, dict], name: str) -> float:
    """Of one of the tasks."""
    return result[name]["median"]


# --- ours -----------------------------------------------------------------------------


def sampler(model: Cascade, n: int, batch: int = 0, **settings) -> Callable[[], int]:
    """n series through the public call."""
    if batch:
        model = model.with_sampling(batch_size=batch)
    return lambda: len(model.sample(jax.random.key(0), n, **settings))


def trainer(model: Cascade, batch: int, steps: int) -> Callable[[], int]:
    """Optimizer steps of the data stage, in one call."""
    config = ConfigDict(model.config.to_dict())
    config.data_stage.batch_size = batch
    stage = stages.data_stage(config, model.layout.shape)
    params = jax.tree.map(jnp.asarray, model.params["series_denoiser"])
    moments = train.make_optimizer(config.data_stage).init(params)
    averaged = jax.tree.map(jnp.copy, params)
    state = [parallel.place(train.TrainState(jnp.int32(0), params, averaged, moments))]
    program = train.make_program(stage, config.data_stage, seed=0)
    x_0, r_0 = (
        np.random.default_rng(0).standard_normal((steps, batch, *shape), np.float32)
        for shape in (model.layout.shape, (config.encoder.latent_dim,))
    )

    def run() -> int:
        state[0], metrics = program(state[0], {"x_0": x_0, "r_0": r_0})
        np.asarray(metrics["loss"])
        return steps * batch

    return run


def denoiser(model: Cascade, batch: int, calls: int) -> tuple[Callable[[], int], int]:
    """Calls of the data denoiser in one scan; and the operations of one call."""
    network = networks.make_series_denoiser(model.config)
    params = model.params["series_denoiser"]
    x_t, t, signal = inputs(model, batch)

    def call(params, x_t, signal):
        return jax.vmap(network.apply, (None, 0, None, 0))(params, x_t, t, signal)

    @jax.jit
    def many(params, x_t, signal):
        def body(x_t, _):
            return call(params, x_t, signal), None

        return jax.lax.scan(body, x_t, None, length=calls)[0]

    def run() -> int:
        many(params["denoiser"], x_t, signal).block_until_ready()
        return calls * batch

    traced = jax.make_jaxpr(call)(params["denoiser"], x_t, signal)
    return run, operations(traced.jaxpr)


def operations(jaxpr: Any) -> int:
    """Of the matrix products in it, two for a multiplication and a sum."""
    count = 0
    for equation in jaxpr.eqns:
        if equation.primitive is jax.lax.dot_general_p:
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
            count += 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
        for inner in jaxprs_in_params(equation.params):
            count += operations(inner)
    return count


def inputs(model: Cascade, batch: int):
    """x_t, t and F(r) for one call."""
    x_t = jax.random.normal(jax.random.key(0), (batch, *model.layout.shape))
    r = jax.random.normal(jax.random.key(1), (batch, model.config.encoder.latent_dim))
    network = networks.make_condition(model.config, model.layout.shape)
    apply = jax.vmap(network.apply, (None, 0))
    signal = jax.jit(apply)(model.params["series_denoiser"]["condition"], r)
    return x_t, jnp.int32(50), signal


def matmul(dtype: str) -> Callable[[], float]:
    """Square products with float32 out: the device's rate, in 1e9 a second."""
    size = 1024 if on_cpu() else 8192
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    dot = jax.jit(partial(jnp.matmul, preferred_element_type=jnp.float32))

    def run() -> float:
        for _ in range(20):
            result = dot(a, a)
        result.block_until_ready()
        return 20 * 2 * size**3 / 1e9

    return run


# --- PyTorch --------------------------------------------------------------------------


def torch_tasks(model: Cascade, *, batch: int, training_batch: int, part: int):
    """Tasks by name, and how far its denoiser's output is from ours."""
    import torch
    import torch_models as peer

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cpu" if on_cpu() else "cuda"
    torch.set_default_device(device)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as in JAX
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
    error = difference(model, network, condition)
    schedule = networks.stage_schedule(c)
    steps = sampling.timesteps(schedule.num_steps, FULL)
    table = sampling.solver_table("ancestral", schedule, steps, eta=1.0)
    rows = [
        (int(t), float(a), float(b), float(s))
        for t, (a, b, _, s) in zip(steps, table, strict=True)
    ]
    series = torch.randn(training_batch, length, channels)
    latents = torch.randn(training_batch, model.config.encoder.latent_dim)
    shape = (batch, length, channels)
    with torch.inference_mode():
        signal = condition(torch.randn(batch, model.config.encoder.latent_dim))
    other = peer.Interpretable(length, channels)
    # Copies are trained: the weights of the others are compared with ours.
    learner = peer.Trainer(*copy.deepcopy((network, condition)), schedule.alpha_bar)

    def autocast(dtype):
        return torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def chain(dtype, denoise, rows, of, clip=False) -> float:
        with autocast(dtype):
            peer.sample(denoise, shape, rows, clip=clip)
        wait()
        return batch * len(rows) / of

    def calls(dtype) -> int:
        x_t, t = torch.randn(shape), torch.tensor([50.0])
        with torch.inference_mode(), autocast(dtype):
            for _ in range(part):
                network(x_t, t, signal)
        wait()
        return part * batch

    def steps_of_training(dtype) -> int:
        with autocast(dtype):
            for _ in range(part):
                learner.step(series, latents)
        wait()
        return part * training_batch

    def ours(x, t):
        return network(x, t, signal)

    tasks = {}
    for dtype in DTYPES:
        tasks[f"torch denoiser, {dtype}"] = partial(calls, dtype)
        tasks[f"torch training, {dtype}"] = partial(steps_of_training, dtype)
        tasks[f"torch {FULL} steps, {dtype}"] = partial(
            chain, dtype, ours, rows[:part], FULL
        )
    tasks[f"Diffusion-TS's size, {other.STEPS} steps, float32"] = partial(
        chain, "float32", other, rows[:part], other.STEPS, clip=True
    )
    return tasks, error, sum(p.numel() for p in other.parameters())


def difference(model: Cascade, network, condition) -> float:
    """Largest difference of the two denoisers' outputs; raises where it is large.

    On a GPU JAX's own float32 products are of TF32's precision.
    """
    import torch

    params = model.params["series_denoiser"]
    x_t, t, _ = inputs(model, 16)
    r = jax.random.normal(jax.random.key(1), (16, model.config.encoder.latent_dim))
    ours = networks.make_series_denoiser(model.config)
    ours_f = networks.make_condition(model.config, model.layout.shape)
    signal = jax.vmap(ours_f.apply, (None, 0))(params["condition"], r)
    x_0 = jax.vmap(ours.apply, (None, 0, None, 0))(params["denoiser"], x_t, t, signal)
    with torch.inference_mode():
        signal = condition(torch.tensor(np.array(r)))
        theirs = network(torch.tensor(np.array(x_t)), torch.tensor([50.0]), signal)
    error = float(np.abs(np.asarray(x_0) - theirs.cpu().numpy()).max())
    assert error < (1e-4 if on_cpu() else 1e-2), (
        f"the PyTorch denoiser differs from ours by {error}"
    )
    return error


def tsgm(name: str, batch: int, part: int) -> float:
    """Series a second of tsgm's DDPM, in this process."""
    os.environ["KERAS_BACKEND"] = "torch"
    import tsgm as library

    _, length, channels, ragged = SETS[name]

    def network():
        return library.models.zoo["ddpm_denoiser"](
            seq_len=length, feat_dim=channels + ragged
        ).model

    ddpm = library.models.ddpm.DDPM(network(), network(), timesteps=part)
    ddpm.seq_len, ddpm.feat_dim = length, channels + ragged
    ddpm.generate(batch)
    start = CLOCKS[clock]()
    ddpm.generate(batch)
    return batch / (CLOCKS[clock]() - start) * part / TSGM_STEPS


# --- fresh processes ------------------------------------------------------------------


def fresh(name: str, dtype: str, num_steps: int, n: int) -> dict[str, float]:
    """Compilation and memory of this process, which samples for the first time."""
    model = untrained(name, dtype)
    peak = memory if on_cpu() else device_memory
    before = peak()
    seconds = []
    for _ in range(3):
        start = CLOCKS[clock]()
        model.sample(jax.random.key(0), n, num_steps=num_steps)
        seconds.append(CLOCKS[clock]() - start)
    return {
        "seconds to compile": round(seconds[0] - min(seconds[1:]), 2),
        "MiB at most": round(peak()),
        "MiB before": round(before),
    }


def device_memory() -> float:
    """MiB of the GPU that were in use at most."""
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20


def memory() -> float:
    """MiB that this process has held at most.

    On Linux from /proc: what `resource` says counts the process that started it too.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(*arguments: str | int, cache: str | None = None):
    """What this file prints with `--in-process=...`, or why it couldn't."""
    environment = dict(os.environ)
    if cache is not None:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = ",".join(map(str, arguments))
    done = subprocess.run(
        [sys.executable, __file__, f"--in-process={command}", f"--clock={clock}"],
        capture_output=True,
        text=True,
        env=environment,
    )
    found, why = last_said(done)
    return f"failed: {why}" if why else found


# --- the program ----------------------------------------------------------------------


def measure(
    name: str, *, quick: bool, with_torch: bool, with_fresh: bool, only: str
) -> Iterator[dict]:
    """Everything of one set, part by part: what follows may take minutes."""
    num_series, length, _, _ = SETS[name]
    n = min(num_series, 88_000 // length if on_cpu() else 8_192)
    part, repeats, batch = 20, 3, 512 if on_cpu() else 4_096
    if quick:
        n, part, batch = 256, 2, 256
    models = {dtype: untrained(name, dtype) for dtype in DTYPES}
    training_batch = models["float32"].config.data_stage.batch_size
    tasks, flops, error, size = {}, 0, None, None
    for dtype, model in models.items():
        tasks[f"matmul, {dtype}"] = matmul(dtype)
        tasks[f"denoiser, {dtype}"], flops = denoiser(model, batch, part)
        tasks[f"training, {dtype}"] = trainer(model, training_batch, part)
        tasks[f"{FULL} steps, {dtype}"] = sampler(model, n, num_steps=FULL)
        tasks[f"{FAST} steps, {dtype}"] = sampler(model, n, num_steps=FAST)
    if with_torch:
        more, error, size = torch_tasks(
            models["float32"], batch=batch, training_batch=training_batch, part=part
        )
        tasks |= more
    chosen = {key: task for key, task in tasks.items() if re.search(only, key)}
    rates = interleaved(chosen, repeats)
    if only:
        yield {"series at once": batch, "rates": rates, "largest difference": error}
        return
    params = models["float32"].params
    yield {
        "series at once": n,
        "parameters": tree_size((params["latent_denoiser"], params["series_denoiser"])),
        "rates": rates,
        "share of the matmul rate, denoiser": {
            dtype: round(
                median(rates, f"denoiser, {dtype}")
                * (flops / batch / 1e9)
                / median(rates, f"matmul, {dtype}"),
                3,
            )
            for dtype in DTYPES
        },
    }
    if with_torch:
        yield {
            "largest difference to the torch denoiser": error,
            "parameters of Diffusion-TS's size": size,
            "ratios": ratios(rates),
        }
        yield {"tsgm DDPM, 1000 steps": in_process("tsgm", name, batch, part)}
    if not quick:
        yield {"batch sweep": sweep(models, repeats)}
    if with_fresh:
        dtypes, steps = (DTYPES[:1], (FULL,)) if quick else (DTYPES, (FULL, FAST))
        yield {"fresh process": fresh_processes(name, dtypes, steps, batch)}


def fresh_processes(name: str, dtypes: Iterable[str], steps: Iterable[int], n: int):
    """What `fresh` finds: compiled from nothing, and from the cache after that."""
    with tempfile.TemporaryDirectory() as cache:
        return {
            f"{state}, {num_steps} steps, {dtype}": in_process(
                "fresh", name, dtype, num_steps, n, cache=cache
            )
            for dtype in dtypes
            for num_steps in steps
            for state in ("without cache", "with cache")
        }


def ratios(rates: dict[str, dict]) -> dict[str, float]:
    """Ours over theirs, of the medians."""
    slow = median(rates, "Diffusion-TS's size, 500 steps, float32")
    found = {}
    for dtype in DTYPES:
        for steps in (FULL, FAST):
            rate = median(rates, f"{steps} steps, {dtype}")
            found[f"{steps} steps, {dtype}, over Diffusion-TS's 500"] = rate / slow
            torch = median(rates, f"torch {FULL} steps, {dtype}")
            found[f"{steps} steps, {dtype}, over torch's {FULL} in it"] = rate / torch
        for what in ("denoiser", "training"):
            for other in DTYPES:
                found[f"{what}, {dtype}, over torch in {other}"] = median(
                    rates, f"{what}, {dtype}"
                ) / median(rates, f"torch {what}, {other}")
    return {name: float(f"{ratio:.3g}") for name, ratio in found.items()}


def sweep(models: dict[str, Cascade], repeats: int) -> dict[str, dict]:
    """Rates by series per program call."""
    sampled, trained = (128, 512, 2_048), (32, 128, 512)
    if not on_cpu():
        sampled, trained = (512, 4_096, 16_384), (128, 512, 2_048)
    tasks = {}
    for dtype, model in models.items():
        for batch in sampled:
            tasks[f"{FAST} steps, {dtype}, {batch}"] = sampler(
                model, sampled[-1], batch, num_steps=FAST
            )
        for batch in trained:
            steps = max(1_024 // batch, 1) if on_cpu() else 20
            tasks[f"training, {dtype}, {batch}"] = trainer(model, batch, steps)
    return interleaved(tasks, repeats)


def draw(results: dict, path: Path) -> None:
    """Series per second of each way to sample, log scale, a panel per set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(results), 3.6))
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        rates = {k: v for k, v in result["rates"].items() if "steps" in k}
        rates = dict(sorted(rates.items(), key=lambda item: item[1]["median"]))
        middle = np.array([v["median"] for v in rates.values()])
        low = middle - [v["min"] for v in rates.values()]
        high = np.array([v["max"] for v in rates.values()]) - middle
        axis.barh(list(rates), middle, xerr=np.stack([low, high]), color="tab:blue")
        axis.set_xscale("log")
        axis.set_title(name)
        axis.set_xlabel("series per second")
        axis.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    global clock
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Stock only, few repeats")
    parser.add_argument("--sets", default="")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-fresh", action="store_true", help="processes")
    parser.add_argument("--out", default="")
    parser.add_argument("--in-process", default="")
    parser.add_argument("--only", default="", help="tasks that match, rates alone")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    args = parser.parse_args()
    clock = args.clock
    if args.in_process:
        what, *rest = args.in_process.split(",")
        task = {"fresh": fresh, "tsgm": tsgm}[what]
        values = [int(value) if value.isdigit() else value for value in rest]
        print(json.dumps(task(*values)))
        return
    keep_programs()
    names = args.sets.split(",") if args.sets else list(SETS)[: 1 if args.quick else 3]
    if unknown := {*names} - {*SETS}:
        parser.error(f"--sets: {unknown.pop()!r}, use {', '.join(SETS)}")
    versions = ["jax", "flax"] + ["torch"] * (not args.no_torch)
    report = {
        "device": parallel.describe_devices(),
        "versions": {name: library_version(name) for name in versions},
        "clock": clock,
        "load at the start": round(os.getloadavg()[0], 1),
        "sets": {},
    }
    for name in names:
        result = report["sets"][name] = {}
        for part in measure(
            name,
            quick=args.quick,
            with_torch=not args.no_torch,
            with_fresh=not args.no_fresh,
            only=args.only,
        ):
            result |= part
            report["load at the end"] = round(os.getloadavg()[0], 1)
            if args.out:
                write_text(Path(args.out), json.dumps(report, indent=1) + "\n")
                draw(report["sets"], Path(args.out).with_suffix(".png"))
        shown = result if args.quick else {name: result.get("ratios", result["rates"])}
        print(json.dumps(shown, indent=1), flush=True)


if __name__ == "__main__":
    main()
