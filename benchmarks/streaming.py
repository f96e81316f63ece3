"""Peak memory while n series go to a file, at several n: it must not grow.

    python benchmarks/streaming.py --out=benchmarks/results/streaming.json

Each file is written by a process of its own, as `main.py --mode=sample --num_steps=5`
does, from an untrained model of Stock's shape and the smoke config's size.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax

from l2d_jax import configs, stages
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.data import Normalizer
from l2d_jax.results import sample_to_file


def small_model() -> Cascade:
    """[24, 6] series, random weights."""
    config = configs.resolve(configs.load("stock").get_config("smoke"))
    layout = Layout(24, tuple("abcdef"), num_series=3_662)
    params = {}
    for i, make in enumerate((stages.latent_stage, stages.data_stage)):
        stage = make(config, layout.shape)
        params |= stage.export(stage.init(jax.random.key(i)), None)
    shift, scale = jax.numpy.zeros(6), jax.numpy.ones(6)
    return Cascade(
        params, Normalizer(shift, scale), stages.FrozenConfigDict(config), layout
    )


def write(suffix: str, n: int) -> dict[str, float]:
    """One file, in this process."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"samples{suffix}"
        sample_to_file(small_model(), path, n=n, seed=0, num_steps=5)
        size = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peak MiB": round(peak / 1024),
        "file MiB": round(size / 2**20),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="20000,200000")
    parser.add_argument("--suffixes", default=".npz,.npy,.csv,.parquet,.ts")
    parser.add_argument("--out", default="")
    parser.add_argument("--one", default="", help="SUFFIX,N: one file, here")
    args = parser.parse_args()
    if args.one:
        suffix, n = args.one.split(",")
        print(json.dumps(write(suffix, int(n))))
        return
    report: dict = {"jax": jax.__version__, "shape": [24, 6], "files": {}}
    for suffix in args.suffixes.split(","):
        for n in args.sizes.split(","):
            command = [sys.executable, __file__, f"--one={suffix},{n}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            result = json.loads(done.stdout.splitlines()[-1])
            report["files"].setdefault(suffix, {})[n] = result
            print(suffix, n, result, flush=True)
            if args.out:
                Path(args.out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
