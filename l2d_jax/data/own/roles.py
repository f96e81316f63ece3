"""Which column of a table is what: as the user says, else by names and first rows."""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from l2d_jax.data.own.columns import (
    NOT_A_TIME,
    counts_rows,
    format_of,
    has_fractions,
    kind_of,
    steps_within,
    to_numbers,
    to_times,
    zone_of,
)
from l2d_jax.errors import did_you_mean
from l2d_jax.types import STAMP, InputError

Frame: TypeAlias = Any  # a pandas DataFrame, whose columns are called 0, 1, ...

TIME_NAMES = ("date", "time", "timestamp", "datetime", "ds")
TIME_WORDS = "date|datum|time|stamp|^when$|^ds$"
NAMES_TIME = re.compile(TIME_WORDS)  # within a name
SAYS_TIME = re.compile(f"{TIME_WORDS}|day|when")  # of dates: as text it may be holidays
# Names of columns that count rows, and of numbers that count time.
COUNTS_ROWS = re.compile(
    r"(unnamed: \d+|index|idx|id|#|no\.?|nr\.?|n|row|rows|row[_ ]?(id|no|nr|number)"
    r"|steps?|time_?idx|frame)"
)
COUNTS_TIME = re.compile(f"{TIME_WORDS}|second|unix|epoch|elapsed|^(ts|sec|year)$")
MOSTLY = 0.9  # of the steps of a clock are equal
NO_TIME = "none"  # asked for as the time column: there is none
ISNT_TIME = f"set --config.data.time_column={NO_TIME} if the column isn't the time"
LISTS = "lists; give each step a row, in pandas by frame.explode(columns)"
ID_NAMES = ("id", "series", "subject", "sample")  # and whatever ends in _id
LABEL_NAMES = ("label", "class", "target", "y")
MIN_ROWS = 10  # to tell what a column does along them
MAX_CLASSES = 100  # of a label column that is recognised
LONGEST = 60  # characters of a name, in a message
MEANING = {"id": "the id of a series", "time": "time", "label": "labels"}


class Asked(NamedTuple):
    """What the user says of the columns; empty: recognised."""

    channels: tuple[str, ...] = ()  # in the order wanted
    id_column: str = ""
    time_column: str = ""  # NO_TIME: the table has none
    label_column: str = ""
    constants: tuple[str, ...] = ()  # channels that may have one value alone

    @property
    def roles(self) -> dict[str, str]:
        """Role -> name of the column."""
        return {
            "id": self.id_column,
            "time": self.time_column,
            "label": self.label_column,
        }


class Table(NamedTuple):
    """Rows of columns, that can be had in chunks."""

    name: str  # how errors call it
    suffix: str
    columns: tuple[str, ...]  # "": has no name
    # At most CHUNK rows each, in order:
    chunks: Callable[[tuple[int, ...]], Iterator[Frame]]
    place: Callable[[int], str]  # row -> where the user finds it: "line 7"
    text: Callable[[int, int], str] | None = None  # a cell as the file has it
    check: Callable[[int], None] = lambda rows: None  # of the first so many rows
    typed: bool = True  # else chunks gives the columns it is called with as text
    separator: str = ","
    decimal: str = "."
    notes: tuple[str, ...] = ()


class Roles(NamedTuple):
    """Which column is what, by position."""

    channels: tuple[int, ...]
    columns: tuple[str, ...]  # all names; a time column without one got one
    id: int | None = None
    time: int | None = None
    label: int | None = None
    time_format: str = ""  # "": time is a number
    time_zone: str = ""  # an offset from UTC, "+05:30"
    time_dtype: str = ""  # of whole numbers that are dates, in a table with types
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[int, ...]:
        """Ids and labels: names, whatever they look like."""
        return tuple(i for i in (self.id, self.label) if i is not None)


def asked_of(config: ConfigDict) -> Asked:
    """The fields of `config.data` that speak of columns; channels joined by commas."""
    names = config.get("channels", "").split(",")
    return Asked(
        channels=tuple(name.strip() for name in names if name.strip()),
        id_column=config.get("id_column", ""),
        time_column=config.get("time_column", ""),
        label_column=config.get("label_column", ""),
        constants=tuple(config.get("constants", ())),
    )


