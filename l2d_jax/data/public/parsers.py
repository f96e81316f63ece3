"""The file formats of the public data sets, one function each.

A whole set is read by `archive`, `characters`, `arabic_digits` (labelled) or by
`csv_recording` and `tsf_recording` (one long series); they find its parts in a zip, or
in a folder. Below them stand the formats themselves: .ts, .tsv, .arff and .tsf by
sktime's parsers, csv by pandas.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from l2d_jax.errors import one_line
from l2d_jax.types import Collection, InputError

Matrix: TypeAlias = Float[np.ndarray, "_ C"]  # one series [L_i, C]
Labelled: TypeAlias = tuple[list[Matrix], list[str]]
Member: TypeAlias = Callable[[str], Path | None]

PARTS = ("TRAIN", "TEST")
TEXT = "utf-8-sig"  # with a byte order mark or without
TS_TAGS = ("@problemname", "@timestamps", "@univariate")  # that sktime asks for
MFCCS = 13  # coefficients a frame of the Spoken Arabic Digits


# --- whole data sets ------------------------------------------------------------------


def archive(
    path: Path, *, name: str, stem: str, channels: tuple[str, ...] = ()
) -> Collection:
    """A set of the UCR or UEA archive: the training part, then the test part.

    Args:
      path: a zip, or a folder, with STEM_TRAIN and STEM_TEST, both as .ts, or else
        .tsv, or else .arff. In the latter two the missing values at the end of a
        series stand for padding, and are cut off.
      name: how the collection is called.
      channels: their names; by default numbered.

    Raises:
      InputError: no such members; one that can't be read.
    """
    with members(path) as member:
        for suffix, read in READERS.items():
            files = [member(f"{stem}_{part}{suffix}") for part in PARTS]
            if all(files):
                parts = [read(file) for file in files if file]
                break
        else:
            raise InputError(
                f"{path} holds no {stem}_TRAIN and {stem}_TEST as .ts, .tsv or .arff: "
                "replace it by the set's zip from timeseriesclassification.com"
            )
    (train, train_labels), (test, test_labels) = parts
    if train_labels is None or test_labels is None:
        raise InputError(f"{path}: {stem} has no class labels; take another set")
    names = [plain_label(label) for label in train_labels + test_labels]
    classes = sorted(set(names), key=numbers_first)
    return Collection(
        name=name,
        series=train + test,
        channels=channels or numbered_channels(train[0].shape[1]),
        labels=np.array([classes.index(label) for label in names]),
        classes=tuple(classes),
        num_train=len(train),
    )


def characters(path: Path, *, name: str, classes: tuple[str, ...]) -> Collection:
    """The Character Trajectories: one .arff for each of 3 channels and of 2 parts.

    Where a channel is shorter than the others of its series, the archive cut its own
    trailing zeros off: they are put back. Label k is classes[k - 1].
    """
    series, labels, sizes = [], [], []
    with members(path) as member:
        for part in PARTS:
            stems = [f"CharacterTrajectoriesDimension{i}_{part}" for i in (1, 2, 3)]
            files = [required(member, f"{stem}.arff", path) for stem in stems]
            tables = [read_arff(file) for file in files]
            channels = [[one[:, 0] for one in table] for table, _ in tables]
            series += [np.nan_to_num(join(one)) for one in zip(*channels, strict=True)]
            labels += tables[0][1]
            sizes.append(len(channels[0]))
    return Collection(
        name=name,
        series=series,
        channels=("x_velocity", "y_velocity", "pen_force"),
        labels=np.array([int(label) - 1 for label in labels]),
        classes=classes,
        num_train=sizes[0],
    )


def arabic_digits(path: Path, *, name: str) -> Collection:
    """The Spoken Arabic Digits in the form of UCI: text, a block of frames a series.

    A line that is blank but for spaces starts each block, and each other line is a
    frame. The digits are in order, equally many series of each.
    """
    series, labels, sizes = [], [], []
    with members(path) as member:
        for part in ("Train", "Test"):
            file = required(member, f"{part}_Arabic_Digit.txt", path)
            blocks = read_blocks(file, width=MFCCS)
            if len(blocks) % 10:
                raise InputError(
                    f"{path}, {file.name}: {len(blocks)} blocks can't be equally many "
                    "of ten digits; replace the file"
                )
            series += blocks
            labels.append(np.repeat(np.arange(10), len(blocks) // 10))
            sizes.append(len(blocks))
    return Collection(
        name=name,
        series=series,
        channels=tuple(f"mfcc_{i}" for i in range(1, MFCCS + 1)),
        labels=np.concatenate(labels),
        classes=tuple("0123456789"),
        num_train=sizes[0],
    )


def csv_recording(path: Path, *, name: str) -> Collection:
    """A recording as a csv (also .gz): each column but `date` is a channel.

    The numbers may be quoted, with spaces around them.
    """
    import pandas as pd  # here, as it takes long to import

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table.drop(columns="date", errors="ignore")
        # From text by numpy: correctly rounded, whatever the version of pandas.
        values = np.stack(
            [np.array([*map(float, column)]) for column in table.to_numpy().T], axis=-1
        )
    except (ValueError, EOFError, zlib.error) as error:
        raise InputError(unreadable(path, error)) from error
    return Collection(name, series=[values], channels=tuple(table.columns))


def tsf_recording(path: Path, *, name: str, stem: str, channel: str) -> Collection:
    """A recording as the only series of STEM.tsf, or of the zip that holds it."""
    if path.suffix == ".tsf":
        series = read_tsf(path)
    else:
        with members(path) as member:
            series = read_tsf(required(member, f"{stem}.tsf", path))
    return Collection(name, series=series, channels=(channel,))


@contextmanager
def members(path: Path) -> Generator[Member, None, None]:
    """A function that gives, for a bare name, the file in the zip or the folder.

    Folders inside the zip don't matter. A member is copied out under its bare name,
    into a temporary folder that is gone afterwards.
    """
    if path.is_dir():
        yield lambda name: path / name if (path / name).is_file() else None
        return
    with tempfile.TemporaryDirectory(prefix="l2d_") as folder:
        try:
            with zipfile.ZipFile(path) as opened:
                inside = {PurePosixPath(one).name: one for one in opened.namelist()}

                def member(name: str) -> Path | None:
                    if name not in inside:
                        return None
                    target = Path(folder) / name
                    with opened.open(inside[name]) as source, target.open("wb") as out:
                        shutil.copyfileobj(source, out)
                    return target

                yield member
        except (zipfile.BadZipFile, zlib.error) as error:
            raise InputError(unreadable(path, error)) from error
        except InputError as error:  # name the zip, not the temporary folder
            message = str(error).replace(f"{folder}/", f"{path}, ")
            raise InputError(message) from error


def required(member: Member, name: str, path: Path) -> Path:
    """The member of this name. Raises InputError if there is none."""
    file = member(name)
    if file is None:
        raise InputError(f"{path} holds no {name}: replace it by the published file")
    return file


# --- formats --------------------------------------------------------------------------


def read_ts(path: Path) -> tuple[list[Matrix], list[str] | None]:
    """The series of a .ts file, in its order, and its class labels as written.

    N float64 arrays [L_i, C], NaN for `?`; a channel that ends before the longest one
    of its series is NaN from there on. Labels are None where the file has none, or
    has numbers to be predicted (@targetLabel). Time stamps are left out.

    Raises:
      InputError: not a .ts file; a line with another number of channels, a value that
        is no number, or no value; lines without their class.
    """
    from sktime.datasets import load_from_tsfile_to_dataframe

    header, rows = ts_lines(path)
    lacking = [tag for tag in TS_TAGS if tag not in header]
    if not {"@classlabel", "@targetlabel"} & header.keys():
        lacking.append("@classlabel")
    if lacking:
        raise InputError(
            f"{path}: its header lacks {' and '.join(lacking)}; add them, as in "
            "'@timeStamps false' or '@classLabel true dog cat'"
        )
    said, *classes = (header.get("@classlabel") or "false").split()
    labelled = said == "true"
    # From the text, as sktime makes them lower case.
    labels = [text.rpartition(":")[2].strip() for _, text in rows]
    known = {plain_label(label) for label in classes}
    found = {plain_label(label.lower()) for label in labels}
    if labelled and known and known.isdisjoint(found):
        raise InputError(
            f"{path}, line {rows[0][0]}: {labels[0]!r} behind the last colon is no "
            "class of @classLabel; end each line with a colon and its class, or write "
            "'@classLabel false'"
        )
    try:
        table: Any = load_from_tsfile_to_dataframe(str(path), encoding=TEXT)
    except Exception as error:  # its own are OSError, ValueError, UnboundLocalError
        fault = ts_fault(rows, skip_last=labelled or "@targetlabel" in header)
        raise InputError(
            f"{path}, {fault}" if fault else unreadable(path, error)
        ) from error
    table = table[0] if isinstance(table, tuple) else table
    series = []
    for (number, _), cells in zip(rows, table.to_numpy(), strict=True):
        channels = [cell.to_numpy(dtype=np.float64) for cell in cells]
        if not any(map(len, channels)):
            raise InputError(f"{path}, line {number} has no value: remove the line")
        series.append(join(channels))
    return series, labels if labelled else None


def ts_lines(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The header of a .ts file, {"@tag": "the rest"}, and its numbered data lines."""
    try:
        lines = path.read_text(encoding=TEXT).splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: save it as such") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    header, rows, started = {}, [], False
    for number, line in enumerate(map(str.strip, lines), start=1):
        if started and line.startswith("#"):
            raise InputError(
                f"{path}, line {number} is a comment below @data: remove it, or move "
                "it above @data"
            )
        if started and line and not line.startswith("@"):
            rows.append((number, line))
        elif line.startswith("@"):
            tag, _, rest = line.partition(" ")
            header[tag.lower()] = rest.strip().lower()
            started = tag.lower() == "@data"
    if not rows:
        raise InputError(
            f"{path} has no line below @data: a .ts file has a header of lines that "
            "start with @, of which @data is the last, and a line for each series"
        )
    return header, rows


