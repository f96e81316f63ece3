"""Values that are held: steps at which a channel repeats the value before, exactly.

Meters that report a change, states that are on or off, gaps filled with the last value:
such channels stand still for steps on end. What diffusion makes never does, and a judge
sees it at once. So where the training series stand still, the smallest differences of
generated ones are taken to be none: as many of them as there are repeats.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from l2d_jax.types import Examples, SeriesBatch, inside

Share = Float[np.ndarray, " C"]
BISECTIONS = 16  # to 1 / 65,536 of the largest limit


def repeat_shares(examples: Examples) -> Share:
    """The share of steps that repeat the value before, 0 to 1, of each channel.

    Of the steps with a value that follow one with a value.
    """
    series = np.asarray(examples.series)
    known = ~np.isnan(series) & inside(examples.lengths, series.shape[1])[..., None]
    pairs = known[:, 1:] & known[:, :-1]
    same = pairs & (series[:, 1:] == series[:, :-1])
    return same.sum(axis=(0, 1)) / np.maximum(pairs.sum(axis=(0, 1)), 1)


def held_below(
    series: Float[np.ndarray, "N L C"],
    shares: Share,
    *,
    after: Callable[[SeriesBatch], SeriesBatch] = lambda series: series,
) -> Float[np.ndarray, " C"]:
    """Up to which difference steps of these series stand still, to reach the shares.

    0 where a channel's share is 0, or where `after` reaches it alone. What comes after
    a series' end is NaN.

    Args:
      after: what is done to series once they are held, such as rounding.
    """
    differences = np.abs(np.diff(series.astype(np.float64), axis=1))
    limits = [
        np.nanquantile(differences[:, :, c], share) if share else 0.0
        for c, share in enumerate(shares)
    ]
    low, high = np.zeros(len(shares), np.float32), np.array(limits, np.float32)
    if not shares.any() or np.array_equal(after(series), series, equal_nan=True):
        return high
    lengths = np.full(len(series), series.shape[1])

    def reached(tried: Float[np.ndarray, " C"]) -> Bool[np.ndarray, " C"]:
        held = after(hold(series, tried))
        return repeat_shares(Examples(held, lengths)) >= shares

    high = np.where(reached(low), low, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = reached(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def hold(
    series: Float[np.ndarray, "N L C"], limits: Float[np.ndarray, " C"]
) -> Float[np.ndarray, "N L C"]:
    """Steps that differ by `limits` at most from the one before take its value.

    A run of them has one value, its mean. Channels whose limit is 0 are as they were.
    """
    held = np.flatnonzero(limits)
    if not len(held):
        return series
    runs = np.moveaxis(series[:, :, held], 2, 1)  # [N, k, L]: a run lies in one row
    starts = np.ones(runs.shape, bool)
    starts[:, :, 1:] = ~(np.abs(np.diff(runs, axis=2)) <= limits[None, held, None])
    first = np.flatnonzero(starts)
    counts = np.diff(np.append(first, runs.size))
    flat = runs.reshape(-1)
    means = np.add.reduceat(flat, first, dtype=np.float64) / counts
    values = means.astype(series.dtype)  # a run of one is left as it is
    result = series.copy()
    result[:, :, held] = np.moveaxis(
        np.repeat(values, counts).reshape(runs.shape), 1, 2
    )
    return result