def find_roles(table: Table, head: Frame, asked: Asked) -> Roles:
    """What each column is: as asked, else recognised by its name and first rows.

    Raises:
      InputError: a column that is asked for isn't there, or twice; no channel is left.
    """
    kinds = [kind_of(head[i], table.decimal) for i in range(len(table.columns))]
    columns = named(table, head, kinds)
    channels, found = asked_for(asked, columns, kinds, table.name)
    notes, taken = [*table.notes], [*channels, *found.values()]
    free = [i for i in range(len(columns)) if i not in taken]
    if lists := [columns[i] for i in free if kinds[i] == "list"]:
        notes.append(f"left out {listed(lists)}: {LISTS}")
        free = [i for i in free if kinds[i] != "list"]
    if "id" not in found:
        found |= recognised("id", find_id(columns, head, kinds, free), columns, notes)
    free = [i for i in free if i not in found.values()]
    if not asked.time_column:
        if loose := unordered(columns, head, kinds, free, found.get("id")):
            free = [i for i in free if i not in loose]
            names = listed([columns[i] for i in loose])
            notes.append(
                f"left out {names}: dates that are not in order; if they are the time, "
                "sort the rows and name the column in --config.data.time_column"
            )
        time = find_time(columns, head, kinds, free, found.get("id"))
        found |= recognised("time", time, columns, notes)
    free = [i for i in free if i not in found.values()]
    if "label" not in found and "id" in found:
        label = find_label(columns, head, kinds, free, found["id"])
        found |= recognised("label", label, columns, notes)
    if "label" in found and "id" not in found:
        name = columns[found.pop("label")]
        notes.append(
            f"left out column {name!r}: labels belong to whole series; if there are "
            "several, name the column of their ids in --config.data.id_column"
        )
    if not channels:
        free = [i for i in free if i not in found.values()]
        channels = numeric_channels(columns, head, kinds, free, found, notes)
        if not channels:
            raise InputError(f"{table.name} {no_channel(columns, kinds, found)}")
    roles = Roles(
        channels=tuple(channels),
        columns=columns,
        id=found.get("id"),
        time=found.get("time"),
        label=found.get("label"),
    )
    if roles.time is not None:
        roles = with_form_of_times(roles, table, head, kinds[roles.time], notes)
    return roles._replace(notes=tuple(notes))


def asked_for(
    asked: Asked, columns: tuple[str, ...], kinds: list[str], where: str
) -> tuple[list[int], dict[str, int]]:
    """The columns that the user names: channels, and by role."""
    roles = {
        role: position(name, f"{role}_column", columns, where)
        for role, name in asked.roles.items()
        if name and (role, name) != ("time", NO_TIME)
    }
    for role, i in roles.items():
        if kinds[i] == "list":
            raise InputError(
                f"{where}: column {columns[i]!r}, --config.data.{role}_column, holds "
                f"{LISTS}"
            )
    channels = [position(name, "channels", columns, where) for name in asked.channels]
    taken = [*channels, *roles.values()]
    for i in taken:
        if taken.count(i) > 1:
            raise InputError(
                f"{where}: column {columns[i]!r} is asked for twice: name it once in "
                "--config.data.channels, id_column, time_column and label_column"
            )
    return channels, roles


def with_form_of_times(
    roles: Roles, table: Table, head: Frame, kind: str, notes: list[str]
) -> Roles:
    """The roles with format, zone and type of the time column, whose `kind` is known.

    Adds to the notes what of these isn't plain.
    """
    assert roles.time is not None
    name, column = roles.columns[roles.time], head[roles.time]
    time_format = format_of(column, id_codes(head, roles.id)) or ""
    if kind == "text":
        time_format = time_format or STAMP  # the first bad cell will be named
    time_zone, other = zone_of(column, time_format)
    if other:
        notes.append(
            f"column {name!r} has times in {other}: samples get theirs in "
            f"{time_zone or 'UTC'}"
        )
    time_dtype = ""
    if table.typed and time_format and column.dtype.kind in "iu":
        time_dtype = to_numbers(column, table.decimal)[2]
    if time_format.startswith(("%m", "%d")):
        notes.append(f"read the times of column {name!r} as {time_format}")
    return roles._replace(
        time_format=time_format, time_zone=time_zone, time_dtype=time_dtype
    )


