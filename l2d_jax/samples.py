"""Generated series on disk, written batch by batch, in the form of the user's file.

A file appears under its name only when it is whole, and memory doesn't depend on n.
"""

import csv
import json
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from l2d_jax.chunks import slices
from l2d_jax.files import FilePath, is_remote, to_path, whole_file
from l2d_jax.time_index import TimeIndex
from l2d_jax.types import (
    ANY_DECIMALS,
    Examples,
    Form,
    InputError,
    inside,
    is_ragged,
)


class Plan(NamedTuple):
    """What all writers need to know."""

    n: int  # series in all
    channels: tuple[str, ...]
    settings: Mapping[str, Any]
    form: Form

    @property
    def id_column(self) -> str:
        """The user's; a recording has none, but there are many samples of it."""
        return self.form.id_column or self.free("sample_id")

    @property
    def time_column(self) -> str:
        """The user's; where there is no table of theirs, the step is counted."""
        return self.form.time_column or self.free("t")

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a table."""
        columns = self.form.columns or (self.time_column, *self.channels)
        return columns if self.form.id_column else (self.id_column, *columns)

    def free(self, name: str) -> str:
        """The name, behind underscores until no column is called so."""
        while name in (*self.form.columns, *self.channels):
            name = f"_{name}"
        return name

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """Channel -> type."""
        names = map(np.dtype, self.form.dtypes)
        return dict(zip(self.channels, names, strict=True))


Writer = Callable[[Path, Iterator[Examples], Plan], None]


def write_samples(
    path: FilePath,
    batches: Iterator[Examples],
    *,
    n: int,
    channels: tuple[str, ...],
    settings: Mapping[str, Any],
    form: Form | None = None,
) -> None:
    """Writes n series, in data units; the ending of `path` picks the kind of file.

    .npz: `series` [n, L, C] (NaN after the end of shorter series), `lengths` [n],
    `channels` [C], `settings` (json: what made them). .npy: `series` alone. Both hold
    whole numbers if all channels do, and no series is shorter.
    .csv and .parquet: a row per step, `sample_id, t, <channels>`; with a form, the
    columns of the user's file: ids are 0..n-1, times start and step as there. Whole
    numbers are rounded, within the range of their type. .ts: a line per series.

    Args:
      form: of the file that the model was trained on; without, all channels are floats.

    Raises:
      InputError: another ending, or a folder that is missing.
    """
    path = to_path(path)
    check_out(path)
    form = form or Form(path.suffix, ("float32",) * len(channels))
    with whole_file(path) as temporary:
        WRITERS[path.suffix](temporary, batches, Plan(n, channels, settings, form))


def check_out(path: FilePath) -> None:
    """Raises `InputError` where `path` can't become a file of samples."""
    if path.suffix not in WRITERS:
        raise InputError(f"--out={path}: use a name that ends in {', '.join(WRITERS)}")
    if is_remote(path):
        return
    if path.is_dir():
        raise InputError(f"--out={path} is a folder: name a file in it")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out={path}: the folder {path.parent} is missing: make it")


# --- arrays ---------------------------------------------------------------------------


def write_npz(path: Path, batches: Iterator[Examples], plan: Plan) -> None:
    """All of it, each array a member of a zip archive."""
    lengths = []

    def noted() -> Iterator[Examples]:
        for batch in batches:
            lengths.append(batch.lengths)
            yield batch

    with scratch(path) as series, zipfile.ZipFile(path, "w") as archive:
        write_npy(series, noted(), plan)
        archive.write(series, "series.npy")
        rest = {
            "lengths": np.concatenate(lengths).astype(np.int32),
            "channels": np.array(plan.channels),
            "settings": np.array(json.dumps(plan.settings)),
        }
        for name, array in rest.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_npy(path: Path, batches: Iterator[Examples], plan: Plan) -> None:
    """The series alone."""
    dtype = common_integer(plan)
    if dtype is None:
        write_series(path, floats_of(batches, plan), plan.n)
        return
    shorter = False
    with scratch(path) as floats:  # until it is known that no series is shorter

        def watched() -> Iterator[np.ndarray]:
            nonlocal shorter
            for batch in batches:
                shorter |= is_ragged(batch)
                yield from floats_of(iter([batch]), plan)

        write_series(floats, watched(), plan.n)
        if shorter:
            floats.replace(path)
            return
        whole = np.load(floats, mmap_mode="r")
        parts = (
            rounded(whole[rows], dtype).astype(dtype)  # uint64 beside int8
            for rows in slices(whole.shape)
        )
        write_series(path, parts, plan.n)
        del whole  # Windows deletes no file that is mapped


