"""Wasserstein distances, maximum mean discrepancy, spectra: closed forms."""

import math
from functools import partial

import numpy as np
import pytest
from drawn import autoregressive, normal_series, ragged

import l2d_jax.metrics.distances as distances_module
from l2d_jax.metrics.distances import (
    MIN_POWER,
    PROJECTION_SIZE,
    from_frequency,
    maximum_mean_discrepancy,
    median_distance,
    project,
    sliced_wasserstein,
    spectral_distance,
    unbiased_mmd,
    value_distribution_distance,
    wasserstein,
)

NAN = float("nan")


# --- Wasserstein distances ------------------------------------------------------------


@pytest.mark.parametrize("num", [(7, 7), (7, 5), (6, 4), (1, 5), (6, 3)])
def test_wasserstein_by_copies(num):
    # n values, each m times, are distributed as before and as many as m values n times.
    n, m = num
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, n)), 2 * rng.standard_normal((4, m)) + 1
    many = np.sort(np.repeat(a, m, axis=1)), np.sort(np.repeat(b, n, axis=1))
    expected = np.abs(many[0] - many[1]).mean(axis=1)
    np.testing.assert_allclose(wasserstein(a, b), expected, rtol=1e-12)
    np.testing.assert_allclose(wasserstein(b, a), expected, rtol=1e-12)


def test_value_distance_of_uniforms():
    # U(0, 1) to U(0.3, 1.3): 0.3. To U(0, 2): the quantiles u and 2 u, mean 1/2.
    grid = (np.arange(2400) + 0.5).reshape(100, 24, 1) / 2400
    fine = (np.arange(7200) + 0.5).reshape(300, 24, 1) / 7200
    score = value_distribution_distance(grid, fine + 0.3)
    assert score == pytest.approx(0.3, abs=1e-3)
    score = value_distribution_distance(grid, 2 * fine)
    assert score == pytest.approx(0.5, abs=1e-3)
    two = np.concatenate([grid] * 2, 2), np.concatenate([2 * fine, fine + 0.1], 2)
    score = value_distribution_distance(*two)
    assert score == pytest.approx(0.3, abs=1e-3)
    # All at one place c = 1/2: the mean of |u - c|.
    collapsed = np.full((50, 24, 1), 0.5)
    assert value_distribution_distance(grid, collapsed) == pytest.approx(0.25)
    assert math.isnan(value_distribution_distance(grid, collapsed * NAN))


def test_value_distance_leaves_missing_steps_out():
    (one, real), (other, generated) = ragged(0), ragged(1, n=45)
    a, b = np.concatenate(one), np.concatenate(other)
    expected = [wasserstein(a[:, c][None], b[:, c][None]).item() for c in range(2)]
    score = value_distribution_distance(real, generated)
    assert score == np.mean(expected)


def test_sliced_wasserstein_of_a_shift():
    real = normal_series(0, 200)
    shift = np.random.default_rng(1).uniform(size=(1, 12, 2))
    rng = np.random.default_rng(5)
    unit = rng.standard_normal((300, 12, 2))
    unit /= np.linalg.norm(unit, axis=(1, 2), keepdims=True)
    score = sliced_wasserstein(real, real + shift, num_directions=300, seed=5)
    expected = np.abs((unit * shift).sum(axis=(1, 2))).mean()
    assert score == pytest.approx(expected, rel=1e-9)
    # Over all directions, |s| times the mean of |<v, e>|, some sqrt(2 / (pi d)).
    size, d = np.linalg.norm(shift), 24
    mean = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    assert mean == pytest.approx(math.sqrt(2 / math.pi / d), rel=0.02)
    score = sliced_wasserstein(real, real + shift, num_directions=5000)
    assert score == pytest.approx(size * mean, rel=0.05)


