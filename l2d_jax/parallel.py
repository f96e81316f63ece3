"""Data parallelism: the only file that says pmap or device.

Parameters are the same everywhere, examples are split. State goes in un-replicated and
comes out as one replicated array (`in_axes=None`, `out_axes=None`): there is never a
leading device axis to strip, and the gradient mean is the only communication.

Several processes (`cluster`) run the same program, each on its own devices; the first
one also prints and writes files. What is marked "all processes" must be called by all.
"""

import math
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax.errors import one_line
from l2d_jax.types import InputError, Params, Rows

AXIS = "devices"

# --- processes ------------------------------------------------------------------------


def check_devices() -> None:
    """Raises `InputError` where JAX can't start, as where its GPU is away."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise InputError(
            f"JAX can't use the devices of JAX_PLATFORMS={asked} ({one_line(error)}): "
            "see to them and their driver, or set JAX_PLATFORMS=cpu"
        ) from error


def num_processes() -> int:
    """That run this program together."""
    return jax.process_count()


def process_id() -> int:
    """Of this process, from 0."""
    return jax.process_index()


def is_first() -> bool:
    """True in the one process that prints, and writes files."""
    return jax.process_index() == 0


def barrier(reason: str) -> None:
    """Until all processes are here. All processes."""
    if num_processes() > 1:
        multihost_utils.sync_global_devices(reason)


@contextmanager
def first_before_others(reason: str) -> Generator[None, None, None]:
    """What is inside is done by the first process, then by the others. All processes.

    For what only the first one finds undone, as files that are made once.
    """
    if not is_first():
        barrier(reason)
    try:
        yield
    finally:
        if is_first():
            barrier(reason)


def all_gather(value: Any) -> np.ndarray:
    """The values of all processes, along a new first axis. All processes."""
    if num_processes() == 1:
        return np.asarray(value)[None]
    return np.asarray(multihost_utils.process_allgather(np.asarray(value)))


def all_agree(yes: bool) -> bool:
    """True if it is true on all processes. All processes."""
    return bool(all_gather(yes).all())


def any_process(asked: Callable[[], bool]) -> Callable[[], bool]:
    """Whether `asked()` is true on any process, when the answer is called for.

    It travels behind the work that the devices have: nobody waits for it before that is
    done. Alone, a process is asked at the last moment. All processes.
    """
    if num_processes() == 1:
        return asked
    votes = np.full(jax.local_device_count(), asked(), np.int32)
    most = _most(tuple(all_devices()))(votes)
    return lambda: bool(most)


@lru_cache(maxsize=1)
def _most(devices: tuple[jax.Device, ...]) -> Callable:
    return jax.pmap(
        lambda x: jax.lax.pmax(x, AXIS), AXIS, out_axes=None, devices=devices
    )


def leave(status: int) -> None:
    """Ends one of several processes at once, without waiting for the others to end."""
    if jax.distributed.is_initialized():
        for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed
            stream.flush()
        os._exit(status)


# --- devices --------------------------------------------------------------------------


def all_devices() -> list[jax.Device]:
    """Of all processes, those of a process side by side."""
    return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


def local_devices() -> list[jax.Device]:
    """Of this process."""
    return jax.local_devices()


def num_devices() -> int:
    """Devices of all processes."""
    return jax.device_count()


def describe_devices() -> str:
    """For logs and results: `4 x gpu (NVIDIA H100)`, `1 x cpu (1 of 2 cores, ...)`."""
    device = jax.local_devices()[0]
    kind = device.device_kind
    if device.platform == "cpu":
        kind = ", ".join(filter(None, [num_cores(), processor()]))
    text = f"{num_devices()} x {device.platform} ({kind})"
    count = num_processes()
    return text if count == 1 else f"{text}, {count} processes"


def compiled_for() -> str:
    """The kind of device, and the version of what compiles for it."""
    device = jax.local_devices()[0]
    return f"{device.device_kind} {device.client.platform_version}"


def num_cores() -> str:
    """Of the processor that this process may use, and of all: `1 of 2 cores`."""
    found = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return f"{len(os.sched_getaffinity(0))} of {found} cores"
    return f"{found} cores"


@lru_cache
def processor() -> str:
    """Its name, and AMX if it has that, as Linux tells; else nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    pairs = [line.partition(":") for line in lines]
    facts = {name.strip(): said.strip() for name, _, said in pairs}
    amx = "AMX" if "amx_bf16" in facts.get("flags", "").split() else ""
    return ", ".join(filter(None, [facts.get("model name"), amx]))


