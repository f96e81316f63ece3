"""Channels of few values: states that are on or off, meters of coarse steps.

What diffusion makes lies beside them, a switch at .97 for one; samples of such channels
take the nearest value that occurs in training.
"""

import numpy as np
from jaxtyping import Float

from l2d_jax.data.normalizer import AnyArray, known_values
from l2d_jax.types import Examples

Levels = Float[np.ndarray, "C V"]

MIN_STEPS = 20  # steps for each value, or there are too few to say that it is one


def few_values(examples: Examples, most: int) -> Levels:
    """The values of each channel that has at most so many, in order; NaN behind them.

    Channels that have more, or hardly a value twice, are NaN alone. V is at least 1.
    """
    channels = examples.series.shape[2]
    found = {c: np.array([], np.float32) for c in range(channels)} if most else {}
    counts = np.zeros(channels, int)
    for series, known in known_values(examples, np.float32):
        counts += known.sum(axis=(0, 1))
        for c in list(found):
            found[c] = np.union1d(found[c], series[..., c][known[..., c]])
            if len(found[c]) > most:
                del found[c]
        if not found:
            break
    levels = {c: v for c, v in found.items() if counts[c] >= MIN_STEPS * len(v)}
    result = np.full((channels, max(map(len, levels.values()), default=1)), np.nan)
    for c, values in levels.items():
        result[c, : len(values)] = values
    return result.astype(np.float32)


def snap(
    series: Float[AnyArray, "*N L C"], levels: Levels
) -> Float[AnyArray, "*N L C"]:
    """Each value of a channel of few is the nearest of them; NaN stays."""
    xp, columns = series.__array_namespace__(), []  # numpy's or JAX's
    for c, row in enumerate(levels):
        values, column = row[~np.isnan(row)], series[..., c]
        if len(values):
            between = (values[1:] + values[:-1]) / 2
            nearest = xp.asarray(values)[xp.searchsorted(between, column)]
            column = xp.where(xp.isnan(column), xp.nan, nearest)
        columns.append(column)
    return xp.stack(columns, axis=-1)