def named(table: Table, head: Frame, kinds: list[str]) -> tuple[str, ...]:
    """The names; a column of times that has none is called time, or time_1, ..."""
    columns = list(table.columns)
    for i, name in enumerate(columns):
        if not name and kinds[i] == "time":
            free = chain(["time"], (f"time_{k}" for k in range(1, len(columns) + 1)))
            columns[i] = next(one for one in free if one not in columns)
        elif not name and not table.typed and not counts_rows(head[i]):
            raise InputError(
                f"{table.name}, column {i + 1} has no name: name it, or remove it if "
                "it only counts the rows"
            )
    return tuple(columns)


def position(name: str, field: str, columns: tuple[str, ...], where: str) -> int:
    """The place of a column that the user names."""
    if name in columns:
        return columns.index(name)
    hint = did_you_mean(name, columns) or f"it has {listed(columns)}"
    raise InputError(f"{where} has no column {name!r}, --config.data.{field}: {hint}")


def listed(names: tuple[str, ...] | list[str]) -> str:
    """The first names, quoted."""
    shown = ", ".join(
        repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}...")
        for name in names[:8]
    )
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown


def recognised(
    role: str, index: int | None, columns: tuple[str, ...], notes: list[str]
) -> dict[str, int]:
    """The role as an entry, and a note of it, if there is one."""
    if index is None:
        return {}
    notes.append(
        f"read column {columns[index]!r} as {MEANING[role]}: "
        f"--config.data.{role}_column"
    )
    return {role: index}


def find_id(columns, head: Frame, kinds: list[str], free: list[int]) -> int | None:
    """The first column with the name of an id that repeats its values."""
    for i in free:
        name = columns[i].lower()
        if (name in ID_NAMES or name.endswith("_id")) and head[i].duplicated().any():
            if kinds[i] != "time" and not has_fractions(head[i]):
                if not is_code(head, i, kinds):
                    return i
    return None


def is_code(head: Frame, i: int, kinds: list[str]) -> bool:
    """True for what comes and goes along one time: the state of a recording, no id."""
    import pandas as pd

    if len(head) < MIN_ROWS:
        return False
    codes = pd.factorize(head[i])[0]  # of any type, where missing is one value
    if 1 + np.count_nonzero(np.diff(codes)) == len(np.unique(codes)):  # blocks of rows
        return False
    for j in range(len(kinds)):
        if kinds[j] == "time":
            times = to_times(head[j], format_of(head[j]) or STAMP)
            if (times > NOT_A_TIME).all() and (np.diff(times) > 0).all():
                return True
    return False


def find_time(
    columns, head: Frame, kinds: list[str], free: list[int], ids: int | None
) -> int | None:
    """The first column of dates, or of numbers with the name of a time."""
    for i in free:
        name = columns[i].lower()
        by_name = kinds[i] == "number" and (
            name in TIME_NAMES
            or (COUNTS_TIME.search(name) is not None and ticks(head, i, ids))
            or (SAYS_TIME.search(name) is not None and format_of(head[i]) is not None)
        )
        # "t" is also what a temperature is called.
        by_name = by_name or (columns[i] == "t" and counts(head, i, ids))
        if kinds[i] == "time" or by_name:
            return i
    return None


def unordered(
    columns, head: Frame, kinds: list[str], free: list[int], ids: int | None
) -> list[int]:
    """Columns of dates that go up and down, without a name that speaks of time.

    With ids none: rows are sorted within each. What seldom goes back is a time with a
    fault, or that of several series.
    """
    found = []
    for i in free if ids is None else ():
        if kinds[i] != "time" or SAYS_TIME.search(columns[i].lower()):
            continue
        times = to_times(head[i], format_of(head[i]) or STAMP)
        steps = steps_within(times[times > NOT_A_TIME], None)
        if 4 * min((steps > 0).sum(), (steps < 0).sum()) >= max(1, len(steps)):
            found.append(i)
    return found


