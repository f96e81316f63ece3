"""Several processes, of one machine or many, join to run one program."""

import importlib.util
import os
import sys
from pathlib import Path

import jax
import numpy as np

from l2d_jax import liveness, parallel
from l2d_jax.errors import one_line
from l2d_jax.types import InputError

HEARTBEAT_SECONDS = 30  # without a sign of life, a process counts as dead
# XLA's CPU backend gives up after 30 min, and the first process may score for longer.
TIMEOUT_FLAG = f"--xla_cpu_collective_timeout_seconds={7 * 86_400}"


def initialize(
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the other processes of this run, if it has any; before any computation.

    By the arguments, else as Cloud TPU, SLURM, Open MPI or JAX_COORDINATOR_ADDRESS say.

    Raises:
      InputError: an argument is missing, or the others can't be reached.
    """
    given = (coordinator, num_processes, process_id)
    if None in given and given != (None, None, None):
        raise InputError(
            "--coordinator, --num_processes and --process_id go together: give all "
            "three, or none where Cloud TPU or SLURM starts the processes"
        )
    if coordinator is None and not is_distributed():
        return
    # The last of several values counts: the user's, if there is one.
    os.environ["XLA_FLAGS"] = (
        f"{TIMEOUT_FLAG} {os.environ.get('XLA_FLAGS', '')}".strip()
    )
    # SIGTERM is ours: see preemption.py.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            cluster_detection_method=None if coordinator is None else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=2 * HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        if coordinator is None and "should be defined" in str(error):
            return  # a TPU that is no part of a cluster, as in Colab
        where = coordinator or "the process that the environment names"
        cause = one_line(error)
        raise InputError(
            f"can't join the other processes at {where} ({cause}): see that all run, "
            "with one --coordinator and --num_processes, each with its own --process_id"
        ) from error
    connect_devices()
    watch_processes()


def watch_processes() -> None:
    """One that dies is missed by the others: at once, or by their heartbeats."""
    if parallel.num_processes() == 1:
        return
    listener, address = liveness.listen()
    text = np.frombuffer(address.encode().ljust(64), np.uint8)
    first = parallel.all_gather(text)[0].astype(np.uint8).tobytes().decode().strip()
    where = first.rpartition(":")[0]
    try:
        if parallel.is_first():
            others = parallel.num_processes() - 1
            liveness.watch_others(listener, first, others=others)
        else:
            liveness.watch_first(first, rank=parallel.process_id())
    except OSError as error:
        print(
            f"process {parallel.process_id()}: no connection between the processes at "
            f"{where} ({error}): one that dies is missed after {HEARTBEAT_SECONDS} s",
            file=sys.stderr,
        )
    finally:
        listener.close()


def connect_devices() -> None:
    """The first program over all devices. All processes.

    It connects the devices, which must happen at the same time on all: on CPU within
    30 s, and later one process may be busy with what the others wait for.
    """
    parallel.any_process(lambda: True)()
    parallel.barrier("all here")


def is_distributed() -> bool:
    """Whether the machine says that this process is one of several, or may be."""
    if os.environ.get("JAX_COORDINATOR_ADDRESS"):
        return True
    for size, rank in (
        ("SLURM_NTASKS", "SLURM_STEP_NODELIST"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ):
        if rank in os.environ and int(os.environ.get(size, 1)) > 1:
            return True
    on_tpu = importlib.util.find_spec("libtpu") and (
        any(Path("/dev").glob("accel*")) or any(Path("/dev/vfio").glob("[0-9]*"))
    )
    return bool(on_tpu) and os.environ.get("JAX_PLATFORMS", "tpu") != "cpu"
