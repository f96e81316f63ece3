"""A workdir is one run's alone: a second is refused, a dead one's place is taken.

On one host the operating system knows whether the holder of a lock lives. Of a holder
elsewhere, and in a bucket, the lock itself tells: its holder counts in it, every
`HEARTBEAT_SECONDS`, and one that didn't count for `TIMEOUT_SECONDS` is dead. Seconds
are those of the process that waits, so that no clock of another machine matters.

A lock is written over in place and never empty meanwhile: who reads it during a beat,
or after the disk has become full, finds its holder.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # on Windows
    fcntl = None

from l2d_jax import parallel
from l2d_jax.files import FilePath, drop_left
from l2d_jax.types import InputError

log = logging.getLogger(__name__)

LOCK = "run.lock"
HEARTBEAT_SECONDS = 15.0
TIMEOUT_SECONDS = 60.0
LENGTH = 512  # characters of a lock, so that a beat replaces all of the one before


class InUseError(InputError):
    """The workdir is another run's."""


@contextmanager
def locked(workdir: FilePath) -> Generator[None, None, None]:
    """The workdir is this run's alone, until the block ends or the process dies.

    Of several processes the first one locks.

    Raises:
      InUseError: another run has it.
    """
    if not parallel.is_first():
        yield
        return
    path = workdir / LOCK
    with ExitStack() as stack:
        sure = False  # that a holder on this host is dead
        if isinstance(path, Path):
            sure = stack.enter_context(only_here(path))
        check_dead(path, sure)
        if isinstance(workdir, Path):
            drop_left(workdir, ".*")
            drop_left(workdir / "report", ".*")
        stack.enter_context(held(path))
        yield


@contextmanager
def only_here(path: Path) -> Generator[bool, None, None]:
    """No other process of this host has the lock; False where it can't be known."""
    if fcntl is None:  # where a file that is open can't be deleted, either
        yield False
        return
    file, sure = open_locked(path)
    with file:
        yield sure


def open_locked(path: Path) -> tuple[IO[str], bool]:
    """The file, made if it is missing, and whether no other process can lock it now."""
    assert fcntl is not None
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file, True
        except FileNotFoundError:  # its holder ended between the two calls
            pass
        except BlockingIOError:
            file.close()
            raise in_use(path, as_holder(read(path))) from None
        except OSError:  # a file system without locks
            return file, False
        file.close()


def check_dead(path: FilePath, sure: bool) -> None:
    """Returns where no run holds the lock, if need be after watching it.

    Raises:
      InUseError: its holder counts, so it lives.
    """
    before = read(path)
    holder = as_holder(before)
    if not holder:
        return
    if not (sure and holder["host"] == socket.gethostname()):
        log.warning(
            "%s didn't end well or still runs: watching %s for %.0f s",
            described(holder),
            path,
            TIMEOUT_SECONDS,
        )
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            time.sleep(min(2.0, TIMEOUT_SECONDS / 4))
            now = read(path)
            if not now:  # it has just ended
                return
            if now != before and as_holder(now):
                raise in_use(path, as_holder(now))
    log.warning("%s was cut off: this run goes on from there", described(holder))


@contextmanager
def held(path: FilePath) -> Generator[None, None, None]:
    """The lock names this run, and counts, until the block ends."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),  # for people to read
        "run": uuid.uuid4().hex,
    }
    write(path, holder, 0)
    ended = threading.Event()
    beat = threading.Thread(target=heartbeat, args=(path, holder, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        path.unlink(missing_ok=True)


def heartbeat(path: FilePath, holder: dict[str, Any], ended: threading.Event) -> None:
    """Writes the next number into the lock, again and again.

    Where another run took the lock, as of one that seemed dead since its machine slept,
    this process ends: two must not write.
    """
    number = 0
    while not ended.wait(HEARTBEAT_SECONDS):
        number += 1
        try:
            other = as_holder(read(path))
            if other and other["run"] != holder["run"]:
                lost(path, other)
            write(path, holder, number)
        except Exception as error:  # full, or away for now: of OSError and of gcsfs's
            log.debug("can't write %s: %s", path, error)


def lost(path: FilePath, other: Mapping[str, Any]) -> None:
    """Ends this process, as another run has its place."""
    said = f"ERROR: {path.parent} was taken over by {described(other)}: this run ends"
    print(said, file=sys.stderr, flush=True)
    os._exit(1)


# --- what a lock says -----------------------------------------------------------------


def read(path: FilePath) -> str:
    """What the lock holds; "" where there is none."""
    try:
        return path.read_bytes().decode(errors="replace")  # a disk may have erred
    except FileNotFoundError:
        return ""


def write(path: FilePath, holder: Mapping[str, Any], number: int) -> None:
    """Into the lock, in one call; on disk in place, for who holds the file."""
    text = json.dumps({**holder, "count": number}).ljust(LENGTH)
    if not isinstance(path, Path) or not path.exists():
        path.write_text(text)
        return
    with path.open("r+b", buffering=0) as file:
        file.write(text.encode())


def as_holder(text: str) -> dict[str, Any]:
    """Host, pid, since and run; {} where it says nothing, as when it was cut off."""
    try:
        said = json.loads(text)
        return {name: said[name] for name in ("host", "pid", "since", "run")}
    except (ValueError, TypeError, KeyError):
        return {}


def described(holder: Mapping[str, Any]) -> str:
    """As `the run on host a, pid 7, since 2026-01-30 12:00:00`."""
    if not holder:
        return "another run"
    return "the run on host {host}, pid {pid}, since {since}".format(**holder)


def in_use(path: FilePath, holder: Mapping[str, Any]) -> InUseError:
    """The refusal."""
    return InUseError(
        f"--workdir={path.parent} is in use by {described(holder)}: wait until it has "
        "ended, stop it, or name another folder"
    )
