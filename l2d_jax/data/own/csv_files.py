"""Text files of separated values, as a `Table`: dialect, chunks, and where cells stand.

The separator, a decimal comma, gzip, UTF-8 and UTF-16 are recognised from the file's
beginning. What doesn't fit is an InputError with line (1 is the header, 2 below Excel's
"sep=;") and mend.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from l2d_jax.data.own.columns import EITHER, MISSING, formats
from l2d_jax.data.own.roles import Asked, Frame, Table, check_names, listed
from l2d_jax.data.own.rows import CHUNK
from l2d_jax.data.own.tables import read_table
from l2d_jax.errors import one_line
from l2d_jax.types import Collection, InputError

SEPARATORS = (",", ";", "\t", "|")
WIDE = 20  # columns of numbers without names, that may be the steps of a series
SAMPLE = 1 << 18  # characters that the dialect is recognised from
SEP_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)  # Excel's
WITH_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?")
WITH_POINT = re.compile(r"[+-]?[\d,]*\.\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(,\d{3}){2,}")
MAGIC = {  # of what is often renamed to csv
    b"PK": "a zip or Excel file: save it as csv",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"PAR1": "a parquet file: rename it to end in .parquet",
    b"\x93NUMPY": "a numpy file: rename it to end in .npy",
}


class Dialect(NamedTuple):
    """How a file writes its cells."""

    encoding: str
    separator: str = ","
    decimal: str = "."
    header: int = 1  # its line


def read_csv(path: Path, asked: Asked) -> Collection:
    """The series of a csv with a header line, .gz or not.

    Raises:
      InputError: not text, not a table, and as `read_table`.
    """
    import pandas as pd

    try:
        return read_table(open_table(path), asked)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, {undecodable_line(path)} is not text in UTF-8: save the file as "
            "such"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is a damaged gzip file ({one_line(error)}): make it again"
        ) from error
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path} can't be read as csv ({one_line(error)}): correct it"
        ) from error
    except csv.Error as error:
        raise InputError(
            f"{path} can't be read as csv ({error}): close its quotes"
        ) from error


def open_table(path: Path) -> Table:
    """The file as a table: nothing but its beginning is read as yet."""
    dialect = find_dialect(path)
    with open_text(path, dialect) as file:
        rows = cells_of(file, dialect.separator)
        header = next(rows, [])
        below = next(rows, [])
    where = f"{path}, line {dialect.header}"
    comment = header and header[0].startswith("#")
    if comment and below and (len(below) != len(header) or below[0].startswith("#")):
        raise InputError(f"{where} is a comment: remove all above the column names")
    names = header_names(where, header, below)

    def chunks(texts: tuple[int, ...]) -> Iterator[Frame]:
        yield from read_chunks(path, dialect, len(names), texts)

    def check(rows: int) -> None:
        check_widths(path, dialect, len(names), rows)

    notes = ()
    if dialect.decimal == ",":
        notes += ("read the comma in numbers as a decimal comma",)
    if is_count(names):
        notes += (f"read line {dialect.header}, {listed(names)}, as column names",)
    return Table(
        str(path),
        ".csv",
        names,
        chunks,
        lambda index: f"line {find_row(path, dialect, index)[0]}",
        lambda index, column: [*find_row(path, dialect, index)[1], ""][column],
        check,
        typed=False,
        separator=dialect.separator,
        decimal=dialect.decimal,
        notes=notes,
    )


# --- dialect --------------------------------------------------------------------------


def find_dialect(path: Path) -> Dialect:
    """Recognised from the first bytes and lines."""
    with open_bytes(path) as raw:
        start = raw.read(1 << 12)
    for magic, what in MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path} is {what}")
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff")) and start[2:4] != b"\0\0"
    if not wide and b"\0" in start:
        raise InputError(f"{path} is not text: save it as a csv in UTF-8")
    dialect = Dialect("utf-16" if wide else "utf-8-sig")
    with open_text(path, dialect) as file:
        sample = file.read(SAMPLE)
    lines = sample.splitlines(keepends=True)
    if len(sample) == SAMPLE and len(lines) > 1:
        lines.pop()  # cut short
    if lines and (said := SEP_LINE.fullmatch(lines[0])):
        lines = lines[1:]
        dialect = dialect._replace(separator=said[1], header=2)
    else:
        dialect = dialect._replace(separator=find_separator(lines))
    if dialect.separator != "," and has_decimal_comma(lines, dialect):
        dialect = dialect._replace(decimal=",")
    return dialect


def find_separator(lines: list[str]) -> str:
    """The one that gives each line as many cells as the header, and most of them.

    Of several the one that leaves quotes and other separators in no cell; of those that
    give as many cells not the comma, which may be a decimal comma or stand in a name.
    """

    def merit(separator: str) -> tuple[bool, bool, bool, int, bool]:
        try:
            rows = [cells for cells in cells_of(lines[:100], separator) if cells]
        except csv.Error:
            return False, False, False, 0, False
        width = len(rows[0])
        even = width > 1 and {*map(len, rows)} == {width} and all(rows[0][1:])
        return (
            even,
            even and not any('"' in cell for cells in rows for cell in cells),
            even and not any(holds_other(separator, cells) for cells in rows[1:]),
            width,
            width > 1 and separator != ",",
        )

    return max(SEPARATORS, key=merit) if "".join(lines[:100]).strip() else ","


def holds_other(separator: str, cells: list[str]) -> bool:
    """True if another separator stands in a cell, but for a decimal comma."""
    others = {*SEPARATORS} - {separator}
    return any(
        others & {*cell} and not WITH_COMMA.fullmatch(cell.strip()) for cell in cells
    )


def has_decimal_comma(lines: list[str], dialect: Dialect) -> bool:
    """True if more cells are written 1,5 or 1.234,5 than 1.5, 1,234.5 or 1,234,567.

    Where there are none of all these, 1,234 is a fraction unless 1.234 is there too.
    What is written the other way is no number, and complained of where it is read.
    """
    rows = cells_of(lines[1:], dialect.separator)
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if WITH_COMMA.fullmatch(cell)]
    points = [cell for cell in cells if WITH_POINT.fullmatch(cell)]
    sure, against = (
        sum(EITHER.fullmatch(cell) is None for cell in found)
        for found in (commas, points)
    )
    if sure or against:
        return sure > against
    return bool(commas) and not points


def open_bytes(path: Path) -> Any:
    """The file, unpacked."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")


