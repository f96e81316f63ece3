"""SIGTERM saves and stops, and who dies is missed: with real processes and signals."""

import json
import re
import signal
import subprocess
import sys
import time

import line
import numpy as np
import pytest
from processes import finish, launch, line_py, main_py, together
from test_processes import SMALL

from l2d_jax import preemption
from l2d_jax.metric_writer import rows

STEPS = 20_000  # more than can be done while a test looks away


def wait_for(happened, started, seconds=120):
    """Until `happened()`; fails if a process ends before that."""
    end = time.monotonic() + seconds
    while not happened():
        assert all(one.poll() is None for one in started), "ended too early"
        assert time.monotonic() < end, "too slow"
        time.sleep(0.05)


def stopped(commands, *, devices, log, when, rank=0):
    """Statuses of processes, one of which gets SIGTERM, and the seconds to the end."""
    started = launch(commands, devices=devices, log=log)
    start = time.monotonic()
    try:
        wait_for(when, started, 300)
        start = time.monotonic()
        started[rank].send_signal(signal.SIGTERM)
    finally:
        statuses = finish(started, 40)
    return statuses, time.monotonic() - start


def steps(folder, stage="line"):
    return [r["step"] for r in rows(folder / "metrics.jsonl") if r["stage"] == stage]


# --- SIGTERM --------------------------------------------------------------------------


@pytest.mark.parametrize("call", [1, 3])
def test_what_was_stopped_goes_on_to_the_same_weights(call, tmp_path, monkeypatch):
    whole = line.fit(tmp_path / "whole")
    left = iter([False] * (call - 1) + [True])
    monkeypatch.setattr(preemption, "requested", lambda: next(left, True))
    with pytest.raises(preemption.Preempted) as notice:
        line.fit(tmp_path / "cut", 12, 1_000)
    assert notice.value.code == 0 and notice.value.together
    step = 2 * call  # two steps a call of the program
    assert str(notice.value).startswith(
        f"stopped by SIGTERM: stage 'line' saved at step {step} of 12; the same command"
    )
    assert (tmp_path / "cut" / "line" / str(step)).is_dir()
    monkeypatch.undo()
    np.testing.assert_array_equal(line.fit(tmp_path / "cut"), whole)
    assert steps(tmp_path / "cut") == [2, 4, 6, 8, 10, 12]


def test_sigterm_saves_and_exits_with_0(tmp_path):
    log = tmp_path / "log"
    commands = line_py(tmp_path, STEPS, STEPS, processes=1)
    statuses, seconds = stopped(
        commands, devices=1, log=log, when=lambda: steps(tmp_path)
    )
    assert statuses == [0] and seconds < 20
    said = log.with_suffix(".0").read_text()
    step = int(re.search(r"saved at step ([\d,]+) of 20,000", said)[1].replace(",", ""))
    assert (tmp_path / "line" / str(step)).is_dir()
    assert steps(tmp_path)[-1] == step


