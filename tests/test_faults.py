"""What can go wrong around a run, and what is left of it afterwards.

Real processes and real signals are in the tests marked slow. The first line of each
test here, and in test_damage, test_lock and test_memory, says `fault -> what happens`:
`benchmarks/faults.py` makes its table of them.
"""

import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from breaking import DAMAGES, exhausted, flip

from l2d_jax import cli
from l2d_jax.checkpoints import load_model
from l2d_jax.lock import LOCK
from l2d_jax.samples import read_npz

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("L2D_KILLS", "30"))


def test_errors_that_nobody_thought_of(capsys):
    """a bug -> the traceback, and a last line that says what is kept and what to do"""
    with pytest.raises(SystemExit) as end:
        cli.explain(RuntimeError("something\nelse"))
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and lines[0].startswith("RuntimeError")
    assert lines[-1].startswith(
        "error: unexpected RuntimeError: something else. What is"
    )
    with pytest.raises(SystemExit):
        cli.explain(exhausted())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory") and "evaluation.num_series" in line


def test_warnings_are_one_plain_line():
    """a warning -> `warning: what it is`"""
    record = logging.LogRecord("l2d", logging.WARNING, "x.py", 1, "a\n%s", ("b",), None)
    assert cli.OneLine().format(record) == "warning: a b"


# --- whole runs, in processes of their own --------------------------------------------


def command(workdir, *flags):
    start = [sys.executable, str(ROOT / "main.py"), f"--workdir={workdir}"]
    if "--mode=sample" in flags:  # takes the config of the workdir
        return [*start, *flags]
    return [
        *start,
        "--config=configs/japanese_vowels.py:smoke",
        "--config.evaluation.metrics=('spectral_distance',)",
        "--config.encoder.num_steps=200",
        "--config.latent_stage.num_steps=400",
        "--config.data_stage.num_steps=200",
        "--config.training.checkpoint_every=20",
        *flags,
    ]


def start(workdir, *flags, **environment):
    flags_of_one_device = os.environ["XLA_FLAGS"].replace("count=8", "count=1")
    return subprocess.Popen(
        command(workdir, *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags_of_one_device, **environment},
    )


def finish(process):
    """(exit status, all that it printed)."""
    printed, _ = process.communicate(timeout=900)
    return process.returncode, printed


def run_all(workdir, *flags, **environment):
    status, printed = finish(start(workdir, *flags, **environment))
    assert status == 0, printed
    return printed


def error_of(workdir, *flags, **environment):
    """The last line of a run that can't go on: what it is, without a traceback."""
    status, printed = finish(start(workdir, *flags, **environment))
    last = printed.strip().splitlines()[-1]
    assert status == 2 and last.startswith("error: "), printed
    assert "Traceback" not in printed, printed
    return last


