"""From a table to series: every cell is read, chunk by chunk, into one float32 array.

Without an id column a table is one recording. With one, it is a series for each id:
its rows need not be adjacent, and stand in the order of the time column if there is
one, else in that of the file. Only one chunk is ever held as anything but numbers.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.data.own.columns import (
    LIKE_A_NUMBER,
    MISSING,
    NOT_A_TIME,
    Column,
    from_texts,
    to_numbers,
    to_texts,
    to_times,
)
from l2d_jax.data.own.roles import Asked, Frame, Roles, Table, find_roles, listed
from l2d_jax.types import Collection, Form, InputError

CHUNK = 200_000  # rows that are held as pandas gives them
LEVELS = 1_000  # float32 must tell apart this many levels of a channel's range


def read_table(table: Table, asked: Asked) -> Collection:
    """The series of a table, float32, in the table's units.

    Raises:
      InputError: names or roles that can't be, no channel, no rows, a cell that can't
        be used, times that are out of order or stand there twice.
    """
    chunks = table.chunks()
    head = next(chunks, None)
    if head is None or not len(head):
        raise InputError(
            f"{table.name} has no rows below the column names: add the recording"
        )
    roles = find_roles(table, head, asked)
    body = read_body(table, roles, chain([head], chunks))
    del head
    body, roles = without_constants(table, roles, body, asked)
    check_resolution(
        body.lows, body.highs, body.errors, channel_names(roles), table.name
    )
    return to_collection(table, roles, body)


# --- all rows -------------------------------------------------------------------------


class Body(NamedTuple):
    """A whole table, as numbers. Rows that are empty at its end are gone."""

    values: Float[np.ndarray, "T C"]  # float32
    dtypes: tuple[str, ...]
    lows: Float[np.ndarray, " C"]  # as the file has them, in float64
    highs: Float[np.ndarray, " C"]
    errors: Float[np.ndarray, " C"]  # the largest that float32 makes
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
    lows, highs = np.full(count, np.inf), np.full(count, -np.inf)
    errors = np.zeros(count)
    id_codes: dict[str, int] = {}
    label_codes: dict[str, int] = {}
    first = end = 0  # of the chunk; after the last row that holds anything
    gaps = False  # in the last column: a row may be too short
    for frame in chunks:
        block = np.empty((len(frame), count))
        for c, i in enumerate(roles.channels):
            block[:, c], bad, dtype = to_numbers(frame[i], table.decimal)
            if bad.any():
                complain(table, roles, first + int(bad.argmax()), i, frame)
            dtypes[c] |= dtype_of(block[:, c], dtype, table.typed)
        rounded = block.astype(np.float32)
        lows = np.fmin(lows, np.fmin.reduce(block, axis=0))
        highs = np.fmax(highs, np.fmax.reduce(block, axis=0))
        errors = np.fmax(errors, np.fmax.reduce(np.abs(block - rounded), axis=0))
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
        lows,
        highs,
        errors,
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


def read_times(
    table: Table, roles: Roles, i: int, frame: Frame, first: int
) -> np.ndarray:
    """The time column of a chunk: microseconds, or numbers; missing: the lowest, NaN.

    Raises:
      InputError: a cell that is no time.
    """
    column = frame[i]
    if not roles.time_format:
        times, bad, _ = to_numbers(column, table.decimal)
        if bad.any():
            complain(table, roles, first + int(bad.argmax()), i, frame)
        return times
    times = to_times(column, roles.time_format)
    bad = times == NOT_A_TIME
    if bad.any():
        texts = np.array([text.lower() in MISSING for text in to_texts(column)])
        if (bad := bad & ~texts).any():
            index = first + int(bad.argmax())
            shown = roles.time_format if column.dtype.kind != "M" else "a time"
            raise InputError(
                f"{cell_place(table, roles, index, i)}: "
                f"{cell_text(table, index, i, frame)!r} is no time like those "
                f"above ({shown}): correct it"
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
            raise InputError(f"{where}: the value is missing; fill it in")


def complain(table: Table, roles: Roles, index: int, i: int, frame: Frame) -> None:
    """Raises InputError on a cell that is no number."""
    text = cell_text(table, index, i, frame)
    where, mend = cell_place(table, roles, index, i), "correct it"
    number = from_texts([text.strip()], table.decimal)[0][0]
    if not np.isnan(number):
        mend = "is not finite in float32; correct it, or leave it empty"
    elif LIKE_A_NUMBER.fullmatch(text.strip()):
        mend = (
            "is not a number; write it without thousands separators or signs, as 1234.5"
        )
        if table.separator != "," or table.decimal == ",":
            mend = mend.replace(".5", f"{table.decimal}5")
    else:
        mend = (
            "is not a number; correct it, or name the columns to use in "
            "--config.data.channels"
        )
    raise InputError(f"{where}: {text!r} {mend}")


def cell_place(table: Table, roles: Roles, index: int, i: int) -> str:
    """File, line and column of a cell."""
    return f"{table.name}, {table.place(index)}, column {roles.columns[i]!r}"


def cell_text(table: Table, index: int, i: int, frame: Frame) -> str:
    """What stands in a cell of the chunk `frame`."""
    if table.text is not None:
        return table.text(index, i)
    return str(frame[i].iloc[index % CHUNK])


# --- checks of channels ---------------------------------------------------------------


def channel_names(roles: Roles) -> tuple[str, ...]:
    """In their order."""
    return tuple(roles.columns[i] for i in roles.channels)


def without_constants(
    table: Table, roles: Roles, body: Body, asked: Asked
) -> tuple[Body, Roles]:
    """Leaves out channels that have one value, with a note.

    Raises:
      InputError: such a channel was asked for by name, or none is left.
    """
    constant = body.lows == body.highs
    if not constant.any():
        return body, roles
    names = [n for n, c in zip(channel_names(roles), constant, strict=True) if c]
    if asked.channels or constant.all():
        value = body.lows[constant.argmax()]
        raise InputError(
            f"{table.name}, column {names[0]!r} is {value:g} in every row, and a "
            "constant can't be scaled: "
            + ("add a column that varies" if constant.all() else "leave the column out")
        )
    kept = np.flatnonzero(~constant)
    body = body._replace(
        values=body.values[:, kept],
        dtypes=tuple(body.dtypes[c] for c in kept),
        lows=body.lows[kept],
        highs=body.highs[kept],
        errors=body.errors[kept],
    )
    note = f"left out {listed(names)}: the same value in every row"
    return body, roles._replace(
        channels=tuple(roles.channels[c] for c in kept), notes=(*roles.notes, note)
    )


def check_resolution(
    lows: Float[np.ndarray, " C"],
    highs: Float[np.ndarray, " C"],
    errors: Float[np.ndarray, " C"],
    names: tuple[str, ...],
    where: str,
) -> None:
    """Raises InputError where float32 can't tell a channel's levels apart.

    Args:
      lows, highs: of each channel, in float64.
      errors: the largest |x - float32(x)| of each.
    """
    for name, low, high, error in zip(names, lows, highs, errors, strict=True):
        if error > (high - low) / LEVELS:
            raise InputError(
                f"{where}, column {name!r} varies by {high - low:g} around "
                f"{(low + high) / 2:g}, too little for float32: subtract a constant"
            )


# --- series ---------------------------------------------------------------------------


def to_collection(table: Table, roles: Roles, body: Body) -> Collection:
    """The rows as series, in the order in which their ids appear.

    Raises:
      InputError: times out of order or twice; labels that differ within a series.
    """
    notes = list(roles.notes)
    order, bounds = None, np.array([], int)
    if body.ids is not None:
        keys = (body.ids,) if body.times is None else (body.times, body.ids)
        order = np.lexsort(keys)  # stable: else as in the file
        bounds = np.flatnonzero(np.diff(body.ids[order])) + 1
        if (np.diff(order) == 1).all():
            order = None
    form = Form(
        suffix=table.suffix,
        dtypes=body.dtypes,
        columns=form_columns(roles),
        id_column="" if roles.id is None else roles.columns[roles.id],
        separator=table.separator,
        decimal=table.decimal,
    )
    if body.times is not None:
        times = body.times if order is None else body.times[order]
        check_order(table, roles, times, order, bounds)
        form, more = with_clock(form, roles, times, bounds)
        notes += more
    values = body.values if order is None else body.values[order]
    labels = None
    if body.labels is not None:
        labels = labels_of(table, roles, body, order, bounds)
    return Collection(
        table.name,
        np.split(values, bounds) if len(bounds) else [values],
        channel_names(roles),
        labels,
        body.classes,
        form=form,
        notes=tuple(notes),
    )


def form_columns(roles: Roles) -> tuple[str, ...]:
    """Id, time and channels, in the order of the file."""
    kept = {*roles.channels, roles.id, roles.time}
    return tuple(name for i, name in enumerate(roles.columns) if i in kept)


def check_order(
    table: Table,
    roles: Roles,
    times: np.ndarray,
    order: Int[np.ndarray, " T"] | None,
    bounds: Int[np.ndarray, " edges"],
) -> None:
    """Raises InputError at the first time that isn't later than the one before."""
    late = times[1:] > times[:-1]
    late[bounds - 1] = True
    if late.all():
        return
    assert roles.time is not None
    i = int(late.argmin()) + 1
    here, above = (i, i - 1) if order is None else (int(order[i]), int(order[i - 1]))
    where = cell_place(table, roles, here, roles.time)
    if times[i] == times[i - 1]:
        raise InputError(
            f"{where}: the same time as in {table.place(above)}; remove one of the "
            "rows, or name the column that tells series apart in "
            "--config.data.id_column"
        )
    raise InputError(f"{where}: earlier than the row above; sort the rows by time")


