"""Data parallelism: the only file that says pmap, device or process.

Parameters are the same everywhere, examples are split. State goes in un-replicated and
comes out as one replicated array (`in_axes=None`, `out_axes=None`): there is never a
leading device axis to strip, and the gradient mean is the only communication.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from l2d_jax.types import InputError, Params, Rows

AXIS = "devices"


def num_devices() -> int:
    """Devices of this process."""
    return jax.local_device_count()


def is_first() -> bool:
    """Whether this is the process that prints and writes files."""
    return jax.process_index() == 0


def describe_devices() -> str:
    """For logs and results, as `8 x cpu (TFRT_CPU)`."""
    device = jax.local_devices()[0]
    return f"{num_devices()} x {device.platform} ({device.device_kind})"


def default_compute_dtype() -> str:
    """bfloat16 where the hardware multiplies it natively, float32 on CPU."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def mean(tree: Params) -> Params:
    """Mean over devices, inside a function that `train_program` made parallel."""
    return jax.lax.pmean(tree, AXIS)


def positions(batch_size: int) -> Int[Array, " B"]:
    """Index in the global batch of each example on this device (inside a program)."""
    return jax.lax.axis_index(AXIS) * batch_size + jnp.arange(batch_size)


def train_program(update: Callable, devices: Sequence[jax.Device] | None = None):
    """update(state, batches) -> (state, metrics), on all devices; `state` is donated.

    Takes batches [S, B, ...] of the whole machine and splits B.
    """
    devices = jax.local_devices() if devices is None else list(devices)
    program = jax.pmap(
        update,
        axis_name=AXIS,
        in_axes=(None, 1),
        out_axes=None,
        donate_argnums=0,
        devices=devices,
    )

    def split(batches):
        return jax.tree.map(
            lambda x: x.reshape(x.shape[0], len(devices), -1, *x.shape[2:]), batches
        )

    return lambda state, batches: program(state, split(batches))


def check_batch_size(batch_size: int, field: str) -> None:
    """Raises `InputError` where the batch can't be split evenly over the devices."""
    if batch_size < 1 or batch_size % num_devices():
        raise InputError(
            f"{field}={batch_size} can't be split over {num_devices()} devices: "
            f"use a multiple of {num_devices()}"
        )


def local_part(
    batch_size: int, process: int | None = None, num_processes: int | None = None
) -> slice:
    """The examples of a global batch that this process reads: no other one does."""
    process = jax.process_index() if process is None else process
    count = jax.process_count() if num_processes is None else num_processes
    share = batch_size // count
    return slice(process * share, (process + 1) * share)


def place(tree: Params, devices: Sequence[jax.Device] | None = None) -> Params:
    """A copy on all devices, so that donating it is safe."""
    devices = jax.local_devices() if devices is None else list(devices)
    mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(
        tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    )


@lru_cache(maxsize=64)
def _mapped(function: Callable, devices: tuple[jax.Device, ...]) -> Callable:
    return jax.pmap(
        jax.vmap(function, in_axes=(None, 0)), in_axes=(None, 0), devices=devices
    )


def map_rows(
    function: Callable,
    params: Params,
    rows: Rows,
    *,
    batch_size: int,
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[Params]:
    """function(params, row) for every row [N, ...], as numpy, a few batches at a time.

    Each device always sees batches of the same shape, so the numbers don't depend on
    how many devices there are; memory doesn't depend on N. `function` must be hashable
    and the same object at every call, or it is compiled again.
    """
    num_rows = rows.shape[0]
    batch_size = min(batch_size, 8 * math.ceil(num_rows / 8))
    num_batches = math.ceil(num_rows / batch_size)
    devices = tuple(jax.local_devices() if devices is None else devices)[:num_batches]
    program = _mapped(function, devices)
    group = len(devices) * batch_size
    pending = None  # the group that the devices are working on
    for start in range(0, num_rows, group):
        taken = rows[start : start + group]
        count = taken.shape[0]
        if count < group:  # fill up with copies of the first row
            index = np.concatenate([np.arange(count), np.zeros(group - count, int)])
            taken = taken[index]
        result = program(
            params, taken.reshape(len(devices), batch_size, *rows.shape[1:])
        )
        if pending is not None:
            yield _collect(*pending)
        pending = (result, count)
    if pending is not None:
        yield _collect(*pending)


def _collect(result: Params, count: int) -> Params:
    return jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:count], result
    )


def map_all(
    function: Callable, params: Params, rows: Rows, *, batch_size: int
) -> np.ndarray:
    """`map_rows`, joined into one array [N, ...]."""
    return np.concatenate(list(map_rows(function, params, rows, batch_size=batch_size)))
