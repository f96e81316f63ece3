"""How often verdicts call real series different from real ones.

    python benchmarks/false_alarms.py --set=stock --deals=40
    python benchmarks/false_alarms.py --set=stock --deals=20 --published
    python benchmarks/false_alarms.py --set=walks --deals=100 --size=300

A set: the permutation test of Context-FID. Encoders are trained on 1,000 real series;
of the others, pairs of 1,000 are dealt at random and compared as real and generated
series would be. Of two samples of one distribution, a share of .01 should lie above the
percentile .99, and as many below .01. The deals share series, so that they aren't
independent of each other. `--published`: of each pair, encoders are trained on the one
that is in the place of the real series, as the published protocol has it.

"walks": the paired test of 16 other scores, by the number of repeats. Each pair are
fresh random walks of 8 steps and 2 channels; a share of .01 should seem to differ.
"heavy": the same, with steps by Student's t of 3 degrees of freedom.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kept import count, one_line_errors, read_set
from threadpoolctl import threadpool_limits

from l2d_jax import configs
from l2d_jax.data import load_splits
from l2d_jax.data.ragged import comparable
from l2d_jax.files import write_text
from l2d_jax.metrics import evaluate
from l2d_jax.metrics.catalog import SCORES, verdict
from l2d_jax.metrics.context_fid import encode, percentile, train_encoders
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.sets import sets_of
from l2d_jax.types import InputError

STEPS = {
    "walks": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
}
REPEATS = (5, 20, 50)
COMPARED = (
    "marginal_distribution_difference",
    "value_distribution_distance",
    "autocorrelation_difference",
    "spectral_distance",
    "correlational_score",
    "skewness_difference",
    "kurtosis_difference",
    "mmd_series",
    "mmd_increments",
    "pca_fid",
    "fidelity",
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="stock", help="or one of " + ", ".join(STEPS))
    parser.add_argument("--deals", type=count, default=40)
    parser.add_argument("--size", type=count, default=1000, help="series of each part")
    parser.add_argument("--published", action="store_true", help="see above")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    with one_line_errors():
        if args.set in STEPS and args.published:
            raise InputError(
                f"--published: {args.set} has no encoders: name a data set"
            )
        if args.set in STEPS:
            found = of_paired_test(args.set, args.deals, args.size)
        else:
            found = of_context_fid(
                read_set(args.set), args.deals, args.size, published=args.published
            )
    print(found)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")


def of_context_fid(
    name: str, deals: int, size: int, *, published: bool
) -> dict[str, Any]:
    """Percentiles of Context-FID among exchanges, of pairs of one set."""
    series = comparable(load_splits(configs.load(name).get_config().data).train)
    if len(series) < 3 * size:
        raise InputError(
            f"--size={size}: {name} has {len(series):,} series, use {len(series) // 3} "
            "or fewer"
        )
    scaled = sets_of(series, series).train
    order = np.random.default_rng(0).permutation(len(scaled))
    trained_on, others = order[:size], order[size : 4 * size]
    if not published:
        encoders = train_encoders(scaled[trained_on], num_repeats=3, seed=0)
    shares = []
    with threadpool_limits(1):
        for deal in range(deals):
            rng = np.random.default_rng(deal)
            dealt = others[rng.permutation(len(others))]
            one, other = scaled[dealt[:size]], scaled[dealt[size : 2 * size]]
            if published:
                encoders = train_encoders(one, num_repeats=3, seed=deal)
            pairs = [*zip(encode(encoders, one), encode(encoders, other), strict=True)]
            distances = [frechet_distance(*pair) for pair in pairs]
            shares.append(round(percentile(rng, pairs, distances), 4))
    return {
        "data set": name,
        "encoders trained on": "the real ones of each pair" if published else "others",
        "deals": deals,
        "above .99": sum(share > 0.99 for share in shares),
        "below .01": sum(share < 0.01 for share in shares),
        "percentiles": sorted(shares),
    }


def of_paired_test(name: str, deals: int, size: int) -> dict[str, Any]:
    """Share of scores that seem to differ, of all and by name, by number of repeats."""
    alarms: dict[str, list[list[bool]]] = {}
    for deal in range(deals):
        rng = np.random.default_rng((99, deal))
        one, other = (STEPS[name](rng, (size, 8, 2)).cumsum(axis=1) for _ in range(2))
        scores = evaluate(
            one, other, metrics=COMPARED, num_repeats=max(REPEATS), seed=deal
        )
        del scores["authenticity"]  # its parts are no repeats
        for key, score in scores.items():
            said = [verdict(first(score, n), SCORES[key].best) for n in REPEATS]
            alarms.setdefault(key, []).append([one != "as real" for one in said])
    shares = {key: np.mean(found, axis=0).round(4) for key, found in alarms.items()}
    every = np.mean([*shares.values()], axis=0).round(4)
    return {
        "data set": name,
        "deals": deals,
        "repeats": list(REPEATS),
        "differ": every.tolist(),
        "differ, by score": {key: found.tolist() for key, found in shares.items()},
    }


def first(score: dict[str, Any], repeats: int) -> dict[str, Any]:
    """A score as it would be with so many repeats, for a verdict."""
    sides = ("floor", "at_floor_size")
    cut = {side: {"values": score[side]["values"][:repeats]} for side in sides}
    return {**score, **cut}


if __name__ == "__main__":
    main()