def with_clock(
    form: Form,
    roles: Roles,
    times: np.ndarray,
    bounds: Int[np.ndarray, " edges"],
) -> tuple[Form, list[str]]:
    """The form with start, step and format of the time column; notes on the spacing."""
    import pandas as pd

    assert roles.time is not None
    name, time_format = roles.columns[roles.time], roles.time_format
    steps = np.diff(times)
    steps = np.delete(steps, bounds - 1) if len(bounds) else steps
    form = form._replace(time_column=name)
    if not time_format:
        step = float(np.median(steps)) if len(steps) else 1.0
        even = np.allclose(steps, step, rtol=1e-3)
        form = form._replace(time_start=plain(times[0]), time_step=plain(step))
        shown = f"{step:g}"
    else:
        step = int(np.median(steps)) if len(steps) else 86_400_000_000
        even = bool((steps == step).all())
        shown = str(pd.Timedelta(step, unit="us"))
        iso = pd.Timedelta(step, unit="us").isoformat()
        if not even and (months := whole_months(times, bounds)):
            even, iso = True, f"P{months}M"
        start = times[:1].astype("datetime64[us]")[0]
        if time_format.endswith("%S") and (times % 1_000_000 != 0).any():
            time_format += ".%f"
        form = form._replace(
            time_start=str(start), time_step=iso, time_format=time_format
        )
    if even:
        return form, []
    return form, [
        f"column {name!r} is unevenly spaced, and is not modelled: samples get its "
        f"median step, {shown}"
    ]