@contextmanager
def scratch(path: Path) -> Generator[Path, None, None]:
    """A name beside `path`, gone at the end."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def common_integer(plan: Plan) -> np.dtype | None:
    """The type of an array of whole numbers; None if a channel isn't."""
    dtypes = set(plan.dtypes.values())
    if not all(plan.form.integers):
        return None
    common = np.result_type(*dtypes)
    return common if common.kind in "iub" else np.dtype(np.int64)


def floats_of(batches: Iterator[Examples], plan: Plan) -> Iterator[np.ndarray]:
    """float32 arrays [B, L, C], where whole numbers are rounded."""
    for batch in batches:
        series = np.array(batch.series, np.float32)
        for c, dtype in enumerate(plan.dtypes.values()):
            if dtype.kind in "iub":
                series[..., c] = rounded(series[..., c], dtype)
        yield series


def rounded(x: Float[np.ndarray, "..."], dtype: np.dtype) -> Float[np.ndarray, "..."]:
    """The nearest numbers that the type of whole numbers has, as float32."""
    if dtype.kind == "b":
        return np.clip(np.rint(x), 0, 1)
    info = np.iinfo(dtype)
    low, high = np.float32(info.min), np.float32(info.max)
    if int(high) > info.max:  # rounded up
        high = np.nextafter(high, np.float32(0))
    return np.clip(np.rint(x), low, high)


def write_series(path: Path, arrays: Iterator[np.ndarray], n: int) -> None:
    """[n, L, C] in numpy's format, as the arrays come."""
    with open(path, "wb") as file:
        for i, series in enumerate(arrays):
            if i == 0:
                header = {
                    "descr": np.lib.format.dtype_to_descr(series.dtype),
                    "fortran_order": False,
                    "shape": (n, *series.shape[1:]),
                }
                np.lib.format.write_array_header_2_0(file, header)
            file.write(np.ascontiguousarray(series).tobytes())


# --- tables ---------------------------------------------------------------------------


def write_csv(path: Path, batches: Iterator[Examples], plan: Plan) -> None:
    """A row per step, ended by the end of the series."""
    form, index = plan.form, TimeIndex(plan.form)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=form.separator, lineterminator="\n")
        writer.writerow(plan.columns)
        for first, batch in numbered(batches, plan):
            times = index.texts(batch.series.shape[1])
            texts = {}
            for c, (name, dtype) in enumerate(plan.dtypes.items()):
                texts[name] = to_texts(batch.series[..., c], dtype, form.decimal)
            for i, length in enumerate(batch.lengths.tolist()):
                cells = {name: texts[name][i] for name in texts}
                cells[plan.id_column] = [str(first + i)] * length
                cells[plan.time_column] = times
                columns = (cells[name][:length] for name in plan.columns)
                writer.writerows(zip(*columns, strict=True))


def to_texts(
    x: Float[np.ndarray, "B L"], dtype: np.dtype, decimal: str
) -> list[list[str]]:
    """Cells of a channel: 7 digits, or whole; True and False. "" for NaN."""
    write = WORDS.get(dtype.kind, in_digits)
    rows = [["" if v != v else write(v) for v in row] for row in x.tolist()]
    if decimal == ".":
        return rows
    return [[text.replace(".", decimal) for text in row] for row in rows]


