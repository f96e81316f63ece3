"""What each lever does to the latent stage, judged on the latents themselves.

    python benchmarks/latent_stage.py --sets=stock,etth --out=runs/latent_stage

The encoder of configs/NAME.py is trained once a set, then for each row the latent stage
on its representations r of the training series. As many are sampled, and a classifier
(boosted trees, cross-validated in four parts, up to 4,000 of each) tells them from the
real ones: the area under its ROC curve is .5 where it can't. Beside it the median
distance from a generated latent to the nearest real one, as a multiple of that among
real ones: far below 1, the chain repeats what it was trained on. Neither is a reported
score. All in whitened units, one training a row (seed 0).
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ablations import Fields, with_fields
from kept import count, made_here, one_line_errors, read_sets, resumed, with_also
from ml_collections import FrozenConfigDict
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from l2d_jax import configs, latents, parallel, stages
from l2d_jax.configs import resolve
from l2d_jax.data import load_splits
from l2d_jax.errors import check_choice
from l2d_jax.files import write_text
from l2d_jax.lock import locked
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.task import prepare
from l2d_jax.train import fit_briefly
from l2d_jax.variants import diffusion_prior
from l2d_jax.workdir import make_workdir

PAPER: Fields = {
    "encoder.whiten": False,
    "latent_stage.prediction": "x_0",
    "latent_stage.noise_scale": 1.0,
    "latent_stage.num_octaves": 0,
}
V = {"latent_stage.prediction": "v"}
WHITE = V | {"encoder.whiten": True}
ROWS: dict[str, Fields] = {
    "x_0": PAPER,
    "v": PAPER | V,
    "v, whitened": PAPER | WHITE,
    "v, whitened, noise x .5": PAPER | WHITE | {"latent_stage.noise_scale": 0.5},
    "v, whitened, noise x .25": PAPER | WHITE | {"latent_stage.noise_scale": 0.25},
    "v, whitened, noise x .5, 4 octaves": PAPER
    | WHITE
    | {"latent_stage.noise_scale": 0.5, "latent_stage.num_octaves": 4},
}
MAX_CLASSIFIED = 4_000


def representations(config: Any) -> np.ndarray:
    """r [N, d] of the training series, by an encoder that is trained here."""
    task = prepare(config, load_splits(config.data))
    series = np.asarray(task.series[:], np.float32)
    stage = stages.STAGES["encoder"](task.config, series.shape[1:])
    params = fit_briefly(stage, series, task.config.encoder, seed=config.seed)
    return latents.encode_all(task.config, params["encoder"], series)


def generated(config: Any, r: np.ndarray) -> np.ndarray:
    """As many r as there are, of a latent stage trained on them."""
    latent = latents.latent_moments(r, whiten=config.encoder.whiten)
    z = latents.standardise(latent, r).astype(np.float32)
    stage = stages.STAGES["latent"](config, (1, 1))
    params = fit_briefly(stage, z, config.latent_stage, seed=config.seed)
    prior = diffusion_prior(FrozenConfigDict(config))

    def one(inputs, index):
        key = jax.random.fold_in(jax.random.key(config.seed), index)
        return latents.raw_latents(inputs["latent"], prior(inputs, key))

    rows = np.arange(len(r), dtype=np.int32)
    inputs = {"latent": latent, "latent_denoiser": params}
    return parallel.map_all(one, inputs, rows, batch_size=2048)


def told_apart(real: np.ndarray, other: np.ndarray) -> float:
    """Area under the ROC curve of a classifier that learns to tell the two sets."""
    order = np.random.default_rng(0).permutation(len(real))[:MAX_CLASSIFIED]
    x = np.concatenate([real[order], other[order]])
    label = np.repeat([0, 1], len(order))
    trees = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    scores = cross_val_predict(trees, x, label, cv=4, method="predict_proba")[:, 1]
    return float(roc_auc_score(label, scores))


def median_distance(a: np.ndarray, b: np.ndarray, **settings: bool) -> float:
    """From a row of a to the nearest of b."""
    return float(np.median(nearest(a, b, **settings).distances[:, 0]))


def measure(config: Any, r: np.ndarray) -> dict[str, float]:
    """Scores of one row."""
    start = time.perf_counter()
    white = latents.latent_moments(r, whiten=True)
    real, other = (
        latents.standardise(white, one).astype(np.float32)
        for one in (r, generated(config, r))
    )
    among = median_distance(real, real, exclude_self=True)
    return {
        "told apart (AUC)": told_apart(real, other),
        "distance ratio": median_distance(other, real) / among,
        "seconds": time.perf_counter() - start,
    }


def markdown(sets: dict[str, Any]) -> str:
    """A row a lever, a column a set."""
    lines = [
        "| latent stage | " + " | ".join(sets) + " |",
        "|---" * (len(sets) + 1) + "|",
    ]
    for name in ROWS:
        cells = [found["rows"].get(name) for found in sets.values()]
        shown = [
            f"{c['told apart (AUC)']:.3f} ({c['distance ratio']:.2f})" if c else ""
            for c in cells
        ]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def add_rows(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """All results, with the rows that were not there yet, saved one by one."""
    settings = {"latent steps": args.latent_steps}
    results = resumed(path, {"sets": {}}, settings)
    rows = args.rows.split(";") if args.rows else [*ROWS]
    for row in rows:
        check_choice(row, ROWS, "--rows")
    made = made_here()
    for name in read_sets(args.sets):
        there = results["sets"].get(name, {"rows": {}})["rows"]
        if not {*rows} - {*there}:
            continue
        config = configs.load(name).get_config()
        config.latent_stage.num_steps = args.latent_steps
        config = resolve(config)
        r = representations(config)
        correlation = np.linalg.eigvalsh(np.corrcoef(r, rowvar=False))
        found = results["sets"].setdefault(name, {"rows": {}})
        found |= {"series": len(r), "eigenvalues of correlation": correlation.tolist()}
        for row in rows:
            if row in found["rows"]:
                continue
            found["rows"][row] = measure(with_fields(config, ROWS[row]), r)
            print(name, row, found["rows"][row], flush=True)
            results |= with_also(results, made)
            write_text(path, json.dumps(results, indent=1) + "\n")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="stock,etth")
    parser.add_argument("--rows", help="by ';', default: all")
    parser.add_argument("--out", type=Path, default=Path("runs/latent_stage"))
    parser.add_argument("--latent_steps", type=count, default=4_000)
    args = parser.parse_args(argv)
    path = args.out / "latent_stage.json"
    with one_line_errors(), locked(make_workdir(args.out)):
        results = add_rows(args, path)
    print(markdown(results["sets"]))


if __name__ == "__main__":
    main()
