"""Every recorded number of the reference implementations, with ours beside it.

    python benchmarks/agreement.py --reference=FOLDER

The folder holds values computed with the public code of Diffusion-TS (TS2Vec,
Context-FID, cross-correlation) and ImagenTime (discriminative score): fid.npz,
ts2vec_*.npz, cfid_cases.*, discriminative_cases.json.
"""

import argparse
import json
import os
from pathlib import Path

import jax
import numpy as np

from l2d_jax.metrics.context_fid import (
    ENCODER,
    encode,
    hierarchical_contrastive_loss,
    params_from_torch,
    train_encoders,
)
from l2d_jax.metrics.discriminative import score
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.moments import correlational_score
from l2d_jax.models import TS2Vec

REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", default=os.environ.get("L2D_REFERENCE_DIR"))
    options = parser.parse_args()
    folder = Path(options.reference or "")
    if not (folder / "fid.npz").exists():
        parser.error("name the folder that holds fid.npz: --reference=FOLDER")
    line("", "reference", "ours", "")
    exact(folder)
    context_fid_cases(folder)
    discriminative_cases(folder)


def exact(folder: Path) -> None:
    """What has one right answer."""
    print("one right answer: the largest difference")
    with np.load(folder / "fid.npz") as file:
        a, b = file["a"], file["b"]
        (name,) = set(file.files) - {"a", "b"}
        compare("Frechet distance", float(file[name]), frechet_distance(a, b))
    with np.load(folder / "ts2vec_loss.npz") as file:
        z1, z2 = file["z1"], file["z2"]
        ours = float(jax.jit(hierarchical_contrastive_loss)(z1, z2, z1.shape[1]))
        compare("TS2Vec's loss", float(file["hierarchical_contrastive"]), ours)
    sizes = {"small": TS2Vec(features=16, width=8, depth=3), "default": ENCODER}
    for name, encoder in sizes.items():
        with np.load(folder / f"ts2vec_{name}.npz") as file:
            state = {
                key.removeprefix("param/"): file[key]
                for key in file
                if key.startswith("param/")
            }
            params = params_from_torch(state)
            ours = jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, file["x"])
            gap = float(np.abs(ours - file["y"]).max())
            size = float(np.abs(file["y"]).max())
        line(f"TS2Vec, {name}", f"up to {size:.3f}", "", f"differs by {gap:.1e}")
    cases, arrays = load_cases(folder)
    for name, case in cases.items():
        ours = correlational_score(arrays["real"], arrays[name])
        compare(f"cross-correlation, {name}", case["cross_correlation"], ours)


def context_fid_cases(folder: Path) -> None:
    """Means over encoders, each trained anew: both have the scatter of their seeds."""
    print(f"Context-FID: means of three runs of the reference, of {REPEATS} of ours")
    cases, arrays = load_cases(folder)
    encoders = train_encoders(arrays["real"], num_repeats=REPEATS, seed=0)
    of_real = encode(encoders, arrays["real"])
    for name, case in cases.items():
        pairs = zip(of_real, encode(encoders, arrays[name]), strict=True)
        compare(name, case["context_fid"], [frechet_distance(*pair) for pair in pairs])


def discriminative_cases(folder: Path) -> None:
    """Means over trainings and splits: 600 test series each time."""
    print(
        f"discriminative score: means of five runs of the reference, {REPEATS} of ours"
    )
    _, arrays = load_cases(folder)
    cases = json.loads((folder / "discriminative_cases.json").read_text())
    for name, case in cases.items():
        ours = score(
            arrays["real"],
            arrays[name],
            width=3,
            num_repeats=REPEATS,
            seed=0,
            batch_size=32,  # that of this reference; published are 128
        )
        compare(name, case, ours["values"])


def load_cases(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """What was recorded of the six sets, and the sets."""
    with np.load(folder / "cfid_cases.npz") as file:
        arrays = {name: file[name] for name in file}
    return json.loads((folder / "cfid_cases.json").read_text()), arrays


def compare(what: str, reference: float | list[float], ours: float | list[float]):
    """One line; of several runs the mean and the range."""
    gap = np.mean(ours) - np.mean(reference)
    line(what, shown(reference), shown(ours), f"differs by {gap:.1e}")


def shown(values: float | list[float]) -> str:
    """A number, or a mean and a range."""
    if isinstance(values, float):
        return f"{values:.6f}"
    return f"{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def line(*cells: str) -> None:
    """One row."""
    what, *others = cells
    print("  ".join([what.ljust(40), *(cell.ljust(28) for cell in others)]).rstrip())


if __name__ == "__main__":
    main()
