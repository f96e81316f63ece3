"""Scaling of channels: with answers known before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import equal_length

from l2d_jax.data import Normalizer, from_list
from l2d_jax.data.normalizer import moments
from l2d_jax.types import InputError

NAN = np.nan


def test_min_max_by_hand():
    examples = equal_length([[[0, 10], [4, 20]], [[2, 30], [1, 10]]])
    normalizer = Normalizer.fit(examples, "min_max", ("a", "b"))
    np.testing.assert_array_equal(normalizer.shift, [2, 20])
    np.testing.assert_array_equal(normalizer.scale, [2, 10])
    z = normalizer.normalize(examples.series)
    np.testing.assert_array_equal(z, [[[-1, -1], [1, 0]], [[0, 1], [-0.5, -1]]])
    np.testing.assert_array_equal(normalizer.denormalize(z), examples.series)


def test_standard_by_hand():
    examples = equal_length([[[0, 1], [4, 5]], [[0, 1], [4, 1]]])
    normalizer = Normalizer.fit(examples, "standard")
    np.testing.assert_array_equal(normalizer.shift, [2, 2])
    np.testing.assert_allclose(normalizer.scale, [2, np.sqrt(3)], rtol=1e-7)
    z = normalizer.normalize(examples.series)
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0, atol=1e-7)
    np.testing.assert_allclose(z.var(axis=(0, 1)), 1, rtol=1e-6)


def test_equal_range_by_hand():
    """In halves of their ranges, 2 and 20, the variances are 1/2 and 1; mean 3/4."""
    x = np.array([[0, 0], [2, 0], [4, 40], [2, 40]], float)
    factor = np.sqrt(3 / 4)
    normalizer = Normalizer.fit(equal_length([x]), "equal_range")
    np.testing.assert_allclose(normalizer.shift, [2, 20], rtol=1e-6)
    np.testing.assert_allclose(normalizer.scale, [2 * factor, 20 * factor], rtol=1e-6)
    z = normalizer.normalize(x)
    assert np.mean(z.var(axis=0)) == pytest.approx(1.0)
    np.testing.assert_allclose(np.ptp(z, axis=0), 2 / factor, rtol=1e-6)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_padding_does_not_count(kind):
    short = [np.array([[0.0], [8.0]]), np.array([[2.0], [4.0], [6.0]])]
    ragged = Normalizer.fit(from_list(short), kind)
    flat = Normalizer.fit(equal_length([np.concatenate(short)]), kind)
    np.testing.assert_array_equal(ragged.shift, flat.shift)
    np.testing.assert_array_equal(ragged.scale, flat.scale)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_round_trip_of_large_offsets(kind):
    rng = np.random.default_rng(1)
    low, high = np.array([1e7, 1e3, -1e-6]), np.array([9e7, 2e3, 1e-6])
    examples = equal_length(rng.uniform(low, high, size=(50, 24, 3)))
    normalizer = Normalizer.fit(examples, kind)
    assert normalizer.shift.dtype == normalizer.scale.dtype == np.float32
    for x in (examples.series, jnp.asarray(examples.series)):
        back = normalizer.denormalize(normalizer.normalize(x))
        assert isinstance(back, type(x))
        assert (abs(np.asarray(back) - examples.series) < 1e-5 * (high - low)).all()


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_constant_channel_is_named(kind):
    series = np.random.default_rng(0).normal(size=(5, 4, 2))
    series[:, :, 1] = 0.1
    with pytest.raises(InputError, match=r"channel 'dull' is 0.1 at every step"):
        Normalizer.fit(equal_length(series), kind, ("lively", "dull"))
    with pytest.raises(InputError, match=r"channel '1' is 0.1"):
        Normalizer.fit(equal_length(series), kind)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_missing_values_do_not_count(kind):
    rng = np.random.default_rng(0)
    series = rng.normal([30.0, -30.0], 2.0, size=(30, 10, 2)).astype(np.float32)
    series[rng.uniform(size=series.shape) < 0.3] = NAN
    found = Normalizer.fit(equal_length(series), kind)
    values = [series[:, :, c].astype(np.float64) for c in range(2)]
    known = [x[~np.isnan(x)] for x in values]
    half = np.array([np.ptp(x) / 2 for x in known])
    mean, std = (np.array([f(x) for x in known]) for f in (np.mean, np.std))
    shift, scale = {
        "equal_range": (mean, half * np.sqrt(np.mean((std / half) ** 2))),
        "standard": (mean, std),
        "min_max": (np.array([x.min() for x in known]) + half, half),
    }[kind]
    np.testing.assert_allclose(found.shift, shift, rtol=1e-6)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-6)


def test_moments_piece_by_piece_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    series = 1e4 + rng.normal(size=(101, 7, 3))
    series[:40, :, 1] += 5.0  # so that the pieces differ
    series[rng.uniform(size=series.shape) < 0.2] = NAN
    series[:20, :, 2] = NAN  # pieces without a value
    examples = equal_length(series)
    whole = moments(examples)
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 7 * 3 * 4)
    for one, other in zip(whole, moments(examples), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    flat = examples.series.astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(whole.std, np.nanstd(flat, axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "says"), [(np.inf, "'b' has inf"), (NAN, "'b' has no value")]
)
def test_channels_that_can_not_be_scaled_are_named(value, says):
    series = np.arange(8.0).reshape(2, 2, 2)
    series[: 1 if np.isinf(value) else 2, :, 1] = value
    with pytest.raises(InputError, match=says):
        Normalizer.fit(equal_length(series), "min_max", ("a", "b"))


def test_unknown_scaler():
    with pytest.raises(InputError, match=r"'minmax': use one of equal_range, standard"):
        Normalizer.fit(equal_length([[[0], [1]]]), "minmax")


def test_normalizer_is_a_pytree():
    normalizer = Normalizer.fit(equal_length([[[0, 1], [4, 2]]]))
    assert jax.tree.map(np.shape, normalizer).shift == (2,)
    x = jnp.ones((3, 5, 2))
    compiled = jax.jit(lambda n, x: n.denormalize(n.normalize(x)))
    np.testing.assert_allclose(compiled(normalizer, x), x, rtol=1e-6)
    over_steps = jax.vmap(normalizer.normalize)(x[0])
    np.testing.assert_allclose(over_steps, normalizer.normalize(x[0]), rtol=1e-6)
    abstract = jax.eval_shape(lambda n: n, normalizer)
    assert abstract.scale.shape == (2,)
