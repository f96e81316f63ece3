"""Context-FID and seconds of a finished workdir's model, for several samplers.

    python benchmarks/few_steps.py --workdir=runs/stock --out=few_steps.json

Every setting is sampled with the same seeds and scored by the same encoders; the
Context-FID is the mean over both. Seconds are the median without the first seed, whose
compilation is told apart. Two seeds at least.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np

import l2d_jax
from l2d_jax import parallel
from l2d_jax.data import load_splits
from l2d_jax.metrics.context_fid import encode, train_encoders
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.sets import sets_of
from l2d_jax.results import comparable
from l2d_jax.types import tree_size
from l2d_jax.workdir import library_version

SETTINGS = {
    "100 + 100 ancestral (the paper's)": dict(
        solver="ancestral",
        num_steps=100,
        latent_solver="ancestral",
        latent_num_steps=100,
    ),
    "20 DPM-Solver++ + 100 ancestral (default)": dict(
        solver="ancestral",
        num_steps=100,
        latent_solver="dpm_solver++",
        latent_num_steps=20,
    ),
    "20 + 20 DPM-Solver++": dict(num_steps=20),
    "20 + 10 DPM-Solver++": dict(num_steps=10),
    "20 + 5 DPM-Solver++ (fast)": dict(num_steps=5),
    "20 + 3 DPM-Solver++": dict(num_steps=3),
}


def measure(model, score, settings, *, n: int, seeds: int) -> dict:
    """Scores and seconds of one setting."""
    scores, seconds = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        x = model.sample(jax.random.key(seed), n, **settings)
        seconds.append(time.perf_counter() - start)
        scores.append(score(x))
    return {
        "context_fid": float(np.mean(scores)),
        "context_fid of each seed": scores,
        "seconds": float(np.median(seconds[1:])),
        "seconds with compilation": seconds[0],
    }


def make_score(real, *, repeats: int):
    """series -> mean Context-FID over encoders that are trained once."""
    real_scaled = sets_of(real, real).real
    encoders = train_encoders(real_scaled, num_repeats=repeats, seed=0)
    of_real = encode(encoders, real_scaled)

    def score(x) -> float:
        generated = sets_of(real, x).generated
        pairs = zip(of_real, encode(encoders, generated), strict=True)
        return float(np.mean([frechet_distance(*pair) for pair in pairs]))

    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    model = l2d_jax.load(args.workdir)
    real = comparable(load_splits(model.config.data).train)
    score, rows = make_score(real, repeats=args.repeats), {}
    for name, settings in SETTINGS.items():
        rows[name] = measure(model, score, settings, n=len(real), seeds=args.seeds)
        row = rows[name]
        print(f"{name:45} {row['context_fid']:.4f} {row['seconds']:8.2f} s", flush=True)
    if args.out:
        facts = {
            "data set": model.config.data.name,
            "series": len(real),
            "parameters": tree_size(model.params),
            "device": parallel.describe_devices(),
            "jax": library_version("jax"),
            "seeds": args.seeds,
            "repeats": args.repeats,
        }
        args.out.write_text(json.dumps({**facts, "settings": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
