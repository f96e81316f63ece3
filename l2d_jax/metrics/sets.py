"""The sets of series that are compared, checked and brought to one scale."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, Int

from l2d_jax.chunks import slices
from l2d_jax.types import InputError, SeriesBatch

MIN_SAMPLES = 16
LARGEST = 1e18  # times the range of a channel: float32 holds sums of squares of these
ARRAYS = (np.ndarray, jax.Array)


@runtime_checkable
class Column(Protocol):
    """What numpy makes an array of, as a column of a table."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ...


# [N, L, C], or, where lengths differ, a sequence of [L_i, C].
SeriesSet: TypeAlias = np.ndarray | jax.Array | Sequence[Any]
Rows: TypeAlias = Int[np.ndarray, " _"] | slice
Labels: TypeAlias = Sequence[Any] | np.ndarray | jax.Array | Column


class Sets(NamedTuple):
    """What is compared: float32, each channel of all real series spanning 0 to 1.

    NaN stands after the end of series shorter than L.
    """

    train: SeriesBatch  # what the generator saw
    generated: Float[np.ndarray, "M L C"]
    all_train: Float[np.ndarray, "_ L C"]  # `train`, or more: where copies are searched
    test: Float[np.ndarray, "H L C"] | None = None  # what it didn't see
    all_test: Float[np.ndarray, "_ L C"] | None = None  # `test`, or more
    labels: Int[np.ndarray, " N"] | None = None  # of train: index of the class
    test_labels: Int[np.ndarray, " H"] | None = None
    generated_labels: Int[np.ndarray, " M"] | None = None
    classes: tuple[str, ...] = ()

    @property
    def real(self) -> SeriesBatch:
        """What generated series are compared with: unseen ones where there are any."""
        return self.train if self.test is None else self.test


def sets_of(
    real: SeriesSet,
    generated: SeriesSet,
    *,
    test: SeriesSet | None = None,
    labels: Labels | None = None,
    test_labels: Labels | None = None,
    generated_labels: Labels | None = None,
    classes: Labels = (),
    num_series: int = 0,
    seed: int = 0,
) -> Sets:
    """The sets as arrays of one scale; arguments and errors as of `evaluate`."""
    if num_series and num_series < MIN_SAMPLES:
        raise InputError(
            f"num_series={num_series}: use {MIN_SAMPLES} or more, or 0 for all"
        )
    given = {"real": real, "generated": generated}
    if test is not None:
        given["test"] = test
    arrays = dict(zip(given, of_one_shape(**given), strict=True))
    rows = {
        name: rows_of(len(array), num_series, seed=seed)
        for name, array in arrays.items()
        if name != "generated"
    }
    low, high = bounds(
        [arrays[name][some] for name, some in rows.items()], arrays["real"]
    )
    for name, array in arrays.items():
        check_size(array, name, low, high)
        arrays[name] = scale_one(array, low, high - low)
    compared = {name: arrays[name][some] for name, some in rows.items()}
    named = {
        "labels": (labels, len(real)),
        "test_labels": (test_labels, 0 if test is None else len(test)),
        "generated_labels": (generated_labels, len(generated)),
    }
    indices, names = class_indices(named, classes)
    of_train, of_test, of_generated = indices
    return Sets(
        train=compared["real"],
        generated=arrays["generated"],
        all_train=arrays["real"],
        test=compared.get("test"),
        all_test=arrays.get("test"),
        labels=None if of_train is None else of_train[rows["real"]],
        test_labels=None if of_test is None else of_test[rows["test"]],
        generated_labels=of_generated,
        classes=names,
    )


def rows_of(count: int, most: int, *, seed: int) -> Rows:
    """Sorted, `most` of `count` rows without replacement; all, as they are, for 0."""
    if not 0 < most < count:
        return slice(None)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


# --- shapes ---------------------------------------------------------------------------


def of_one_shape(**sets: SeriesSet) -> list[Float[np.ndarray, "_ L C"]]:
    """The sets as arrays, by the names that errors call them, the first one leading.

    Where one is a list, all are filled up with NaN to the longest series.

    Raises:
      InputError: as `evaluate`.
    """
    arrays = [as_array(given, name) for name, given in sets.items()]
    (first, *others), (one, *more) = sets, arrays
    for name, other in zip(others, more, strict=True):
        if other.shape[2] != one.shape[2]:
            raise InputError(
                f"{first} has {one.shape[2]} channels and {name} {other.shape[2]}: "
                "give [series, steps, channels], the same channels in the same order"
            )
    ragged = not all(isinstance(given, ARRAYS) for given in sets.values())
    for name, other in zip(others, more, strict=True):
        if not ragged and other.shape[1] != one.shape[1]:
            raise InputError(
                f"{first} has {one.shape[1]} steps and {name} {other.shape[1]}: "
                "give series of the same length, or lists of [L_i, C] arrays"
            )
    if one.shape[1] < 2:
        raise InputError(f"{first} has series of 1 step only: give 2 or more steps")
    longest = max(array.shape[1] for array in arrays)
    return [lengthened(array, longest) for array in arrays]


