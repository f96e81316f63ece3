"""Values that are held: steps at which a channel repeats the value before, exactly.

Meters that report a change, states that are on or off, gaps filled with the last value:
such channels stand still for steps on end. What is Gaussian never does, and a judge
sees it at once. So in model space such a channel has a companion, +1 at a step that
repeats the one before and -1 at any other: a bit, generated as a number (Chen et al.
2023, analog bits), that says where a generated series stands still.
"""

import numpy as np
from jaxtyping import Bool, Float

from l2d_jax.types import Examples, inside


def held_channels(examples: Examples, least: float) -> tuple[int, ...]:
    """Channels that repeat the value before at `least` of their steps, 0 to 1.

    Of the steps with a value that follow one with a value; 1 or more: none.
    """
    if least >= 1:
        return ()
    series = np.asarray(examples.series)
    known = ~np.isnan(series) & inside(examples.lengths, series.shape[1])[..., None]
    pairs = known[:, 1:] & known[:, :-1]
    same = pairs & (series[:, 1:] == series[:, :-1])
    share = same.sum(axis=(0, 1)) / np.maximum(pairs.sum(axis=(0, 1)), 1)
    return tuple(np.flatnonzero(share >= least).tolist())


def companions(series: Float[np.ndarray, "N L k"]) -> Float[np.ndarray, "N L k"]:
    """+1 where a value is that of the step before, -1 elsewhere; NaN: isn't known.

    The first step, with none before it, is -1.
    """
    before, now = series[:, :-1], series[:, 1:]
    bits = np.where(now == before, 1.0, -1.0)
    bits[np.isnan(before) | np.isnan(now)] = np.nan
    first = np.where(np.isnan(series[:, :1]), np.nan, -1.0)
    return np.concatenate([first, bits], axis=1)


def hold(
    series: Float[np.ndarray, "N L k"], held: Bool[np.ndarray, "N L k"]
) -> Float[np.ndarray, "N L k"]:
    """The series with one value from each step that isn't held to the next: the mean.

    Whether the first step is held doesn't matter.
    """
    num_series, length, width = series.shape
    rows = series.transpose(0, 2, 1).reshape(-1)
    starts = ~held.transpose(0, 2, 1).reshape(-1, length)
    starts[:, 0] = True
    first = np.flatnonzero(starts)
    counts = np.diff(np.append(first, len(rows)))
    means = np.add.reduceat(rows, first, dtype=np.float64) / counts
    # A run of one is left as it is: nothing is rounded.
    found = np.where(counts == 1, rows[first], means.astype(rows.dtype))
    whole = np.repeat(found, counts).reshape(num_series, width, length)
    return np.ascontiguousarray(whole.transpose(0, 2, 1))
