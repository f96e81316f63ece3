"""The numbers behind the pictures.

Series are in data units, NaN after the end of a shorter one.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from l2d_jax.types import inside

BINS = 60  # of a density


class Map2D(NamedTuple):
    """Where a projection puts real and generated series, in arbitrary units."""

    real: Float[np.ndarray, "N 2"]
    generated: Float[np.ndarray, "n 2"]
    axes: tuple[str, str]


class Band(NamedTuple):
    """A curve of every series: the mean, and what 80 % of them lie between."""

    mean: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def lengths(series: Float[np.ndarray, "n L C"]) -> Int[np.ndarray, " n"]:
    """Steps up to the last one that isn't NaN, 0..L."""
    seen = ~np.isnan(series).all(axis=2)
    last = seen.shape[1] - np.argmax(np.flip(seen, axis=1), axis=1)
    return np.where(np.any(seen, axis=1), last, 0)


def whole(series: Float[np.ndarray, "n L C"]) -> Bool[np.ndarray, " n"]:
    """True for series that have values, all of them finite up to their end."""
    end = lengths(series)
    within = inside(end, series.shape[1])
    return (np.isfinite(series).all(axis=2) | ~within).all(axis=1) & (end > 0)


def pick(count: int, most: int, *, seed: int) -> Int[np.ndarray, " picked"]:
    """At most `most` of the indices 0..count-1, drawn without replacement, sorted."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.permutation(count)[:most])


def features(
    real: Float[np.ndarray, "N L C"], generated: Float[np.ndarray, "n L C"]
) -> tuple[Float[np.ndarray, "N F"], Float[np.ndarray, "n F"]]:
    """One row per series: F = L * C, and one more where any series is shorter than L.

    Channels are scaled so that real values fill [0, 1]; padding repeats the last value;
    the extra feature is length / L. What lies 9 real ranges outside is cut off there.
    """
    low, high = np.nanmin(real, axis=(0, 1)), np.nanmax(real, axis=(0, 1))
    low, high = low.astype(np.float64), high.astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    ragged = any((lengths(x) < x.shape[1]).any() for x in (real, generated))

    def rows(series):
        end = lengths(series)
        last = np.minimum(np.arange(series.shape[1]), end[:, None] - 1)
        filled = np.take_along_axis(series, last[:, :, None], axis=1)
        scaled = np.clip((filled.astype(np.float64) - low) / span, -9.0, 10.0)
        flat = scaled.reshape(len(series), -1)
        share = end[:, None] / series.shape[1]
        return np.hstack([flat, share]) if ragged else flat

    return rows(real), rows(generated)


def pca(real: Float[np.ndarray, "N F"], generated: Float[np.ndarray, "n F"]) -> Map2D:
    """Projection on the two directions in which the real series vary most."""
    centre = real.mean(axis=0)
    _, sizes, directions = np.linalg.svd(real - centre, full_matrices=False)
    sizes, directions = np.append(sizes, [0.0, 0.0]), directions[:2].T
    directions = np.pad(directions, ((0, 0), (0, 2 - directions.shape[1])))
    total = (sizes**2).sum()
    first, second = 100 * sizes[:2] ** 2 / total if total > 0 else (0.0, 0.0)
    axes = (
        f"first direction ({first:.0f} % of real variance)",
        f"second ({second:.0f} %)",
    )
    return Map2D((real - centre) @ directions, (generated - centre) @ directions, axes)


def tsne(
    real: Float[np.ndarray, "N F"],
    generated: Float[np.ndarray, "n F"],
    *,
    start: Map2D,
    seed: int,
) -> Map2D:
    """t-SNE of the union, begun from `start` so that its layout is reproducible."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    points = np.concatenate([real, generated]).astype(np.float32)
    layout = np.concatenate([start.real, start.generated])
    layout = layout / max(layout[:, 0].std(), 1e-9)
    layout = layout + 0.01 * np.random.default_rng(seed).normal(size=layout.shape)
    method = TSNE(
        perplexity=max(1.0, min(30.0, (len(points) - 1) / 3)),
        init=(1e-4 * layout).astype(np.float32),
        max_iter=500,
        random_state=seed,
    )
    with threadpool_limits(1):  # two wait for each other on cores that are busy
        placed = method.fit_transform(points).astype(np.float64)
    return Map2D(placed[: len(real)], placed[len(real) :], ("", ""))


