"""Cells of a table as numbers and times, whatever type pandas gives to their column."""

import contextlib
import functools
import re
from datetime import datetime
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from l2d_jax.types import STAMP

Column: TypeAlias = Any  # a pandas Series

MISSING = ("", "nan", "na", "n/a", "<na>", "null", "none", "nat")
FLOAT32_MAX = float(np.finfo(np.float32).max)
NOT_A_TIME = np.iinfo(np.int64).min
DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%Y.%m.%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y"),
    *("%b %d %Y", "%d %B %Y", "%B %d, %Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
    *("%Y-%m", "%Y%m%d", "%b-%y", "%b-%Y"),
)
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H%M")
ZONES = ("", "Z", "%z", " %z", " UTC")
BEHIND_DATE = ("", *map("".join, product(("T", " ", ", "), CLOCKS, ZONES)))
WORD = r"[^\W\d_]+"
SHAPES = {"%b": WORD, "%B": WORD, "%p": r"\S+", "%z": "[Z+-].*"}
SHAPES |= {"%Y": r"\d{4}", "%f": r"\d+"}  # of what isn't one or two digits
WHOLE = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # digits
ISO = re.compile(r"%Y-%m-%d([T ]%H:%M(:%S(\.%f)?)?(Z| ?%z)?)?")  # of such formats
OFFSET = re.compile(r"[+-]\d\d(:?\d\d)?$")
HOURS = re.compile(r"(:\d\d(\.\d+)?) ?[+-]\d\d$")  # an offset without its minutes
LIKE_A_DATE = re.compile(
    r"\d{1,4}[-/. ](\d|[A-Za-z]{3})|\d{8}"
    r"|[A-Za-z]{3,9} \d\d?,? |[A-Za-z]{3}-\d\d"
)
FRACTION = re.compile(r"[+-]?\d*[.,]\d+([eE][+-]?\d+)?")
EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # a fraction, or thousands apart
LIKE_A_NUMBER = re.compile(
    r"[+-]?\d{1,3}([,.'\u00a0\u202f ]\d{3})+([.,]\d+)?"  # thousands apart
    rf"|{FRACTION.pattern}"  # with the other decimal mark
    r"|[+-]?[\d.,]+ ?%"
)


def kind_of(column: Column, decimal: str) -> str:
    """number, time or text: what at least half of the cells are. Empty: number.

    list: of lists or records, as parquet has them.
    """
    if column.dtype.kind in "biuf":
        return "number"
    if column.dtype.kind == "M":
        return "time"
    if isinstance(next(iter(column.dropna()), None), list | dict | np.ndarray):
        return "list"
    texts = [text for text in to_texts(column) if text.lower() not in MISSING]
    good = ~np.isnan(from_texts(texts, decimal)[0])
    like = [LIKE_A_NUMBER.fullmatch(text) is not None for text in texts]
    if (good | np.array(like, bool)).sum() * 2 >= len(texts):
        return "number"
    return "time" if format_of(column) is not None else "text"


def to_texts(column: Column) -> list[str]:
    """The cells as text without spaces around; "" where the value is missing."""
    missing = column.isna().to_numpy()
    pairs = zip(missing, column.astype(object), strict=True)
    return ["" if is_missing else str(cell).strip() for is_missing, cell in pairs]


