"""Values as frequent as in training, channel by channel: quantile mapping.

What diffusion makes is a little too wide in one channel and too narrow in another, and
a score that compares values sees it before anything else. So a generated value becomes
the training value that as large a share of the values lies below (Panofsky & Brier
1968; in climate science, bias correction). Where many training values are the same,
zeros say, as many generated ones are.
"""

import numpy as np
from jaxtyping import Float

from l2d_jax.data.normalizer import AnyArray, known_in_channels
from l2d_jax.types import Examples

Quantiles = Float[np.ndarray, "C Q"]  # in data units, rising; NaN: channels left alone

# Of the values below each: dense at both ends, where a tail is long, without the ends,
# which are chance. A step apart, p / (1 - p) differs by 5 %.
SHARES = 1.0 / (1.0 + np.exp(-np.linspace(-8.0, 8.0, 321)))


def quantiles(examples: Examples) -> Quantiles:
    """Of the values of each channel, inside the series; NaN where there are none."""
    rows = [of_values(values) for values in known_in_channels(examples)]
    return np.stack(rows).astype(np.float32)


def of_values(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " Q"]:
    """The quantiles of some values, NaN if there are none."""
    if not len(values):
        return np.full(len(SHARES), np.nan)
    return np.quantile(values.astype(np.float64), SHARES)


def one_for_each(*, generated: Quantiles, real: Quantiles) -> Quantiles:
    """The real ones; their mean where the generated ones are the same value.

    So that a value, the end of a range to which many are clipped, has one to become.
    """
    result, weights = real.astype(np.float64), np.gradient(SHARES)
    for c, row in enumerate(generated):
        _, group = np.unique(row, return_inverse=True)
        sums = np.bincount(group, weights * real[c])
        result[c] = (sums / np.bincount(group, weights))[group]
    return result.astype(np.float32)


def map_quantiles(
    series: Float[AnyArray, "*N L C"], *, generated: Quantiles, real: Quantiles
) -> Float[AnyArray, "*N L C"]:
    """Each value between two quantiles of generated ones comes to lie between the real.

    Linearly; a value beyond them is moved as the outermost is. NaN stays.

    >>> x = np.array([[[0.0], [0.5], [1.0], [3.0]]])  # a series of four steps
    >>> made, real = np.array([[0.0, 1.0]]), np.array([[10.0, 14.0]])
    >>> map_quantiles(x, generated=made, real=real).ravel().tolist()
    [10.0, 12.0, 14.0, 16.0]
    """
    if np.isnan(generated).all():
        return series
    xp, columns = series.__array_namespace__(), []  # numpy's or JAX's
    for c, (source, target) in enumerate(zip(generated, real, strict=True)):
        column = series[..., c]
        if not np.isnan(source).any():
            within = xp.clip(column, source[0], source[-1])
            inner = xp.interp(within, source, target)
            column = (inner + (column - within)).astype(series.dtype)
        columns.append(column)
    return xp.stack(columns, axis=-1)
