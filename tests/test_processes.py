"""Several processes that train together, for real: on this machine, over gloo."""

import json
import os
import shutil
from fnmatch import filter as matching
from types import SimpleNamespace

import jax
import line
import numpy as np
import pytest
from processes import finish, launch, line_py, main_py, together

from l2d_jax import cluster
from l2d_jax.checkpoints import load_model
from l2d_jax.metric_writer import rows
from l2d_jax.samples import read_npz
from l2d_jax.types import InputError


def fit_line(folder, *, processes, devices):
    """result.npz of tests/line.py in so many processes."""
    commands = line_py(folder, processes=processes)
    together(commands, devices=devices, log=folder / "log", timeout=120)
    with np.load(folder / "result.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def two_by_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_by_two")
    return folder, fit_line(folder, processes=2, devices=2)


def test_two_processes_end_with_the_weights_of_one(two_by_two, tmp_path):
    folder, found = two_by_two
    assert found["devices"] == 4
    alone = line.fit(tmp_path)  # in this process, on its eight devices
    assert found["w"].shape == (2, 3)
    np.testing.assert_array_equal(found["w"][0], found["w"][1])
    np.testing.assert_allclose(found["w"][0], alone, rtol=1e-6)
    # One of them kept the books: the losses too are those of the whole batch.
    ours, theirs = (rows(f / "metrics.jsonl") for f in (folder, tmp_path))
    assert [r["step"] for r in ours] == [2, 4, 6, 8, 10, 12]
    assert [r["loss"] for r in ours] == pytest.approx([r["loss"] for r in theirs])


def test_two_processes_draw_what_one_draws(two_by_two):
    drawn = two_by_two[1]["drawn"]
    for mine in drawn:
        np.testing.assert_array_equal(mine, line.draw(37))


def test_what_one_process_lacks_memory_for_all_do_in_smaller_parts(two_by_two):
    ours, theirs = two_by_two[1]["drawn with little memory"]
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, line.draw(37), rtol=1e-6)  # another program


def test_the_batch_that_fits_is_found_by_one_process_alone(two_by_two):
    """Of 8, its half: a call that waited for the other process would never end."""
    assert two_by_two[1]["fitting"].tolist() == [0, 4]


def test_processes_agree_and_the_first_goes_first(two_by_two):
    folder, found = two_by_two
    assert found["agreed"].tolist() == [True, False]
    assert (folder / "order.txt").read_text().split() == ["0", "1"]


def cut(folder, tmp_path):
    """A copy whose last checkpoint is that of step 8."""
    shutil.copytree(folder / "line", tmp_path / "line")
    shutil.rmtree(tmp_path / "line" / "12")
    assert (tmp_path / "line" / "8").is_dir()
    return tmp_path


def test_one_process_goes_on_from_what_two_saved(two_by_two, tmp_path):
    folder, found = two_by_two
    w = line.fit(cut(folder, tmp_path))
    np.testing.assert_allclose(w, found["w"][0], rtol=1e-6)
    assert [r["step"] for r in rows(tmp_path / "metrics.jsonl")] == [10, 12]


@pytest.mark.slow
def test_four_processes_go_on_from_what_two_saved(two_by_two, tmp_path):
    folder, found = two_by_two
    four = fit_line(cut(folder, tmp_path), processes=4, devices=1)
    assert four["w"].shape == (4, 3) and four["devices"] == 4
    for w in four["w"]:
        np.testing.assert_allclose(w, found["w"][0], rtol=1e-6)
    for drawn in four["drawn"]:
        np.testing.assert_array_equal(drawn, found["drawn"][0])
    assert [r["step"] for r in rows(tmp_path / "metrics.jsonl")] == [10, 12]


def test_arguments_that_go_together():
    with pytest.raises(InputError, match="--process_id go together"):
        cluster.initialize(coordinator="localhost:1", num_processes=2)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({}, "coordinator_address should be defined.", None),  # as in Colab
        ({}, "timed out", "at the process that the environment names .*timed out"),
        (
            {"coordinator": "h:1", "num_processes": 2, "process_id": 1},
            "coordinator_address should be defined.",
            "can't join the other processes at h:1 ",
        ),
    ],
)
def test_how_processes_are_joined(given, error, says, monkeypatch):
    """By the arguments alone if there are any; SIGTERM stays ours."""

    def initialize(cluster_detection_method, **_):
        assert cluster_detection_method == ("deactivate" if given else None)
        assert not jax.config.jax_enable_preemption_service
        raise ValueError(error)

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "n1:1234")
    monkeypatch.setenv("XLA_FLAGS", "")
    jax.config.update("jax_enable_preemption_service", True)
    if says is None:
        cluster.initialize(**given)
    else:
        with pytest.raises(InputError, match=says):
            cluster.initialize(**given)
    assert not jax.config.jax_enable_preemption_service


