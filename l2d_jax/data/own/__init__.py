"""A user's own series, from a file or from memory: one door for all forms.

.csv .tsv .txt (.gz too)  a table: csv_files.py, rows.py, tables.py
.parquet                  a table: frames.py, rows.py, tables.py
.npy .npz                 arrays: arrays.py
.ts                       the text files of the UEA archive: public/parsers.py

Nothing is skipped in silence: what was recognised or left out is a line in the notes,
and what can't be used is an InputError that names the file, the place and the mend.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from l2d_jax.data.own.arrays import (
    channels_of,
    check_not_asked,
    check_values,
    from_user,
    read_npy,
    read_npz,
)
from l2d_jax.data.own.csv_files import read_csv
from l2d_jax.data.own.frames import read_frame, read_parquet
from l2d_jax.data.own.roles import Asked, asked_of
from l2d_jax.data.own.rows import indexed
from l2d_jax.files import with_home
from l2d_jax.types import Collection, Form, InputError


def read_file(config: ConfigDict) -> Collection:
    """The series of the file `config.path`, whole, in its units.

    Args:
      config: `config.data`: path; channels (names joined by commas, in the order
        wanted; "": all that are numbers); id_column, time_column, label_column ("":
        recognised; time_column "none": there is none).

    Raises:
      InputError: no such file, a form that isn't known, or what the readers say.
    """
    path = own_path(config.path)
    return READERS[suffix_of(path)](path, asked_of(config))


def read_array(series: Any, config: ConfigDict | None = None) -> Collection:
    """The series that `l2d_jax.fit` was given, whole, in their units.

    Args:
      series: an array of any real type, numpy's or JAX's: [N, L, C], where NaN after
        the last value of a series is its end, or [T, C] or [T], one recording; a list
        of [L_i, C] or [L_i] arrays; or a DataFrame of pandas, or what has `to_pandas`
        (of Polars, a table of Arrow), read as a table.
      config: `config.data`, for the columns of a DataFrame.

    Raises:
      InputError: not numbers, shapes that don't fit, or as the readers of tables say.
    """
    if hasattr(series, "columns") and hasattr(series, "to_pandas"):
        series = series.to_pandas()  # an array of it would take ids for a channel
    pandas = sys.modules.get("pandas")  # else it can't be a DataFrame
    if pandas and isinstance(series, pandas.Series):
        series = series.to_frame(series.name or "value")
    if pandas and isinstance(series, pandas.DataFrame):
        return read_frame(series, Asked() if config is None else asked_of(config))
    return from_user(series)


def own_path(given: str) -> Path:
    """The path to a file that exists."""
    if not given:
        raise InputError("no file was named: set --config.data.path=FILE")
    if "://" in given:
        raise InputError(
            f"{given} isn't a file on this machine, and your own data are read from "
            "local files: copy it to each machine, and name the copy in "
            "--config.data.path"
        )
    path = Path(with_home(given))
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one file in --config.data.path")
    if not path.exists():
        raise InputError(f"{path} does not exist: correct --config.data.path")
    return path


def suffix_of(path: Path) -> str:
    """The ending, of those that are known; .gz doesn't count behind text."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
        suffix = suffix if READERS.get(suffix) is read_csv else ".gz"
    if suffix not in READERS:
        ending = f"ends in {suffix!r}" if suffix else "has no ending"
        raise InputError(
            f"{path} {ending}, which is no known format: save it as one of "
            f"{', '.join(READERS)}"
        )
    return suffix


def read_ts_file(path: Path, asked: Asked) -> Collection:
    """The series and classes of a .ts file; notes of what else it holds.

    Raises:
      InputError: as the parser says; inf.
    """
    from l2d_jax.data.public.parsers import read_ts, ts_lines

    check_not_asked(path, asked)
    series, labels = read_ts(path)
    if not series:
        raise InputError(f"{path} has no series: add them below @data")
    index, classes = None, ()
    if labels is not None:
        index, classes = indexed(labels)
    count = series[0].shape[1]
    channels = channels_of(count)
    check_values(series, str(path), channels)
    form = Form(".ts", ("float64",) * count)
    header, notes = ts_lines(path)[0], ()
    if header.get("@timestamps") == "true":
        notes += ("left out the time stamps: steps count in the order of the file",)
    if header.get("@targetlabel", "").startswith("true"):
        notes += ("left out the targets (@targetLabel): only classes are read",)
    return Collection(
        str(path), series, channels, index, classes, form=form, notes=notes
    )


READERS: dict[str, Callable[[Path, Asked], Collection]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
    ".ts": read_ts_file,
}
