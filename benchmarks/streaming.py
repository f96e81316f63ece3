"""Peak memory while n series go to a file, at several n: it must not grow.

    python benchmarks/streaming.py --out=runs/streaming.json

As `main.py --mode=sample --num_steps=5` writes them, from an untrained model of Stock's
shape and the smoke config's size; all files by one process. Linux only: the kernel's
record of the largest memory is taken back before each file.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from kept import counts
from memory import peak_memory
from ml_collections import FrozenConfigDict
from timed import random_weights

from l2d_jax import configs, parallel
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.data import Normalizer
from l2d_jax.files import write_text
from l2d_jax.programs import keep_programs
from l2d_jax.results import sample_to_file


def small_model() -> Cascade:
    """[24, 6] series, random weights."""
    config = configs.resolve(configs.load("stock").get_config("smoke"))
    config = FrozenConfigDict(config)
    layout = Layout(24, tuple("abcdef"), num_series=3_662)
    zeros, ones = np.zeros(6, np.float32), np.ones(6, np.float32)
    normalizer = Normalizer(zeros, ones, -ones, ones)
    return Cascade(random_weights(config, layout.shape), normalizer, config, layout)


def write(model: Cascade, suffix: str, n: int) -> dict[str, float]:
    """Sizes and seconds of one file."""
    Path("/proc/self/clear_refs").write_text("5")  # takes the record back
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"samples{suffix}"
        sample_to_file(model, path, n=n, seed=0, num_steps=5)
        size = path.stat().st_size
    return {
        "peak MiB": round(peak_memory()),
        "file MiB": round(size / 2**20),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=counts, default="20000,200000")
    parser.add_argument("--suffixes", default=".npz,.npy,.csv,.parquet,.ts")
    parser.add_argument("--out", default="")
    args = parser.parse_args()
    keep_programs()
    model = small_model()
    write(model, ".npy", 1_000)  # compiles
    device = parallel.describe_devices()
    report: dict = {"device": device, "jax": jax.__version__, "files": {}}
    for n in args.sizes:
        for suffix in args.suffixes.split(","):
            result = write(model, suffix, n)
            report["files"].setdefault(suffix, {})[str(n)] = result
            print(suffix, n, result, flush=True)
            if args.out:
                write_text(Path(args.out), json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