def test_cpus_wait_for_a_first_process_that_scores_for_hours(monkeypatch):
    """XLA's own half an hour isn't enough. What the user sets comes last: it counts."""
    asked = []

    def initialize(**_):
        asked.append(os.environ["XLA_FLAGS"])
        raise RuntimeError("nobody there")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_collective_timeout_seconds=5")
    with pytest.raises(InputError, match=r"can't join .* at h:1 .*nobody there"):
        cluster.initialize(coordinator="h:1", num_processes=2, process_id=1)
    days, users = (int(flag.partition("=")[2]) for flag in asked[0].split())
    assert days > 86_400 and users == 5


@pytest.mark.parametrize(
    "variables, asked",
    [
        ({}, False),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # in a batch script, outside of srun
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n[1-4]"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"JAX_COORDINATOR_ADDRESS": "n1:1234"}, True),
    ],
)
def test_environments_that_ask_for_several_processes(variables, asked, monkeypatch):
    for name in (
        "SLURM_NTASKS",
        "SLURM_STEP_NODELIST",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "JAX_COORDINATOR_ADDRESS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cluster.is_distributed() == asked


@pytest.mark.parametrize("device", ["/dev/accel0", "/dev/vfio/0", "/dev/vfio/vfio"])
@pytest.mark.parametrize("platforms", [None, "tpu", "cpu"])
def test_a_tpu_may_be_one_of_several(device, platforms, monkeypatch):
    """A card of either kind of driver, unless JAX is to run on CPU."""

    def path(folder):
        return SimpleNamespace(glob=lambda end: matching([device], f"{folder}/{end}"))

    monkeypatch.setattr(cluster, "Path", path)
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: name)
    for name in ("JAX_COORDINATOR_ADDRESS", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    if platforms is None:
        monkeypatch.delenv("JAX_PLATFORMS")
    else:
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
    asked = device != "/dev/vfio/vfio" and platforms != "cpu"
    assert cluster.is_distributed() == asked


# --- main.py --------------------------------------------------------------------------

SMALL = (
    "--config=configs/japanese_vowels.py:smoke",
    "--config.data_stage.num_diffusion_steps=10",
    "--config.latent_stage.num_diffusion_steps=10",
    "--config.sampling.latent_num_steps=0",
    "--config.sampling.batch_size=16",
    "--config.evaluation.metrics=('context_fid',)",
)


@pytest.mark.slow
def test_all_of_main_py_in_two_processes_and_in_one(tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    said = together(
        main_py([*SMALL, f"--workdir={two}"], processes=2),
        devices=2,
        log=tmp_path / "two",
    )
    assert "Context-FID" in said[0] and "report: " in said[0]
    assert "step 20 of 20" in said[0] and "step 20 of 20" not in said[1]
    assert "Context-FID" not in said[1] and "data: " not in said[1]
    together(
        main_py([*SMALL, f"--workdir={one}"], processes=1),
        devices=4,
        log=tmp_path / "one",
    )
    arrays = [load_model(w / "checkpoints" / "cascade")[0] for w in (two, one)]
    for ours, theirs in zip(*map(jax.tree.leaves, arrays), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    samples, settings = read_npz(two / "samples.npz")
    assert settings["num_samples"] == 64 and samples.series.shape[0] == 64
    scores = json.loads((two / "scores.json").read_text())
    assert (two / "report" / "index.html").stat().st_size > 100_000

    # Nothing is done twice; the other modes run in two processes as well.
    before = (two / "samples.npz").stat().st_mtime_ns
    out = tmp_path / "more.npz"
    together(
        main_py(
            ["--mode=sample", f"--workdir={two}", f"--out={out}", "--num_samples=40"],
            processes=2,
        ),
        devices=1,
        log=tmp_path / "sample",
    )
    more = read_npz(out)[0].series
    np.testing.assert_allclose(more, samples.series[:40], rtol=1e-4, atol=1e-4)
    (two / "scores.json").unlink()
    together(
        main_py(["--mode=evaluate", f"--workdir={two}"], processes=2),
        devices=1,
        log=tmp_path / "evaluate",
    )
    assert (two / "samples.npz").stat().st_mtime_ns == before
    again = json.loads((two / "scores.json").read_text())
    assert again["context_fid"]["mean"] == pytest.approx(
        scores["context_fid"]["mean"], rel=1e-4
    )


@pytest.mark.slow
def test_workdirs_that_processes_do_not_share_are_refused(tmp_path):
    commands = main_py(list(SMALL), processes=2)
    for rank, command in enumerate(commands):
        command.append(f"--workdir={tmp_path / str(rank)}")
    started = launch(commands, devices=2, log=tmp_path / "log")
    assert 2 in finish(started, 300)  # who is second may miss the first
    said = [(tmp_path / f"log.{rank}").read_text() for rank in (0, 1)]
    assert "is another folder on process 1: name one that all" in "".join(said)
    assert "Traceback" not in "".join(said)
