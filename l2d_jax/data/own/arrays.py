"""Arrays of numbers: .npy on disk, .npz, and what is given to `l2d_jax.fit`.

One axis or two are one recording, [T] or [T, C]; three are a set of series, [N, L, C],
where NaN after the last value of a series is its end. Floats stay where they are, on
disk too, and are looked at piece by piece; other numbers become float32.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped

from l2d_jax.chunks import slices
from l2d_jax.data.own.roles import NO_TIME, Asked, listed
from l2d_jax.data.own.rows import Extremes, indexed, key
from l2d_jax.data.own.tables import check_resolution
from l2d_jax.errors import one_line
from l2d_jax.types import Collection, Form, InputError

BESIDE = (("lengths",), ("labels", "label", "y"), ("channels",))  # other names each
ABOUT_SERIES = (*(name for names in BESIDE for name in names), "settings")


# --- files ----------------------------------------------------------------------------


def read_npy(path: Path, asked: Asked) -> Collection:
    """The series of a .npy, which stays on disk.

    Raises:
      InputError: damaged, not numbers, another number of axes, inf.
    """
    check_not_asked(path, asked)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # what the readers of its header raise
        raise unreadable(path, error) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} is an .npz in fact: rename it to end in .npz")
    return from_array(array, str(path), ".npy")


def read_npz(path: Path, asked: Asked) -> Collection:
    """The series of an .npz, with `lengths`, `labels` and `channels` if they are there.

    The array is called series, x or data, or is the only one beside those. Other arrays
    are left out, with a note.

    Raises:
      InputError: damaged, no array or several, and as `read_npy`.
    """
    check_not_asked(path, asked)
    try:
        with open(path, "rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise InputError(f"{path} is an .npy in fact: rename it to end in .npy")
            members = {name.lower(): name for name in file.files}
            name = series_name(path, tuple(members))
            series = member(file, members[name])
            beside = [next((n for n in ns if n in members), "") for ns in BESIDE]
            lengths, labels, channels = (
                member(file, members[one]) if one else None for one in beside
            )
            used = {name, *beside, "settings"}
            rest = [members[one] for one in members if one not in used]
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path} takes more memory than there is: save the series as .npy, which "
            "stays on disk"
        ) from error
    except Exception as error:  # what numpy, zipfile and three decompressors raise
        raise unreadable(path, error) from error
    found = from_array(series, str(path), ".npz", lengths, labels, channels)
    if rest:
        note = f"left out {listed(rest)}: the series are read from {members[name]!r}"
        found = found._replace(notes=(*found.notes, note))
    return found


def member(file: Any, name: str) -> np.ndarray:
    """An array of an .npz. Raises ValueError if it is something else."""
    array = file[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name!r} is no array")
    return array


def check_not_asked(path: Path, asked: Asked) -> None:
    """Raises InputError where a role is given to a column of what has none."""
    for role, name in asked.roles.items():
        if name and (role, name) != ("time", NO_TIME):
            raise InputError(
                f"{path} has no columns: leave --config.data.{role}_column empty"
            )


def unreadable(path: Path, error: Exception) -> InputError:
    """Says what numpy says, and the mend."""
    if re.search("allow_pickle|Object arrays|Python objects", str(error)):
        return InputError(
            f"{path} holds Python objects, which are not opened: save numbers of one "
            "shape, np.asarray(x, float)"
        )
    return InputError(f"{path} can't be read ({one_line(error)}): save it again")


def series_name(path: Path, names: tuple[str, ...]) -> str:
    """Which array of an .npz, by lower-case names, holds the series."""
    rest = [name for name in names if name not in ABOUT_SERIES]
    for name in ("series", "x", "data", *rest[: len(rest) == 1]):
        if name in names:
            return name
    found = f"holds {listed(rest)}" if rest else "holds no series"
    raise InputError(f"{path} {found}: call the array of the series 'series'")


# --- what fit gets --------------------------------------------------------------------


def from_user(series: Any) -> Collection:
    """An array [T], [T, C] or [N, L, C], or a list of [L_i] or [L_i, C] arrays.

    Raises:
      InputError: not numbers, shapes that don't fit, nothing at all, inf.
    """
    if not isinstance(series, list | tuple):
        return from_array(to_numpy(series, "the array"), "the array", ".npz")
    if not series:
        raise InputError("no series: give one or more")
    arrays, dtypes = [], set()
    for i, one in enumerate(series):
        where = f"series {i} (the first is 0)"
        if hasattr(one, "columns"):
            raise InputError(
                f"{where} is a {type(one).__name__}: join them, with a column of ids, "
                'pd.concat(frames, keys=range(len(frames)), names=["id", "row"])'
            )
        array = to_numpy(one, where)
        array = array[:, None] if array.ndim == 1 else array
        count = arrays[0].shape[1] if arrays else array.shape[-1] if array.ndim else 0
        if array.ndim != 2 or 0 in array.shape or array.shape[1] != count:
            raise InputError(
                f"{where} has shape {list(array.shape)}: give [L_i, {count or 'C'}]"
            )
        dtypes.add(check_kind(array, where))
        arrays.append(to_floats(array, where))
    name, count = "the list", arrays[0].shape[1]
    check_values(arrays, name, channels_of(count))
    dtype = next(iter(dtypes)) if len(dtypes) == 1 else "float64"
    return Collection(
        name, arrays, channels_of(count), form=Form(".npz", (dtype,) * count)
    )


def to_numpy(array: Any, where: str) -> np.ndarray:
    """As numpy has it, from JAX and nested lists too; NaN where it is masked."""
    try:
        if np.ma.is_masked(array):
            return array.astype(np.result_type(array, np.float32)).filled(np.nan)
        return np.asarray(array)
    except jax.errors.TracerArrayConversionError:
        raise InputError(
            f"{where} is a value inside jit or vmap: call this outside, where values "
            "are known"
        ) from None
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{where} is no array ({one_line(error)})") from error


# --- arrays ---------------------------------------------------------------------------


def from_array(
    array: np.ndarray,
    name: str,
    suffix: str,
    lengths: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    channels: np.ndarray | None = None,
) -> Collection:
    """A collection of the series in an array; without `lengths`, NaN ends them.

    Raises:
      InputError: not numbers, another number of axes, nothing at all, inf; lengths,
        labels or names of channels that don't fit.
    """
    dtype = check_kind(array, name)
    if array.ndim not in (1, 2, 3) or 0 in array.shape:
        raise InputError(
            f"{name} has shape {list(array.shape)}: give [T, C], one recording, or "
            "[N, L, C], series"
        )
    array = array[:, None] if array.ndim == 1 else array
    array = to_floats(array, name)
    count = array.shape[-1]
    names = channels_of(count) if channels is None else names_of(channels, count, name)
    if array.ndim == 2:
        check_recording(array, name, lengths, labels)
        series = [array]
    else:
        ends = (
            ends_of(array) if lengths is None else check_lengths(lengths, array, name)
        )
        series = [one[:end] for one, end in zip(array, ends.tolist(), strict=True)]
    check_values(series, name, names)
    index, classes, notes = None, (), ()
    if labels is not None and array.ndim == 2:
        notes = ("left out the labels: one recording has none",)
    elif labels is not None:
        index, classes = indexed(label_names(labels, len(series), name))
    form = Form(suffix, (dtype,) * count)
    return Collection(name, series, names, index, classes, form=form, notes=notes)


def check_recording(
    recording: Float[np.ndarray, "T C"],
    where: str,
    lengths: np.ndarray | None,
    labels: np.ndarray | None,
) -> None:
    """Raises InputError where what is beside a recording speaks of many series."""
    per_row = labels is not None and labels.shape == recording.shape[:1]
    if lengths is not None or per_row:
        what = "labels" if lengths is None else "lengths"
        raise InputError(
            f"{where} has shape {list(recording.shape)}, one recording [T, C], and "
            f"{what!r}, which series have: give [N, L, C], here series[..., None], or "
            f"leave out {what!r}"
        )


def channels_of(count: int) -> tuple[str, ...]:
    """channel_0, channel_1, ..."""
    return tuple(f"channel_{i}" for i in range(count))


def names_of(channels: np.ndarray, count: int, where: str) -> tuple[str, ...]:
    """The names that a file gives to its channels."""
    channels = decoded(channels, f"{where} has names of channels")
    names = tuple(str(one) for one in np.ravel(channels).tolist())
    if len(names) != count or len(set(names)) != count:
        raise InputError(
            f"{where} names {len(set(names))} channels in 'channels', and has {count}: "
            "name each once"
        )
    return names


def label_names(labels: np.ndarray, count: int, where: str) -> list[str]:
    """The labels as text. Raises InputError unless each series has one."""
    if labels.shape != (count,):
        raise InputError(
            f"{where} has labels of shape {list(labels.shape)} for {count} series: "
            "give one label a series"
        )
    values = decoded(labels, f"{where} has labels").tolist()
    if missing := [i for i, value in enumerate(values) if value != value]:
        raise InputError(
            f"{where}: the label of series {missing[0]} (the first is 0) is missing; "
            "fill it in"
        )
    return [*map(key, values)]


def decoded(names: np.ndarray, what: str) -> np.ndarray:
    """Bytes as text; all else as it is. Raises InputError unless they are UTF-8."""
    if names.dtype.kind != "S":
        return names
    try:
        return np.char.decode(names, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} in bytes that are not UTF-8: save them as text"
        ) from error


def check_kind(array: np.ndarray, where: str) -> str:
    """The name of the type. Raises InputError unless it is a real number."""
    if array.dtype.name == "bfloat16":
        return "float32"
    if array.dtype.kind not in "biuf":
        what = "Python objects" if array.dtype.kind == "O" else str(array.dtype)
        raise InputError(
            f"{where} holds {what}: give real numbers of one shape, or a list of "
            "arrays [L_i, C] where lengths differ"
        )
    return array.dtype.name if array.dtype.itemsize <= 8 else "float64"


def to_floats(array: np.ndarray, where: str) -> Float[np.ndarray, "*shape"]:
    """The same array if numpy's and JAX's floats; others float64, the rest float32.

    Whether float32 can hold floats is judged where the values are checked.
    """
    if array.dtype.kind == "f":
        native = array.dtype.isnative and array.dtype.itemsize <= 8
        return array if native else array.astype(np.float64)
    check_whole(array, where)
    return array.astype(np.float32)


def check_whole(array: np.ndarray, where: str) -> None:
    """Raises InputError where whole numbers become one in float32."""
    if array.dtype.itemsize <= 2 or array.dtype.kind not in "iu":
        return
    flat = array.reshape(-1, array.shape[-1])
    check_values([flat], where, channels_of(flat.shape[1]))


def ends_of(array: Float[np.ndarray, "N L C"]) -> Int[np.ndarray, " N"]:
    """One after the last value of each series; L where it has none at all."""
    length, ends = array.shape[1], []
    for rows in slices(array.shape):
        piece: np.ndarray = array[rows]
        given = np.any(~np.isnan(piece), axis=2)
        last = length - np.argmax(given[:, ::-1], axis=1)
        ends.append(np.where(np.any(given, axis=1), last, length))
    return np.concatenate(ends)


def check_lengths(
    lengths: np.ndarray, array: Float[np.ndarray, "N L C"], where: str
) -> Int[np.ndarray, " N"]:
    """The lengths that a file gives. Raises InputError where they can't be."""
    fits = lengths.shape == array.shape[:1] and lengths.dtype.kind in "iuf"
    fits = fits and bool((lengths == np.rint(lengths)).all())  # 5.0 is 5
    if not fits or (lengths < 1).any() or (lengths > array.shape[1]).any():
        raise InputError(
            f"{where}: 'lengths' must be {len(array)} whole numbers from 1 to "
            f"{array.shape[1]}"
        )
    return lengths.astype(np.int64)


