"""Values as frequent as in training: found in the series, and kept in samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import tiny

import l2d_jax
from l2d_jax import configs, run
from l2d_jax.cascade import Layout
from l2d_jax.configs import resolve
from l2d_jax.data import Normalizer, from_list, from_model_space
from l2d_jax.data.held_values import hold
from l2d_jax.data.quantiles import SHARES, map_quantiles, quantiles
from l2d_jax.data.ragged import apply_constraints
from l2d_jax.task import matching_quantiles, num_matched, prepare, with_values_of
from l2d_jax.types import Examples, Splits

NAN = np.nan


def test_quantiles_of_the_values_inside():
    """0 to 400 in two series, of which one ends early and one has a gap beside 8s."""
    rng = np.random.default_rng(0)
    x = np.stack([1.0 * rng.permutation(401), np.full(401, 7.0)], axis=1)
    first, second = x[:100], np.insert(x[100:], [5] * 9, [NAN, 8.0], axis=0)
    found = quantiles(from_list([first, second]))
    np.testing.assert_allclose(found[0], 400 * SHARES)
    np.testing.assert_allclose(found[1], 7 + np.clip(409 * SHARES - 400, 0, 1))
    first[:, 1] = second[:, 1] = NAN
    assert np.isnan(quantiles(from_list([first, second]))[1]).all()


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_value_becomes_the_one_with_as_many_below(xp):
    """Squares of 0 to 1 from 0 to 1, up to the width of a step; others stay."""
    made = np.stack([SHARES, np.full_like(SHARES, NAN)]).astype(np.float32)
    real = np.stack([SHARES**2, SHARES]).astype(np.float32)
    x = np.array([[-0.5, 0, 0.3, 0.505, 1, 2], [0, 1, 2, 3, NAN, NAN]], np.float32)
    series = np.stack([x, x], axis=-1)
    found = np.asarray(map_quantiles(xp.asarray(series), generated=made, real=real))
    down, up = (end**2 - end for end in SHARES[[0, -1]])
    expected = [-0.5 + down, down, 0.3**2, 0.505**2, 1 + up, 2 + up]
    np.testing.assert_allclose(found[0, :, 0], expected, atol=5e-5)
    expected = [down, 1 + up, 2 + up, 3 + up, NAN, NAN]
    np.testing.assert_allclose(found[1, :, 0], expected, atol=1e-6)
    np.testing.assert_array_equal(found[..., 1], series[..., 1])
    assert found.dtype == np.float32
    free = Normalizer(*np.zeros((4, 2))).channel_quantiles
    assert map_quantiles(series, generated=free[0], real=free[1]) is series


@pytest.mark.parametrize("xp", [np, jnp])
def test_values_that_many_have(xp):
    """Of the data, zeros at 60 % of the steps; of samples, the end of a range."""
    rng = np.random.default_rng(0)
    real = np.maximum(rng.uniform(-0.6, 0.4, (400, 20, 1)), 0).astype(np.float32)
    made = rng.normal(size=(400, 20, 1)).clip(-9, 0.5).astype(np.float32)
    splits = Splits(Examples(real, np.full(400, 20)), None, ("rain",))
    source, target = matching_quantiles(made, prepare(resolve(tiny()), splits))
    found = np.asarray(map_quantiles(xp.asarray(made), generated=source, real=target))
    assert (found == 0).mean() == pytest.approx(0.6, abs=0.01)
    for share in (0.61, 0.63, 0.66):
        expected = np.quantile(real, share)
        np.testing.assert_allclose(np.quantile(found, share), expected, atol=2e-3)
    at_end = made == made.max()  # 31 %: the mean of the values that so many have
    above = real[real >= np.quantile(real, 1 - at_end.mean())]
    np.testing.assert_allclose(found[at_end].min(), found[at_end].max())
    np.testing.assert_allclose(found[at_end].mean(), above.mean(), atol=5e-3)


def test_long_tails_stay_as_they_are():
    """Where both distributions are the same, whatever their largest values are."""
    rng = np.random.default_rng(0)
    made, real, fresh = rng.standard_t(2.5, (3, 2_000, 20, 1)).astype(np.float32)
    made[7, 7], real[8, 8] = -300, 900
    full = np.full(2_000, 20)
    made, real = (quantiles(Examples(x, full)) for x in (made, real))
    found = map_quantiles(fresh, generated=made, real=real)
    for share in (0.002, 0.005, 0.02, 0.2, 0.8, 0.98, 0.995, 0.998):
        expected = np.quantile(fresh, share)
        np.testing.assert_allclose(np.quantile(found, share), expected, rtol=0.15)
    assert found.std() == pytest.approx(fresh.std(), rel=0.05)


def test_generated_series_are_matched_before_they_are_clipped():
    one = np.ones(2, np.float32)
    normalizer = Normalizer(
        0 * one,
        one,
        low=0 * one,
        high=5 * one,
        generated_quantiles=np.array([[0, 1], [NAN, NAN]], np.float32),
        quantiles=np.array([[2, 4], [NAN, NAN]], np.float32),
    )
    z = np.repeat(np.array([[-9, 0, 0.5, 1, 1.5, 9]]), 2, axis=0)[None].swapaxes(1, 2)
    series, _ = from_model_space(z, normalizer, False, clip=True)
    np.testing.assert_allclose(series[0, :, 0], [0, 2, 3, 4, 4.5, 5])
    np.testing.assert_allclose(series[0, :, 1], [0, 0, 0.5, 1, 1.5, 5])


def test_samples_have_the_values_of_the_series_as_often(tmp_path):
    """Of another shape than weights without training make; through a workdir too.

    The last channel repeats the value before as often as well.
    """
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(60, 24, 3)).astype(np.float32)
    series[..., 0] = series[..., 0] ** 4
    series[..., 1] = np.round(series[..., 1])
    for t in range(1, 24):
        same = rng.uniform(size=60) < 0.6
        series[same, t, 2] = series[same, t - 1, 2]
    config = configs.base.with_argument(configs.own.get_config(), "smoke")
    config.sampling.match_quantiles = True
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    key = jax.random.key(1)
    x = model.sample(key, 1_000)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 1_000), x)
    found, expected = (np.quantile(one[..., 0], SHARES)[5:-5] for one in (x, series))
    np.testing.assert_allclose(found, expected, atol=0.03)
    found, expected = ((np.diff(one[..., 2]) == 0).mean() for one in (x, series))
    assert found == pytest.approx(expected, abs=0.02) and expected > 0.55
    assert {*np.unique(x[..., 1])} == {0, 1}  # by its cuts
    made, real = model.normalizer.channel_quantiles
    assert np.isnan(made).any(axis=1).tolist() == [False, True, False]
    config.sampling.match_quantiles = False
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    y = free.sample(key, 1_000)
    assert np.abs(np.quantile(y[..., 0], 0.5) - np.quantile(series[..., 0], 0.5)) > 0.1
    low, high = (one(series, axis=(0, 1), keepdims=True) for one in (np.min, np.max))
    matched = np.clip(map_quantiles(y, generated=made, real=real), low, high)[..., 0]
    np.testing.assert_allclose(matched, x[..., 0], atol=1e-4)


def test_those_of_different_lengths(tmp_path):
    """What is after an end counts neither in the series nor in samples of them."""
    rng = np.random.default_rng(0)
    x = [rng.uniform(size=(6 + i % 5, 2)).astype(np.float32) ** 3 for i in range(60)]
    config = tiny()
    config.sampling.match_quantiles = True
    model = l2d_jax.fit(x, config=config, workdir=tmp_path)
    found = np.concatenate(model.sample(jax.random.key(1), 1_000))
    expected = np.concatenate(x)
    for share in (0.2, 0.5, 0.8):
        np.testing.assert_allclose(
            *(np.quantile(one, share, axis=0) for one in (found, expected)), atol=0.03
        )


@pytest.mark.parametrize(
    ("num_series", "length", "channels", "expected"),
    [
        (640, 29, 12, 2_560),  # four times as many
        (10, 24, 1, 1_000),
        (17_397, 24, 7, 20_000),
        (20_000, 1_000, 4, 2**24 // 4_000),  # values are limited too
        (20_000, 10**6, 4, 1_000),
    ],
)
def test_how_many_series_values_are_matched_by(num_series, length, channels, expected):
    layout = Layout(length, ("a",) * channels, False, 1, num_series)
    assert num_matched(layout) == expected


def test_steps_that_stand_still_are_counted_in_the_range(monkeypatch):
    """Above what quantiles say, values that differ all become the highest one."""
    rng = np.random.default_rng(0)
    real = rng.uniform(size=(200, 20, 1)).astype(np.float32)
    for t in range(1, 20):
        same = rng.uniform(size=200) < 0.5
        real[same, t] = real[same, t - 1]
    real[0, ::5], real[1, 1::5] = 0, 1
    config = resolve(tiny())
    config.sampling.update(match_quantiles=True, repeats_from=0.4)
    task = prepare(config, Splits(Examples(real, np.full(200, 20)), None, ("a",)))
    generated = rng.uniform(0.4, 0.6, (3_200, 20, 1)).astype(np.float32)
    generated[0, ::2], generated[0, 1::2] = 0.65, 0.98
    monkeypatch.setattr("l2d_jax.task.generate", lambda model, n: generated)
    model = with_values_of(run.model_of(task, {}), task)
    x = apply_constraints(generated, model.normalizer, clip=True, hold=hold)
    [expected], found = task.held_shares, (np.diff(x, axis=1) == 0).mean()
    assert 0.45 < expected < 0.55
    assert found == pytest.approx(expected, abs=5e-5)
