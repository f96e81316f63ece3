"""From data units to the scale that the networks see, and back, channel by channel."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from l2d_jax.types import Examples, InputError, Lengths

AnyArray: TypeAlias = Array | np.ndarray
Values: TypeAlias = Float[np.ndarray, "rows C"]
PerChannel: TypeAlias = Float[np.ndarray, " C"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Normalizer:
    """z = (x - shift) / scale: a pytree of two float32 arrays [C], in data units.

    The fields aren't checked at run time: tree maps put other leaves in their place.
    """

    shift: Any
    scale: Any

    @classmethod
    def fit(
        cls,
        examples: Examples,
        kind: str = "min_max",
        channels: Sequence[str] = (),
    ) -> "Normalizer":
        """Fits each channel on every step inside the series: give training rows only.

        Args:
          examples: N series; what lies after their ends is ignored.
          kind: "min_max" maps [min, max] to [-1, 1]; "standard" gives mean 0 and
            variance 1.
          channels: names for the errors, C of them; without, channels are numbered.

        Raises:
          InputError: unknown kind; a channel that is constant, or not finite.
        """
        if kind not in SCALERS:
            raise InputError(
                f"--config.data.scaler={kind!r} is unknown: "
                f"use one of {', '.join(SCALERS)}"
            )
        series, lengths = examples.series, examples.lengths
        values = series[inside(lengths, series.shape[1])].astype(np.float64)
        check_channels(values, channels)
        shift, scale = SCALERS[kind](values)
        return cls(shift.astype(np.float32), scale.astype(np.float32))

    def normalize(self, x: Float[AnyArray, "*N C"]) -> Float[AnyArray, "*N C"]:
        """(x - shift) / scale over the last axis; numpy stays numpy if all are."""
        shift, scale = self.aligned(x.ndim)
        return (x - shift) / scale

    def denormalize(self, z: Float[AnyArray, "*N C"]) -> Float[AnyArray, "*N C"]:
        """z * scale + shift over the last axis: the inverse of `normalize`."""
        shift, scale = self.aligned(z.ndim)
        return z * scale + shift

    def aligned(self, ndim: int) -> tuple[AnyArray, AnyArray]:
        """Shift and scale as [1, ..., 1, C] with `ndim` axes, so ranks agree."""
        shape = (1,) * (ndim - 1) + self.shift.shape
        return self.shift.reshape(shape), self.scale.reshape(shape)


def inside(lengths: Lengths, length: int) -> Bool[np.ndarray, "N length"]:
    """True at the steps of each series, False after its end."""
    return np.arange(length)[None, :] < lengths[:, None]


def min_max(values: Values) -> tuple[PerChannel, PerChannel]:
    """The middle and half the width of each channel's range."""
    low, high = values.min(axis=0), values.max(axis=0)
    return (high + low) / 2, (high - low) / 2


def standard(values: Values) -> tuple[PerChannel, PerChannel]:
    """Mean and (population) standard deviation of each channel."""
    return values.mean(axis=0), values.std(axis=0)


SCALERS: dict[str, Callable[[Values], tuple[PerChannel, PerChannel]]] = {
    "min_max": min_max,
    "standard": standard,
}


def check_channels(values: Values, channels: Sequence[str]) -> None:
    """Raises InputError where a channel can't be scaled: it is constant, or not finite.

    A range below the smallest normal float32 counts as constant.
    """
    names = channels or [str(i) for i in range(values.shape[1])]
    for name, column in zip(names, values.T, strict=True):
        if not np.isfinite(column).all():
            raise InputError(
                f"channel {name!r} has NaN or inf inside a series: fill or drop these "
                "series"
            )
        if np.ptp(column) < np.finfo(np.float32).tiny:
            raise InputError(
                f"channel {name!r} is {column[0]:g} at every step, and a constant "
                "can't be scaled: leave the channel out"
            )