def in_digits(value: float) -> str:
    """Seven digits, or all of those before the point."""
    return f"{value:.0f}" if 1e7 <= abs(value) < 1e15 else f"{value:.7g}"


WORDS: dict[str, Callable[[float], str]] = {
    "i": lambda v: str(int(v)),
    "u": lambda v: str(int(v)),
    "b": lambda v: str(bool(v)),
}


def write_parquet(path: Path, batches: Iterator[Examples], plan: Plan) -> None:
    """As the csv, typed as the user's file; a row group per batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = TimeIndex(plan.form)
    types = {name: pa.from_numpy_dtype(dtype) for name, dtype in plan.dtypes.items()}
    types[plan.id_column] = pa.int64()
    types[plan.time_column] = pa.array(index.cells(2)).type
    if index.typed and (zone := index.zone):
        types[plan.time_column] = pa.timestamp("us", tz=zone)
    schema = pa.schema([(name, types[name]) for name in plan.columns])
    with pq.ParquetWriter(path, schema) as writer:
        for first, batch in numbered(batches, plan):
            count, length, _ = batch.series.shape
            within = inside(batch.lengths, length)
            ids = first + np.arange(count, dtype=np.int64)
            cells = {
                plan.id_column: np.repeat(ids, batch.lengths),
                plan.time_column: np.tile(index.cells(length), (count, 1))[within],
            }
            for c, (name, dtype) in enumerate(plan.dtypes.items()):
                values = batch.series[..., c][within].astype(dtype)
                if dtype == np.float64 and plan.form.places[c] < ANY_DECIMALS:
                    values = np.round(values, plan.form.places[c])
                cells[name] = values
            arrays = [pa.array(cells[field.name], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_ts(path: Path, batches: Iterator[Examples], plan: Plan) -> None:
    """A line per series: steps apart by commas, channels by colons; 1 for True."""
    head = {
        "problemName": "samples",
        "timeStamps": "false",
        "missing": "false",
        "univariate": str(len(plan.channels) == 1).lower(),
        "dimensions": str(len(plan.channels)),
        "classLabel": "false",
    }
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"@{name} {value}\n" for name, value in head.items())
        file.write("@data\n")
        kinds = [np.dtype(int) if d.kind == "b" else d for d in plan.dtypes.values()]
        for _, batch in numbered(batches, plan):
            columns = [
                to_texts(batch.series[..., c], kind, ".")
                for c, kind in enumerate(kinds)
            ]
            for i, length in enumerate(batch.lengths.tolist()):
                channels = (",".join(column[i][:length]) for column in columns)
                file.write(":".join(channels) + "\n")


def numbered(batches: Iterator[Examples], plan: Plan) -> Iterator[tuple[int, Examples]]:
    """The number of its first series, and the batch, where whole numbers are whole."""
    first = 0
    for batch in batches:
        series = next(floats_of(iter([batch]), plan))
        yield first, Examples(series, batch.lengths)
        first += len(series)


WRITERS: dict[str, Writer] = {
    ".npz": write_npz,
    ".npy": write_npy,
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".ts": write_ts,
}


def read_npz(path: FilePath) -> tuple[Examples, dict[str, Any]]:
    """(series with lengths, settings) of a file that `write_samples` wrote.

    Raises:
      InputError: no such file, or not one of ours.
    """
    with opened(path) as file:
        series = file["series"].astype(np.float32, copy=False)  # whole numbers as well
        lengths, settings = file["lengths"].astype(int), str(file["settings"])
        return Examples(series, lengths), json.loads(settings)


def read_settings(path: FilePath) -> dict[str, Any]:
    """The settings alone: as `read_npz`, but the series are not read."""
    with opened(path) as file:
        return json.loads(str(file["settings"]))


@contextmanager
def opened(path: FilePath) -> Generator[Any, None, None]:
    """A file that `write_samples` wrote; errors inside are those of reading it."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path} is missing: --mode=evaluate makes it") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes of a reader
        raise InputError(
            f"{path} can't be read ({error}): delete it and sample again"
        ) from error