def default_compute_dtype() -> str:
    """bfloat16 where the hardware multiplies it natively, else float32.

    That is on CPU, and on NVIDIA's GPUs below compute capability 8, as Colab's T4.
    """
    device = jax.local_devices()[0]
    nvidia = re.fullmatch(r"(\d+)\.\d+", getattr(device, "compute_capability", ""))
    lacks_it = device.platform == "cpu" or (nvidia and int(nvidia[1]) < 8)
    return "float32" if lacks_it else "bfloat16"


def sampling_batch_size(config: ConfigDict | FrozenConfigDict) -> int:
    """Series per device and call: `config.sampling.batch_size`, or by the device."""
    by_device = 512 if jax.default_backend() == "cpu" else 4_096
    return config.sampling.batch_size or by_device


def pmean(tree: Params) -> Params:
    """Mean over devices, inside a function that `train_program` made parallel.

    One sum of one long vector: each message between devices has its price.
    """
    if jax.lax.axis_size(AXIS) == 1:  # saves a copy of all gradients
        return tree
    vector, tree_of = ravel_pytree(tree)
    return tree_of(jax.lax.pmean(vector, AXIS))


def global_indices(batch_size: int) -> Int[Array, " B"]:
    """Index in the global batch of each example on this device (inside a program)."""
    return jax.lax.axis_index(AXIS) * batch_size + jnp.arange(batch_size)


def with_default_config(function: Callable) -> Callable:
    """The same, traced and run alike whatever other code has set in JAX.

    Without float64 and a mesh, with JAX's usual promotion of types, and where transfers
    are guarded too: what goes in and comes out lies on the host.
    """
    # Of JAX 0.7 it is in jax.experimental.
    home: Any = jax if hasattr(jax, "enable_x64") else jax.experimental

    no_mesh = jax.sharding.Mesh(np.empty((), object), ())

    @wraps(function)
    def call(*args, **options):
        has_mesh = not jax.sharding.get_abstract_mesh().empty
        with (
            home.enable_x64(False),
            jax.numpy_dtype_promotion("standard"),
            jax.transfer_guard("allow"),
            jax.set_mesh(no_mesh) if has_mesh else nullcontext(),
        ):
            return function(*args, **options)

    return call


def train_program(update: Callable, devices: Sequence[jax.Device] | None = None):
    """update(state, batches) -> (state, metrics), on all devices; `state` is donated.

    Takes the batches [S, B, ...] of this process, `local_slice` of each, and splits B
    over its devices. All processes.
    """
    devices = all_devices() if devices is None else list(devices)
    here = [one for one in devices if one.process_index == jax.process_index()]
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
            lambda x: x.reshape(x.shape[0], len(here), -1, *x.shape[2:]), batches
        )

    return with_default_config(lambda state, batches: program(state, split(batches)))


def check_batch_size(batch_size: int, field: str) -> None:
    """Raises `InputError` where the batch can't be split evenly over the devices."""
    if batch_size < 1 or batch_size % num_devices():
        raise InputError(
            f"{field}={batch_size} can't be split over {num_devices()} devices: "
            f"use a multiple of {num_devices()}"
        )


def local_slice(
    batch_size: int, process: int | None = None, num_processes: int | None = None
) -> slice:
    """The examples of a global batch that this process reads: no other one does."""
    process = jax.process_index() if process is None else process
    count = jax.process_count() if num_processes is None else num_processes
    share = batch_size // count
    return slice(process * share, (process + 1) * share)