# --- values ---------------------------------------------------------------------------


def pieces_of(
    series: Sequence[np.ndarray],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(series, first step, some of its steps) all through, a chunk at a time."""
    for i, one in enumerate(series):
        for steps in slices(one.shape):
            yield i, steps.start, one[steps]


def check_values(
    series: Sequence[Shaped[np.ndarray, "_ C"]], where: str, names: tuple[str, ...]
) -> None:
    """Raises InputError on inf, and where float32 can't tell a channel's levels apart.

    NaN and constants are judged elsewhere.
    """
    extremes = Extremes.of_nothing(len(names))
    for i, start, piece in pieces_of(series):
        limit = np.finfo(np.float32).max
        if piece.dtype.kind == "f":
            bad = np.isinf(piece)
            if piece.dtype.itemsize > 4:
                bad |= np.abs(piece) > limit
            if bad.any():
                step, channel = np.argwhere(bad)[0]
                at = f"step {start + step}"
                at = at if len(series) == 1 else f"series {i}, {at}"
                raise InputError(
                    f"{where}, {at}, channel {names[channel]!r} (the first is 0): "
                    f"{piece[step, channel]} is not finite in float32; correct it, or "
                    "put NaN for a missing value"
                )
            if piece.dtype.itemsize <= 4:
                continue  # float32 has them all
        extremes = extremes.joined(piece.astype(np.float64), piece.astype(np.float32))
    check_resolution(extremes, names, where)
