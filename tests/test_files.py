"""Whole files or none: on a disk, and in a bucket (one that tests/bucket.py plays)."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bucket import bucket
from processes import main_py, together
from test_processes import SMALL

import l2d_jax
from l2d_jax import lock
from l2d_jax.checkpoints import Checkpoints, load_model, save_model
from l2d_jax.data.own import own_path
from l2d_jax.data.public.catalog import SOURCES, prepared_folder
from l2d_jax.files import (
    Mirror,
    absolute,
    cache_folder,
    host,
    to_path,
    whole_file,
    write_text,
)
from l2d_jax.metric_writer import MetricWriter, read_losses, rows
from l2d_jax.samples import read_npz, write_samples
from l2d_jax.types import Examples, InputError
from l2d_jax.workdir import make_workdir


@pytest.fixture(scope="module")
def objects():
    """What gs://mine holds: name -> (content, generation)."""
    pytest.importorskip("gcsfs", reason="gs:// needs gcsfs: pip install '.[gcs]'")
    with bucket() as (variables, held), pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield held


# Clients of the bucket keep connections open.
in_bucket = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


def test_a_text_is_replaced_whole(tmp_path):
    write_text(tmp_path / "a.json", "one")
    write_text(tmp_path / "a.json", "two")
    assert (tmp_path / "a.json").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    write_text(tmp_path / "new" / "folder" / "a.json", "three")  # made with it
    assert (tmp_path / "new" / "folder" / "a.json").read_text() == "three"


def test_a_user_without_a_home_folder(monkeypatch):
    for name in ("HOME", "L2D_CACHE_DIR", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    nobody = KeyError("getpwuid(): uid not found: 54321")
    monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=nobody))
    for in_it in (
        cache_folder,
        lambda: to_path("~/runs/mine"),
        lambda: prepared_folder(SOURCES["stock"]),
        lambda: own_path("~/mine.csv"),
    ):
        with pytest.raises(InputError, match=r"~/.*: this user has no home folder"):
            in_it()
    monkeypatch.setenv("L2D_CACHE_DIR", "/kept")
    assert cache_folder() == Path("/kept")
    assert to_path("~mine") == Path("~mine")