def from_texts(
    texts: list[str], decimal: str
) -> tuple[Float[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """The numbers that are written there, NaN elsewhere; and which are missing."""
    import pandas as pd

    lower = [text.lower() for text in texts]
    missing = np.array([text in MISSING for text in lower], bool)
    words = {"true": "1", "false": "0"}
    if decimal == ",":
        lower = [with_point(text) for text in lower]
    cells = np.array([words.get(text, text) for text in lower], dtype=object)
    cells[missing] = "nan"
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan), missing


def with_point(text: str) -> str:
    """A number that may have a decimal comma, as float reads it; "1.5": no number."""
    return "has a point" if "." in text else text.replace(",", ".")


def to_numbers(
    column: Column, decimal: str
) -> tuple[Float[np.ndarray, " T"], Bool[np.ndarray, " T"], str]:
    """(float64, which cells can't be used, the type); NaN where a value is missing."""
    kind = column.dtype.kind
    if kind in "biuf":
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        dtype = np.dtype(getattr(column.dtype, "numpy_dtype", column.dtype)).name
        bad = np.zeros(len(numbers), bool)
    else:
        texts = [] if kind == "M" else to_texts(column)
        numbers, missing = from_texts(texts, decimal)
        if kind == "M":
            numbers = np.full(len(column), np.nan)
            missing = np.zeros(len(column), bool)
        bad, dtype = np.isnan(numbers) & ~missing, "float64"
        words = {text.lower() for text in set(texts)} - set(MISSING)
        if words and words <= {"true", "false"}:
            dtype = "bool"
    bad |= np.abs(numbers) > FLOAT32_MAX  # inf as well; False for NaN
    return numbers, bad, dtype


def format_of(column: Column, ids: Int[np.ndarray, " T"] | None = None) -> str | None:
    """How at least half of the cells write a time, as strftime has it; else None.

    Where day and month could change places, that with rising, best evenly spaced times
    within each id; the month first if this doesn't tell either.
    """
    if column.dtype.kind == "M":
        return STAMP + ("Z" if getattr(column.dtype, "tz", None) else "")
    if column.dtype.kind in "bf":
        return None
    if column.dtype.kind in "iu":
        digits = len(str(column.max()))
        if digits not in WHOLE:
            return None
        power = 10 ** (digits - 8)
        if not column.between(19_000_101 * power, 22_000_100 * power).all():
            return None
        times = to_times(column, WHOLE[digits])
        return WHOLE[digits] if (times > NOT_A_TIME).all() else None
    texts = [text for text in to_texts(column) if text.lower() not in MISSING]
    fits = []
    for time_format in formats(texts[0]) if texts else ():
        times = to_times(column, time_format)
        good = times > NOT_A_TIME
        if 2 * (count := int(good.sum())) >= len(texts):
            steps = steps_within(times[good], None if ids is None else ids[good])
            rising = bool((steps > 0).all())
            even = rising and len(steps) and steps.max() <= 1.2 * steps.min()
            fits.append((count, rising, bool(even), time_format))
    return max(fits, key=lambda fit: fit[:3])[3] if fits else None


def zone_of(column: Column, time_format: str) -> tuple[str, str]:
    """The first offset from UTC, as it is written, and another that follows; else "".

    A zone with a name, whose offset may change, is such another.
    """
    if column.dtype.kind == "M":
        zone = getattr(column.dtype, "tz", None)
        if zone is None or str(zone) == "UTC":
            return "", ""
        offset = zone.utcoffset(None)
        if offset is None:
            return "", str(zone)
        hours, minutes = divmod(abs(offset).seconds // 60, 60)
        return f"{'-' if offset.days < 0 else '+'}{hours:02}:{minutes:02}", ""
    if not time_format.endswith("%z"):
        return "", ""
    zones = [found[0] for text in to_texts(column) if (found := OFFSET.search(text))]
    others = (zone for zone in zones if zone != zones[0])
    return zones[0] if zones else "", next(others, "")


def steps_within(
    times: Int[np.ndarray, " T"], ids: Int[np.ndarray, " T"] | None
) -> Int[np.ndarray, " steps"]:
    """From each time to the next one of the same id, in the order of the rows."""
    if ids is None:
        return np.diff(times)
    order = np.argsort(ids, kind="stable")
    return np.diff(times[order])[np.diff(ids[order]) == 0]


def formats(text: str) -> list[str]:
    """The formats that read a text, of all that are known."""
    if not LIKE_A_DATE.match(text) or len(text) > 40:
        return []
    text = HOURS.sub(r"\g<0>00", text)  # as strptime wants it
    found = []
    for date in DATES:
        if not (start := shape(date).match(text)):
            continue
        for rest in BEHIND_DATE:
            if shape(rest).fullmatch(text, start.end()):
                with contextlib.suppress(ValueError):
                    datetime.strptime(text, date + rest)
                    found.append(date + rest)
    if not found and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{7,9}$", text):
        return [STAMP.replace("T", text[10])]  # nanoseconds
    return found


@functools.cache
def shape(time_format: str) -> re.Pattern[str]:
    """What a text of the format looks like, as other texts may: strptime is slow."""
    pattern = re.escape(time_format).replace("\\ ", r"\s+")
    pattern = re.sub("%[A-Za-z]", lambda part: SHAPES.get(part[0], r"\d\d?"), pattern)
    return re.compile(pattern, re.IGNORECASE)


def to_times(column: Column, time_format: str) -> Int[np.ndarray, " T"]:
    """Microseconds since 1970 in UTC; `NOT_A_TIME` where the cell is none."""
    import pandas as pd

    if column.dtype.kind != "M":
        if column.dtype.kind == "f":  # 20200131 with gaps
            column = column.where(column % 1 == 0).astype("Int64")
        given, texts = column.notna(), column.astype(str).str.strip()
        known = "ISO8601" if ISO.fullmatch(time_format) else time_format
        column = pd.to_datetime(
            texts.where(given), format=known, utc=True, errors="coerce"
        )
    if getattr(column.dtype, "tz", None):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy("datetime64[us]").astype(np.int64)


def has_fractions(column: Column) -> bool:
    """True for floats that aren't whole."""
    if column.dtype.kind != "f":
        return False
    values = column.to_numpy(np.float64, na_value=np.nan)
    return bool((np.isfinite(values) & (values % 1 != 0)).any())


def counts_rows(column: Column) -> bool:
    """True for 0, 1, 2, ... or 1, 2, 3, ..."""
    if column.dtype.kind not in "iu":
        return False
    values = column.to_numpy(np.float64, na_value=np.nan)
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())
