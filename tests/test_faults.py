"""What can go wrong around a run, and what is left of it afterwards.

Real processes and real signals are in the tests marked slow. The first line of each
test says `fault -> what happens`: `benchmarks/faults.py` makes its table of them.
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
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import cli, files, lock, memory, parallel, results, run, train
from l2d_jax.baselines import time_gan
from l2d_jax.checkpoints import (
    Checkpoints,
    load_model,
    save_model,
    warn_of_versions,
)
from l2d_jax.configs import resolve
from l2d_jax.data import read_array, split
from l2d_jax.lock import LOCK, locked
from l2d_jax.samples import read_npz
from l2d_jax.task import prepare
from l2d_jax.types import InputError
from l2d_jax.workdir import as_json, read_json

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("L2D_KILLS", "30"))

FACTS = {"width": 16}
TEMPLATE = {"step": jnp.int32(0), "w": jnp.zeros((40, 50))}


def state(step):
    values = np.random.default_rng(step).normal(size=(40, 50))
    return {"step": jnp.int32(step), "w": jnp.float32(values)}


def saved(folder):
    with Checkpoints(folder, FACTS) as checkpoints:
        checkpoints.save(10, state(10))
        checkpoints.save(20, state(20))
    return folder


def restored(folder, **given):
    with Checkpoints(folder, FACTS, **given) as checkpoints:
        return checkpoints.restore(TEMPLATE)


# --- damaged files, one by one --------------------------------------------------------


def flip(path):
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {"one bit flipped": flip, "cut in half": truncate, "deleted": Path.unlink}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_any_damaged_file_of_a_checkpoint(damage, tmp_path, caplog):
    """any file of a checkpoint damaged -> the one before, and said; or no matter"""
    whole = saved(tmp_path / "whole")
    names = [p.relative_to(whole) for p in (whole / "20").rglob("*") if p.is_file()]
    steps = []
    for name in names:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "c")
        damage(tmp_path / "c" / name)
        caplog.clear()
        found = restored(tmp_path / "c")
        step = int(found["step"])
        steps.append(step)
        np.testing.assert_array_equal(found["w"], state(step)["w"], str(name))
        said = (
            "20 can't be read" in caplog.text and "moved the unreadable" in caplog.text
        )
        assert said == (step == 10), name
        assert (tmp_path / "c" / "20").exists() == (step == 20)
    assert set(steps) == {10, 20}


def test_half_deleted_checkpoint(tmp_path, caplog):
    """a checkpoint half deleted -> the one before is used, and saving goes on"""
    folder = saved(tmp_path / "c")
    shutil.rmtree(folder / "20" / "state")
    assert restored(folder)["step"] == 10
    assert "20 can't be read" in caplog.text
    with Checkpoints(folder, FACTS) as checkpoints:
        checkpoints.save(20, state(20))  # which the broken one would have forbidden
    assert restored(folder)["step"] == 20
    kept = tmp_path / "unreadable" / "c"
    assert [p.name for p in kept.iterdir()] == ["20-0"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_flipped_bit_in_a_finished_model(tmp_path):
    """one bit of a finished model flipped -> refused, never sampled from"""
    arrays = {"a": {"w": np.random.default_rng(0).normal(size=(60, 60))}}
    save_model(tmp_path / "m", arrays, {"x": 1})
    largest = max(tmp_path.rglob("d/*"), key=lambda path: path.stat().st_size)
    flip(largest)
    with pytest.raises(InputError, match=r"can.t be read.*finished stages are kept"):
        load_model(tmp_path / "m")


def test_other_versions_of_the_libraries(tmp_path, caplog):
    """libraries of other versions than the checkpoint's -> one line names both"""
    with Checkpoints(tmp_path / "c", FACTS, {"jax": "0.9.0", "optax": "1"}) as c:
        c.save(10, state(10))
    assert restored(tmp_path / "c", versions={"jax": "0.9.0", "optax": "1"})
    assert not caplog.records
    assert restored(tmp_path / "c", versions={"jax": "0.10.2", "optax": "1"})
    (record,) = caplog.records
    assert "was written with jax 0.9.0 (here 0.10.2): it is used" in record.message
    save_model(tmp_path / "m", {"a": np.zeros(2)}, {}, {"flax": "0.1"})
    warn_of_versions(tmp_path / "m", load_model(tmp_path / "m")[2], {"flax": "0.2"})
    assert "flax 0.1 (here 0.2)" in caplog.text


# --- two runs -------------------------------------------------------------------------


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
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.4)


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
        assert time.monotonic() - start >= lock.PATIENCE_SECONDS
        assert "on host elsewhere, pid 1, since yesterday was cut off" in caplog.text
    assert not (tmp_path / LOCK).exists()


def test_a_live_run_on_another_host(tmp_path, quick_locks, monkeypatch):
    """a run on another host that counts on -> the second is refused, with its name"""
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 60)  # it needn't wait for the end
    path, ended = tmp_path / LOCK, threading.Event()
    elsewhere = LEFT | {"host": "elsewhere"}
    path.write_text(json.dumps(elsewhere))
    beat = threading.Thread(target=lock.count, args=(path, elsewhere, ended))
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
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0)
    path, ended = tmp_path / LOCK, threading.Event()
    lock.write(path, LEFT, 0)
    beat = threading.Thread(target=lock.count, args=(path, LEFT, ended))
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


# --- memory ---------------------------------------------------------------------------


def exhausted():
    return jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."
    )


def test_out_of_memory_is_told_from_other_errors():
    """out of memory or not -> only XLA's and Python's own count, not a full disk"""
    assert memory.is_out_of_memory(exhausted())
    assert memory.is_out_of_memory(MemoryError())
    assert not memory.is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: else"))
    assert not memory.is_out_of_memory(ValueError("RESOURCE_EXHAUSTED: disk"))


