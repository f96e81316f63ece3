"""Files of the public data sets: found, checked, or fetched once into a cache."""

import gzip
import hashlib
import os
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from l2d_jax.errors import one_line
from l2d_jax.files import cache_folder, with_home
from l2d_jax.types import InputError

TIMEOUT = 30.0  # seconds without an answer


class RemoteFile(NamedTuple):
    """One file of a data set, as its authors published it.

    A plain file must have the sha256. The same series can be packed into archives
    (.zip, .gz) of different bytes, so that one need only be whole: what it holds is
    checked when the set is prepared.
    """

    name: str
    url: str  # "": found in a folder only, never downloaded
    size: int = 0  # bytes; 0: not known
    sha256: str = ""  # hexadecimal; "": not known


def locate(*files: RemoteFile) -> Path:
    """A checked copy of one of the files: in $L2D_DATA_DIR, in the cache, or fetched.

    The cache is $L2D_CACHE_DIR, by default ~/.cache/l2d_jax; what is fetched, into the
    cache, is the first of the files.

    Raises:
      InputError: a copy differs from the published file; or there is none and the
        download failed.
    """
    found = find(*files)
    if found is None:
        return download(files[0], cache_folder())
    path, file = found
    if difference := compare(path, file):
        raise InputError(
            f"{path} {difference}: delete it, and it is fetched again, or "
            f"replace it by {files[0].url}"
        )
    return path


def find(*files: RemoteFile) -> tuple[Path, RemoteFile] | None:
    """The first copy that lies in one of the folders, not yet checked."""
    for folder in folders():
        for file in files:
            if (folder / file.name).is_file():
                return folder / file.name, file
    return None


def folders() -> list[Path]:
    """Where copies may lie, in the order of the search."""
    given = os.environ.get("L2D_DATA_DIR")
    if not given:
        return [cache_folder()]
    folder = Path(with_home(given))
    if not folder.is_dir():
        raise InputError(
            f"L2D_DATA_DIR={given} is no folder: create it, or unset the variable"
        )
    return [folder, cache_folder()]


def download(file: RemoteFile, folder: Path) -> Path:
    """Fetches the file into the folder: whole and checked, or not at all."""
    target = folder / file.name
    by_hand = f"or fetch it by other means and save it as {target}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unchecked:
            part = Path(unchecked) / file.name
            fetch(file.url, part)
            if difference := compare(part, file):
                raise InputError(
                    f"the download of {file.url} {difference}, so it was dropped: "
                    f"try again, {by_hand}"
                )
            os.replace(part, target)
    except (OSError, HTTPException) as error:
        raise InputError(
            f"can't download {file.name} from {file.url} ({one_line(error)}): "
            f"check the network and that {folder} is writable, {by_hand}"
        ) from error
    return target


def fetch(url: str, path: Path) -> None:
    """Writes what the address answers to the path; never by way of plain http."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        if getattr(response, "url", url).startswith("http:"):
            raise OSError(f"the answer came from {response.url}, which is not secure")
        with path.open("wb") as out:
            shutil.copyfileobj(response, out)


def compare(path: Path, file: RemoteFile) -> str:
    """How the copy differs from the published file, in words; empty if it doesn't."""
    with path.open("rb") as copy:
        sha256 = hashlib.file_digest(copy, "sha256").hexdigest()
    if sha256 == file.sha256:
        return ""
    size = path.stat().st_size
    if path.suffix in (".zip", ".gz"):
        fault = archive_fault(path)
        return fault and f"has {size} bytes and {fault}"
    return (
        f"has {size} bytes and sha256 {sha256}, "
        f"expected {file.size} bytes and sha256 {file.sha256}"
    )


def archive_fault(path: Path) -> str:
    """Why the archive (.zip or .gz) is not whole; empty if it is."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream, open(os.devnull, "wb") as nowhere:
                shutil.copyfileobj(stream, nowhere)
            return ""
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            return f"its member {damaged} is damaged" if damaged else ""
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError):
        return f"is no whole {path.suffix} archive"
    except RuntimeError as error:  # a password, a compression that Python lacks
        return f"can't be unpacked ({error})"
