"""Generated series on disk: .npz, .npy or .csv, written batch by batch.

A file appears under its name only when it is whole, and memory doesn't depend on n.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from l2d_jax.types import Examples, InputError

Writer = Callable[[Path, Iterator[Examples], int, tuple[str, ...], Mapping], None]


def write_samples(
    path: Path,
    batches: Iterator[Examples],
    *,
    n: int,
    channels: tuple[str, ...],
    settings: Mapping[str, Any],
) -> None:
    """Writes n series; the ending of `path` picks the form.

    .npz: `series` [n, L, C] (NaN after the end of shorter series), `lengths` [n],
    `channels` [C], `settings` (json: what made them). .npy: `series` alone. .csv: one
    row per step, `sample_id, t, <channels>`.

    Raises:
      InputError: another ending, or a folder that is missing.
    """
    path = Path(path)
    check_out(path)
    with whole_file(path) as temporary:
        WRITERS[path.suffix](temporary, batches, n, channels, settings)


def check_out(path: Path) -> None:
    """Raises `InputError` where `path` can't become a file of samples."""
    if path.suffix not in WRITERS:
        raise InputError(f"--out={path}: use a name that ends in {', '.join(WRITERS)}")
    if path.is_dir():
        raise InputError(f"--out={path} is a folder: name a file in it")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out={path}: the folder {path.parent} is missing: make it")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed at the end, removed after an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_npz(path, batches, n, channels, settings) -> None:
    """All of it, each array a member of a zip archive."""
    lengths = []
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("series.npy", "w", force_zip64=True) as file:
            for series in with_header(file, batches, n):
                lengths.append(series.lengths)
        rest = {
            "lengths": np.concatenate(lengths).astype(np.int32),
            "channels": np.array(channels),
            "settings": np.array(json.dumps(settings)),
        }
        for name, array in rest.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_npy(path, batches, n, channels, settings) -> None:
    """The series alone."""
    del channels, settings
    with open(path, "wb") as file:
        for _ in with_header(file, batches, n):
            pass


def with_header(file, batches: Iterator[Examples], n: int) -> Iterator[Examples]:
    """Writes [n, L, C] in numpy's format as the batches come, and passes them on."""
    for i, batch in enumerate(batches):
        series = np.ascontiguousarray(batch.series, np.float32)
        if i == 0:
            header = {
                "descr": np.lib.format.dtype_to_descr(series.dtype),
                "fortran_order": False,
                "shape": (n, *series.shape[1:]),
            }
            np.lib.format.write_array_header_2_0(file, header)
        file.write(series.tobytes())
        yield batch


def write_csv(path, batches, n, channels, settings) -> None:
    """A row per step, ended by the end of the series."""
    del n, settings
    import csv

    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample_id", "t", *channels])
        first = 0
        for batch in batches:
            for i, (one, length) in enumerate(
                zip(batch.series, batch.lengths, strict=True)
            ):
                for t in range(length):
                    values = (f"{value:.7g}" for value in one[t])
                    writer.writerow([first + i, t, *values])
            first += len(batch.series)


WRITERS: dict[str, Writer] = {".npz": write_npz, ".npy": write_npy, ".csv": write_csv}


def read_npz(path: Path) -> tuple[Examples, dict[str, Any]]:
    """(series with lengths, settings) of a file that `write_samples` wrote.

    Raises:
      InputError: no such file, or not one of ours.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            return Examples(file["series"], file["lengths"].astype(int)), settings
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run --mode=sample first") from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} can't be read ({error}): delete it and sample again"
        ) from error
