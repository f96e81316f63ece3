"""The time column of samples: it goes on by the calendar of the user's file."""

import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from l2d_jax.types import BUSINESS_DAY, STAMP, Form


class TimeIndex(NamedTuple):
    """The time column of a sample, the same for all; without one, 0, 1, ..."""

    form: Form

    @property
    def typed(self) -> bool:
        """Numbers and times in parquet, rather than text as in the user's file."""
        form = self.form
        stamps = form.time_format[: len(STAMP)] == STAMP
        return form.suffix != ".parquet" or stamps or not form.time_format

    @property
    def zone(self) -> str:
        """As parquet has it: "UTC", "+05:30"; "": times without one."""
        if not self.form.time_format.endswith(("z", "Z")):
            return ""
        hours, minutes = divmod(abs(self.form.minutes_from_utc), 60)
        sign = "-" if self.form.time_zone.startswith("-") else "+"
        return f"{sign}{hours:02}:{minutes:02}" if hours or minutes else "UTC"

    def values(self, length: int) -> np.ndarray:
        """Whole numbers, floats or datetime64[us], [length]."""
        form, steps = self.form, np.arange(length)
        if not form.time_column:
            return steps
        if not form.time_format:
            times = number(form.time_start) + steps * number(form.time_step)
            digits = [float(f"{time:.15g}") for time in times.tolist()]
            return times if times.dtype.kind == "i" else np.array(digits)
        start = np.datetime64(form.time_start, "us")
        clock = start - start.astype("datetime64[D]")
        if form.time_step == BUSINESS_DAY:
            return np.busday_offset(start.astype("datetime64[D]"), steps) + clock
        if months := re.fullmatch(r"P(\d+)M(-1D)?", form.time_step):
            return month_days(start, steps * int(months[1]), bool(months[2])) + clock
        return start + steps * duration(form.time_step)

    def texts(self, length: int) -> list[str]:
        """As the user's file writes them."""
        form, values = self.form, self.values(length).tolist()
        if form.time_column and form.time_format:
            time_format = form.time_format.replace("%z", form.time_zone or "+0000")
            return [v.strftime(time_format) for v in values]
        texts = [str(v) if isinstance(v, int) else f"{v:.15g}" for v in values]
        return [text.replace(".", form.decimal) for text in texts]

    def cells(self, length: int) -> np.ndarray:
        """Values; texts or whole numbers where the user's parquet file has such."""
        form = self.form
        if self.typed and self.zone:
            return self.values(length) - np.timedelta64(form.minutes_from_utc, "m")
        if self.typed:
            return self.values(length)
        texts = np.array(self.texts(length), dtype=object)
        return texts.astype(form.time_dtype) if form.time_dtype else texts


def number(text: str) -> int | float:
    """A whole number if it is written as one."""
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def month_days(
    start: np.datetime64, months: Int[np.ndarray, " L"], at_end: bool
) -> np.ndarray:
    """The day of `start` so many months later, or the last day where there is none."""
    month = start.astype("datetime64[M]")
    firsts = month + months.astype("timedelta64[M]")
    following = firsts + np.timedelta64(1, "M")
    last = following.astype("datetime64[D]") - np.timedelta64(1, "D")
    if at_end:
        return last
    day = start.astype("datetime64[D]") - month.astype("datetime64[D]")
    return np.minimum(firsts.astype("datetime64[D]") + day, last)


def duration(iso: str) -> np.timedelta64:
    """Of P1DT2H3M4.5S, days at most."""
    import pandas as pd

    return pd.Timedelta(iso).to_timedelta64().astype("timedelta64[us]")
