"""Damaged files of a workdir, one by one: what is used instead, and what is said."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from breaking import DAMAGES, flip
from made import tiny, waves

from l2d_jax import run
from l2d_jax.checkpoints import Checkpoints, load_model, save_model, warn_of_versions
from l2d_jax.configs import resolve
from l2d_jax.data import read_array, split
from l2d_jax.task import prepare
from l2d_jax.types import InputError
from l2d_jax.workdir import as_json, read_json

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
