import logging
import shutil
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import checkpoints
from l2d_jax.checkpoints import Checkpoints, check_place, load_model, save_model
from l2d_jax.types import InputError

FACTS = {"encoder.width": 16, "seed": 0, "dims": (1, 2)}
TEMPLATE = {"step": jnp.int32(0), "w": jnp.zeros((2, 3))}


def state(step):
    return {"step": jnp.int32(step), "w": jnp.full((2, 3), step / 7)}


def save(directory, *steps, facts=FACTS):
    with Checkpoints(directory, facts) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step))


def restore(directory, facts=FACTS):
    with Checkpoints(directory, facts) as checkpoints:
        return checkpoints.restore(TEMPLATE)


def damage(folder, how):
    """Damages the largest file of arrays below `folder`."""
    files = [p for p in folder.rglob("*") if p.is_file() and "d" in p.parent.parts[-1:]]
    assert files
    for path in files:
        content = path.read_bytes()
        if how == "truncate":
            path.write_bytes(content[: len(content) // 2])
        else:
            path.unlink()


def test_the_latest_comes_back_and_two_are_kept(tmp_path):
    save(tmp_path / "c", 10, 20, 30)
    restored = restore(tmp_path / "c")
    assert restored["step"] == 30
    np.testing.assert_array_equal(restored["w"], state(30)["w"])
    kept = {p.name for p in (tmp_path / "c").iterdir() if p.name.isdigit()}
    assert kept == {"20", "30"}


def test_nothing_saved_is_none(tmp_path):
    assert restore(tmp_path / "c") is None


def test_saved_arrays_are_copies(tmp_path):
    """The caller may overwrite (donate) its arrays while they are being written."""
    mine = {"step": np.int32(1), "w": np.ones((2, 3), np.float32)}
    with Checkpoints(tmp_path / "c", FACTS) as checkpoints:
        checkpoints.save(1, mine)
        mine["w"][:] = 99.0
    assert restore(tmp_path / "c")["w"].max() == 1.0


# Orbax leaves an event loop open behind a read that failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["truncate", "delete"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, how, caplog):
    save(tmp_path / "c", 10, 20)
    damage(tmp_path / "c" / "20", how)
    with caplog.at_level(logging.WARNING):
        assert restore(tmp_path / "c")["step"] == 10
    assert "20 can't be read" in caplog.text and "the one before" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_when_none_can_be_read_the_folder_is_named_and_kept(tmp_path):
    save(tmp_path / "c", 10, 20)
    damage(tmp_path / "c" / "10", "truncate")
    damage(tmp_path / "c" / "20", "truncate")
    with pytest.raises(InputError, match=r"no checkpoint in .*/c can be read.*delete"):
        restore(tmp_path / "c")
    assert (tmp_path / "c" / "20").is_dir()


@pytest.mark.parametrize("error", [MemoryError, PermissionError])
def test_out_of_memory_or_of_reach_is_no_damage(error, tmp_path, monkeypatch):
    """It was: the advice was to delete what is whole."""
    save(tmp_path / "c", 10, 20)
    save_model(tmp_path / "m", {"a": np.arange(5.0)}, {})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_read", Mock(side_effect=error))
        for read, name in ((restore, "c"), (load_model, "m")):
            with pytest.raises(error):
                read(tmp_path / name)
    assert restore(tmp_path / "c")["step"] == 20


def test_a_missing_gpu_is_no_damage(tmp_path, monkeypatch):
    """It was: the advice was to delete the model, which is whole."""
    save_model(tmp_path / "m", {"a": np.arange(5.0)}, {})
    for error in (RuntimeError("Unable to initialize backend 'cuda'"), AssertionError):
        with monkeypatch.context() as patch:
            patch.setenv("JAX_PLATFORMS", "cuda")
            patch.setattr(jax, "devices", Mock(side_effect=error))
            with pytest.raises(InputError, match=r"JAX_PLATFORMS=cuda .*: see to") as e:
                load_model(tmp_path / "m")
        assert "delete" not in str(e.value)


def test_another_config_is_refused_with_the_differing_fields(tmp_path):
    save(tmp_path / "c", 10)
    with pytest.raises(InputError) as error:
        restore(tmp_path / "c", FACTS | {"encoder.width": 32, "new": 1})
    message = str(error.value)
    assert "encoder.width was 16 and is 32" in message
    assert "new was None and is 1" in message
    assert "seed" not in message and "dims" not in message


def test_models_come_back_without_a_template(tmp_path):
    arrays = {"a": {"b": jnp.arange(6.0).reshape(2, 3)}, "n": np.int32([1, 2])}
    save_model(tmp_path / "m", arrays, {"config": {"x": 1}})
    last = {**arrays, "n": np.int32([3, 4])}
    save_model(tmp_path / "m", last, {"config": {"x": 2}}, {"jax": "0.10"})
    loaded, facts, versions = load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded["a"]["b"], arrays["a"]["b"])
    assert loaded["n"].tolist() == [3, 4] and loaded["n"].dtype == np.int32
    assert facts == {"config": {"x": 2}} and versions == {"jax": "0.10"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_missing_and_damaged_models_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="no finished model"):
        load_model(tmp_path / "m")
    save_model(tmp_path / "m", {"a": np.arange(5.0)}, {})
    damage(tmp_path / "m", "truncate")
    with pytest.raises(InputError, match=r"can.t be read.*finished stages are kept"):
        load_model(tmp_path / "m")
    shutil.rmtree(tmp_path / "m")


def test_checkpoints_below_unusual_names_are_read(tmp_path):
    for name in (
        "a b",
        "caf\u00e9",
        "a%41b",
        "a#b",
        "s3:x",
        "{x}",
        "]",
        "~",
        "'\"",
        "$x",
    ):
        folder = tmp_path / name
        check_place(folder)
        save_model(folder, {"a": np.arange(3)}, {})
        assert load_model(folder)[0]["a"].tolist() == [0, 1, 2]