def ts_fault(rows: Sequence[tuple[int, str]], *, skip_last: bool) -> str:
    """The first thing wrong with the data lines, in words; empty if none is found."""
    expected = rows[0][1].count(":")
    for number, text in rows:
        if text.startswith("("):
            return ""  # with time stamps: sktime says what is wrong
        fields = text.split(":")
        if len(fields) != expected + 1:
            return (
                f"line {number} has {len(fields) - skip_last} channels and the first "
                f"line of data {expected + 1 - skip_last}: channels are separated by "
                "colons, make them equally many"
            )
        for channel, field in enumerate(fields[: len(fields) - skip_last], start=1):
            for value in filter(None, [field.strip()]):
                for item in value.split(","):
                    if item.strip() != "?" and not is_float(item):
                        return (
                            f"line {number}, channel {channel}: {item.strip()!r} is "
                            "no number; correct it, or write ? for a missing value"
                        )
    return ""


def read_tsv(path: Path) -> Labelled:
    """The series [L_i, 1] of a UCR .tsv file: the label, then the values, in tabs.

    Missing values (NaN or ?) at the end are padding, and cut off; others are NaN.
    """
    from sktime.datasets import load_from_ucr_tsv_to_dataframe

    try:
        parsed: Any = load_from_ucr_tsv_to_dataframe(str(path))
        table, labels = parsed
        series = [
            without_padding(cell.replace("?", "nan").to_numpy(dtype=np.float64))
            for cell in table["dim_0"]
        ]
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(unreadable(path, error)) from error
    return [one[:, None] for one in series], [str(label) for label in labels]