@with_default_config
def replicate(tree: Params, devices: Sequence[jax.Device] | None = None) -> Params:
    """On all devices of this process; what lies on one already isn't copied there.

    So a program to which this is donated may take `tree` with it.
    """
    devices = jax.local_devices() if devices is None else list(devices)
    mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(
        tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    )


@lru_cache(maxsize=64)
def _mapped(function: Callable, devices: tuple[jax.Device, ...]) -> Callable:
    program = jax.vmap(function, in_axes=(None, 0))
    return with_default_config(jax.pmap(program, in_axes=(None, 0), devices=devices))


def map_rows(
    function: Callable,
    params: Params,
    rows: Rows,
    *,
    batch_size: int,
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[Params]:
    """function(params, row) for every row [N, ...], as numpy, a few batches at a time.

    `rows` is an array, or a tuple of arrays: a row is then one of each. Each device
    always sees batches of the same shape, so the numbers don't depend on how many
    devices there are; memory doesn't depend on N. Parameters go to the devices once.
    `function` must be hashable and the same object at every call, or it is compiled
    again. Only devices of this process take part, so that it may be called by one of
    several.
    """
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    batch_size = fitting(batch_size, num_rows)
    num_batches = math.ceil(num_rows / batch_size)
    devices = tuple(jax.local_devices() if devices is None else devices)[:num_batches]
    program, params = _mapped(function, devices), replicate(params, devices)
    group = len(devices) * batch_size
    pending = None  # the group that the devices are working on
    for start in range(0, num_rows, group):
        taken = partial(_taken, start=start, shape=(len(devices), batch_size))
        result = program(params, jax.tree.map(taken, rows))
        if pending is not None:
            yield _collect(*pending)
        pending = (result, min(group, num_rows - start))
    if pending is not None:
        yield _collect(*pending)


def _taken(rows: Rows, *, start: int, shape: tuple[int, int]) -> np.ndarray:
    """Rows from `start` on, [devices, batch, ...]; at the end, copies of the first."""
    taken = rows[start : start + math.prod(shape)]
    count = taken.shape[0]
    if lacking := math.prod(shape) - count:
        taken = taken[np.concatenate([np.arange(count), np.zeros(lacking, int)])]
    return taken.reshape(*shape, *taken.shape[1:])


def fitting(batch_size: int, num_rows: int) -> int:
    """The batch for so few rows: 8, 16, 32, ... or whole, each a program to compile."""
    return min(batch_size, 8 << max(math.ceil(num_rows / 8) - 1, 0).bit_length())


@with_default_config
def _collect(result: Params, count: int) -> Params:
    return jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[:count], result
    )


def map_all(
    function: Callable, params: Params, rows: Rows, *, batch_size: int = 256
) -> np.ndarray:
    """`map_rows`, joined into one array [N, ...]."""
    return np.concatenate(list(map_rows(function, params, rows, batch_size=batch_size)))


def map_rows_distributed(
    function: Callable, params: Params, rows: Rows, *, batch_size: int
) -> Iterator[Params]:
    """`map_rows`, split over the processes; each gets all results. All processes.

    Raises:
      MemoryError, jax.errors.JaxRuntimeError: on all, where one is out of memory.
    """
    count = num_processes()
    if count == 1:
        yield from map_rows(function, params, rows, batch_size=batch_size)
        return
    num_rows = rows.shape[0]
    batch_size = fitting(batch_size, num_rows)  # as map_rows has it
    batches_each = math.ceil(num_rows / batch_size / count)
    share = batch_size * min(batches_each, jax.local_device_count())
    for start in range(0, num_rows, count * share):
        # Beyond the end, the last row again: all parts are of one size.
        first = start + jax.process_index() * share
        index = np.minimum(first + np.arange(share), num_rows - 1)
        part, failure = np.empty(0), None
        try:
            part = map_all(function, params, rows[index], batch_size=batch_size)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            failure = error
        if not all_agree(failure is None):
            raise failure or MemoryError("of another process")
        whole = all_gather(part)
        yield whole.reshape(-1, *whole.shape[2:])[: num_rows - start]