def stopped_when_ready(code: str, status: int = 0) -> str:
    """What a program says that gets SIGTERM after `ready`, and ends with `status`."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == status
    return said


IDLE = "time.sleep(60)"
BUSY = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # deaf to signals, for minutes


@pytest.mark.parametrize(
    "work, goes_on, says",
    [
        (IDLE, True, "nothing was unsaved"),
        (BUSY, True, "busy for 1 s, what was saved"),
        (IDLE, False, "the same command starts anew"),
        (BUSY, False, "the same command starts anew"),
    ],
)
def test_outside_of_training_it_stops_where_it_is(work, goes_on, says):
    code = (
        "import hashlib, os, time\n"
        "del os.set_blocking\n"  # Windows lacks it until Python 3.12
        "from l2d_jax import preemption\n"
        "preemption.GRACE_SECONDS = 1.0\n"
        f"preemption.watch(goes_on={goes_on})\n"
        "print('ready', flush=True)\n"
        f"try: {work}\n"
        "except preemption.Preempted as notice: print(notice); raise\n"
    )
    said = stopped_when_ready(code, 0 if goes_on else 143)
    assert said.startswith(f"stopped by SIGTERM: {says}") and said.count("\n") == 1


@pytest.mark.parametrize(
    "mode, status, says",
    [("run", 0, "nothing was"), ("sample", 143, "the same command starts anew")],
)
def test_it_ends_in_order_while_jax_computes(mode, status, says):
    code = (
        "import sys, time\n"
        "import jax, jax.numpy as jnp\n"
        "from l2d_jax import cli\n"
        "def dispatch():\n"
        "    x = jnp.full((500, 500), 1e-3)\n"
        "    loop = lambda x: jax.lax.fori_loop(0, 10**6, lambda _, y: y @ x, x)\n"
        "    kept.append(jax.jit(loop).lower(x).compile()(x))\n"
        "    print('ready', flush=True)\n"
        "    for _ in range(600): time.sleep(0.1)\n"  # between two, a signal is seen
        f"kept, cli.dispatch, sys.argv = [], dispatch, ['main.py', '--mode={mode}']\n"
        "cli.main()\n"
    )
    said = stopped_when_ready(code, status)
    assert said.startswith(f"stopped by SIGTERM: {says}") and said.count("\n") == 1


@pytest.mark.slow
def test_sigterm_to_one_process_stops_both_at_the_same_step(tmp_path):
    log = tmp_path / "log"
    commands = line_py(tmp_path, STEPS, STEPS, processes=2)
    statuses, seconds = stopped(
        commands, devices=2, log=log, when=lambda: steps(tmp_path), rank=1
    )
    assert statuses == [0, 0] and seconds < 20
    said = [log.with_suffix(f".{rank}").read_text() for rank in (0, 1)]
    saved = [re.findall(r"saved at step [\d,]+ of", text) for text in said]
    assert len(saved[0]) == 1 and saved[0] == saved[1]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["encoder", "data", "scores"])
def test_main_py_stops_in_each_phase_and_goes_on(phase, tmp_path):
    workdir, log = tmp_path / "w", tmp_path / "log"
    arguments = [*SMALL, f"--workdir={workdir}", "--config.training.steps_per_call=2"]
    command = main_py(arguments, processes=1)
    reached = {
        "encoder": lambda: steps(workdir, "encoder"),
        "data": lambda: steps(workdir, "data"),
        "scores": lambda: (workdir / "samples.npz").exists(),
    }
    statuses, seconds = stopped(command, devices=1, log=log, when=reached[phase])
    assert statuses == [0] and seconds < 20
    said = log.with_suffix(".0").read_text()
    assert said.count("stopped by SIGTERM: ") == 1 and "Traceback" not in said
    if phase != "scores":
        assert f"stage '{phase}' saved at step" in said
    assert not (workdir / "scores.json").exists()
    together(command, devices=1, log=log)
    assert json.loads((workdir / "scores.json").read_text())["context_fid"]["mean"] > 0
    for stage in ("encoder", "latent", "data"):
        assert steps(workdir, stage) == [*range(2, 21, 2)]


# --- a process that dies --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_is_missed_and_all_go_on(victim, tmp_path):
    log = tmp_path / "log"
    started = launch(line_py(tmp_path, STEPS, 20, processes=2), devices=2, log=log)
    try:
        wait_for(lambda: (tmp_path / "line" / "60").exists(), started)
        started[victim].kill()
        start = time.monotonic()
        started[victim].wait()
        status = started[1 - victim].wait(timeout=60)
    finally:
        finish(started, 1)
    assert status != 0 and time.monotonic() - start < 60
    said = log.with_suffix(f".{1 - victim}").read_text()
    assert f"error: process {victim} " in said, said
    # All again: they go on from the last checkpoint, to the end.
    last = max(int(p.name) for p in (tmp_path / "line").iterdir() if p.name.isdigit())
    together(line_py(tmp_path, last + 40, 20, processes=2), devices=2, log=log)
    assert steps(tmp_path)[-1] == last + 40


@pytest.mark.slow
def test_a_process_that_fails_is_missed(tmp_path):
    log = tmp_path / "log"
    commands = line_py(tmp_path, 12, 4, processes=2)
    commands[1][-1] = "0"  # a checkpoint every 0 steps: ZeroDivisionError
    started = launch(commands, devices=2, log=log)
    statuses = finish(started, 60)
    said = [log.with_suffix(f".{rank}").read_text() for rank in (0, 1)]
    assert statuses[0] == 1 and statuses[1] not in (0, None), said
    assert "ZeroDivisionError" in said[1]
    assert "error: process 1 on " in said[0] and "Traceback" not in said[0]
