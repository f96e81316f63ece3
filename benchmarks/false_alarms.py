"""How often Context-FID's verdict calls real series different from real ones.

    python benchmarks/false_alarms.py --set=stock --deals=40

Encoders are trained on 1,000 real series; of the others, pairs of 1,000 are dealt at
random and compared as real and generated series would be. Of two samples of one
distribution, a share of .01 should lie above the percentile .99, and as many below .01.
The deals share series, so that they aren't independent of each other.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from l2d_jax import configs
from l2d_jax.data import load_splits
from l2d_jax.files import write_text
from l2d_jax.metrics.context_fid import encode, percentile, train_encoders
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.sets import sets_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="stock")
    parser.add_argument("--deals", type=int, default=40)
    parser.add_argument("--size", type=int, default=1000, help="series of each part")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    series = load_splits(configs.load(args.set).get_config().data).train.series
    scaled = sets_of(series, series).train
    order = np.random.default_rng(0).permutation(len(scaled))
    trained_on, others = order[: args.size], order[args.size : 4 * args.size]
    encoders = train_encoders(scaled[trained_on], num_repeats=3, seed=0)
    encoded, shares = encode(encoders, scaled[others]), []
    with threadpool_limits(1):
        for deal in range(args.deals):
            rng = np.random.default_rng(deal)
            one, other, *_ = np.split(
                rng.permutation(len(others)), [args.size, 2 * args.size]
            )
            pairs = [(of_all[one], of_all[other]) for of_all in encoded]
            distances = [frechet_distance(*pair) for pair in pairs]
            shares.append(round(percentile(rng, pairs, distances), 4))
    found = {
        "data set": args.set,
        "deals": args.deals,
        "above .99": sum(share > 0.99 for share in shares),
        "below .01": sum(share < 0.01 for share in shares),
        "percentiles": sorted(shares),
    }
    print(found)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
