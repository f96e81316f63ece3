"""Too little memory for a batch: for training, for sampling, for one row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breaking import exhausted
from made import tiny, waves

from l2d_jax import memory, parallel, results, run, train
from l2d_jax.baselines import time_gan
from l2d_jax.configs import resolve
from l2d_jax.samples import read_npz
from l2d_jax.types import InputError


def test_out_of_memory_is_told_from_other_errors():
    """out of memory or not -> only XLA's and Python's own count, not a full disk"""
    assert memory.is_out_of_memory(exhausted())
    assert memory.is_out_of_memory(MemoryError())
    assert not memory.is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: else"))
    assert not memory.is_out_of_memory(ValueError("RESOURCE_EXHAUSTED: disk"))


def test_out_of_memory_while_training(tmp_path, monkeypatch):
    """the device's memory is too small for a batch -> the error names one that fits"""
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