def test_out_of_memory_while_training(tmp_path, monkeypatch):
    """the device's memory is too small for a batch -> the error names one that fits"""
    from made import waves
    from test_run import tiny

    make_program = train.make_program
    tried = []

    def small_device(stage, c, *, seed, devices=None):
        program = make_program(stage, c, seed=seed, devices=devices)

        def call(state, batches):
            size = jax.tree.leaves(batches)[0].shape[1]
            tried.append(size)
            if size > 16:
                raise exhausted()
            return program(state, batches)

        return call

    monkeypatch.setattr(train, "make_program", small_device)
    config = tiny("data_only")
    config.data_stage.batch_size = 72
    says = (
        r"out of memory with --config\.data_stage\.batch_size=72: 16 fits: "
        r"--config\.data_stage\.batch_size=16"
    )
    with pytest.raises(InputError, match=says):
        run.fit(waves(), workdir=tmp_path / "w", config=config)
    assert tried == [72, 32, 16]


def test_a_batch_that_fits_is_one_that_can_be(monkeypatch):
    """too small a memory for three batches of TimeGAN -> three smaller ones fit"""
    from test_run import tiny

    config = resolve(tiny("time_gan"))
    config.time_gan_joint.batch_size = 3 * 8 * 5  # on 8 devices
    stage = time_gan.joint_stage(config, (8, 2))
    tried = []

    def small_device(stage, c, *, seed, devices=None):
        def call(state, batches):
            tried.append(batches.shape[1])
            if tried[-1] > 60:
                raise exhausted()
            return state, {}

        return call

    monkeypatch.setattr(train, "make_program", small_device)
    monkeypatch.setattr(train, "init_state", lambda stage, c, *, seed: jnp.float32(0))
    fitting = train.smaller_batch(
        stage, np.zeros((9, 8, 2)), config.time_gan_joint, seed=0, steps_per_call=2
    )
    assert (fitting, tried) == (48, [48])
    config.time_gan_joint.batch_size = fitting
    time_gan.joint_stage(config, (8, 2))  # which takes it


def test_out_of_memory_while_sampling(tmp_path, monkeypatch, caplog):
    """too many series in one call of a program -> half as many, the same series"""
    from made import waves
    from test_run import tiny

    config = tiny("full")
    config.sampling.batch_size = 16
    model, key = (
        run.fit(waves(), workdir=tmp_path / "w", config=config),
        jax.random.key(0),
    )
    at_once = [model.sample(key, 20), model.reconstruct(key, waves())]
    results.sample_to_file(model, tmp_path / "a.npz", n=20, seed=0)
    map_rows, calls = parallel.map_rows, []

    def small_device(function, params, rows, *, batch_size):
        calls.append((len(rows), batch_size))
        parts = map_rows(
            function, params, rows, batch_size=batch_size, devices=jax.devices()[:1]
        )
        for i, part in enumerate(parts):
            if i and batch_size > 4:  # the second call of a program is too much
                raise exhausted()
            yield part

    monkeypatch.setattr(parallel, "map_rows", small_device)
    np.testing.assert_allclose(model.sample(key, 20), at_once[0], atol=1e-5)
    assert calls == [(20, 16), (4, 4)]  # nothing is made twice
    in_parts = model.reconstruct(key, waves())
    np.testing.assert_allclose(in_parts, at_once[1], atol=1e-5)
    results.sample_to_file(model, tmp_path / "b.npz", n=20, seed=0)
    (a, made_with), (b, again) = (read_npz(tmp_path / f"{x}.npz") for x in "ab")
    np.testing.assert_allclose(a.series, b.series, atol=1e-5)
    assert made_with == again  # so that the run finds them done
    assert "with 8 series a call: now 4" in caplog.text


def test_work_in_parts_ends_where_one_row_is_too_much():
    """memory for no row at all, or another error -> raised after all sizes, or once"""
    sizes = []

    def work(error):
        def attempt(first, size):
            sizes.append(size)
            yield np.arange(first, first + 1)
            raise error

        return attempt

    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        list(memory.in_parts(work(exhausted()), 99, batch_size=32))
    assert sizes == [32, 16, 8, 4, 2, 1]
    sizes.clear()
    with pytest.raises(ValueError, match="another"):
        list(memory.in_parts(work(ValueError("another")), 99, batch_size=32))
    assert sizes == [32]


# --- the command line -----------------------------------------------------------------


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


def test_files_that_are_not_what_they_should_be(tmp_path):
    """scores.json cut in half -> said, with the command that makes it again"""
    path = tmp_path / "scores.json"
    for text in ("", '{"a": 1', "[1]", "\x00\x01"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"scores\.json .*: run it again"):
            read_json(path, "run it again")


@pytest.mark.parametrize("left", ["", '{"asked": {"see', "[1]", "{}"])
def test_half_of_a_choice(left, tmp_path, monkeypatch):
    """latent.json cut in half -> chosen again"""
    from made import waves
    from test_run import tiny

    def chosen(config, series):
        config = config.copy_and_resolve_references()
        config.encoder.latent_dim = 4
        return config, []

    monkeypatch.setattr(run, "with_latent", chosen)
    config = resolve(tiny())
    config.data.update(name="array")
    config.encoder.latent_dim = 0
    task = prepare(config, split(read_array(waves(), config.data), config.data))
    (tmp_path / "latent.json").write_text(left)
    found, choice = run.with_chosen_latent(task, tmp_path)
    assert found.config.encoder.latent_dim == choice["chosen"]["latent_dim"] == 4
    run.write_config(found.config, choice, tmp_path)
    saved = json.loads((tmp_path / "latent.json").read_text())
    assert saved == json.loads(as_json(choice))


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