def read_arff(path: Path) -> Labelled:
    """The series [L_i, C] of an .arff file, flat (C = 1) or relational.

    Missing values (?) at the end of all channels are padding, and cut off; others are
    NaN.
    """
    from sktime.datasets import load_from_arff_to_dataframe

    try:
        parsed: Any = load_from_arff_to_dataframe(str(path))
        table, labels = parsed
        series = [
            without_padding(join([cell.to_numpy(dtype=np.float64) for cell in cells]))
            for cells in table.to_numpy()
        ]
    except (ValueError, IndexError) as error:
        raise InputError(unreadable(path, error)) from error
    return series, [label.strip("'\"") for label in labels]


READERS: dict[str, Callable[[Path], tuple[list[Matrix], list[str] | None]]] = {
    ".ts": read_ts,
    ".tsv": read_tsv,
    ".arff": read_arff,
}


def read_tsf(path: Path) -> list[Matrix]:
    """The series [L_i, 1] of a .tsf file of the Monash archive, NaN for `?`."""
    from sktime.datasets import load_tsf_to_dataframe

    try:
        table, _ = load_tsf_to_dataframe(str(path), return_type="default_tsf")
        cells = table["series_value"]
        return [np.asarray(cell, dtype=np.float64)[:, None] for cell in cells]
    except Exception as error:  # sktime raises bare Exception
        raise InputError(unreadable(path, error)) from error


