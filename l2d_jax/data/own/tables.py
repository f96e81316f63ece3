"""From a table to series, in one float32 array.

Without an id column a table is one recording. With one, it is a series for each id:
its rows need not be adjacent, and stand in the order of the time column if there is
one, else in that of the file.
"""

import re

import numpy as np
from jaxtyping import Int

from l2d_jax.data.own.columns import ISO
from l2d_jax.data.own.roles import (
    ISNT_TIME,
    TIME_NAMES,
    Asked,
    Roles,
    Table,
    find_roles,
    listed,
)
from l2d_jax.data.own.rows import Body, Extremes, cell_place, read_body
from l2d_jax.types import BUSINESS_DAY, Collection, Form, InputError

LEVELS = 1_000  # float32 must tell apart this many levels of a channel's range
HOUR = 3_600_000_000  # microseconds


def read_table(table: Table, asked: Asked) -> Collection:
    """The series of a table, float32, in the table's units.

    Raises:
      InputError: names or roles that can't be, no channel, no rows, a cell that can't
        be used, times that are out of order or stand there twice.
    """
    head = next(table.chunks(()), None)
    if head is None or not len(head):
        raise InputError(
            f"{table.name} has no rows below the column names: add the recording"
        )
    roles = find_roles(table, head, asked)
    del head
    body = read_body(table, roles, table.chunks(roles.texts))
    body, roles = without_constants(table, roles, body, asked)
    check_resolution(body.extremes, channel_names(roles), table.name)
    return to_collection(table, roles, body)


# --- checks of channels ---------------------------------------------------------------


def channel_names(roles: Roles) -> tuple[str, ...]:
    """In their order."""
    return tuple(roles.columns[i] for i in roles.channels)


def without_constants(
    table: Table, roles: Roles, body: Body, asked: Asked
) -> tuple[Body, Roles]:
    """Leaves out channels that have one value or none, with a note.

    Raises:
      InputError: such a channel was asked for by name, or none is left.
    """
    if len(body.values) == 1:
        raise InputError(f"{table.name} has 1 row: add rows")
    names = np.array(channel_names(roles), dtype=object)
    lows, highs, _ = body.extremes
    constant = lows == highs
    varies = (lows < highs) | (constant & np.isin(names, asked.constants))
    constant &= ~varies
    if varies.all():
        return body, roles
    if asked.channels or not varies.any():
        i = int(varies.argmin())
        what = "has no value in any row"
        if constant[i]:
            what = f"is {lows[i]:g} in every row, and a constant can't be scaled"
        mend = "leave the column out" if varies.any() else "add a column that varies"
        raise InputError(f"{table.name}, column {names[i]!r} {what}: {mend}")
    kept = np.flatnonzero(varies)
    body = body._replace(
        values=body.values[:, kept],
        dtypes=tuple(body.dtypes[c] for c in kept),
        decimals=tuple(body.decimals[c] for c in kept),
        extremes=Extremes(*(ends[kept] for ends in body.extremes)),
    )
    notes = [
        f"left out {listed(names[those].tolist())}: {why}"
        for those, why in (
            (constant, "the same value in every row"),
            (~varies & ~constant, "no value in any row"),
        )
        if those.any()
    ]
    return body, roles._replace(
        channels=tuple(roles.channels[c] for c in kept), notes=(*roles.notes, *notes)
    )


def check_resolution(extremes: Extremes, names: tuple[str, ...], where: str) -> None:
    """Raises InputError where float32 can't tell a channel's levels apart.

    Constants and channels without a value pass: they are judged elsewhere.
    """
    for name, low, high, error in zip(names, *extremes, strict=True):
        if low < high and error > (high - low) / LEVELS:
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
        decimals=body.decimals,
        columns=form_columns(roles),
        id_column="" if roles.id is None else roles.columns[roles.id],
        separator=table.separator,
        decimal=table.decimal,
    )
    if body.times is not None:
        times = body.times if order is None else body.times[order]
        check_order(table, roles, times, order, bounds)
        form, more = with_time_index(form, roles, times, bounds)
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
    ways = if_set_back(roles.time_format, int(times[i - 1]), int(times[i]))
    ways += f", or {ISNT_TIME}"
    if times[i] == times[i - 1]:
        mend = (
            "remove one of the rows, or name the column that tells series apart in "
            "--config.data.id_column, or, if a column names what the row is a value "
            f"of, make a column of each such name{ways}"
        )
        if other := second_time(roles):
            mend = f"join {roles.columns[roles.time]!r} and {other!r} into one column"
        what = "microsecond" if roles.time_format.endswith("%f") else "time"
        raise InputError(f"{where}: the same {what} as in {table.place(above)}; {mend}")
    mend = "sort the rows by time"
    if roles.id is None and late.mean() >= 0.5:
        mend = (
            "name the column that tells series apart in --config.data.id_column if "
            f"there are several; if it is one recording, {mend}"
        )
    raise InputError(f"{where}: earlier than the row above; {mend}{ways}")