class Text(io.TextIOWrapper):
    """A file whose `read` complains of NUL, which for pandas ends a cell in silence."""

    def read(self, size: int | None = -1, /) -> str:
        text = super().read(size)
        if "\0" in text:
            with io.TextIOWrapper(open_bytes(Path(self.name)), self.encoding) as lines:
                line = next(i for i, one in enumerate(lines, start=1) if "\0" in one)
            raise InputError(
                f"{self.name}, line {line} holds NUL characters, as after a crash: "
                "remove them"
            )
        return text


def open_text(path: Path, dialect: Dialect) -> Text:
    """The file as text from its header on, line ends as they are."""
    file = Text(open_bytes(path), encoding=dialect.encoding, newline="")
    for _ in range(1, dialect.header):
        next(file)
    return file


def undecodable_line(path: Path) -> str:
    """The first line that isn't UTF-8."""
    with open_bytes(path) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"line {number}"
    return "its text"


# --- header ---------------------------------------------------------------------------


def header_names(where: str, header: list[str], below: list[str]) -> tuple[str, ...]:
    """The names of the columns. Raises InputError if the line isn't a header.

    Nor is it one if it holds a date and a number where the line below holds such, too.
    """
    names = tuple(name.strip() for name in header)
    if not any(names) and len(names) < 2:
        raise InputError(
            f"{where} is empty: write the column names there, and rows below"
        )
    numbers = [name for name in names if is_number(name)]
    values = all(name in numbers or formats(name) for name in names)
    fractions = any(re.fullmatch(r"[+-]?\d*[.,]\d+", name) for name in names)
    pairs = list(zip(names, (cell.strip() for cell in below), strict=False))
    row = all(
        any(is_kind(one) and is_kind(other) for one, other in pairs)
        for is_kind in (is_number, lambda text: bool(formats(text)))
    )
    if numbers and (values or fractions or row) and not is_count(names):
        mend = f"put a line with the column names above them, or rename {numbers[0]!r}"
        if len(names) >= WIDE:
            mend += (
                "; if each line is a series, save them as .npz, `series` [N, L, 1] and "
                "`labels` [N]"
            )
        raise InputError(f"{where} holds numbers: {mend}")
    if len(names) > 1 and not names[-1]:
        raise InputError(
            f"{where}, column {len(names)} has no name: name it, or remove it"
        )
    return check_names(names, where)


