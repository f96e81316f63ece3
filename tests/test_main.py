"""main.py as a user types it, and killed while it trains."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import l2d_jax
from l2d_jax.checkpoints import load_model
from l2d_jax.metric_writer import rows

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments):
    return [sys.executable, str(ROOT / "main.py"), *map(str, arguments)]


def l2d(*arguments, **environment):
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def error_of(*arguments):
    """The one line that a refused command prints."""
    done = l2d(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert done.stdout == ""
    return done.stderr


def test_japanese_vowels_as_users_run_it(tmp_path):
    workdir = tmp_path / "w"
    done = l2d("--config=configs/japanese_vowels.py:smoke", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    assert "Context-FID" in done.stdout
    for stage in ("encoder", "latent", "data"):
        assert f"{stage}: step 20 of 20, loss" in done.stderr
    ran = json.loads((workdir / "config.json").read_text())
    assert ran["config"]["encoder"]["num_steps"] == 20 and "jax" in ran["versions"]

    out = tmp_path / "x.csv"
    done = l2d(
        "--mode=sample", f"--workdir={workdir}", f"--out={out}", "--num_samples=5",
        "--num_steps=3", "--seed=7",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines()
    expected = l2d_jax.load(workdir).sample(jax.random.key(7), 5, num_steps=3)
    assert len(lines) == 1 + sum(len(one) for one in expected)
    first = [float(value) for value in lines[1].split(",")[2:]]
    np.testing.assert_allclose(first, expected[0][0], rtol=1e-4, atol=1e-5)

    scores = (workdir / "scores.json").read_text()
    (workdir / "scores.json").unlink()
    assert "run --mode=evaluate first" in error_of(
        "--mode=report", f"--workdir={workdir}"
    )
    assert l2d("--mode=evaluate", f"--workdir={workdir}").returncode == 0
    again = (workdir / "scores.json").read_text()
    assert json.loads(again)["context_fid"]["values"] == pytest.approx(
        json.loads(scores)["context_fid"]["values"], rel=1e-5
    )


def test_help_names_every_flag():
    done = l2d("--help")
    assert done.returncode == 0
    for flag in ("config", "workdir", "mode", "num_samples", "out", "seed", "solver"):
        assert f"--{flag}" in done.stdout or f"--[no]{flag}" in done.stdout


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}


def training(workdir):
    """Long enough to be killed in any stage."""
    return command(
        "--config=configs/japanese_vowels.py:smoke",
        f"--workdir={workdir}",
        "--config.encoder.num_steps=600",
        "--config.latent_stage.num_steps=2000",
        "--config.data_stage.num_steps=600",
    )


def weights(workdir):
    arrays, _, _ = load_model(workdir / "checkpoints" / "cascade")
    return jax.tree.leaves(arrays)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    assert subprocess.run(training(workdir), **QUIET).returncode == 0
    return weights(workdir)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["encoder", "latent", "data"])
def test_killed_in_a_stage_equals_uninterrupted(stage, tmp_path, uninterrupted):
    process = subprocess.Popen(training(tmp_path), **QUIET)
    log, deadline = tmp_path / "metrics.jsonl", time.monotonic() + 900
    try:
        while not any(r["stage"] == stage and r["step"] >= 30 for r in rows(log)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "checkpoints" / "cascade").exists(), "killed too late"
    assert subprocess.run(training(tmp_path), **QUIET).returncode == 0
    for one, other in zip(uninterrupted, weights(tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)