def plain(number: float) -> str:
    """3 rather than 3.0."""
    return str(int(number)) if number == int(number) else repr(float(number))


def whole_months(times: np.ndarray, bounds: Int[np.ndarray, " edges"]) -> int:
    """The step in months if days and clock are all the same; else 0."""
    stamps = times.astype("datetime64[us]")
    months = stamps.astype("datetime64[M]")
    steps = np.diff(months.astype(np.int64))
    steps = np.delete(steps, bounds - 1) if len(bounds) else steps
    rest = stamps - months.astype("datetime64[us]")
    same = len(steps) and (rest == rest[0]).all() and (steps == steps[0]).all()
    return int(steps[0]) if same else 0


def labels_of(
    table: Table,
    roles: Roles,
    body: Body,
    order: Int[np.ndarray, " T"] | None,
    bounds: Int[np.ndarray, " edges"],
) -> Int[np.ndarray, " N"]:
    """The class index of each series. Raises InputError where it changes within one."""
    assert body.labels is not None and body.ids is not None and roles.label is not None
    rows = np.arange(len(body.labels)) if order is None else order
    starts = np.r_[0, bounds]
    labels = body.labels[rows]
    firsts = np.repeat(labels[starts], np.diff(np.r_[starts, len(rows)]))
    if (labels != firsts).any():
        i = int((labels != firsts).argmax())
        where = cell_place(table, roles, int(rows[i]), roles.label)
        one = body.id_names[body.ids[rows[i]]]
        raise InputError(
            f"{where}: {body.classes[labels[i]]!r}, but series {one!r} began with "
            f"{body.classes[firsts[i]]!r}: give one label to a series"
        )
    return labels[starts]