@pytest.mark.parametrize("length", [1, 2, 11, 12])
def test_projections_in_frequency(length):
    x = normal_series(0, 5, length)
    spectrum = np.fft.rfft(x, axis=1, norm="ortho")
    imaginary = spectrum.imag[:, 1 : 1 + (length - 1) // 2]
    parts = np.concatenate([spectrum.real, imaginary], axis=1)
    assert parts.shape == x.shape
    directions = normal_series(1, 7, length)
    np.testing.assert_allclose(
        project(x, from_frequency(directions)),
        directions.reshape(7, -1) @ parts.reshape(5, -1).T,
        atol=1e-12,
    )


def test_sliced_wasserstein_in_frequency():
    # A tone of amplitude a at k has a part of a sqrt(L) / 2 at k; a level, sqrt(L).
    real, steps = np.zeros((20, 16, 1)), np.arange(16)[None, :, None]
    d = 16
    mean = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    tone = real + 0.3 * np.cos(2 * np.pi * 3 * steps / 16)
    in_time = partial(sliced_wasserstein, num_directions=5000)
    in_frequency = partial(in_time, frequency=True)
    assert in_frequency(real, tone) == pytest.approx(0.3 * 2 * mean, rel=0.05)
    assert in_time(real, tone) == pytest.approx(0.3 * math.sqrt(8) * mean, rel=0.05)
    for distance in (in_frequency, in_time):
        found = distance(real, real + 0.3)
        assert found == pytest.approx(0.3 * 4 * mean, rel=0.05)


def test_sliced_wasserstein_counts_nan_as_zero():
    (_, real), (_, generated) = ragged(0), ragged(1, n=45)
    score = sliced_wasserstein(real, generated, num_directions=20)
    filled = np.nan_to_num(real), np.nan_to_num(generated)
    assert score == sliced_wasserstein(*filled, num_directions=20)


def test_sliced_wasserstein_in_parts(monkeypatch):
    real, generated = normal_series(0, 30), normal_series(1, 20)
    whole = sliced_wasserstein(real, generated, num_directions=17)
    assert PROJECTION_SIZE > 17 * 50
    monkeypatch.setattr(distances_module, "PROJECTION_SIZE", 250)  # 5 at a time
    parts = sliced_wasserstein(real, generated, num_directions=17)
    assert parts == pytest.approx(whole, rel=1e-12)
    assert sliced_wasserstein(real, generated, num_directions=17, seed=1) != parts


# --- maximum mean discrepancy ---------------------------------------------------------

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def test_mmd_by_hand():
    x, y = normal_series(0, 7, 3, 1)[..., 0], normal_series(1, 5, 3, 1)[..., 0] + 1

    def k(a, b):
        square = ((a - b) ** 2).sum()
        return np.mean([math.exp(-square / 2 / (w * 1.3) ** 2) for w in WIDTHS])

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for b in np.delete(x, i, 0)])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for b in np.delete(y, i, 0)])
    between = np.mean([k(a, b) for a in x for b in y])
    expected = within_x + within_y - 2 * between
    assert unbiased_mmd(x, y, 1.3) == pytest.approx(expected, rel=1e-9)


def test_mmd_of_gaussians():
    # |x - x'| of N(0, I) has E exp(-|.|^2 / (2 w^2)) = (w^2 / (w^2 + 2))^(d / 2), and
    # times exp(-|m|^2 / (2 (w^2 + 2))) for means that are m apart.
    d, m, median = 6, 0.7, 3.0
    x, y = normal_series(0, 3000, d, 1)[..., 0], normal_series(1, 2500, d, 1)[..., 0]
    x -= x.mean(axis=0, keepdims=True)
    y -= y.mean(axis=0, keepdims=True)
    y[:, 0] += m
    squares = np.array([(w * median) ** 2 for w in WIDTHS])
    same = (squares / (squares + 2)) ** (d / 2)
    expected = np.mean(2 * same * (1 - np.exp(-(m**2) / 2 / (squares + 2))))
    assert unbiased_mmd(x, y, median) == pytest.approx(expected, rel=0.08)


def test_mmd_is_unbiased():
    # At 0 on average, with either sign, where the distribution is the same.
    draws = np.random.default_rng(0).standard_normal((300, 50, 4))
    scores = np.array([unbiased_mmd(x[:30], x[30:], 2.0) for x in draws])
    assert abs(scores.mean()) < 3 * scores.std() / math.sqrt(300)
    assert 0.3 < (scores < 0).mean() < 0.8


def test_median_distance():
    # 0, 3, 7 on a line: 3, 4, 7 apart.
    assert median_distance(np.array([[0.0], [3.0], [7.0]])) == pytest.approx(4.0)
    # |x - x'|^2 / 2 is chi-squared with d degrees of freedom: its median, from tables.
    x = normal_series(0, 1000, 10, 1)[..., 0]
    assert median_distance(x) == pytest.approx(math.sqrt(2 * 9.342), rel=0.02)