def shared_edges(
    real: Float[np.ndarray, " N"], generated: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " edges"]:
    """Bin edges over both, at most one real range beyond what is real on either side.

    Without the bound, one stray generated value would squeeze all others into one bin.
    """
    reach = max(real.max() - real.min(), 0.0) or np.inf
    low = max(min(real.min(), generated.min()), real.min() - reach)
    high = min(max(real.max(), generated.max()), real.max() + reach)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = max(0.5, 1e-3 * abs(low))
        low, high = low - margin, high + margin
    return np.linspace(low, high, BINS + 1)


def length_edges(most: int) -> Float[np.ndarray, " edges"]:
    """Bin edges of lengths 1 to `most`: as many lengths in each, but for the first."""
    wide = math.ceil(most / BINS)
    return np.arange(most, -wide, -wide)[::-1] + 0.5


def density(
    values: Num[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, " bins"]:
    """Histogram of area 1; what lies beyond the edges counts in the outermost bins."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / (counts.sum() * np.diff(edges))


def autocorrelation(
    series: Float[np.ndarray, "n L"], *, num_lags: int
) -> Float[np.ndarray, "n lags"]:
    """Of every series alone: sum_t y[t] y[t + k] / sum_t y[t]^2, y = x - mean(x).

    NaN where it isn't defined: lags from the length of the series on, constant series.
    """
    known = ~np.isnan(series)
    steps = known.sum(axis=1, keepdims=True)
    x = np.where(known, series, 0.0).astype(np.float64)
    y = np.where(known, x - x.sum(axis=1, keepdims=True) / np.maximum(steps, 1), 0.0)
    peak = np.abs(y).max(axis=1, keepdims=True)
    level = np.abs(x).max(axis=1, keepdims=True)
    varies = peak > 1e-12 * level  # below it, differences are rounding
    y = y / np.where(varies, peak, 1.0)
    power = np.abs(np.fft.rfft(y, n=2 * y.shape[1], axis=1)) ** 2
    products = np.fft.irfft(power, n=2 * y.shape[1], axis=1)[:, :num_lags]
    defined = varies & (np.arange(products.shape[1]) < steps)
    return np.where(defined, products / np.where(varies, products[:, :1], 1.0), np.nan)


def band(curves: Float[np.ndarray, "n points"]) -> Band:
    """Over the series that are defined at each point; NaN where none is."""
    lines = np.full((3, curves.shape[1]), np.nan)
    some = np.isfinite(curves).any(axis=0)
    if some.any():
        known = curves[:, some]
        lines[0, some] = np.nanmean(known, axis=0)
        lines[1:, some] = np.nanquantile(known, [0.1, 0.9], axis=0)
    return Band(*lines)


def rarest(shares: Num[np.ndarray, " classes"], most: int) -> Int[np.ndarray, " shown"]:
    """Indices, sorted, of at most `most` classes: those with the smallest shares."""
    return np.sort(np.argsort(shares, kind="stable")[:most])


def loss_blocks(
    steps: Num[np.ndarray, " n"], losses: Num[np.ndarray, " n"], *, most: int = 300
) -> Float[np.ndarray, "4 blocks"]:
    """Rows: last step, mean, smallest and largest loss of at most `most` equal runs.

    By step, whatever the order they come in; losses that aren't finite are left out.
    """
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(losses[order])]
    steps, losses = steps[order], losses[order]
    runs = np.array_split(np.arange(len(steps)), max(1, min(most, len(steps))))
    rows = [
        (steps[i[-1]], losses[i].mean(), losses[i].min(), losses[i].max())
        for i in runs
        if len(i)
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4).T
