"""From data units to the scale that the networks see, and back, channel by channel."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from l2d_jax.chunks import slices
from l2d_jax.errors import check_choice
from l2d_jax.types import Examples, InputError, inside

AnyArray: TypeAlias = Array | np.ndarray
PerChannel: TypeAlias = Float[np.ndarray, " C"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Normalizer:
    """z = (x - shift) / scale: a pytree of float32 arrays [C], in data units.

    The fields aren't checked at run time: tree maps put other leaves in their place.
    """

    shift: Any
    scale: Any
    low: Any  # of the training values
    high: Any
    # Differences from step to step of generated series that are none; of all channels,
    # or [C].
    held_below: Any = 0.0
    # All that generated series may take, NaN: any; of all channels, or [C, V].
    levels: Any = np.nan
    # Between those, of what is generated: up to which it is the lower one; NaN: half.
    cuts: Any = np.nan
    # Of the values of generated series, and what those become, NaN: any as they are; of
    # all channels, or [C, Q].
    generated_quantiles: Any = np.nan
    quantiles: Any = np.nan
    # Pairs of channels of generated series, the first never above the second, [P, 2];
    # 0: none.
    ordered: Any = 0

    @classmethod
    def fit(
        cls,
        examples: Examples,
        kind: str = "equal_range",
        channels: Sequence[str] = (),
    ) -> "Normalizer":
        """Fits each channel on every step inside the series: give training rows only.

        Args:
          examples: N series; NaN, missing or after a series' end, is ignored.
          kind: "equal_range" gives each channel mean 0 and all the same range, that
            makes the variance of all channels together 1; "standard" gives each
            variance 1; "min_max" maps [min, max] to [-1, 1].
          channels: names for the errors, C of them; without, channels are numbered.

        Raises:
          InputError: unknown kind; a channel that is constant, infinite or all NaN.

        >>> x = np.array([[[0.0, 5.0], [10.0, 7.0]]])  # one series, two channels
        >>> normalizer = Normalizer.fit(Examples(x, np.array([2])), "min_max")
        >>> normalizer.normalize(x).tolist()
        [[[-1.0, -1.0], [1.0, 1.0]]]
        """
        check_choice(kind, SCALERS, "--config.data.scaler")
        values = moments(examples)
        check_channels(values, channels)
        shift, scale = SCALERS[kind](values)
        fields = (shift, scale, values.low, values.high)
        return cls(*(field.astype(np.float32) for field in fields))

    def normalize(self, x: Float[AnyArray, "*N C"]) -> Float[AnyArray, "*N C"]:
        """(x - shift) / scale over the last axis; numpy stays numpy if all are."""
        shift, scale = self.aligned(x.ndim)
        return (x - shift) / scale

    def denormalize(self, z: Float[AnyArray, "*N C"]) -> Float[AnyArray, "*N C"]:
        """z * scale + shift over the last axis: the inverse of `normalize`."""
        shift, scale = self.aligned(z.ndim)
        return z * scale + shift

    @property
    def channel_limits(self) -> Float[np.ndarray, " C"]:
        """`held_below` of each channel."""
        return np.broadcast_to(self.held_below, self.shift.shape)

    @property
    def channel_levels(self) -> Float[np.ndarray, "C V"]:
        """`levels` of each channel."""
        levels = np.atleast_2d(self.levels)
        return np.broadcast_to(levels, (*self.shift.shape, levels.shape[1]))

    @property
    def channel_cuts(self) -> Float[np.ndarray, "C V"]:
        """`cuts` of each channel."""
        return np.broadcast_to(self.cuts, self.channel_levels.shape)

    @property
    def channel_quantiles(self) -> tuple[Float[np.ndarray, "C Q"], ...]:
        """`generated_quantiles` and `quantiles` of each channel."""
        both = np.atleast_2d(self.generated_quantiles), np.atleast_2d(self.quantiles)
        shape = (*self.shift.shape, both[0].shape[1])
        return tuple(np.broadcast_to(one, shape) for one in both)

    @property
    def ordered_pairs(self) -> Int[np.ndarray, "P 2"]:
        """`ordered`; without any the pair (0, 0)."""
        return np.broadcast_to(
            self.ordered, np.broadcast_shapes(np.shape(self.ordered), (1, 2))
        )

    def aligned(self, ndim: int) -> tuple[AnyArray, AnyArray]:
        """Shift and scale as [1, ..., 1, C] with `ndim` axes, so ranks agree."""
        shape = (1,) * (ndim - 1) + self.shift.shape
        return self.shift.reshape(shape), self.scale.reshape(shape)


class Moments(NamedTuple):
    """What scalers are made of: float64, one value a channel."""

    low: PerChannel
    high: PerChannel
    mean: PerChannel
    std: PerChannel


def known_values(
    examples: Examples, dtype: type
) -> Iterator[tuple[Float[np.ndarray, "_ L C"], Bool[np.ndarray, "_ L C"]]]:
    """The series, piece by piece, and where they have values: inside, and not NaN."""
    shape = examples.series.shape
    for rows in slices(shape):
        series = np.asarray(examples.series[rows], dtype)
        within = inside(examples.lengths[rows], shape[1])
        yield series, ~np.isnan(series) & within[..., None]


def known_in_channels(examples: Examples) -> list[Float[np.ndarray, " _"]]:
    """All values inside the series, float32, of each channel; NaN is none."""
    pieces = [*known_values(examples, np.float32)]
    return [
        np.concatenate([series[..., c][known[..., c]] for series, known in pieces])
        for c in range(examples.series.shape[2])
    ]


def moments(examples: Examples) -> Moments:
    """Over all values inside the series; NaN where there is none."""
    channels = examples.series.shape[2]
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    count, mean, spread = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    for series, known in known_values(examples, np.float64):
        low = np.minimum(low, np.where(known, series, np.inf).min(axis=(0, 1)))
        high = np.maximum(high, np.where(known, series, -np.inf).max(axis=(0, 1)))
        # Chan et al. 1983: means and sums of squares of two parts joined.
        n = known.sum(axis=(0, 1))
        safe = np.maximum(n, 1)
        series = np.where(known, series, 0.0)
        total = np.maximum(count + n, 1)
        with np.errstate(invalid="ignore"):  # inf - inf; `check_channels` refuses it
            part_mean = series.sum(axis=(0, 1)) / safe
            residual = np.where(known, series - part_mean[None, None], 0.0)
            delta = part_mean - mean
            spread += np.square(residual).sum(axis=(0, 1))
            spread += delta**2 * count * n / total
            mean += delta * n / total
        count += n
    unknown = count == 0
    for values in (low, high, mean):
        values[unknown] = np.nan
    return Moments(low, high, mean, np.sqrt(spread / np.maximum(count, 1)))


def min_max(values: Moments) -> tuple[PerChannel, PerChannel]:
    """The middle and half the width of each channel's range."""
    return (values.high + values.low) / 2, (values.high - values.low) / 2