def if_set_back(time_format: str, above: int, here: int) -> str:
    """The mend where a local time may repeat, in the night of a Sunday; else ""."""
    if "%H" not in time_format and "%I" not in time_format:
        return ""
    days, clock = divmod(here, 24 * HOUR)  # from a Thursday
    night = days % 7 == 3 and clock < 4 * HOUR
    if not night or above - here > HOUR or time_format.endswith(("z", "Z")):
        return ""
    return ", or write them in UTC if the clocks were set back then"


def second_time(roles: Roles) -> str:
    """Another column with the name of a time: a clock beside a date; "": none."""
    others = (name for i, name in enumerate(roles.columns) if i != roles.time)
    return next((name for name in others if name.lower() in TIME_NAMES), "")


def with_time_index(
    form: Form,
    roles: Roles,
    times: np.ndarray,
    bounds: Int[np.ndarray, " edges"],
) -> tuple[Form, list[str]]:
    """The form with start, step and format of the time column; notes on the spacing."""
    import pandas as pd

    assert roles.time is not None
    name, time_format = roles.columns[roles.time], roles.time_format
    steps = within(np.diff(times), bounds)
    form = form._replace(time_column=name, time_zone=roles.time_zone)
    if not time_format:
        step = float(np.median(steps)) if len(steps) else 1.0
        even = np.allclose(steps, step, rtol=1e-3, atol=0)
        if even and len(steps):
            step = float(f"{steps.mean():.12g}")  # 0.1, not 0.10000000000000009
        start = plain(times[0].item())
        form = form._replace(time_start=start, time_step=plain(step))
        shown = f"{step:g}"
    else:
        times = times + form.minutes_from_utc * 60_000_000
        step = int(np.median(steps)) if len(steps) else 86_400_000_000
        even = bool((steps == step).all())
        shown = str(pd.Timedelta(step, unit="us")).removeprefix("0 days ")
        iso = pd.Timedelta(step, unit="us").isoformat()
        if not even:
            stamps = times.astype("datetime64[us]")
            if months := whole_months(stamps, bounds):
                even, iso = True, months
            elif len(gaps := business_days(stamps, bounds)) and np.median(gaps) == 1:
                even, iso, shown = (gaps == 1).all(), BUSINESS_DAY, "one business day"
        start = times[:1].astype("datetime64[us]")[0]
        form = form._replace(
            time_start=str(start),
            time_step=iso,
            time_format=fine_enough(time_format, times),
            time_dtype=roles.time_dtype,
        )
    if even:
        return form, []
    return form, [
        f"column {name!r} is unevenly spaced, and is not modelled: a row is the next "
        f"step, after a gap too; samples get its median step, {shown}"
    ]


def fine_enough(time_format: str, times: np.ndarray) -> str:
    """The format; an ISO one with clock, seconds and fractions if any time has them.

    It is that of the first cell, which may leave out what is 0 there.
    """
    if not ISO.fullmatch(time_format):
        return time_format
    written, zone = re.split(r"((?:Z| ?%z)?$)", time_format, maxsplit=1)[:2]
    if "%H" not in written and (times % (24 * HOUR)).any():
        written += " %H:%M:%S"
    if "%S" not in written and (times % 60_000_000).any():
        written += ":%S"
    if "%f" not in written and (times % 1_000_000).any():
        written += ".%f"
    return written + zone


def plain(number: int | float) -> str:
    """3 rather than 3.0."""
    return str(int(number)) if number == int(number) else repr(float(number))


def whole_months(stamps: np.ndarray, bounds: Int[np.ndarray, " edges"]) -> str:
    """The step where days and clock are all the same, P1M, or each day is the last of
    its month, P1M-1D; else "".
    """
    day = np.timedelta64(1, "D")
    for later, suffix in ((0, ""), (1, "-1D")):
        shifted = stamps + later * day  # the day after a last one is a first one
        months = shifted.astype("datetime64[M]")
        rest = shifted - months.astype("datetime64[us]")
        steps = within(np.diff(months.astype(np.int64)), bounds)
        same = len(steps) and (steps == steps[0]).all() and (rest == rest[0]).all()
        if same and (not later or rest[0] < day):
            return f"P{steps[0]}M{suffix}"
    return ""


def business_days(
    stamps: np.ndarray, bounds: Int[np.ndarray, " edges"]
) -> Int[np.ndarray, " steps"]:
    """Steps in days from Monday to Friday; none where others, or clocks, occur."""
    days = stamps.astype("datetime64[D]")
    clocks = stamps - days
    if not np.is_busday(days).all() or (clocks != clocks[0]).any():
        return np.empty(0, np.int64)
    return within(np.busday_count(days[:-1], days[1:]), bounds)


def within(steps: np.ndarray, bounds: Int[np.ndarray, " edges"]) -> np.ndarray:
    """Without the steps from one series to the next."""
    return np.delete(steps, bounds - 1) if len(bounds) else steps


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
