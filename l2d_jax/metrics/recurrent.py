"""Small GRU networks that judge series, as TimeGAN's scores have them.

Several are trained at once, one a repeat. All read one array of series by row numbers:
nothing is copied for a repeat. Arrays inside have the batch as their last axis, along
which a CPU computes several values at a time, be the network ever so narrow.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from l2d_jax.metrics.disk_cache import cached, in_full_float32
from l2d_jax.types import Params, RandomKey, Scalar

OPTIMIZER = optax.adam(1e-3)
MEASURE_BATCH_SIZE = 256  # times the number of repeats

Inputs = Float[Array, "L C B"]
State = Float[Array, "W B"]
States = Float[Array, "L W B"]  # after each step
Batch = Float[Array, "B L C"]
BatchLengths = Int[Array, " B"]


class Data(NamedTuple):
    """Series that all networks share, on the device."""

    series: Float[Array, "N L C"]  # 0 after the end of series shorter than L
    lengths: Int[Array, " N"]


class TrainTestRows(NamedTuple):
    """Rows of a network: of the batches it is trained on, and of its test series."""

    train: Int[np.ndarray, "I B"]
    test: Int[np.ndarray, " n"]


@runtime_checkable
class Task(Protocol):
    """What networks learn, and what is measured of them then.

    Hashable, and equal to others of the same settings, or it is compiled again.
    """

    def init(self, key: RandomKey) -> Params: ...

    def loss(self, params: Params, series: Batch, lengths: BatchLengths) -> Scalar: ...

    def measure(
        self, params: Params, series: Batch, lengths: BatchLengths
    ) -> Float[Array, " B"]: ...


def shared(*sets: Float[np.ndarray, "_ L C"]) -> Data:
    """The sets one after the other. Lengths are found from NaN, which becomes 0."""
    series = np.concatenate(sets, dtype=np.float32)
    lengths = (~np.isnan(series[:, :, 0])).sum(axis=1, dtype=np.int32)
    return Data(jnp.asarray(np.nan_to_num(series, copy=False)), jnp.asarray(lengths))


def train_and_measure(
    task: Task, repeats: Sequence[Mapping[str, TrainTestRows]], data: Data, *, seed: int
) -> dict[str, Float[np.ndarray, "R n"]]:
    """What is measured on the test rows: of each name's networks, one a repeat.

    The network of a repeat begins with the same parameters for all names, whatever the
    number of repeats.
    """
    fold_in = jax.vmap(jax.random.fold_in, (None, 0))
    keys = fold_in(jax.random.key(seed), jnp.arange(len(repeats)))

    @in_full_float32  # which a thread doesn't take over from another
    def run_one(name: str) -> Float[np.ndarray, "R n"]:
        train_rows = np.stack([rows[name].train for rows in repeats])
        test_rows = np.stack([rows[name].test for rows in repeats])
        params = train_cached(task, keys, train_rows, data)
        return measure(task, params, test_rows, data)

    names = list(repeats[0])
    # So small steps keep a single core busy.
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(run_one, names), strict=True))


# --- training -------------------------------------------------------------------------


def train_cached(
    task: Task, keys: Shaped[Array, " R"], rows: Int[np.ndarray, "R I B"], data: Data
) -> Params:
    """What `train` makes, which depends on no other series than those of `rows`."""
    seen = np.unique(rows)
    used = keys, rows, np.asarray(data.series)[seen], np.asarray(data.lengths)[seen]
    return cached(train, task, keys, rows, data, used=used)


def batches(
    rng: np.random.Generator,
    rows: Int[np.ndarray, " n"],
    *,
    size: int,
    num_iterations: int,
) -> Int[np.ndarray, "I size"]:
    """`size` different ones of `rows` for each iteration, each drawn from all anew."""
    chosen = [
        rng.choice(len(rows), size, replace=False, shuffle=False)
        for _ in range(num_iterations)
    ]
    return rows[np.stack(chosen)].astype(np.int32)


@partial(jax.jit, static_argnums=0)
def train(
    task: Task, keys: Shaped[Array, " R"], rows: Int[Array, "R I B"], data: Data
) -> Params:
    """Parameters of R networks, each after I steps of Adam over its own batches."""

    def train_one(key, rows):
        def step(carry, rows):
            params, state = carry
            batch = data.series[rows], data.lengths[rows]
            gradient = jax.grad(task.loss)(params, *batch)
            updates, state = OPTIMIZER.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        params = task.init(key)
        (params, _), _ = jax.lax.scan(step, (params, OPTIMIZER.init(params)), rows)
        return params

    return jax.vmap(train_one)(keys, rows)


def measure(
    task: Task, params: Params, rows: Int[np.ndarray, "R n"], data: Data
) -> Float[np.ndarray, "R n"]:
    """What `task.measure` says of each row's series, by each of R networks."""
    num_networks, n = rows.shape
    blocks = np.pad(rows.astype(np.int32), ((0, 0), (0, -n % MEASURE_BATCH_SIZE)))
    blocks = blocks.reshape(num_networks, -1, MEASURE_BATCH_SIZE)
    found = np.asarray(measure_blocks(task, params, blocks, data))
    return found.reshape(num_networks, -1)[:, :n]


