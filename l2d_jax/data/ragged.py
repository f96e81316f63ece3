"""Series of different lengths, for networks that work on arrays of one shape.

In data units NaN marks what lies after a series' end. In model space a ragged set has
one channel more, the validity: +1 inside the series and -1 after its end, where the
other channels repeat the last value. A generated series ends at the likeliest step
down of its validity.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from l2d_jax.chunks import crc32, slices
from l2d_jax.data.channel_order import enforce_order
from l2d_jax.data.discrete_values import snap
from l2d_jax.data.held_values import hold
from l2d_jax.data.normalizer import AnyArray, Normalizer
from l2d_jax.data.quantiles import map_quantiles
from l2d_jax.types import (
    Examples,
    InputError,
    Lengths,
    SeriesBatch,
    inside,
    is_ragged,
)

MAX_PADDED = 2**30  # values of a padded set, if they are
MAX_PADDING = 20  # times as many as the series have


def from_list(
    series: Sequence[Float[np.ndarray, "_ C"]],
    *,
    labels: Int[np.ndarray, " N"] | None = None,
    length: int = 0,
) -> Examples:
    """Examples of one shape: series cut at `length` (0: the longest), padded with NaN.

    Raises:
      InputError: a length of 1 or below 0; series of one step; one that is so much
        longer than the others that padding them all takes too much memory.
    """
    if length == 1 or length < 0:
        raise InputError(
            f"a length of {length} is too short: set --config.data.length to 2 or "
            "more, or to 0 for the longest series"
        )
    sizes = np.array([len(one) for one in series])
    length = length or int(sizes.max())
    if length == 1:
        raise InputError("the series have one step each: give 2 or more")
    lengths = np.minimum(sizes, length)
    shape = (len(series), length, series[0].shape[1])
    if math.prod(shape) > max(MAX_PADDED, MAX_PADDING * lengths.sum() * shape[2]):
        raise InputError(
            f"series {lengths.argmax()} (the first is 0) has {length:,} steps, half of "
            f"all {int(np.median(lengths)):,} or fewer, and padded to the longest they "
            f"take {4 * math.prod(shape) / 2**30:.1f} GiB: cut them, by "
            "--config.data.length or --config.data.window"
        )
    padded = np.full(shape, np.nan, dtype=np.float32)
    for row, one in zip(padded, series, strict=True):
        row[: len(one)] = one[:length]
    return Examples(padded, lengths, labels)


def to_list(series: SeriesBatch, lengths: Lengths) -> list[Float[np.ndarray, "_ C"]]:
    """The series without what lies after their ends: N arrays [l_n, C]."""
    return [one[:length] for one, length in zip(series, lengths.tolist(), strict=True)]


def comparable(examples: Examples) -> SeriesBatch | list[Float[np.ndarray, "_ C"]]:
    """As `evaluate` takes them: an array, or a list where lengths differ."""
    if is_ragged(examples):
        return to_list(examples.series, examples.lengths)
    return examples.series


def to_model_space(
    examples: Examples, normalizer: Normalizer, ragged: bool
) -> Float[np.ndarray, "N L D"]:
    """Normalised float32 series; D = C, or C + 1 with the validity where ragged.

    Missing values stay NaN. Where a series has no value at a step, neither has the
    validity.

    Raises:
      InputError: series of different lengths, and not ragged.
    """
    series, lengths = examples.series, examples.lengths
    normalizer = on_host(normalizer)
    if not ragged:
        if is_ragged(examples):
            raise InputError(
                f"series of {lengths.min()} to {lengths.max()} steps given to a model "
                f"of fixed length {series.shape[1]}: bring them to one length"
            )
        return np.asarray(normalizer.normalize(series), np.float32)
    steps = np.arange(series.shape[1])
    source = np.minimum(steps[None, :], lengths[:, None] - 1)
    held = np.take_along_axis(series, source[:, :, None], axis=1)
    z = normalizer.normalize(held)
    validity = np.where(inside(lengths, len(steps)), 1.0, -1.0)
    unknown = inside(lengths, len(steps)) & np.isnan(held).all(axis=2)
    validity[unknown] = np.nan
    return np.concatenate([z, validity[:, :, None]], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class ModelSpace:
    """All series in model space, [N, L, D], each made when it is taken.

    So that windows of a recording, of which each step is in many, need no memory of
    their own, and a recording on disk is read where it is needed.
    """

    examples: Examples
    normalizer: Normalizer
    ragged: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, L, D)."""
        count, length, channels = self.examples.series.shape
        return count, length, channels + self.ragged

    def __getitem__(
        self, index: slice | Int[np.ndarray, "*shape"]
    ) -> Float[np.ndarray, "*shape L D"]:
        """The rows of a slice, or of an array of indices of any shape."""
        if isinstance(index, slice):
            index = np.arange(self.shape[0])[index]
        series, lengths, _ = self.examples
        flat = index.reshape(-1)
        rows = Examples(series[flat], lengths[flat])
        z = to_model_space(rows, self.normalizer, self.ragged)
        return z.reshape(*index.shape, *z.shape[1:])

    def digest(self) -> int:
        """A checksum of all of them, made some at a time."""
        return crc32(self[rows].tobytes() for rows in slices(self.shape))


