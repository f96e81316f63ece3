"""Missing values, NaN: what networks see in their place, and what losses leave out."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from l2d_jax import parallel
from l2d_jax.types import Examples, Rows, Series, inside


def fill_missing(x: Series) -> tuple[Series, Bool[Array, "L C"]]:
    """x with NaN filled in, and where x was known, which is where a loss may look.

    Filled by linear interpolation along time, at the ends by the nearest known value,
    in a channel without any by 0. What is known stays as it is, bit by bit.
    """
    steps, length = jnp.arange(x.shape[0])[:, None], x.shape[0]
    observed = ~jnp.isnan(x)
    known = jnp.where(observed, x, 0.0)
    before = jax.lax.cummax(jnp.where(observed, steps, -1), axis=0)
    after = jax.lax.cummin(jnp.where(observed, steps, length), axis=0, reverse=True)
    left = jnp.clip(jnp.where(before < 0, after, before), 0, length - 1)
    right = jnp.clip(jnp.where(after == length, before, after), 0, length - 1)
    x_left = jnp.take_along_axis(known, left, axis=0)
    x_right = jnp.take_along_axis(known, right, axis=0)
    share = (steps - left) / jnp.maximum(right - left, 1)
    between = x_left + jnp.clip(share, 0.0, 1.0) * (x_right - x_left)
    return jnp.where(observed, x, between), observed


def without_hidden(
    x: Series, hidden: Bool[Array, " L"]
) -> tuple[Series, Bool[Array, " L"]]:
    """What the encoder may see: x, and the steps with a value that aren't hidden.

    Where a channel of a step is missing it is interpolated between values that are
    seen, so that none comes from a hidden step.
    """
    seen, observed = fill_missing(jnp.where(hidden[:, None], jnp.nan, x))
    return seen, observed.any(axis=-1)


def interpolated(series: Rows) -> Float[np.ndarray, "N L C"]:
    """All series [N, L, C] without missing values."""
    return parallel.map_all(_interpolated, (), series)


def _interpolated(_: tuple[()], x: Series) -> Series:
    return fill_missing(x)[0]


def filled(examples: Examples, train: Examples) -> Examples:
    """The same without missing values, or itself where none is missing.

    A channel without any value in a series has there its mean in the training series.
    """
    within = inside(examples.lengths, examples.series.shape[1])
    if not np.isnan(examples.series[within]).any():
        return examples
    empty = np.isnan(examples.series).all(axis=1, keepdims=True)
    count = (~np.isnan(train.series)).sum(axis=(0, 1))
    mean = np.nansum(train.series, axis=(0, 1), dtype=np.float64) / np.maximum(count, 1)
    series = interpolated(examples.series)
    series = np.where(empty, mean.astype(np.float32), series)
    series[~within] = np.nan
    return examples._replace(series=series)