def id_codes(head: Frame, ids: int | None) -> Int[np.ndarray, " T"] | None:
    """A number for the id of each row, -1 where it is missing; None without ids."""
    import pandas as pd

    return None if ids is None else pd.factorize(head[ids])[0].astype(np.int64)


def find_label(
    columns, head: Frame, kinds: list[str], free: list[int], ids: int
) -> int | None:
    """The first column with the name of a label that is constant within each series."""
    for i in free:
        if columns[i].lower() not in LABEL_NAMES or has_fractions(head[i]):
            continue
        if head[i].nunique() <= MAX_CLASSES and kinds[i] != "time":
            if head.groupby(ids)[i].nunique(dropna=False).max() == 1:
                return i
    return None


def counts(head: Frame, i: int, ids: int | None) -> bool:
    """True for 0, 1, 2, ... or 1, 2, 3, ... within each series."""
    if head[i].dtype.kind not in "iu":
        return False
    if ids is None:
        return counts_rows(head[i])
    nth = head.groupby(ids).cumcount()
    return bool((head[i] - nth).isin((0, 1)).all())


def ticks(head: Frame, i: int, ids: int | None) -> bool:
    """True for numbers that rise within each series, mostly by the same step."""
    if head[i].dtype.kind not in "iuf" or len(head) < MIN_ROWS:
        return False
    steps = head[i].diff() if ids is None else head.groupby(ids)[i].diff()
    steps = steps.dropna().to_numpy(np.float64)
    if not len(steps) or not (steps > 0).all():
        return False
    equal = np.isclose(steps, np.median(steps), rtol=0.01, atol=0)
    return bool(equal.mean() >= MOSTLY)


def numeric_channels(
    columns,
    head: Frame,
    kinds: list[str],
    free: list[int],
    found: dict[str, int],
    notes: list[str],
) -> list[int]:
    """The free columns that hold numbers; notes say what is left out, and why."""
    channels, texts, ids = [], [], found.get("id")
    for i in free:
        name = columns[i].lower()
        if kinds[i] == "text" and NAMES_TIME.search(name) and "time" not in found:
            notes.append(
                f"left out {columns[i]!r}: its times can't be read; rows are taken in "
                "the order of the file"
            )
        elif kinds[i] != "number":
            texts.append(columns[i] or "(without a name)")
        elif not name:
            notes.append(
                "left out a column without a name: it counts the rows"
                if counts_rows(head[i])
                else "left out the index, which has no name: name it to use it"
            )
        elif COUNTS_ROWS.fullmatch(name) and (
            counts_rows(head[i]) or counts(head, i, ids)
        ):
            notes.append(f"left out column {columns[i]!r}: it counts the rows")
        else:
            channels.append(i)
    if texts:
        notes.append(f"left out {listed(texts)}: not numbers")
    return channels


def no_channel(
    columns: tuple[str, ...], kinds: list[str], found: dict[str, int]
) -> str:
    """Says that no channel is left, and why: what numbers were taken for, or none."""
    if "list" in kinds:
        return (
            f"has no column of numbers: {columns[kinds.index('list')]!r} holds {LISTS}"
        )
    if any(kinds[i] == "number" for i in found.values()):
        read = ", ".join(f"{columns[i]!r} as {MEANING[r]}" for r, i in found.items())
        return (
            f"has no column left for a channel (read {read}): name the channels in "
            "--config.data.channels"
        )
    return (
        f"has no numeric column for a channel (columns: {listed(columns)}): name the "
        "columns in its first line, a number in each cell below, separated by commas, "
        "semicolons, tabs or |, not by spaces"
    )


def check_names(names: tuple[str, ...], where: str | Path) -> tuple[str, ...]:
    """The names, of which none appears twice; only that of an index may be empty."""
    if not names:
        raise InputError(f"{where} has no columns: add a column for each channel")
    for number, name in enumerate(names, start=1):
        if not name and (number > 1 and len(names) > number):
            raise InputError(
                f"{where}, column {number} has no name: name it, or remove it"
            )
        if name in names[: number - 1]:
            again = repr(name) if name else "without a name"
            raise InputError(f"{where}: column {again} appears twice; rename one")
    return names
