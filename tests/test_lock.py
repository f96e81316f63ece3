"""Two runs on a workdir, and what a dead one leaves there."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from l2d_jax import files, lock
from l2d_jax.lock import LOCK, locked
from l2d_jax.types import InputError


def test_a_workdir_is_one_runs_alone(tmp_path):
    """a second run on a workdir -> refused, with the first's host and pid"""
    says = (
        rf"in use by the run on host {socket.gethostname()}, pid {os.getpid()}, since"
    )
    with locked(tmp_path), pytest.raises(InputError, match=says), locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / LOCK).exists()


@pytest.fixture
def quick_locks(monkeypatch):
    """A holder counts 20 times a second, and is dead after .4 s without."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 0.4)


LEFT = {"host": socket.gethostname(), "pid": 1, "since": "yesterday", "run": "a"}


@pytest.fixture(scope="module")
def dead_pid():
    """Of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_locks_that_were_left(tmp_path, caplog, dead_pid):
    """the lock of a dead run on this host -> taken over at once"""
    (tmp_path / LOCK).write_text(json.dumps(LEFT))
    left = f".samples.npz.{files.host()}.{dead_pid}.tmp"
    (tmp_path / left).write_text("half of a file")
    with locked(tmp_path):
        assert "pid 1, since yesterday was cut off" in caplog.text
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())
    for damaged in (b'{"ho', b"\xff\0"):  # cut off while it was written, or a bad disk
        (tmp_path / LOCK).write_bytes(damaged)
        with locked(tmp_path):
            pass


def test_files_that_are_being_written(tmp_path, dead_pid):
    """--mode=sample writes into a workdir -> a run there leaves its files alone"""
    mine, others = os.getpid(), os.getppid()
    ends, here = (".tmp", ".tmp.part", ".tmp.part.part"), files.host()
    for end in ends:
        for pid in (mine, others, dead_pid):
            (tmp_path / f".x.npz.{here}.{pid}{end}").write_text("half of a file")
        for host in ("new", "old"):
            (tmp_path / f".x.npz.{host}.{dead_pid}{end}").write_text("half of a file")
        two_days_ago = time.time() - 2 * 86_400
        os.utime(tmp_path / f".x.npz.old.{dead_pid}{end}", (two_days_ago,) * 2)
    (tmp_path / ".notes.tmp").write_text("of the user")
    (tmp_path / ".cache.tmp").mkdir()
    with locked(tmp_path):
        pass
    left = {path.name for path in tmp_path.iterdir()}
    lives = (f"{here}.{others}", f"new.{dead_pid}")
    of_user = {".notes.tmp", ".cache.tmp"}
    assert left == {f".x.npz.{one}{end}" for one in lives for end in ends} | of_user


def test_a_dead_run_on_another_host(tmp_path, caplog, quick_locks):
    """the lock of a run on another host that doesn't count on -> taken over, later"""
    (tmp_path / LOCK).write_text(json.dumps(LEFT | {"host": "elsewhere", "count": 3}))
    start = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - start >= lock.TIMEOUT_SECONDS
        assert "on host elsewhere, pid 1, since yesterday was cut off" in caplog.text
    assert not (tmp_path / LOCK).exists()


def test_a_live_run_on_another_host(tmp_path, quick_locks, monkeypatch):
    """a run on another host that counts on -> the second is refused, with its name"""
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 60)  # it needn't wait for the end
    path, ended = tmp_path / LOCK, threading.Event()
    elsewhere = LEFT | {"host": "elsewhere"}
    path.write_text(json.dumps(elsewhere))
    beat = threading.Thread(target=lock.heartbeat, args=(path, elsewhere, ended))
    beat.start()
    try:
        says = "in use by the run on host elsewhere, pid 1, since yesterday"
        with pytest.raises(InputError, match=says), locked(tmp_path):
            pass
    finally:
        ended.set()
        beat.join()
    assert json.loads(path.read_text())["run"] == "a"


def test_a_lock_is_never_empty(tmp_path, monkeypatch):
    """locks read while their holder counts as fast as it can -> name it, each time"""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0)
    path, ended = tmp_path / LOCK, threading.Event()
    lock.write(path, LEFT, 0)
    beat = threading.Thread(target=lock.heartbeat, args=(path, LEFT, ended))
    beat.start()
    try:
        seen = set()
        while len(seen) < 50:
            seen.add(text := path.read_text())
            assert lock.as_holder(text) == LEFT
    finally:
        ended.set()
        beat.join()


def test_a_run_that_lost_its_workdir(tmp_path, quick_locks, monkeypatch, capsys):
    """a run that seemed dead and isn't -> ends when it finds another in its place"""
    statuses = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    with locked(tmp_path):
        (tmp_path / LOCK).write_text(json.dumps(LEFT | {"host": "elsewhere"}))
        while not statuses:
            time.sleep(0.01)
    assert statuses[0] == 1
    assert "taken over by the run on host elsewhere" in capsys.readouterr().err
