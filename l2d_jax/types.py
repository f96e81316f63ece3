"""Every array of the project, named once, and the error that users see.

Dimensions are fixed project-wide: B batch, L length, C channels, d latent dimension,
N examples of a data set, K diffusion steps, S solver steps, T tokens (L / patch).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

Params: TypeAlias = Any  # a pytree of arrays, as a Flax module's `init` returns it
Rows: TypeAlias = Any  # [N, ...]: an array, or what has a shape and can be indexed
Example: TypeAlias = Any  # a pytree of arrays: one row of what a stage trains on
RandomKey: TypeAlias = Key[Array, ""]  # one typed key, `jax.random.key(0)`
Scalar: TypeAlias = Float[Array, ""]
Metrics: TypeAlias = Mapping[str, Scalar]  # what a loss says beside itself
Step: TypeAlias = Int[Array, ""]  # t, a diffusion step: always an integer index

Series: TypeAlias = Float[Array, "L C"]  # x_0, x_t: one series in model space
Latent: TypeAlias = Float[Array, " d"]  # r_0, r_t: one representation
Signal: TypeAlias = Float[Array, "T width"]  # F(r): the guidance signal along time
SeriesBatch: TypeAlias = Float[np.ndarray, "N L C"]  # in data units, on the host
Lengths: TypeAlias = Int[np.ndarray, " N"]  # true length of each series, 1..L


class InputError(ValueError):
    """Something the user gave can't be used. One line: the thing, and the mend."""


class Collection(NamedTuple):
    """What a reader returns: series as they are, in data units, before any windows.

    A recording is a collection of one long series, which may lie on disk
    (`np.memmap`). NaN stands for a missing value.
    """

    name: str  # how errors call it: a data set, or a file
    series: Sequence[Float[np.ndarray, "_ C"]]  # N arrays [L_i, C]
    channels: tuple[str, ...]
    labels: Int[np.ndarray, " N"] | None = None  # class index, 0..classes-1
    classes: tuple[str, ...] = ()
    num_train: int | None = None  # the first so many are the official training part
    form: "Form | None" = None  # of a user's file
    notes: tuple[str, ...] = ()  # what was recognised, a line each


STAMP = "%Y-%m-%dT%H:%M:%S.%f"  # of a column that holds times, not their text
BUSINESS_DAY = "B"  # Monday to Friday, as pandas calls it
ANY_DECIMALS = 7  # float32 has hardly more


class Form(NamedTuple):
    """How a user's file is laid out, so that samples can be written the same way.

    Made of what JSON knows, as it is kept with the model.
    """

    suffix: str  # .csv, .parquet, .npy, .npz or .ts
    dtypes: tuple[str, ...]  # of each channel, as numpy calls them: "int64", "bool"
    columns: tuple[str, ...] = ()  # of a table, in its order: id, time and channels
    id_column: str = ""  # the column that tells the series apart; "": none
    time_column: str = ""
    time_start: str = ""  # of the first series: an ISO date and clock, or a number
    # Between two rows: a number; an ISO 8601 duration; P1M-1D, from the last day of a
    # month to that of the next; or BUSINESS_DAY.
    time_step: str = ""
    time_format: str = ""  # as strftime has it; "": time is a number
    time_zone: str = ""  # of time_start, as the file writes it: "+05:30"; "": none, UTC
    time_dtype: str = ""  # of a column of whole numbers that are dates: "int64"
    separator: str = ","
    decimal: str = "."
    # Of each channel of a table, how many hold all of its values; ANY_DECIMALS: more.
    decimals: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """Decimals that values of each channel have, ANY_DECIMALS: any."""
        decimals = self.decimals or (ANY_DECIMALS,) * len(self.dtypes)
        return tuple(
            0 if whole else places
            for whole, places in zip(self.integers, decimals, strict=True)
        )

    @property
    def integers(self) -> tuple[bool, ...]:
        """Which channels hold whole numbers only, by their type."""
        return tuple(np.dtype(name).kind in "iub" for name in self.dtypes)

    @property
    def minutes_from_utc(self) -> int:
        """Of the time zone: 330 for +05:30."""
        found = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", self.time_zone)
        if not found:
            return 0
        sign, hours, minutes = found.groups()
        return int(sign + "1") * (60 * int(hours) + int(minutes or 0))


class Examples(NamedTuple):
    """N series of one array shape, in data units."""

    series: SeriesBatch  # NaN: missing, and after the end of a series shorter than L
    lengths: Lengths
    labels: Int[np.ndarray, " N"] | None = None  # class index, 0..classes-1


class Splits(NamedTuple):
    """A data set as a run trains on it."""

    train: Examples
    test: Examples | None  # held-out examples; None: trained on all, as the peers do
    channels: tuple[str, ...]
    classes: tuple[str, ...] = ()
    form: Form | None = None
    notes: tuple[str, ...] = ()  # what was recognised, chosen or left out, a line each
    overlapping: bool = False  # windows of a recording that share steps


def inside(lengths: Lengths, length: int) -> Bool[np.ndarray, "N length"]:
    """True at the steps of each series, False after its end."""
    return np.arange(length)[None, :] < lengths[:, None]


def is_ragged(examples: Examples) -> bool:
    """True where the series have different lengths."""
    return bool((examples.lengths < examples.series.shape[1]).any())


def tree_size(params: Params) -> int:
    """Number of parameters in a pytree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
