"""A model as one file: JAX alone makes of it what the model samples."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from untrained import make_model as make

import l2d_jax
from l2d_jax import deploy, layers
from l2d_jax.data.discrete_values import snap
from l2d_jax.data.held_values import hold
from l2d_jax.types import Form, InputError

NAN = np.nan
N = 6
pytestmark = pytest.mark.extra


def make_model(*given, **settings):
    """Of random weights; nothing is out of the range of its two channels."""
    model = make(*given, **settings)
    end = np.full(2, np.inf, np.float32)
    return replace(model, normalizer=replace(model.normalizer, low=-end, high=end))


@pytest.fixture
def written(tmp_path):
    """Writes a model, and reads what it samples from the file."""
    pytest.importorskip("flatbuffers")
    path = tmp_path / "sampler.bin"

    def sample(model, indices, **settings):
        l2d_jax.export(model, path, **settings)
        program = export.deserialize(bytearray(path.read_bytes()))
        made = program.call(jax.random.key(5), jnp.asarray(indices, jnp.int32))
        return program, *map(np.asarray, made)

    return sample


@pytest.mark.parametrize("variant", ["full", "latent_only", "data_only"])
def test_the_file_makes_the_samples_of_the_model(variant, written):
    model = make_model(variant)
    expected = model.sample(jax.random.key(5), N)
    program, series, lengths = written(model, range(N))
    np.testing.assert_allclose(series, expected, rtol=1e-4, atol=1e-3)
    assert lengths.tolist() == [7] * N
    assert program.platforms == ("cpu", "cuda", "tpu")
    later = program.call(jax.random.key(5), jnp.arange(4, 6, dtype=jnp.int32))[0]
    np.testing.assert_allclose(later, expected[4:], rtol=1e-4, atol=1e-3)


def test_lengths_clipping_and_decimals_are_those_of_the_model(written):
    model = make_model(ragged=True)
    assert model.config.sampling.clip
    form = Form(".csv", ("float64", "int64"), decimals=(1, 0))
    low, high = np.float32([9, -20]), np.float32([11, 12])
    model = replace(
        model,
        layout=model.layout._replace(form=form),
        normalizer=replace(model.normalizer, low=low, high=high),
    )
    expected = model.sample(jax.random.key(5), 40)
    _, series, lengths = written(model, range(40), platforms=("cpu",))
    assert [*lengths] == [len(one) for one in expected] and len({*lengths}) > 1
    for one, length, other in zip(series, lengths, expected, strict=True):
        assert np.isnan(one[length:]).all()
        np.testing.assert_allclose(one[:length], other, atol=1e-5)
    joined = np.concatenate(expected)
    assert (joined.min(axis=0) == low).all() and (joined.max(axis=0) == high).all()


def test_a_gpu_gets_no_product_of_each_example():
    """Mixing along time, that on CPU has a kernel for each of the 8 examples."""
    kernel = jnp.arange(6.0).reshape(2, 3)
    mix = jax.jit(jax.vmap(lambda x: layers.along_time(kernel, x)))
    shape = jax.ShapeDtypeStruct((8, 2, 5), np.float32)
    for platform, of_each in (("cpu", True), ("cuda", False)):
        program = export.export(mix, platforms=(platform,))(shape)
        compiled = str(program.mlir_module())
        assert ("batching_dims = [0] x [0]" in compiled) == of_each
    x = np.random.default_rng(0).normal(size=(8, 2, 5)).astype(np.float32)
    expected = np.einsum("ts,nte->nse", kernel, x)
    np.testing.assert_allclose(mix(x), expected, rtol=1e-5)


def test_values_that_stand_still_or_are_few_are_those_of_the_model(written):
    model = make_model()
    levels = np.array([[NAN, NAN], [-20, 30]], np.float32)
    limits = np.float32([1.5, 55])  # the second takes its few values once it is held
    cuts = np.array([[NAN, NAN], [10, NAN]], np.float32)
    normalizer = replace(model.normalizer, held_below=limits, levels=levels, cuts=cuts)
    model = replace(model, normalizer=normalizer)
    expected = model.sample(jax.random.key(5), N)
    _, series, _ = written(model, range(N))
    np.testing.assert_allclose(series, expected, rtol=1e-4)
    assert {*np.unique(series[..., 1])} == {-20, 30}
    assert 0 < (np.diff(series[..., 0]) == 0).mean() < 1


def test_the_order_of_channels_is_that_of_the_model(written):
    model = make_model()
    normalizer = replace(model.normalizer, ordered=np.array([[0, 1]]))
    expected = replace(model, normalizer=normalizer).sample(jax.random.key(5), N)
    _, series, _ = written(replace(model, normalizer=normalizer), range(N))
    np.testing.assert_allclose(series, expected, rtol=1e-4)
    free = model.sample(jax.random.key(5), N)
    assert 0 < (free[..., 0] > free[..., 1]).sum() < free[..., 0].size
    assert (series[..., 0] <= series[..., 1]).all()


def test_values_are_as_frequent_as_those_of_the_model(written):
    model = make_model()
    made = np.array([[-1, 0, 0, 2], [NAN] * 4], np.float32)
    real = np.array([[-40, 1, 1, 3], [NAN] * 4], np.float32)
    normalizer = replace(model.normalizer, generated_quantiles=made, quantiles=real)
    expected = replace(model, normalizer=normalizer).sample(jax.random.key(5), N)
    _, series, _ = written(replace(model, normalizer=normalizer), range(N))
    np.testing.assert_allclose(series, expected, rtol=1e-4, atol=1e-3)
    free = model.sample(jax.random.key(5), N)
    assert (np.abs(free - expected)[..., 0] > 0.1).mean() > 0.5
    np.testing.assert_array_equal(free[..., 1], expected[..., 1])


@pytest.mark.parametrize("variant", ["full", "latent_only", "data_only"])
def test_inside_a_program_of_strict_types(variant):
    one = deploy.one_in_data_units(make_model(variant))
    with jax.numpy_dtype_promotion("strict"):
        series, length = jax.eval_shape(one, jax.random.key(0), jnp.int32(0))
    assert (series.shape, series.dtype) == ((7, 2), np.float32)
    assert (length.shape, length.dtype) == ((), np.int32)


def test_of_one_series_as_of_many():
    x = np.random.default_rng(0).normal(size=(50, 9, 3)).astype(np.float32)
    x[0, 5:] = NAN
    x[1, :, 0] = 0.5 * np.arange(9)  # as far apart as the limit
    limits = np.float32([0.5, 0.0, 1.0])
    levels = np.array([[-1, 0, 2], [NAN] * 3, [0.5, NAN, NAN]], np.float32)
    found = jax.vmap(lambda one: deploy.hold_one(one, limits))(x)
    np.testing.assert_allclose(found, hold(x, limits), rtol=1e-6)
    cuts = np.array([[-0.9, NAN, NAN], [NAN] * 3, [NAN] * 3], np.float32)
    found = jax.vmap(lambda one: snap(one, levels, cuts))(x)
    np.testing.assert_array_equal(found, snap(x, levels, cuts))


def test_who_reads_the_file_needs_jax_alone(tmp_path):
    pytest.importorskip("flatbuffers")
    model, path = make_model(), tmp_path / "sampler.bin"
    l2d_jax.export(model, path)
    code = f"""
import sys, jax, numpy as np
from jax import export
program = export.deserialize(bytearray(open({str(path)!r}, "rb").read()))
series, _ = program.call(jax.random.key(5), np.arange({N}, dtype=np.int32))
print({{"l2d_jax", "flax"}} & {{*sys.modules}})
np.save({str(tmp_path / "series.npy")!r}, series)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "set()", done.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "series.npy"),
        model.sample(jax.random.key(5), N),
        rtol=1e-4,
        atol=1e-3,
    )


def test_what_can_not_be_exported(tmp_path, monkeypatch):
    model, path = make_model(), tmp_path / "sampler.bin"
    monkeypatch.setattr(deploy.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="platforms='gpu': use one of cpu, cuda"):
        l2d_jax.export(model, path, platforms=("gpu",))
    with pytest.raises(InputError, match="platforms='': use one of cpu, cuda"):
        l2d_jax.export(model, path, platforms=())
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        l2d_jax.export(model, tmp_path)
    monkeypatch.setattr(deploy.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install flatbuffers"):
        l2d_jax.export(model, path)
    assert not path.exists()
