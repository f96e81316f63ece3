"""What a run writes down while it trains: metrics.jsonl, TensorBoard, progress.

On a terminal a bar with time left, loss and series per second; elsewhere plain lines,
one every ten seconds or so.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from l2d_jax.files import FilePath, Mirror, to_path, write_text
from l2d_jax.progress import say_how_far, shows_bar

SECONDS_BETWEEN_LINES = 10.0
FIELDS = {"stage", "step", "loss", "seconds"}  # that each line has


class MetricWriter:
    """Metrics of one stage, chunk by chunk of steps."""

    def __init__(
        self,
        workdir: FilePath,
        stage: str,
        *,
        first_step: int,
        num_steps: int,
        batch: int,
    ):
        """Goes on at `first_step`: lines of this stage from there on are dropped."""
        # Imports slowly. It writes when told to: SummaryWriter has a thread that does,
        # and after an error there, as of a full disk, it waits for it for ever.
        from tensorboardX.event_file_writer import EventsWriter

        self._mirror = Mirror(to_path(workdir))
        self._path = self._mirror.fetch("metrics.jsonl")
        self._stage, self._batch, self._num_steps = stage, batch, num_steps
        drop_from(self._path, stage, first_step)
        # Names hold the time in seconds, in which a run may go on already.
        suffix = f".{stage}.{first_step}"
        self._tensorboard = EventsWriter(str(self._mirror.folder / "events"), suffix)
        self._bar = tqdm(
            desc=stage,
            initial=first_step,
            total=num_steps,
            unit="step",
            file=sys.stderr,
            disable=not shows_bar(),
        )
        self._last_line = self._last_chunk = time.monotonic()
        self._after_first: tuple[int, float] | None = None  # step and time

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()
        self._tensorboard.close()
        self._mirror.close()

    def flush(self) -> None:
        """Before a checkpoint: what led to it is then written too."""
        self._tensorboard.flush()
        self._mirror.copy()

    def write(self, first_step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """`metrics`: one value per step of the chunk, arrays [S]; means are kept."""
        now = time.monotonic()
        count = len(next(iter(metrics.values())))
        step = first_step + count
        row = {name: float(np.mean(values)) for name, values in metrics.items()}
        row["seconds"] = now - self._last_chunk
        row["series_per_second"] = count * self._batch / max(row["seconds"], 1e-9)
        self._last_chunk = now
        with self._path.open("a") as file:
            line = {"stage": self._stage, "step": step, **row}
            file.write(json.dumps({k: rounded(v) for k, v in line.items()}) + "\n")
        self._tensorboard.write_event(as_event(self._stage, step, row))
        self._show(step, row, now)

    def _show(self, step: int, row: Mapping[str, float], now: float) -> None:
        rate = row["series_per_second"]
        if not self._bar.disable:
            self._bar.set_postfix_str(f"loss {row['loss']:.3g}, {rate:,.0f} series/s")
            self._bar.update(step - self._bar.n)
            return
        is_last = step == self._num_steps
        if is_last or now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            text = f"{self._stage}: step {step:,} of {self._num_steps:,}"
            text += f", loss {row['loss']:.4g}"
            if self._after_first:  # without the first chunk, which compiles
                first_step, start = self._after_first
                speed = (now - start) / (step - first_step)
                left = tqdm.format_interval(speed * (self._num_steps - step))
                text += f", {rate:,.0f} series/s, {left} left"
            say_how_far(text)
        self._after_first = self._after_first or (step, now)


class NullWriter(MetricWriter):
    """Of the processes that don't write one."""

    def __init__(self):
        pass

    def __exit__(self, *_) -> None:
        pass

    def flush(self) -> None:
        """Nothing."""

    def write(self, first_step: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Nothing."""


def as_event(stage: str, step: int, row: Mapping[str, float]) -> Any:
    """The means of a chunk, as TensorBoard reads them."""
    from tensorboardX.proto import event_pb2

    made: Any = event_pb2  # whose classes are made at import
    event = made.Event(wall_time=time.time(), step=step)
    for name, value in row.items():
        event.summary.value.add(tag=f"{stage}/{name}", simple_value=value)
    return event


def rounded(value: str | int | float) -> str | int | float:
    """Numbers to six digits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def read_losses(path: FilePath) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stage -> (steps, losses) from metrics.jsonl; damaged lines are left out."""
    curves: dict[str, tuple[list, list]] = {}
    for row in rows(path):
        steps, losses = curves.setdefault(row["stage"], ([], []))
        steps.append(row["step"])
        losses.append(row["loss"])
    return {name: (np.array(s), np.array(v)) for name, (s, v) in curves.items()}


def read_seconds(path: FilePath) -> dict[str, float]:
    """Stage -> seconds spent training, over all the runs that it took."""
    total: dict[str, float] = {}
    for row in rows(path):
        total[row["stage"]] = total.get(row["stage"], 0.0) + row["seconds"]
    return total


def rows(path: FilePath) -> list[dict]:
    """The lines of metrics.jsonl that are whole."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # the process was killed while it wrote, or the disk erred
            continue
        if isinstance(row, dict) and row.keys() >= FIELDS:
            found.append(row)
    return found


def drop_from(path: Path, stage: str, first_step: int) -> None:
    """Removes the lines of `stage` after `first_step`, which will be written again."""
    kept = [r for r in rows(path) if r["stage"] != stage or r["step"] <= first_step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