def equal_range(values: Moments) -> tuple[PerChannel, PerChannel]:
    """Mean, and half the range times what makes the mean of the variances 1.

    Channels weigh as they do in scores of values scaled to [0, 1].
    """
    half = (values.high - values.low) / 2
    return values.mean, half * np.sqrt(np.mean(np.square(values.std / half)))


def standard(values: Moments) -> tuple[PerChannel, PerChannel]:
    """Mean and (population) standard deviation of each channel."""
    return values.mean, values.std


SCALERS: dict[str, Callable[[Moments], tuple[PerChannel, PerChannel]]] = {
    "equal_range": equal_range,
    "standard": standard,
    "min_max": min_max,
}


def check_channels(values: Moments, channels: Sequence[str]) -> None:
    """Raises InputError where a channel can't be scaled: constant, inf or all NaN.

    A range below the smallest normal float32 counts as constant.
    """
    names = channels or [str(i) for i in range(len(values.low))]
    for name, low, high in zip(names, values.low, values.high, strict=True):
        if np.isnan(low):
            raise InputError(
                f"channel {name!r} has no value in the training examples: leave the "
                "channel out"
            )
        if not np.isfinite([low, high]).all():
            raise InputError(
                f"channel {name!r} has inf inside a series: correct it, or make it NaN "
                "(missing)"
            )
        if high - low < np.finfo(np.float32).tiny:
            if low < high:
                raise InputError(
                    f"channel {name!r} varies by {high - low:g}, less than float32 can "
                    "scale: multiply it"
                )
            raise InputError(
                f"channel {name!r} is {low:g} at every step, and a constant can't be "
                "scaled: leave the channel out"
            )
