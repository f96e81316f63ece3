"""A user's own recording: a wide csv with a header line, rows in time order.

Nothing is guessed and nothing is skipped: what can't be used is an InputError that
names the file, the line (1 is the header), the column and the mend.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from l2d_jax.data.windows import window_examples
from l2d_jax.types import InputError, Splits

MISSING = ("", "nan", "na", "n/a", "<na>", "null", "none")
LEVELS = 1_000  # float32 must tell apart this many levels of a channel's range


def own_csv(config: ConfigDict) -> Splits:
    """Windows of the csv `config.path`: one channel a column, in the file's units.

    The file is comma-separated UTF-8, decimal points, no missing values.

    Raises:
      InputError: see the module; a window that the recording can't be cut into.
    """
    path = own_path(config.path)
    names, cells = read_cells(path)
    check_names(names, path)
    rows = to_numbers(cells, names, path)
    train = window_examples(rows.astype(np.float32), config, name=str(path))
    check_resolution(rows, names, path)
    return Splits(train, test=None, channels=names)


def own_path(given: str) -> Path:
    """The path to a file that exists."""
    if not given:
        raise InputError("no csv was named: set --config.data.path=FILE.csv")
    path = Path(given).expanduser()
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one csv in --config.data.path")
    if not path.exists():
        raise InputError(f"{path} does not exist: correct --config.data.path")
    return path


def read_cells(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Column names and the cells below them, all text: object array [T, C].

    Row i is line i + 2 of the file. Blank lines at the end are left out.
    """
    import pandas as pd  # here, as it takes long to import

    try:
        table = pd.read_csv(
            path,
            header=None,  # else a surplus column would become an index, unseen
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # so that row numbers are line numbers
            encoding="utf-8-sig",  # with or without the mark that Excel writes
            compression=None,
        )
    except pd.errors.EmptyDataError as error:
        raise InputError(
            f"{path}, line 1 is empty: write the column names there, and rows below"
        ) from error
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path}: {parser_complaint(error)}; each line needs one value a column"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: save it as such") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    cells = table.fillna("").to_numpy(dtype=object)
    names = tuple(name.strip() for name in cells[0])
    last = np.flatnonzero((cells != "").any(axis=1)).max(initial=0)
    body = cells[1 : last + 1]
    if not len(body):
        raise InputError(f"{path} has no rows below the header: add the recording")
    return names, body


def parser_complaint(error: Exception) -> str:
    """What pandas says, in one line, and lines counted from 1."""
    text = str(error).split("C error: ")[-1].strip()
    unclosed = re.search(r"starting at row (\d+)", text)
    if unclosed:
        return f"line {int(unclosed[1]) + 1} opens a quote that is never closed"
    return text


def check_names(names: tuple[str, ...], path: Path) -> None:
    """Raises InputError unless the first line holds one name for each column."""
    where = f"{path}, line 1"
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise InputError(f"{where}: separate the columns by commas, not {names[0]!r}")
    if all(is_number(name) for name in names) and not is_count(names):
        raise InputError(
            f"{where} holds numbers: put a line with the column names above them"
        )
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(
                f"{where}, column {number} has no name: name it, or remove it if it "
                "only counts the rows"
            )
        if name in names[: number - 1]:
            raise InputError(f"{where}: column {name!r} appears twice; rename one")


def is_number(text: str) -> bool:
    """True if Python reads the text as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_count(names: tuple[str, ...]) -> bool:
    """True for 0, 1, 2, ... or 1, 2, 3, ...: names that programs give to columns."""
    return any(
        names == tuple(str(i + start) for i in range(len(names))) for start in (0, 1)
    )


def to_numbers(
    cells: np.ndarray, names: tuple[str, ...], path: Path
) -> Float[np.ndarray, "T C"]:
    """The cells as float64. Raises InputError at the first that is no finite number."""
    import pandas as pd

    columns = [pd.to_numeric(column, errors="coerce") for column in cells.T]
    numbers = np.stack(columns, axis=-1).astype(np.float64)
    usable = np.abs(numbers) <= np.finfo(np.float32).max  # False for NaN
    if not usable.all():
        row, column = np.argwhere(~usable)[0]
        where = f"{path}, line {row + 2}, column {names[column]!r}"
        raise InputError(
            f"{where}: {cell_complaint(cells[row, column], numbers[row, column])}"
        )
    return numbers


def cell_complaint(text: str, number: float) -> str:
    """Why a cell can't be used, and the mend."""
    if text.strip().lower() in MISSING:
        return f"the value is missing ({text!r}); fill it in, or split the recording"
    if np.isnan(number):
        return f"{text!r} is not a number; correct it, or remove the column"
    return f"{text!r} is not finite in float32; correct it, or remove the column"


def check_resolution(
    rows: Float[np.ndarray, "T C"], names: tuple[str, ...], path: Path
) -> None:
    """Raises InputError where a channel is constant, or would become so in float32."""
    for name, column in zip(names, rows.T, strict=True):
        width = np.ptp(column)
        if width == 0.0:
            raise InputError(
                f"{path}, column {name!r} is {column[0]:g} in every row, and a "
                "constant can't be scaled: remove the column"
            )
        if np.abs(column - column.astype(np.float32)).max() > width / LEVELS:
            raise InputError(
                f"{path}, column {name!r} varies by {width:g} around "
                f"{column.mean():g}, too little for float32: subtract a constant"
            )
