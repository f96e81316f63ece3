"""All rows of a table as numbers: every cell is read, chunk by chunk, or complained of.

Only one chunk is ever held as anything but numbers.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.data.own.columns import (
    EITHER,
    FRACTION,
    LIKE_A_NUMBER,
    MISSING,
    NOT_A_TIME,
    Column,
    from_texts,
    to_numbers,
    to_texts,
    to_times,
)
from l2d_jax.data.own.roles import ISNT_TIME, Frame, Roles, Table
from l2d_jax.types import ANY_DECIMALS, InputError

CHUNK = 200_000  # rows that are held as pandas gives them


class Extremes(NamedTuple):
    """Of each channel, as the file has it, in float64."""

    lows: Float[np.ndarray, " C"]
    highs: Float[np.ndarray, " C"]
    errors: Float[np.ndarray, " C"]  # the largest that float32 makes

    @classmethod
    def of_nothing(cls, count: int) -> "Extremes":
        """Of so many channels before the first row."""
        return cls(np.full(count, np.inf), np.full(count, -np.inf), np.zeros(count))

    def joined(
        self, rows: Float[np.ndarray, "T C"], rounded: Float[np.ndarray, "T C"]
    ) -> "Extremes":
        """With these rows too, and as they are in float32; NaN doesn't count."""
        return Extremes(
            np.fmin(self.lows, np.fmin.reduce(rows, axis=0)),
            np.fmax(self.highs, np.fmax.reduce(rows, axis=0)),
            np.fmax(self.errors, np.fmax.reduce(np.abs(rows - rounded), axis=0)),
        )


class Body(NamedTuple):
    """A whole table, as numbers. Rows that are empty at its end are gone."""

    values: Float[np.ndarray, "T C"]  # float32
    dtypes: tuple[str, ...]
    extremes: Extremes
    decimals: tuple[int, ...]
    ids: Int[np.ndarray, " T"] | None
    id_names: tuple[str, ...]
    times: Int[np.ndarray, " T"] | Float[np.ndarray, " T"] | None
    labels: Int[np.ndarray, " T"] | None
    classes: tuple[str, ...]


def read_body(table: Table, roles: Roles, chunks: Iterator[Frame]) -> Body:
    """All rows as numbers, in the order of the file.

    Raises:
      InputError: a cell that can't be used.
    """
    blocks, ids, times, labels = [], [], [], []
    count = len(roles.channels)
    dtypes: list[set[str]] = [set() for _ in range(count)]
    extremes, decimals = Extremes.of_nothing(count), [0] * count
    id_codes: dict[str, int] = {}
    label_codes: dict[str, int] = {}
    first = end = 0  # of the chunk; after the last row that holds anything
    gaps = False  # in the last column: a row may be too short
    for frame in chunks:
        block = np.empty((len(frame), count))
        for c, i in enumerate(roles.channels):
            block[:, c], bad, dtype = to_numbers(frame[i], table.decimal)
            if bad.any():
                complain(table, roles, first, int(bad.argmax()), i, frame)
            dtypes[c] |= dtype_of(block[:, c], dtype, table.typed)
            decimals[c] = decimals_of(block[:, c], dtype, least=decimals[c])
        rounded = block.astype(np.float32)
        extremes = extremes.joined(block, rounded)
        blocks.append(rounded)
        if roles.id is not None:
            ids.append(codes(frame[roles.id], id_codes))
        if roles.label is not None:
            labels.append(codes(frame[roles.label], label_codes))
        if roles.time is not None:
            times.append(read_times(table, roles, roles.time, frame, first))
        given = np.flatnonzero(frame.notna().any(axis=1).to_numpy())
        end = first + int(given[-1]) + 1 if len(given) else end
        gaps |= bool(frame[len(roles.columns) - 1].isna().any())
        first += len(frame)
    if end == 0:
        raise InputError(
            f"{table.name} has no rows below the column names: add the recording"
        )
    if gaps:
        table.check(end)
    classes, order = sorted_classes(tuple(label_codes))
    body = Body(
        stacked(blocks, end),
        tuple(map(common_dtype, dtypes)),
        extremes,
        tuple(decimals),
        np.concatenate(ids)[:end] if ids else None,
        tuple(id_codes),
        np.concatenate(times)[:end] if times else None,
        order[np.concatenate(labels)[:end]] if labels else None,
        classes,
    )
    check_given(table, roles, body)
    return body


def stacked(blocks: list[np.ndarray], rows: int) -> Float[np.ndarray, "T C"]:
    """The blocks as one array of so many rows; they are freed on the way."""
    values = np.empty((rows, blocks[0].shape[1]), blocks[0].dtype)
    start = 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()[: rows - start]
        values[start : start + len(block)] = block
        start += len(block)
    return values


def dtype_of(numbers: Float[np.ndarray, " T"], dtype: str, typed: bool) -> set[str]:
    """The type of a chunk of a column; none where all is missing.

    A gap makes pandas read whole numbers as floats, unless the file says the type.
    """
    if typed:
        return {dtype}
    given = ~np.isnan(numbers)
    if not given.any():
        return set()
    if dtype == "float64" and not given.all() and (numbers[given] % 1 == 0).all():
        return {"int64"}
    return {dtype}


