"""What speed.py times of ours: rates of sampling, training, the denoiser, products."""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs, networks, parallel, sizes, stages, train
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.data import Normalizer

SETS = {  # N, L, C, ragged
    "stock": (3_662, 24, 6, False),
    "energy": (19_712, 24, 28, False),
    "character_trajectories": (2_858, 182, 3, True),
}
DTYPES = ("float32", "bfloat16")
FAST, FULL = 5, 100  # steps of the data chain
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = "wall"  # or cpu, by --clock: on one core that others use too


def seconds() -> float:
    """Of the clock; differences count."""
    return CLOCKS[clock]()


def on_cpu() -> bool:
    """Else a GPU, with batches that fill it."""
    return jax.default_backend() == "cpu"


# --- models ---------------------------------------------------------------------------


def untrained(name: str, dtype: str, argument: str = "") -> Cascade:
    """A cascade of the set's config, with random weights: the same for both types."""
    num_series, length, channels, ragged = SETS[name]
    names = tuple(f"channel {c}" for c in range(channels))
    layout = Layout(length, names, ragged, 1, num_series)
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    normalizer = Normalizer(zeros, ones, -ones, ones)
    config = config_of(name, dtype, argument)
    return Cascade(weights(name, argument), normalizer, config, layout)


def config_of(name: str, dtype: str, argument: str = "") -> FrozenConfigDict:
    """As `run` has it."""
    config = configs.load(name).get_config(argument)
    config.training.compute_dtype = dtype
    _, length, channels, ragged = SETS[name]
    shape = length, channels + ragged
    return FrozenConfigDict(sizes.with_sizes(configs.resolve(config), shape)[0])


@lru_cache
def weights(name: str, argument: str) -> dict:
    """Of the latent and the data stage, no layer zero; a range of values, -1 to 1."""
    _, length, channels, ragged = SETS[name]
    config, shape = config_of(name, "float32", argument), (length, channels + ragged)
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


# --- tasks ----------------------------------------------------------------------------


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
    state = [
        parallel.replicate(train.TrainState(jnp.int32(0), params, averaged, moments))
    ]
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


# --- rates ----------------------------------------------------------------------------


def interleaved(tasks: dict[str, Callable[[], float]], repeats: int) -> dict[str, dict]:
    """How many each task makes in a second, as it returns: one round after another."""
    for name, task in tasks.items():
        print(f"  {name}", file=sys.stderr, flush=True)
        task()  # compiles, and fills caches
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = seconds()
            count = task()
            rates[name].append(count / (seconds() - start))
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