@partial(jax.jit, static_argnums=0)
def measure_blocks(
    task: Task, params: Params, rows: Int[Array, "R blocks B"], data: Data
) -> Float[Array, "R blocks B"]:
    """`task.measure`, one block of rows after the other."""

    def measure_all(params, blocks):
        return jax.lax.map(
            lambda rows: task.measure(params, data.series[rows], data.lengths[rows]),
            blocks,
        )

    return jax.vmap(measure_all)(params, rows)


# --- the network ----------------------------------------------------------------------


def init_gru(
    key: RandomKey, *, num_inputs: int, width: int, num_outputs: int
) -> Params:
    """One GRU layer and a dense one on top, as TensorFlow 1 begins them.

    Kernels are Glorot uniform, over inputs and state together; the biases of the gates
    are 1, all others 0.
    """
    keys = jax.random.split(key, 3)
    kernel = jax.nn.initializers.glorot_uniform()
    fan_in = num_inputs + width
    return {
        "gates": {  # reset, then update
            "kernel": kernel(keys[0], (2 * width, fan_in)),
            "bias": jnp.ones(2 * width),
        },
        "candidate": {
            "kernel": kernel(keys[1], (width, fan_in)),
            "bias": jnp.zeros(width),
        },
        "dense": {
            "kernel": kernel(keys[2], (num_outputs, width)),
            "bias": jnp.zeros(num_outputs),
        },
    }


def last_state(params: Params, x: Inputs, lengths: BatchLengths) -> State:
    """The state after the true last step of each series; later steps don't count."""

    def step(state, now):
        t, projected = now
        following = gru_step(params, state, projected)
        return jnp.where((t < lengths)[None, :], following, state), None

    inputs = (jnp.arange(len(x)), project(params, x))
    state, _ = jax.lax.scan(step, zero_state(params, x), inputs)
    return state


def all_states(params: Params, x: Inputs) -> States:
    """The state after each step. What follows a step has no influence on it."""

    def step(state, projected):
        state = gru_step(params, state, projected)
        return state, state

    _, states = jax.lax.scan(step, zero_state(params, x), project(params, x))
    return states


def dense(params: Params, states: States) -> Float[Array, "L O B"]:
    """The outputs at each step."""
    outputs = jnp.einsum("ow,lwb->lob", params["dense"]["kernel"], states)
    return outputs + params["dense"]["bias"][None, :, None]


def project(params: Params, x: Inputs) -> Float[Array, "L W3 B"]:
    """The share of the inputs in gates and candidate, with biases, of all steps."""
    num_channels = x.shape[1]
    parts = params["gates"], params["candidate"]
    kernel = jnp.concatenate([part["kernel"][:, :num_channels] for part in parts])
    bias = jnp.concatenate([part["bias"] for part in parts])
    return jnp.einsum("wc,lcb->lwb", kernel, x) + bias[None, :, None]


def gru_step(params: Params, state: State, projected: Float[Array, "W3 B"]) -> State:
    """Cho et al. 2014, as TensorFlow 1's GRUCell: h' = u h + (1 - u) c.

    [r, u] = sigmoid(W [x, h] + 1 at the start), c = tanh(V [x, r h]).
    """
    width = len(state)
    of_gates = params["gates"]["kernel"][:, -width:]
    of_candidate = params["candidate"]["kernel"][:, -width:]
    gates = jax.nn.sigmoid(projected[: 2 * width] + of_gates @ state)
    reset, update = gates[:width], gates[width:]
    candidate = jnp.tanh(projected[2 * width :] + of_candidate @ (reset * state))
    return update * state + (1.0 - update) * candidate


def zero_state(params: Params, x: Inputs) -> State:
    """Where the GRU starts."""
    return jnp.zeros((len(params["candidate"]["bias"]), x.shape[2]))


def time_major(series: Batch) -> Inputs:
    """[B, L, C] -> [L, C, B]."""
    return series.transpose(1, 2, 0)