def decimals_of(numbers: Float[np.ndarray, " T"], dtype: str, *, least: int) -> int:
    """How many decimals, `least` or more, hold all numbers; ANY_DECIMALS if none do."""
    kind = np.dtype(dtype)
    precision = np.finfo(kind if kind.kind == "f" else np.float64).eps
    given = numbers[~np.isnan(numbers)]
    for decimals in range(least, ANY_DECIMALS):
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.abs(given - np.round(given, decimals))
        if (errors <= 8 * precision * np.abs(given)).all():
            return decimals
    return ANY_DECIMALS


def common_dtype(names: set[str]) -> str:
    """One type for all chunks."""
    if len(names) == 1:
        return next(iter(names))
    whole = names and all(np.dtype(name).kind in "iu" for name in names)
    return "int64" if whole else "float64"


def codes(column: Column, known: dict[str, int]) -> Int[np.ndarray, " T"]:
    """0, 1, ... in the order in which values appear; -1: missing. `known` grows."""
    import pandas as pd

    places, values = pd.factorize(column)
    table = np.array([known.setdefault(key(v), len(known)) for v in values] + [-1])
    return table[places]  # -1 picks the last


def key(value: Any) -> str:
    """A value of an id or a label, the same in each chunk: 3 and 3.0 are 3."""
    whole = isinstance(value, float) and value.is_integer()  # numpy's float64 as well
    return str(int(value)) if whole else str(value).strip()


def sorted_classes(names: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names in order, numbers by size; and old code -> index, -1 -> -1."""
    try:
        classes = sorted(names, key=float)
    except ValueError:
        classes = sorted(names)
    return tuple(classes), np.array([*map(classes.index, names), -1], dtype=np.int64)


def indexed(names: Sequence[str]) -> tuple[Int[np.ndarray, " N"], tuple[str, ...]]:
    """(index of each among the classes, these in order)."""
    known = {name: code for code, name in enumerate(dict.fromkeys(names))}
    classes, order = sorted_classes(tuple(known))
    return order[[known[name] for name in names]], classes


def read_times(
    table: Table, roles: Roles, i: int, frame: Frame, first: int
) -> np.ndarray:
    """The time column of a chunk: microseconds, or numbers; missing: the lowest, NaN.

    Raises:
      InputError: a cell that is no time.
    """
    column = frame[i]
    if not roles.time_format:
        whole = column.dtype.kind in "iu" and column.notna().all()
        if whole and column.max() <= np.iinfo(np.int64).max:
            return column.to_numpy(np.int64)  # nanoseconds need all digits
        times, bad, _ = to_numbers(column, table.decimal)
        if bad.any():
            complain(table, roles, first, int(bad.argmax()), i, frame)
        return times
    times = to_times(column, roles.time_format)
    bad = times == NOT_A_TIME
    if bad.any():
        texts = np.array([text.lower() in MISSING for text in to_texts(column)])
        if (bad := bad & ~texts).any():
            row = int(bad.argmax())
            shown = roles.time_format if column.dtype.kind != "M" else "a time"
            raise InputError(
                f"{cell_place(table, roles, first + row, i)}: "
                f"{cell_text(table, first, row, i, frame)!r} is no time like those "
                f"above ({shown}): correct it, or {ISNT_TIME}"
            )
    return times


def check_given(table: Table, roles: Roles, body: Body) -> None:
    """Raises InputError where an id, a time or a label is missing."""
    for index, column, missing in (
        (roles.id, body.ids, -1),
        (roles.time, body.times, NOT_A_TIME),
        (roles.label, body.labels, -1),
    ):
        if column is None or index is None:
            continue
        bad = np.isnan(column) if column.dtype.kind == "f" else column == missing
        if bad.any():
            where = cell_place(table, roles, int(bad.argmax()), index)
            other = f", or {ISNT_TIME}" if index == roles.time else ""
            raise InputError(f"{where}: the value is missing; fill it in{other}")


def complain(
    table: Table, roles: Roles, first: int, row: int, i: int, frame: Frame
) -> None:
    """Raises InputError on a cell that is no number; `first`: of its chunk."""
    text = cell_text(table, first, row, i, frame)
    mend = mend_of(text.strip(), table.decimal)
    if first + row == 0 and not LIKE_A_NUMBER.fullmatch(text.strip()):
        mend += ", or remove the line if it holds units"
    raise InputError(f"{cell_place(table, roles, first + row, i)}: {text!r} {mend}")


def mend_of(text: str, decimal: str) -> str:
    """What is wrong with a cell that is no number, and what to do."""
    if not np.isnan(from_texts([text], decimal)[0][0]):
        return "is not finite in float32; correct it, or leave it empty"
    others = "name the columns to use in --config.data.channels"
    if FRACTION.fullmatch(text) and not EITHER.fullmatch(text):
        meant = re.sub("[.,]", decimal, text)
        return (
            f"is not a number; write it as {meant}, with one decimal mark throughout, "
            f"or {others}"
        )
    if LIKE_A_NUMBER.fullmatch(text):
        return (
            "is not a number; write it without thousands separators or signs, as "
            f"1234{decimal}5"
        )
    return f"is not a number; correct it, leave it empty if it is missing, or {others}"


def cell_place(table: Table, roles: Roles, index: int, i: int) -> str:
    """File, line and column of a cell."""
    return f"{table.name}, {table.place(index)}, column {roles.columns[i]!r}"


def cell_text(table: Table, first: int, row: int, i: int, frame: Frame) -> str:
    """What stands in a cell of the chunk `frame`, which starts at row `first`."""
    if table.text is not None:
        return table.text(first + row, i)
    return str(frame[i].iloc[row])
