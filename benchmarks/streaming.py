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

from kept import counts, made_here
from memory import peak_memory
from timed import untrained

from l2d_jax.cascade import Cascade
from l2d_jax.compilation_cache import enable_compilation_cache
from l2d_jax.files import write_text
from l2d_jax.results import sample_to_file


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
    enable_compilation_cache()
    model = untrained("stock", "float32", "smoke")
    write(model, ".npy", 1_000)  # compiles
    report: dict = {**made_here(), "files": {}}
    for n in args.sizes:
        for suffix in args.suffixes.split(","):
            result = write(model, suffix, n)
            report["files"].setdefault(suffix, {})[str(n)] = result
            print(suffix, n, result, flush=True)
            if args.out:
                write_text(Path(args.out), json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