def read_blocks(path: Path, *, width: int) -> list[Matrix]:
    """Blocks of lines of `width` numbers each; a blank line starts each block."""
    text = path.read_text(encoding="ascii")
    blank = np.array([not line.strip() for line in text.splitlines()])
    try:
        values = np.array(text.split(), dtype=np.float64).reshape(-1, width)
    except ValueError as error:
        raise InputError(unreadable(path, error)) from error
    starts = np.flatnonzero(blank) - np.arange(blank.sum())  # counted in frames
    if len(values) != (~blank).sum() or not blank[:1].all():
        raise InputError(
            f"{path}: each block starts with a blank line, and every other line has "
            f"{width} numbers; replace the file"
        )
    return np.split(values, starts[1:])


# --- series and labels ----------------------------------------------------------------


def join(channels: Sequence[Float[np.ndarray, "_"]]) -> Matrix:
    """The channels of one series as [L, C], NaN after the end of a shorter one."""
    length = max(map(len, channels))
    series = np.full((length, len(channels)), np.nan)
    for index, channel in enumerate(channels):
        series[: len(channel), index] = channel
    return series


def without_padding(series: Float[np.ndarray, "_ *C"]) -> Float[np.ndarray, "_ *C"]:
    """The series up to its last step with a value; whole, if it has none."""
    known = np.flatnonzero(~np.isnan(series.reshape(len(series), -1)).all(axis=1))
    return series[: known[-1] + 1] if known.size else series


def plain_label(label: str) -> str:
    """1.0 and 1 are one class in two of an archive's formats, so both are called 1."""
    whole = is_float(label) and float(label).is_integer()
    return str(int(float(label))) if whole else label


def is_float(text: str) -> bool:
    """True if Python reads the text as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers_first(label: str) -> tuple[bool, float, str]:
    """A key that sorts numbers by their size, and the other labels behind them."""
    number = is_float(label)
    return not number, float(label) if number else 0.0, label


def numbered_channels(count: int) -> tuple[str, ...]:
    """value, or channel_1, channel_2, ... where there are more."""
    if count == 1:
        return ("value",)
    return tuple(f"channel_{i}" for i in range(1, count + 1))


def unreadable(path: Path, error: Exception) -> str:
    """The line for a file that its parser refused."""
    kind = path.suffix
    return f"{path} can't be read as {kind} ({one_line(error)}): replace or correct it"
