"""How far a trained model's generated latents lie from those of its training series.

    python benchmarks/latents.py --workdir=runs/energy --out=latents.json

Latents of overlapping windows lie along curves. Printed are quantiles of the distance
from a real latent to the nearest other one and from a generated to the nearest real
one, and the Frechet distance of generated latents from real ones beside that of two
random halves of the real ones. Latents are whitened, so all are in units of their
deviation.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from kept import one_line_errors
from ml_collections import ConfigDict

import l2d_jax
from l2d_jax import parallel
from l2d_jax.data import load_splits
from l2d_jax.files import write_text
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.variants import make_generator

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with one_line_errors():
        model = l2d_jax.load(options.workdir)
    data = load_splits(ConfigDict(model.config.data.to_dict()))
    real = model.encode(np.asarray(data.train.series))
    prior = make_generator(model.config, model.layout.shape).prior

    def one(params, index):
        return prior(params, jax.random.fold_in(jax.random.key(0), index))

    rows = np.arange(len(real), dtype=np.int32)
    generated = parallel.map_all(one, model.params, rows, batch_size=2048)
    order = np.random.default_rng(0).permutation(len(real))
    half = len(real) // 2
    halves = [real[order[:half]], real[order[half : 2 * half]]]
    found = {
        "latents": len(real),
        "quantiles": QUANTILES,
        "real to the nearest other": to_nearest(real, real, exclude_self=True),
        "generated to the nearest real": to_nearest(generated, real),
        "Frechet distance": {
            "two halves of real": frechet_distance(*halves),
            "half of generated, half of real": frechet_distance(
                generated[:half], halves[0]
            ),
        },
    }
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if options.out:
        write_text(options.out, text)


def to_nearest(a: np.ndarray, b: np.ndarray, **settings: bool) -> list[float]:
    """Quantiles of the distance from each row of a to the nearest of b."""
    distances = nearest(a, b, **settings).distances[:, 0]
    return [round(float(one), 4) for one in np.quantile(distances, QUANTILES)]


if __name__ == "__main__":
    main()
