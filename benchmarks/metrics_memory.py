"""Peak memory and seconds of every metric, at several numbers of series.

    python benchmarks/metrics_memory.py --sizes=10000,100000 --shape=24,28

Random walks, scaled to [0, 1]; each metric in a process of its own, one repeat. Memory
is the peak of the process less what it holds with the two sets before the metric runs.
What is in --out is not measured again; series of another shape are refused there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from kept import counts, last_said, one_line_errors, resumed, with_also
from memory import peak_memory

from l2d_jax.files import write_text


def walks(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random walks in [0, 1], made some at a time."""
    rng = np.random.default_rng(seed)
    series = np.empty(shape, np.float32)
    for rows in np.array_split(np.arange(shape[0]), max(shape[0] // 1000, 1)):
        steps = rng.standard_normal((len(rows), *shape[1:]), dtype=np.float32)
        series[rows] = 0.5 + 0.02 * steps.cumsum(axis=1)
    return series.clip(0.0, 1.0)


def measure(name: str, shape: tuple[int, ...]) -> dict[str, float]:
    """One metric, in this process."""
    from l2d_jax.metrics import GROUPS, METRICS
    from l2d_jax.metrics.sets import Sets

    real, generated = walks(0, shape), walks(1, shape)
    before, start = peak_memory(), time.perf_counter()
    if name in GROUPS:
        labels = (np.arange(len(real)) % 3).astype(np.int64)
        test = walks(2, shape) if name == "privacy" else None
        before = peak_memory()
        sets = Sets(
            train=real,
            generated=generated,
            all_train=real,
            test=test,
            all_test=test,
            labels=labels,
            classes=("a", "b", "c"),
        )
        GROUPS[name](sets, num_repeats=1, seed=0)
    else:
        METRICS[name](real, generated, num_repeats=1, seed=0)
    return {
        "seconds": time.perf_counter() - start,
        "MiB": peak_memory() - before,
        "MiB with the sets": peak_memory(),
    }


def measured(name: str, size: int, shape: list[int]) -> dict[str, float | str]:
    """One metric, in a process of its own; or the last line of what went wrong."""
    shown = ",".join(map(str, shape))
    command = [sys.executable, __file__, f"--shape={shown}", f"--one={name}:{size}"]
    run = subprocess.run(command, capture_output=True, text=True)
    found, why = last_said(run)
    return {"failed": why} if why else found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=counts, default="10000,100000")
    parser.add_argument("--shape", type=counts, default="24,28", help="steps, channels")
    parser.add_argument("--metrics", default="", help='joined by commas; "": all')
    parser.add_argument(
        "--out", type=Path, default=Path("runs/metrics_memory/metrics_memory.json")
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if len(options.shape) != 2:
        parser.error("--shape: give steps and channels, as 24,28")
    if options.one:
        name, size = options.one.split(":")
        print(json.dumps(measure(name, (int(size), *options.shape))))
        return
    from l2d_jax.metrics import ALL, check_names
    from l2d_jax.workdir import library_version

    path = options.out
    settings = {"shape": options.shape}
    made = {"device": f"{os.cpu_count()} CPU cores", "jax": library_version("jax")}
    with one_line_errors():
        names = check_names(options.metrics.split(",") if options.metrics else ALL)
        found = resumed(path, {"metrics": {}}, settings)
    for name in names:
        for size in options.sizes:
            if str(size) in found["metrics"].get(name, {}):
                continue
            one = measured(name, size, options.shape)
            found["metrics"].setdefault(name, {})[str(size)] = one
            found |= with_also(found, made)
            print(name, size, one, flush=True)
            write_text(path, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