@pytest.fixture(autouse=True)
def interruptible():
    """A shell's background jobs, and all that they start, ignore Ctrl-C otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def end(process):
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The workdir of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("reference") / "w"
    began = time.monotonic()
    run_all(workdir)
    (workdir / "seconds").write_text(str(time.monotonic() - began))
    return workdir


def unfinished(reference, workdir):
    """A copy of the reference, as if killed before the model was put together."""
    shutil.copytree(reference, workdir)
    for name in ("samples.npz", "scores.json", "report", "checkpoints/cascade"):
        path = workdir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return workdir


def scores_of(workdir):
    """All but the time that they took."""
    scores = json.loads((workdir / "scores.json").read_text())
    return {
        name: {key: value for key, value in score.items() if key != "seconds"}
        for name, score in scores.items()
    }


def assert_as_if_nothing_happened(workdir, reference):
    one, other = (
        load_model(folder / "checkpoints" / "cascade")[0]
        for folder in (workdir, reference)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)
    one, other = (read_npz(folder / "samples.npz") for folder in (workdir, reference))
    np.testing.assert_array_equal(one[0].series, other[0].series)
    assert one[1] == other[1]
    one, other = (scores_of(folder) for folder in (workdir, reference))
    assert one == other
    assert (workdir / "report" / "index.html").read_text().endswith("</html>\n")
    left = [p.name for p in workdir.rglob("*") if ".tmp" in p.name or p.name == LOCK]
    assert not left


def wait_for(process, condition):
    deadline = time.monotonic() + 600
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def phase_of(workdir):
    """How far a run has come, by what lies in its workdir."""
    checkpoints = workdir / "checkpoints"
    for name, path in (
        ("report", workdir / "scores.json"),
        ("scores", workdir / "samples.npz"),
        ("samples", checkpoints / "cascade" / "0"),
        ("data", checkpoints / "data"),
        ("latent", checkpoints / "latent"),
        ("encoder", checkpoints / "encoder"),
    ):
        if path.exists():
            return name
    return "start"


def has_reached(process, workdir, goal):
    """Whether this process has begun, and the run is in this phase or beyond."""
    with suppress(FileNotFoundError, ValueError):
        holder = json.loads((workdir / LOCK).read_text())
        begun = holder["pid"] == process.pid
        return begun and phase_of(workdir) in PHASES[PHASES.index(goal) :]


PHASES = ("encoder", "latent", "data", "samples", "scores", "report")


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, reference, record_property):
    """kill -9 at random moments of all phases -> the same weights, samples, scores"""
    rng = random.Random(os.environ.get("L2D_KILL_SEED", "0"))
    whole = float((reference / "seconds").read_text())
    phases, rounds = [], -(-KILLS // len(PHASES))
    for workdir in [tmp_path / str(i) for i in range(rounds)]:
        for goal in PHASES[: KILLS - len(phases)]:
            process = start(workdir)
            # From the phase's beginning on, unless the run has passed it already.
            wait_for(process, partial(has_reached, process, workdir, goal))
            time.sleep(rng.random() ** 3 * whole / 40)  # early: some phases are short
            assert process.poll() is None, finish(process)[1]
            end(process)
            phases.append(phase_of(workdir))
        run_all(workdir)
        assert_as_if_nothing_happened(workdir, reference)
    counts = ", ".join(f"{phase} {phases.count(phase)}" for phase in ("start", *PHASES))
    found = f"{len(phases)} kills ({counts}), {rounds} runs to the end"
    record_property("found", found)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["start", *PHASES])
def test_interrupted_in_each_phase(phase, tmp_path, reference):
    """Ctrl-C, in each phase -> one line, exit status 130, and the same results later"""
    process = start(tmp_path / "w")
    wait_for(process, lambda: phase_of(tmp_path / "w") == phase)
    process.send_signal(signal.SIGINT)
    status, printed = finish(process)
    assert "Traceback" not in printed, printed
    # Before the program's own first line, the signal ends it as any other.
    assert status in (130, -signal.SIGINT), printed
    if status == 130:
        assert printed.splitlines()[-1].startswith("interrupted: the same command goes")
    assert not (tmp_path / "w" / LOCK).exists()
    run_all(tmp_path / "w")
    assert_as_if_nothing_happened(tmp_path / "w", reference)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_run_on_damaged_checkpoints(damage, tmp_path, reference):
    """the last checkpoint of a run damaged -> the one before, and the same results"""
    workdir = unfinished(reference, tmp_path / "w")
    latest = workdir / "checkpoints" / "data" / "200"
    damage(max(latest.rglob("d/*"), key=lambda path: path.stat().st_size))
    printed = run_all(workdir)
    assert "data/200 can't be read" in printed and "the one before" in printed
    assert "Traceback" not in printed
    assert_as_if_nothing_happened(workdir, reference)


@pytest.mark.slow
def test_a_run_with_a_damaged_model(tmp_path, reference):
    """the finished model damaged -> made again from the stages, and said"""
    workdir = tmp_path / "w"
    shutil.copytree(reference, workdir)
    model = workdir / "checkpoints" / "cascade"
    flip(max(model.rglob("d/*"), key=lambda path: path.stat().st_size))
    last = error_of(workdir, "--mode=sample", f"--out={tmp_path / 'x.npz'}")
    assert "can't be read" in last and "finished stages are kept" in last
    assert "made again from the finished stages" in run_all(workdir)
    assert_as_if_nothing_happened(workdir, reference)


@contextmanager
def small_disk(folder, size):
    """A file system in memory. Skips the test where it can't be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here: it takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["600k", "2200k", "3800k", "5600k"])