def lengthened(series: SeriesBatch, length: int) -> Float[np.ndarray, "N length C"]:
    """Filled up with NaN to `length` steps; itself where it has as many."""
    missing = length - series.shape[1]
    if not missing:
        return series
    return np.pad(series, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)


def as_array(given: SeriesSet, name: str) -> Float[np.ndarray, "N L C"]:
    """One array, checked; NaN after the end of the shorter series of a list."""
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        raise InputError(
            f"{name} is a path: give what is in the file, as np.load({path!r}), "
            "or score files by python -m l2d_jax.metrics REAL GENERATED"
        )
    if hasattr(given, "columns"):
        raise InputError(
            f"{name} is a {type(given).__name__}: give an array [series, steps, "
            "channels], as table[channels].to_numpy().reshape(-1, steps, channels)"
        )
    if not isinstance(given, ARRAYS):
        if not isinstance(given, Sequence):
            raise InputError(
                f"{name} is a {type(given).__name__}: give an array [series, steps, "
                "channels], numpy's or JAX's, or a list of [steps, channels]"
            )
        return padded(given, name)
    if given.ndim != 3:
        raise InputError(
            f"{name} has shape {given.shape}: give [series, steps, channels], or a "
            "list of [steps, channels] where lengths differ"
        )
    check_unmasked(given, name)
    series = np.asarray(given)
    if series.dtype not in (np.float32, np.float64):
        series = numbers(series, name)
    check_count(series, name)
    if 0 in series.shape:
        check_series(series[0], f"{name}[0]", num_channels=series.shape[2:])
    with np.errstate(over="ignore", invalid="ignore"):  # of the sum alone, or inf - inf
        bad = np.flatnonzero(~np.isfinite(series.sum(axis=(1, 2))))
    for i in bad:
        check_series(series[i], f"{name}[{i}]", num_channels=series.shape[2:])
    return series


def padded(given: Sequence[Any], name: str) -> Float[np.ndarray, "N L C"]:
    """One array of a list of [L_i, C], checked."""
    check_count(given, name)
    series = [numbers(one, f"{name}[{i}]") for i, one in enumerate(given)]
    for i, one in enumerate(series):
        check_series(one, f"{name}[{i}]", num_channels=series[0].shape[-1:])
    longest = max(map(len, series))
    filled = np.full((len(series), longest, series[0].shape[1]), np.nan)
    for row, one in zip(filled, series, strict=True):
        row[: len(one)] = one
    return filled


def check_unmasked(given: Any, name: str) -> None:
    """Raises `InputError` for values that numpy.ma hides: they would count."""
    if np.ma.is_masked(given):
        raise InputError(f"{name} has masked values: fill or drop them")


def numbers(given: Any, name: str) -> np.ndarray:
    """An array of float64."""
    check_unmasked(given, name)
    if hasattr(given, "columns"):
        raise InputError(f"{name} is a {type(given).__name__}: give .to_numpy() of it")
    try:
        array = np.asarray(given)
        if not np.iscomplexobj(array):
            return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} isn't an array of numbers: {error}") from error
    raise InputError(f"{name} is complex: give both parts, as two channels")


def check_count(series: Sequence[Any] | np.ndarray, name: str) -> None:
    """Raises `InputError` for too few series."""
    if len(series) < MIN_SAMPLES:
        raise InputError(
            f"{name} has {len(series)} series: give {MIN_SAMPLES} or more, better "
            "thousands"
        )


def check_series(one: np.ndarray, name: str, *, num_channels: tuple[int, ...]) -> None:
    """Raises `InputError` unless `one` is [steps, channels], not empty and finite."""
    if one.ndim != 2 or 0 in one.shape:
        raise InputError(
            f"{name} has shape {one.shape}: give [steps, channels], 1 or more of each"
        )
    if one.shape[1:] != num_channels:
        raise InputError(
            f"{name} has {one.shape[1]} channels, and the series before it "
            f"{num_channels[0]}: give the same channels for all"
        )
    bad = np.argwhere(~np.isfinite(one))
    if len(bad):
        step, channel = bad[0]
        raise InputError(
            f"{name} is {one[step, channel]} at step {step}, channel {channel}: fill "
            "or drop it; give series of different lengths as a list of [L_i, C] arrays"
        )


# --- scale ----------------------------------------------------------------------------