def test_a_lock_where_an_open_file_cant_be_deleted(tmp_path, monkeypatch):
    """On Windows, which has no `flock` either."""
    unlink = Path.unlink

    def as_on_windows(path, missing_ok=False):
        opened = (os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())
        assert str(path.resolve()) not in opened, f"{path} is open"
        unlink(path, missing_ok)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(Path, "unlink", as_on_windows)
    with lock.locked(tmp_path):
        assert lock.as_holder((tmp_path / lock.LOCK).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


class Broken(Exception):
    pass


def broken_writing(path):
    with pytest.raises(Broken), whole_file(path) as temporary:
        temporary.write_text("half")
        raise Broken


def test_after_an_error_the_old_file_is_there(tmp_path):
    write_text(tmp_path / "a.json", "one")
    broken_writing(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_process_left_of_a_file_goes_with_the_next(tmp_path):
    """Hidden beside --out of --mode=sample, as large as its samples, for ever."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    end = f"{host()}.{dead.pid}.tmp"
    for left in (f".x[1].npz.{end}", f".x[1].npz.{end}.part", f".y.npz.{end}"):
        (tmp_path / left).write_text("half of a file")
    write_text(tmp_path / "x[1].npz", "whole")
    assert {*os.listdir(tmp_path)} == {"x[1].npz", f".y.npz.{end}"}


def test_a_full_disk_is_named_with_the_file(tmp_path):
    says = r"No space left on device: '.*x\.npz'$"
    with (
        pytest.raises(OSError, match=says),
        whole_file(tmp_path / "x.npz"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")


def test_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(to_path("runs/a")) == "runs/a"
    assert absolute("runs/a") == tmp_path / "runs" / "a"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert to_path("~/runs") == make_workdir("~/runs") == tmp_path / "runs"
    with pytest.raises(InputError, match=r"only gs:// is known. Mount it"):
        to_path("s3://mine/a")
    mirror = Mirror(tmp_path)  # on a disk: the folder itself
    assert mirror.fetch("a.txt") == tmp_path / "a.txt"


@pytest.mark.extra
@in_bucket
def test_a_text_in_a_bucket(objects):
    path = to_path("gs://mine/text/a.json")
    assert str(absolute(path)) == "gs://mine/text/a.json"
    write_text(path, "one")
    write_text(path, "two")
    assert objects["text/a.json"][0] == b"two" and path.read_text() == "two"
    broken_writing(path)
    assert [name for name in objects if name.startswith("text/")] == ["text/a.json"]
    assert path.read_text() == "two"


@pytest.mark.extra
@in_bucket
def test_files_of_other_processes_are_seen_at_once(objects):
    folder = to_path("gs://mine/seen")
    write_text(folder / "a", "")
    assert [p.name for p in folder.iterdir()] == ["a"]
    objects["seen/b"] = (b"", 1)  # by another process
    assert (folder / "b").exists()


@pytest.mark.extra
@in_bucket
def test_a_file_that_grows_is_copied(objects):
    objects["grown/log"] = (b"first\n", 1)
    mirror = Mirror(to_path("gs://mine/grown"))
    with mirror.fetch("log").open("a") as file:
        file.write("second\n")
    assert objects["grown/log"][0] == b"first\n"
    mirror.copy()
    assert objects["grown/log"][0] == b"first\nsecond\n"
    mirror.close()
    assert not mirror.folder.exists()


@pytest.mark.extra
@in_bucket
def test_a_run_has_its_bucket_alone(objects, monkeypatch, caplog):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 1.0)
    folder = to_path("gs://mine/alone")
    says = f"in use by the run on host {socket.gethostname()}, pid {os.getpid()}"
    with lock.locked(folder):
        left = objects["alone/run.lock"]
        with pytest.raises(InputError, match=says), lock.locked(folder):
            pass
    assert "alone/run.lock" not in objects
    objects["alone/run.lock"] = left  # of a run that was killed
    with lock.locked(folder):
        assert "was cut off: this run goes on from there" in caplog.text


@pytest.mark.extra
@in_bucket
def test_checkpoints_in_a_bucket(objects):
    folder = to_path("gs://mine/run/checkpoints")
    template = {"step": jnp.int32(0), "w": jnp.zeros((2, 3))}
    for step in (10, 20):
        with Checkpoints(folder / "line", {"seed": 0}) as checkpoints:
            checkpoints.save(step, {"step": jnp.int32(step), "w": jnp.ones((2, 3))})
    assert "run/checkpoints/line/20/commit_success.txt" in objects
    # One without the mark of a finished save is no checkpoint.
    del objects["run/checkpoints/line/20/commit_success.txt"]
    with Checkpoints(folder / "line", {"seed": 0}) as checkpoints:
        assert checkpoints.restore(template)["step"] == 10
    save_model(folder / "cascade", {"a": np.arange(3.0)}, {"config": {}})
    arrays, facts, _ = load_model(folder / "cascade")
    assert arrays["a"].tolist() == [0, 1, 2] and facts == {"config": {}}
    with pytest.raises(InputError, match=r"gs://mine/none/.* is missing"):
        l2d_jax.load("gs://mine/none")


@pytest.mark.extra
@in_bucket
def test_samples_and_metrics_in_a_bucket(objects):
    workdir = make_workdir("gs://mine/run")
    series = np.arange(24.0, dtype=np.float32).reshape(2, 4, 3)
    write_samples(
        workdir / "samples.npz",
        iter([Examples(series, np.array([4, 4]))]),
        n=2,
        channels=("a", "b", "c"),
        settings={"seed": 1},
    )
    read, settings = read_npz(workdir / "samples.npz")
    np.testing.assert_array_equal(read.series, series)
    assert settings == {"seed": 1}
    row = {"loss": np.array([1.0, 3.0])}
    for first in (0, 2):  # the second one goes on where the first was
        with MetricWriter(
            workdir, "line", first_step=first, num_steps=4, batch=2
        ) as writer:
            writer.write(first, row)
    steps, losses = read_losses(workdir / "metrics.jsonl")["line"]
    assert steps.tolist() == [2, 4] and losses.tolist() == [2.0, 2.0]
    assert sum("events.out.tfevents" in name for name in objects) == 2
    assert not [name for name in objects if os.path.basename(name).startswith(".")]


@pytest.mark.slow
@pytest.mark.extra
@in_bucket
def test_all_of_main_py_in_a_bucket(objects, tmp_path):
    training = [
        "--config=configs/japanese_vowels.py:smoke,data_only",
        *(flag for flag in SMALL[1:] if "latent" not in flag),
        "--config.evaluation.metrics=('spectral_distance',)",
    ]

    def run(*arguments):
        command = main_py([*arguments, "--workdir=gs://mine/whole"], processes=1)
        return together(command, devices=1, log=tmp_path / "log")[0]

    assert "report: gs://mine/whole/report/index.html" in run(*training)
    names = {name.removeprefix("whole/") for name in objects if "whole/" in name}
    assert "checkpoints/data/20/commit_success.txt" in names
    assert {"config.json", "metrics.jsonl", "samples.npz", "scores.json"} <= names
    steps = [r["step"] for r in rows(to_path("gs://mine/whole/metrics.jsonl"))]
    assert steps == [10, 20]
    before = {name: objects[name][1] for name in ("whole/samples.npz",)}
    run(*training)  # nothing is done twice
    assert {name: objects[name][1] for name in before} == before
    run("--mode=sample", "--num_samples=8", "--out=gs://mine/whole/more.csv")
    assert objects["whole/more.csv"][0].startswith(b"sample_id,t,")
    samples, _ = read_npz(to_path("gs://mine/whole/samples.npz"))
    loaded = l2d_jax.load("gs://mine/whole").sample(jax.random.key(0), 8)
    for one, other in zip(loaded, samples.series, strict=False):
        np.testing.assert_allclose(one, other[: len(one)], rtol=1e-4, atol=1e-4)