def from_model_space(
    z: Float[Array | np.ndarray, "N L D"],
    normalizer: Normalizer,
    ragged: bool,
    min_length: int = 1,
    *,
    clip: bool = False,
) -> tuple[SeriesBatch, Lengths]:
    """Series [N, L, C] in data units, NaN after the end, and their lengths.

    Where the normaliser says so, values are as frequent as in training (`quantiles`)
    and channels stand still (`held_below`), take few values only (`levels`), or are in
    order (`ordered`).

    Args:
      z: D = C, or C + 1 with the validity where ragged.
      min_length: no series is taken to be shorter, 1..L.
      clip: to the range of the training values, which rounding can leave.
    """
    z = np.asarray(z, dtype=np.float32)
    num_series, length, _ = z.shape
    values = z[:, :, :-1] if ragged else z
    host = on_host(normalizer)
    series = np.asarray(host.denormalize(values))
    lengths = np.full(num_series, length)
    if ragged:
        lengths = likeliest_lengths(z[:, :, -1], min_length=min_length)
        series[~inside(lengths, length)] = np.nan
    return np.asarray(apply_constraints(series, host, clip=clip, hold=hold)), lengths


def apply_constraints(
    series: Float[AnyArray, "*N L C"],
    normalizer: Normalizer,
    *,
    clip: bool,
    hold: Callable[..., AnyArray],
) -> Float[AnyArray, "*N L C"]:
    """What holds in the training data, as the normaliser knows it, made to hold.

    Args:
      series: in data units; NaN stays.
      normalizer: on the host.
      clip: to the range of the training values, which rounding can leave.
      hold: `held_values.hold`, or the same for arrays of JAX.
    """
    series = match_values(series, normalizer, clip=clip)
    series = hold(series, normalizer.channel_limits)
    series = snap(series, normalizer.channel_levels, normalizer.channel_cuts)
    return enforce_order(series, normalizer.ordered_pairs)


def match_values(
    series: Float[AnyArray, "*N L C"], normalizer: Normalizer, *, clip: bool
) -> Float[AnyArray, "*N L C"]:
    """The first of these: values as frequent as in training, and in their range."""
    made, real = normalizer.channel_quantiles
    series = map_quantiles(series, generated=made, real=real)
    if not clip:
        return series
    ends = (
        end.reshape((1,) * (series.ndim - 1) + end.shape)
        for end in (normalizer.low, normalizer.high)
    )
    return series.clip(*ends)


def likeliest_lengths(
    validity: Float[np.ndarray, "N L"], *, min_length: int
) -> Lengths:
    """argmax_l sum_{t<l} v_t - sum_{t>=l} v_t, l = min_length..L; ties: the shortest.

    The maximum-likelihood step from +1 to -1 under Gaussian noise.
    """
    # The two sums add up to a constant, so that the first one decides.
    first_sums = np.cumsum(validity, axis=1, dtype=np.float64)
    return min_length + np.argmax(first_sums[:, min_length - 1 :], axis=1)


def on_host(normalizer: Normalizer) -> Normalizer:
    """The same with numpy arrays, so that nothing here runs on a device."""
    return jax.tree.map(np.asarray, normalizer)