def test_mmd_of_series_and_increments():
    real, generated = autoregressive(0, 0.9, 600), autoregressive(1, 0.5, 500)
    in_increments = partial(maximum_mean_discrepancy, increments=True)
    kinds = in_increments, maximum_mean_discrepancy
    score = [mmd(real, generated) for mmd in kinds]
    assert score[0] > score[1] > 0.01
    assert [mmd(real, generated) for mmd in kinds] == score
    # Levels don't count in increments, and all is as well at another scale.
    level = np.random.default_rng(2).normal(size=(500, 1, 1))
    moved = [mmd(real, generated + level) for mmd in kinds]
    assert moved[0] == pytest.approx(score[0], rel=1e-9)
    assert moved[1] != pytest.approx(score[1], rel=0.1)
    scaled = [mmd(5 * real + 1e6, 5 * generated + 1e6) for mmd in kinds]
    assert scaled == pytest.approx(score, rel=1e-6)
    same = [mmd(real[:300], real[300:]) for mmd in kinds]
    assert abs(same[0]) < 0.004 and abs(same[1]) < 0.004


def test_mmd_of_some_series_is_that_of_all():
    real, generated = autoregressive(0, 0.9, 1000), autoregressive(1, 0.5, 800)
    score = maximum_mean_discrepancy(real, generated)
    some = maximum_mean_discrepancy(real, generated, max_series=500)
    assert some == pytest.approx(score, rel=0.15) and some != score
    assert some == maximum_mean_discrepancy(real, generated, max_series=500)
    assert some != maximum_mean_discrepancy(real, generated, max_series=500, seed=1)


def test_mmd_that_is_not_defined():
    real, generated = normal_series(0, 30), normal_series(1, 20)
    real[:25] = real[:1]  # more than half of all pairs
    for increments in (False, True):
        assert math.isnan(
            maximum_mean_discrepancy(real, generated, increments=increments)
        )


def test_mmd_counts_nan_as_zero():
    (_, real), (_, generated) = ragged(0), ragged(1, n=45, scale=2.0)
    filled = np.nan_to_num(real), np.nan_to_num(generated)
    mmd = maximum_mean_discrepancy
    assert mmd(real, generated) == mmd(*filled)
    # No fall to 0 at the end:
    assert mmd(real, generated, increments=True) != mmd(*filled, increments=True)


# --- spectra --------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 11, 12])
def test_spectral_distance_of_a_scale(length):
    real = normal_series(0, 100, length)
    assert spectral_distance(real, 3 * real) == pytest.approx(2 * math.log(3))
    # The mean of each series doesn't count, and channels are averaged over.
    moved = real * np.array([1.0, 0.2])[None, None] + normal_series(1, 100, 1, 1)
    assert spectral_distance(real, moved) == pytest.approx(math.log(5))


def test_spectral_distance_of_a_difference():
    # Sums and differences of white noise: power 2 + 2 cos w against 2 - 2 cos w, at the
    # frequencies of a periodic series.
    noise, other = normal_series(0, 3000, 16, 1), normal_series(1, 2000, 16, 1)
    real, generated = noise + np.roll(noise, 1, 1), other - np.roll(other, 1, 1)
    w = 2 * np.pi * np.arange(1, 8) / 16  # without w = pi, where real has none
    ratio = np.log((1 + np.cos(w)) / (1 - np.cos(w)))
    # At w = pi: generated has 4 chi-squared(1), E log of which is log 4 - 1.2704.
    at_end = math.log(4) - 1.2704 - math.log(MIN_POWER)
    expected = math.sqrt((np.sum(ratio**2) + at_end**2) / 8)
    assert spectral_distance(real, generated) == pytest.approx(expected, rel=0.01)


def test_spectral_distance_of_flat_series():
    # All power at one frequency, a^2 L / 4 there, against none.
    steps = np.arange(16)[None, :, None]
    tone = np.broadcast_to(0.5 * np.cos(2 * np.pi * 3 * steps / 16), (20, 16, 1))
    flat = np.broadcast_to(np.linspace(0, 1, 30)[:, None, None], (30, 16, 1))
    expected = math.log(0.25 * 16 / 4 / MIN_POWER) / math.sqrt(8)
    assert spectral_distance(tone, flat) == pytest.approx(expected, rel=1e-9)


def test_spectral_distance_of_shorter_series():
    # White noise has the same power, per step, at any length.
    real, generated = normal_series(0, 4000, 16, 1), normal_series(1, 4000, 16, 1)
    generated[:, 12:] = NAN
    assert spectral_distance(real, generated) < 0.3
    assert spectral_distance(real, 2 * generated) == pytest.approx(
        math.log(4), abs=0.25
    )
