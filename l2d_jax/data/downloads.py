"""Files of the public data sets: found, checked, or fetched once into a cache."""

import hashlib
import os
import shutil
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from l2d_jax.types import InputError

TIMEOUT = 30.0  # seconds without an answer


class RemoteFile(NamedTuple):
    """One file of a data set, exactly as its authors published it."""

    name: str
    url: str
    size: int  # bytes
    sha256: str  # hexadecimal


def locate(file: RemoteFile) -> Path:
    """A checked copy of the file: in $L2D_DATA_DIR, in the cache, or downloaded to it.

    The cache is $L2D_CACHE_DIR, by default ~/.cache/l2d_jax.

    Raises:
      InputError: a copy differs from the published file; or there is none and the
        download failed.
    """
    for folder in folders():
        path = folder / file.name
        if path.is_file():
            if difference := compare(path, file):
                raise InputError(
                    f"{path} {difference}: delete it, and it is fetched again, or "
                    f"replace it by {file.url}"
                )
            return path
    return download(file, cache_folder())


def folders() -> list[Path]:
    """Where copies may lie, in the order of the search."""
    given = os.environ.get("L2D_DATA_DIR")
    if not given:
        return [cache_folder()]
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise InputError(
            f"L2D_DATA_DIR={given} is no folder: create it, or unset the variable"
        )
    return [folder, cache_folder()]


def cache_folder() -> Path:
    """$L2D_CACHE_DIR, by default ~/.cache/l2d_jax. It need not exist yet."""
    given = os.environ.get("L2D_CACHE_DIR")
    return Path(given or "~/.cache/l2d_jax").expanduser()


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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"can't download {file.name} from {file.url} ({reason}): "
            f"check the network and that {folder} is writable, {by_hand}"
        ) from error
    return target


def fetch(url: str, path: Path) -> None:
    """Writes what the address answers to the path."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        with path.open("wb") as out:
            shutil.copyfileobj(response, out)


def compare(path: Path, file: RemoteFile) -> str:
    """How the copy differs from the published file, in words; empty if it doesn't."""
    with path.open("rb") as copy:
        sha256 = hashlib.file_digest(copy, "sha256").hexdigest()
    if sha256 == file.sha256:
        return ""
    return (
        f"has {path.stat().st_size} bytes and sha256 {sha256}, "
        f"expected {file.size} bytes and sha256 {file.sha256}"
    )