def is_number(text: str) -> bool:
    """True for a number, or a cell that lacks one."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def is_count(names: tuple[str, ...]) -> bool:
    """True for 0, 1, 2, ... or 1, 2, 3, ...: names that programs give to columns."""
    names = names[1:] if names[0] == "" else names
    return any(
        names == tuple(str(i + start) for i in range(len(names))) for start in (0, 1)
    )


# --- rows -----------------------------------------------------------------------------


def read_chunks(
    path: Path, dialect: Dialect, width: int, texts: tuple[int, ...]
) -> Iterator[Frame]:
    """The rows below the header, typed by pandas, columns called 0, 1, ...

    Args:
      texts: columns that are text, of which only an empty cell is missing.

    Raises:
      InputError: a line with more cells than the header, a quote that isn't closed.
    """
    import pandas as pd

    first = next(numbered_rows(path, dialect), (0, []))[1]
    if len(first) > width + 1 or any(first[width:]):  # pandas would take an index
        raise InputError(width_complaint(path, dialect, width, 0))
    columns = range(width + 1)  # one more: pandas drops a surplus cell here and there
    words = spellings()
    missing: Any = {i: [""] if i in texts else words for i in columns}
    types: Any = dict.fromkeys(texts, str)
    with open_text(path, dialect) as file:
        next(cells_of(file, dialect.separator))  # the header
        try:
            parts = pd.read_csv(
                file,
                sep=dialect.separator,
                decimal=dialect.decimal,
                header=None,
                names=list(columns),
                dtype=types,
                na_values=missing,
                keep_default_na=False,
                skipinitialspace=True,
                skip_blank_lines=False,  # so that rows can be counted
                low_memory=False,
                chunksize=CHUNK,
            )
            for part in parts:
                if part[width].notna().any():
                    index = int(part.index[part[width].notna().argmax()])
                    raise InputError(width_complaint(path, dialect, width, index))
                yield part.drop(columns=width)
        except pd.errors.EmptyDataError:
            return
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            text = str(error)
            if surplus := re.search(r"in line (\d+), saw", text):
                index = int(surplus[1]) - 1
                raise InputError(width_complaint(path, dialect, width, index)) from None
            if unclosed := re.search(r"starting at row (\d+)", text):
                line, _ = find_row(path, dialect, int(unclosed[1]))
                raise InputError(
                    f"{path}, line {line} opens a quote that is never closed: close it"
                ) from None
            raise


def spellings() -> list[str]:
    """The words for a missing value, in upper and lower case and between."""
    letters = (zip(word.lower(), word.upper(), strict=True) for word in MISSING)
    return sorted({"".join(word) for pairs in letters for word in product(*pairs)})


def cells_of(lines: Iterable[str], separator: str) -> Any:
    """The reader of csv, which gives a list of cells for each row."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def numbered_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row below the header: slow, to explain what went wrong."""
    with open_text(path, dialect) as file:
        reader = cells_of(file, dialect.separator)
        next(reader)
        line = reader.line_num + dialect.header
        for cells in reader:
            yield line, cells
            line = reader.line_num + dialect.header


def find_row(path: Path, dialect: Dialect, index: int) -> tuple[int, list[str]]:
    """(line, cells) of a row, 0 being the first below the header."""
    try:
        for i, found in enumerate(numbered_rows(path, dialect)):
            if i == index:
                return found
    except (csv.Error, UnicodeDecodeError):
        pass
    return index + dialect.header + 1, []


def width_complaint(path: Path, dialect: Dialect, width: int, index: int) -> str:
    """What is wrong with a row that hasn't a cell for each column."""
    line, cells = find_row(path, dialect, index)
    if not cells:
        return f"{path}, line {line} is blank: remove it"
    if width == 1:
        mend = f"separate numbers by {dialect.separator!r} only"
        if dialect.separator == "," and WITH_COMMA.fullmatch(",".join(cells)):
            mend += ", or, if it is a decimal comma, put a line 'sep=;' above"
        return (
            f"{path}: line {dialect.header} has one name, line {line} has {len(cells)} "
            f"values: name each column in line {dialect.header}, and {mend}"
        )
    return (
        f"{path}, line {line}: {len(cells)} of {width} values; each line needs one "
        "value a column"
    )


def check_widths(path: Path, dialect: Dialect, width: int, rows: int) -> None:
    """Raises InputError at the first row that is too short: pandas fills it up."""
    for index, (_, cells) in enumerate(numbered_rows(path, dialect)):
        if index == rows:
            return
        if len(cells) < width and (width > 1 or cells):
            raise InputError(width_complaint(path, dialect, width, index))
