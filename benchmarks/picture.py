"""The picture of the README, from a finished workdir of Japanese Vowels.

    python benchmarks/picture.py --workdir=runs/japanese_vowels --out=docs/cascade.png

Left: ten real and ten generated series of one channel. Right: t-SNE of all series,
marked by speaker; a generated series has the mark of its nearest real one.
"""

import argparse
from pathlib import Path

import numpy as np
from kept import one_line_errors
from matplotlib.figure import Figure

from l2d_jax.data import load_splits
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.plots import drawing, numbers
from l2d_jax.samples import read_npz
from l2d_jax.workdir import load

CHANNEL, SHOWN = 1, 10


def draw(real, generated, labels) -> Figure:
    """Four panels in a row."""
    figure = Figure(figsize=(9, 2.5), layout="constrained", dpi=180)
    axes = figure.subplots(1, 4)
    sides = (("real", real, drawing.REAL), ("generated", generated, drawing.GENERATED))
    limits = np.nanmin(real[:, :, CHANNEL]), np.nanmax(real[:, :, CHANNEL])
    for ax, (name, series, color) in zip(axes, sides, strict=False):
        for i in numbers.pick(len(series), SHOWN, seed=1):
            ax.plot(series[i, :, CHANNEL], color=color, lw=1, alpha=0.8)
        ax.set(title=f"{name} series", xlim=(0, real.shape[1] - 1), ylim=limits)
        ax.set_xlabel("time step")
    axes[0].set_ylabel(f"channel {CHANNEL + 1}")
    points = numbers.features(real, generated)
    where = numbers.tsne(*points, start=numbers.pca(*points), seed=0)
    near = labels[nearest(points[1], points[0]).indices[:, 0]]
    maps = (("real", where.real, labels), ("generated", where.generated, near))
    for ax, (name, place, classes) in zip(axes[2:], maps, strict=True):
        for index in np.unique(classes):
            color, marker = drawing.class_style(int(index))
            rows = place[classes == index]
            ax.scatter(*rows.T, s=5, color=color, marker=marker, lw=0)
        ax.set(title=f"{name}, t-SNE", xticks=[], yticks=[])
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with one_line_errors():
        train = load_splits(load(args.workdir).config.data).train
        generated = read_npz(args.workdir / "samples.npz")[0].series
    draw(train.series, generated, train.labels).savefig(args.out)


if __name__ == "__main__":
    main()