def bounds(
    real: Sequence[Float[np.ndarray, "_ L C"]], whole: Float[np.ndarray, "N L C"]
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """The lowest and highest values of each channel, over all sets.

    `whole` is what the first was drawn from: a channel may have one value in few of it,
    as an alarm does that is seldom on, and takes its range from there.

    Raises:
      InputError: a channel of `whole` is constant, or one spans more than float64.
    """
    train, *others = real
    axes = (0, 1)
    low = np.fmin.reduce(train, axis=axes).astype(np.float64)
    high = np.fmax.reduce(train, axis=axes).astype(np.float64)
    if (still := low == high).any():
        low[still] = np.fmin.reduce(whole[..., still], axis=axes)
        high[still] = np.fmax.reduce(whole[..., still], axis=axes)
    with np.errstate(over="ignore"):  # said below
        constant = np.flatnonzero(high - low < np.finfo(np.float32).tiny)
    if len(constant):
        c = constant[0]
        raise InputError(
            f"channel {c} of real is {low[c]:g} at every step, and a constant "
            "can't be scaled: leave the channel out of all sets"
        )
    for other in others:
        low = np.fmin(low, np.fmin.reduce(other, axis=axes))
        high = np.fmax(high, np.fmax.reduce(other, axis=axes))
    with np.errstate(over="ignore"):
        too_far = np.flatnonzero(np.isinf(high - low))
    if len(too_far):
        c = too_far[0]
        raise InputError(
            f"channel {c} of real spans {low[c]:g} to {high[c]:g}, more than float64 "
            "holds: divide all sets by the same number"
        )
    return low, high


def check_size(
    series: Float[np.ndarray, "_ L C"],
    name: str,
    low: Float[np.ndarray, " C"],
    high: Float[np.ndarray, " C"],
) -> None:
    """Raises `InputError` for values that are too large to be scored on this scale."""
    reach = LARGEST * (high - low)
    ends = (np.fmin.reduce(series, axis=(0, 1)), np.fmax.reduce(series, axis=(0, 1)))
    if (ends[0] >= low - reach).all() and (ends[1] <= high + reach).all():
        return
    i, step, c = np.argwhere((series < low - reach) | (series > high + reach))[0]
    raise InputError(
        f"{name}[{i}] is {series[i, step, c]:g} at step {step}, channel {c}, and real "
        f"series span {low[c]:g} to {high[c]:g}: too far off to be scored, drop the "
        "series, or clip its values"
    )


def scale_one(
    series: Float[np.ndarray, "N L C"],
    low: Float[np.ndarray, " C"],
    span: Float[np.ndarray, " C"],
) -> SeriesBatch:
    """(series - low) / span, computed in float64 and kept in float32."""
    result = np.empty(series.shape, np.float32)
    for rows in slices(series.shape):
        result[rows] = (series[rows].astype(np.float64) - low) / span
    return result


# --- labels ---------------------------------------------------------------------------


def class_indices(
    named: dict[str, tuple[Labels | None, int]], classes: Labels
) -> tuple[list[Int[np.ndarray, " _"] | None], tuple[str, ...]]:
    """Labels as indices 0..K-1, and the names of the K classes.

    `named`: by the name that errors use, the labels and how many there must be.
    `classes`: the names, where labels are indices into it already; else the classes
    are the sorted labels of the real series.

    Raises:
      InputError: labels that don't fit.
    """
    arrays = {
        name: None if labels is None else label_array(labels, count, name)
        for name, (labels, count) in named.items()
    }
    of_train = arrays["labels"]
    if of_train is None:
        for name, array in arrays.items():
            if array is not None:
                raise InputError(f"{name} without labels: give those of real too")
        return [None] * len(arrays), ()
    given = tuple(map(str, np.asarray(classes).tolist()))
    values = (np.arange(len(given)) if given else np.unique(of_train)).tolist()
    indices = [
        None if array is None else places_of(array, values, name)
        for name, array in arrays.items()
    ]
    names = (
        one.decode(errors="backslashreplace") if isinstance(one, bytes) else str(one)
        for one in values
    )
    return indices, given or tuple(names)


def places_of(
    labels: np.ndarray, values: Sequence[Any], name: str
) -> Int[np.ndarray, " _"]:
    """Where each label stands among the values; text is no number here."""
    places = {value: i for i, value in enumerate(values)}
    found = np.array([places.get(one, -1) for one in labels.tolist()], np.int64)
    if (found < 0).any():
        i = found.argmin()
        known = ", ".join(map(repr, values[:10]))
        raise InputError(
            f"{name}[{i}] is {labels[i].item()!r}, which is no class of real (those "
            f"are {known}{', ...' if len(values) > 10 else ''}): correct it"
        )
    return found


def label_array(labels: Labels, count: int, name: str) -> np.ndarray:
    """[count] labels, integers or text."""
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(one, str) for one in array.flat):
        array = array.astype(str)
    if array.ndim != 1 or len(array) != count:
        raise InputError(
            f"{name} has shape {array.shape} for {count} series: give one a series"
        )
    if array.dtype.kind not in "iuUSb":
        raise InputError(
            f"{name} has type {array.dtype}: give integers or text, one label a series"
        )
    return array
