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
"heavy": the same, with steps by Student's t of 3 degrees of freedom. "noise" and
"scales": Gaussian noise of 24 steps and 2 channels, of one scale or, series by series,
of its own. How much repeats share (`ScoreInfo.shared`) is measured beside it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
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

SOURCES = {  # (rng, number of series) -> series
    "walks": lambda rng, n: rng.standard_normal((n, 8, 2)).cumsum(axis=1),
    "heavy": lambda rng, n: rng.standard_t(3, (n, 8, 2)).cumsum(axis=1),
    "noise": lambda rng, n: rng.standard_normal((n, 24, 2)),
    "scales": lambda rng, n: (
        rng.standard_normal((n, 24, 2)) * rng.lognormal(sigma=0.7, size=(n, 1, 1))
    ),
}
REPEATS = (5, 20, 50)
SIDES = ("at_floor_size", "floor")
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
    parser.add_argument(
        "--set", default="stock", help="or one of " + ", ".join(SOURCES)
    )
    parser.add_argument("--deals", type=count, default=40)
    parser.add_argument("--size", type=count, default=1000, help="series of each part")
    parser.add_argument("--published", action="store_true", help="see above")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    with one_line_errors():
        if args.set in SOURCES and args.published:
            raise InputError(
                f"--published: {args.set} has no encoders: name a data set"
            )
        if args.set in SOURCES:
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
    differences: dict[str, list[np.ndarray]] = {}
    for deal in range(deals):
        rng = np.random.default_rng((99, deal))
        one, other = (SOURCES[name](rng, size) for _ in range(2))
        scores = evaluate(
            one, other, metrics=COMPARED, num_repeats=max(REPEATS), seed=deal
        )
        del scores["authenticity"]  # its parts are no repeats
        for key, score in scores.items():
            said = [verdict(first(score, n), SCORES[key]) for n in REPEATS]
            alarms.setdefault(key, []).append([one != "as real" for one in said])
            sides = (np.array(score[side]["values"]) for side in SIDES)
            differences.setdefault(key, []).append(np.subtract(*sides))
    shares = {key: np.mean(found, axis=0).round(4) for key, found in alarms.items()}
    every = np.mean([*shares.values()], axis=0).round(4)
    return {
        "data set": name,
        "deals": deals,
        "repeats": list(REPEATS),
        "differ": every.tolist(),
        "differ, by score": {key: found.tolist() for key, found in shares.items()},
        "shared": {key: shared(np.array(each)) for key, each in differences.items()},
    }


def shared(differences: Float[np.ndarray, "deals repeats"]) -> float:
    """What repeats share, over what they don't: Var(mean) / E s^2 - 1 / repeats."""
    within = differences.var(axis=1, ddof=1).mean()
    between = np.square(differences.mean(axis=1)).mean()  # about 0, as it should be
    return round(float(between / within - 1 / differences.shape[1]), 2)


def first(score: dict[str, Any], repeats: int) -> dict[str, Any]:
    """A score as it would be with so many repeats, for a verdict."""
    cut = {side: {"values": score[side]["values"][:repeats]} for side in SIDES}
    return {**score, **cut}


if __name__ == "__main__":
    main()