def test_full_disk(size, tmp_path, reference):
    """the disk full, in four phases -> one line; with room made, the same results"""
    with small_disk(tmp_path / "disk", size):
        workdir = tmp_path / "disk" / "w"
        assert "No space left" in error_of(workdir)
        remount = ["mount", "-o", "remount,size=50m", str(tmp_path / "disk")]
        subprocess.run(remount, check=True)
        run_all(workdir)
        assert_as_if_nothing_happened(workdir, reference)


@pytest.mark.slow
def test_read_only_workdir(tmp_path, reference):
    """a read-only workdir -> one line; sampling to elsewhere still works"""
    with small_disk(tmp_path / "disk", "50m"):
        workdir = tmp_path / "disk" / "w"
        shutil.copytree(reference, workdir)
        disk = str(tmp_path / "disk")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "can't be written to (Read-only file system)" in error_of(workdir)
        assert "name another folder" in error_of(workdir, "--mode=report")
        out = tmp_path / "x.npz"
        run_all(workdir, "--mode=sample", f"--out={out}", "--num_samples=64")
    sampled, made = read_npz(out)[0].series, read_npz(reference / "samples.npz")[0]
    np.testing.assert_array_equal(sampled, made.series)


BACKWARDS = """
import time
start, clock = time.monotonic(), time.monotonic
time.time = lambda: 1e9 - 1000 * (clock() - start)
time.time_ns = lambda: int(1e9 * time.time())
"""


@pytest.mark.slow
def test_a_clock_that_goes_backwards(tmp_path, reference):
    """the clock in 2001 and going backwards, files from 2100 -> the same results"""
    workdir = unfinished(reference, tmp_path / "w")
    shutil.rmtree(workdir / "checkpoints" / "data" / "200")
    for path in workdir.rglob("*"):
        os.utime(path, (4.1e9, 4.1e9))
    (tmp_path / "sitecustomize.py").write_text(BACKWARDS)
    run_all(workdir, PYTHONPATH=str(tmp_path))
    assert_as_if_nothing_happened(workdir, reference)


@pytest.mark.slow
def test_two_runs_at_once(tmp_path, reference):
    """two runs on a workdir, the first killed -> second refused, then taking over"""
    workdir = tmp_path / "w"
    first = start(workdir)
    try:
        wait_for(first, lambda: phase_of(workdir) == "encoder")
        last = error_of(workdir)
        assert f"in use by the run on host {socket.gethostname()}" in last
        assert f"pid {first.pid}" in last
    finally:
        end(first)
    printed = run_all(workdir)
    if first.returncode != 0:
        assert f"pid {first.pid}, since" in printed and "was cut off" in printed
    assert_as_if_nothing_happened(workdir, reference)


@pytest.mark.slow
def test_a_loss_that_is_not_finite(tmp_path, reference):
    """a batch makes the loss NaN -> stage, step and last good checkpoint are named"""
    workdir = tmp_path / "w"
    last = error_of(workdir, "--config.data_stage.learning_rate=1e38")
    assert "stage 'data': the loss is not finite at step" in last
    assert "Last good checkpoint" in last
    assert not (workdir / "checkpoints" / "cascade").exists()
    shutil.rmtree(workdir / "checkpoints" / "data")
    run_all(workdir)  # the stages before are kept
    assert_as_if_nothing_happened(workdir, reference)
