"""Fits w to rows by (w - x)^2, in one of several processes: what test_processes runs.

    python tests/line.py FOLDER HOST:PORT PROCESSES RANK [STEPS [CHECKPOINT EVERY]]

Checkpoints go below FOLDER; the first process writes what all of them ended with to
FOLDER/result.npz. SIGTERM is heeded, as by main.py.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from l2d_jax import cluster, memory, parallel, preemption, train
from l2d_jax.checkpoints import Checkpoints
from l2d_jax.metric_writer import MetricWriter, NullWriter
from l2d_jax.stages import Stage

ROWS = np.random.default_rng(0).normal(2.0, 1.0, (40, 3)).astype(np.float32)
SETTINGS = {
    "batch_size": 8,
    "learning_rate": 0.1,
    "warmup_steps": 3,
    "beta_2": 0.99,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
    "ema_decay": 0.999,
}


def loss(params, key, x):
    noise = 0.1 * jax.random.normal(key, x.shape)
    error = jnp.mean(jnp.square(params["w"] - x - noise))
    return error, {"mse": error}


STAGE = Stage(
    "line",
    lambda key: {"w": jnp.zeros((3,))},
    lambda upstream, series: series,
    loss,
    lambda params, series: params,
)


def fit(folder: Path, num_steps: int = 12, every: int = 4) -> np.ndarray:
    """The averaged weights."""
    c = ConfigDict(SETTINGS | {"num_steps": num_steps})

    def open_writer(first_step):
        if not parallel.is_first():
            return NullWriter()
        return MetricWriter(
            folder, "line", first_step=first_step, num_steps=num_steps, batch=8
        )

    with Checkpoints(folder / "line", {"seed": 0}) as checkpoints:
        params = train.fit(
            STAGE,
            lambda: ROWS,
            c,
            seed=0,
            steps_per_call=2,
            checkpoint_every=every,
            checkpoints=checkpoints,
            open_writer=open_writer,
        )
    return np.asarray(params["w"])


def noisy(key, index):
    return jax.random.normal(jax.random.fold_in(key, index), (3,))


def draw(rows: int) -> np.ndarray:
    """A function of each row's number, drawn on all devices of all processes."""
    index = np.arange(rows, dtype=np.int32)
    parts = parallel.map_rows_distributed(noisy, jax.random.key(1), index, batch_size=8)
    return np.concatenate(list(parts))


def draw_with_little_memory(rows: int) -> np.ndarray:
    """As `draw`, but the last process is out of memory with more than 2 a call."""
    index = np.arange(rows, dtype=np.int32)
    map_all, is_short = parallel.map_all, parallel.process_id() > 0

    def small(function, params, rows, *, batch_size):
        if is_short and batch_size > 2:
            raise MemoryError
        return map_all(function, params, rows, batch_size=batch_size)

    def work(first, size):
        return parallel.map_rows_distributed(
            noisy, jax.random.key(1), index[first:], batch_size=size
        )

    parallel.map_all = small
    try:
        return np.concatenate(list(memory.in_parts(work, rows, batch_size=8)))
    finally:
        parallel.map_all = map_all


def fitting() -> int:
    """The batch that fits, found by the last process alone."""
    if parallel.is_first():
        return 0
    c = ConfigDict(SETTINGS | {"num_steps": 2})
    return train.smaller_batch(STAGE, ROWS, c, seed=0, steps_per_call=2)


def main(folder, coordinator, processes, rank, num_steps="12", every="4"):
    folder = Path(folder)
    preemption.watch()
    if int(processes) > 1:
        cluster.initialize(
            coordinator=coordinator, num_processes=int(processes), process_id=int(rank)
        )
    order = folder / "order.txt"
    with parallel.first_before_others("in order"), order.open("a") as file:
        file.write(f"{rank}\n")
    w = fit(folder, int(num_steps), int(every))
    found = {
        "w": parallel.all_gather(w),
        "drawn": parallel.all_gather(draw(37)),
        "drawn with little memory": parallel.all_gather(draw_with_little_memory(37)),
        "fitting": parallel.all_gather(fitting()),
        "agreed": [
            parallel.all_agree(True),
            parallel.all_agree(parallel.is_first()),
        ],
        "devices": parallel.num_devices(),
    }
    if parallel.is_first():
        np.savez(folder / "result.npz", **found)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except preemption.Preempted as notice:
        print(notice)
        raise
