"""Whole files or none, on a disk or in a bucket (gs://bucket/folder).

On a disk, a file is written under a temporary name, then renamed: a reader finds the
old one or the new one, whole. A bucket has no rename and needs none: an object appears
under its name when its upload has ended, and until then the one before is read. So
files for a bucket are made in a temporary folder on this machine, and uploaded.
"""

import glob
import importlib.util
import os
import re
import socket
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from etils import epath

from l2d_jax.types import InputError

FilePath: TypeAlias = Path | epath.Path

DAY_SECONDS = 86_400.0


def to_path(name: str | FilePath) -> FilePath:
    """A path in a bucket, or on this machine, where `~` is the home folder.

    Raises:
      InputError: the place isn't known, or what reads it isn't installed.
    """
    scheme, colon, _ = os.fspath(name).partition("://")
    if not colon:
        return Path(with_home(os.fspath(name)))
    if scheme != "gs":
        raise InputError(
            f"{name}: of remote places only gs:// is known. Mount it as a folder, and "
            "name that"
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise InputError(f"{name} needs gcsfs: pip install gcsfs")
    from fsspec.config import conf

    # Other processes write there too: what was listed a minute ago says nothing.
    conf.setdefault("gcs", {})["use_listings_cache"] = False
    return epath.Path(name)


def absolute(name: str | FilePath) -> FilePath:
    """The same from any working directory."""
    path = to_path(name)
    return path.absolute() if isinstance(path, Path) else path


def cache_folder() -> Path:
    """$L2D_CACHE_DIR, by default ~/.cache/l2d_jax. It need not exist yet."""
    return Path(with_home(os.environ.get("L2D_CACHE_DIR") or "~/.cache/l2d_jax"))


def with_home(name: str) -> str:
    """~/x in the home folder; other names, as ~x.csv, as they are.

    Raises:
      InputError: nobody knows the home folder, as of a container's nameless user.
    """
    found = os.path.expanduser(name)
    if Path(found).parts[:1] == ("~",):
        raise InputError(
            f"{name}: this user has no home folder. Set HOME, or L2D_CACHE_DIR and "
            "TFDS_DATA_DIR for files that are kept between runs"
        )
    return found


def is_remote(path: FilePath) -> bool:
    """True for a path in a bucket."""
    return not isinstance(path, Path)


def same_file(one: FilePath, other: FilePath) -> bool:
    """True for two paths to one file or folder of this machine, there or not."""
    if is_remote(one) or is_remote(other):
        return False
    return Path(one).resolve() == Path(other).resolve()


def write_text(path: FilePath, text: str) -> None:
    """Writes a whole file or none."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: FilePath) -> Generator[Path, None, None]:
    """A file on this machine that becomes `path` at the end; none after an error.

    Its folder is made where it is missing. What a process that was killed left of the
    same file is deleted.
    """
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_left(path.parent, f".{glob.escape(path.name)}")
        temporary = path.with_name(f".{path.name}.{host()}.{os.getpid()}.tmp")
        try:
            yield temporary
            temporary.replace(path)
        except OSError as error:
            if error.errno and error.filename is None:  # as of a full disk
                error.filename = os.fspath(path)
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        yield temporary
        upload(temporary, path)


def drop_left(folder: Path, name: str) -> None:
    """Deletes temporary files that dead processes left; `name`: of what, a pattern."""
    for path in folder.glob(f"{name}.*.tmp*"):
        with suppress(OSError):  # of another user; or somebody else was faster
            if is_left(path):
                path.unlink()


def is_left(path: Path) -> bool:
    """Whether it is a temporary file of ours, and no other process still writes it.

    As `--mode=sample` may, which needs no lock. On another host a process can't be
    asked: there it lives if it wrote within a day.
    """
    found = re.search(r"\.([\w-]+)\.(\d+)\.tmp(\.part)*$", path.name)
    if found is None:  # of somebody else
        return False
    if (found[1], int(found[2])) == (host(), os.getpid()):
        return True
    if found[1] != host() or os.name == "nt":
        return time.time() - path.stat().st_mtime >= DAY_SECONDS
    try:
        os.kill(int(found[2]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's
        pass
    return False


def host() -> str:
    """The name of this machine, as part of a file's name."""
    return re.sub(r"[^\w-]", "-", socket.gethostname())


def upload(source: Path, target: FilePath) -> None:
    """Copies a file into a bucket, where it appears whole or not at all."""
    import fsspec

    # As epath opens it; its own copy would end with half a file after an error.
    bucket: Any = fsspec.filesystem("gcs", finalize_on_close=True)
    bucket.put_file(os.fspath(source), os.fspath(target))


class Mirror:
    """A folder on this machine for files that grow, copied to `target` now and then.

    Where `target` is on a disk, it is that folder itself, and nothing is copied.
    """

    def __init__(self, target: FilePath):
        self._target = target
        self._scratch = None
        if isinstance(target, Path):
            self.folder = target
        else:
            self._scratch = tempfile.TemporaryDirectory()
            self.folder = Path(self._scratch.name)

    def fetch(self, name: str) -> Path:
        """The file's place here, with what the target holds."""
        here, there = self.folder / name, self._target / name
        if self._scratch is not None and there.exists():
            here.write_bytes(there.read_bytes())
        return here

    def copy(self) -> None:
        """Brings the target up to date."""
        if self._scratch is not None:
            for path in self.folder.iterdir():
                upload(path, self._target / path.name)

    def close(self) -> None:
        """Copies a last time."""
        self.copy()
        if self._scratch is not None:
            self._scratch.cleanup()
