"""Marginals, autocorrelation, correlations: closed forms and recorded values."""

import json
import math

import numpy as np
import pytest
from drawn import autoregressive, normal_series, ragged

from l2d_jax.metrics import METRICS
from l2d_jax.metrics.moments import (
    BLOCK_SIZE,
    autocorrelation,
    autocorrelation_difference,
    blocks,
    correlational_score,
    correlations,
    kurtosis_difference,
    marginal_distribution_difference,
    moments,
    skewness_difference,
)

NAN = float("nan")


# --- marginals ------------------------------------------------------------------------


def test_mdd_by_hand():
    # The first step is left out. At the second, bins of 0.02 over [0, 1]: shares of
    # 1/2 in the first and the last, against 1/4 in the first and 1/4 in the tenth, the
    # rest outside. (1/4 + 1/2 + 1/4) / 50 / 0.02.
    real = np.array([[7.0, 0.0], [5.0, 1.0]])[..., None]
    generated = np.array([[1.0, 0.01], [2.0, 0.19], [3.0, 1.5], [4.0, -0.1]])[..., None]
    assert marginal_distribution_difference(real, generated) == pytest.approx(1.0)
    # Half the range, twice the density. A second channel that is as real counts in the
    # mean; one that is constant in the real series doesn't.
    assert marginal_distribution_difference(real / 2, generated / 2) == pytest.approx(
        2.0
    )
    real, generated = real[[0, 1, 0, 1]], generated
    two = np.concatenate([real, real], 2), np.concatenate([generated, real], 2)
    assert marginal_distribution_difference(*two) == pytest.approx(0.5)
    constant = np.concatenate([real, 0 * real], 2), np.concatenate([generated] * 2, 2)
    assert marginal_distribution_difference(*constant) == pytest.approx(1.0)
    assert math.isnan(marginal_distribution_difference(0 * real, generated))


def test_mdd_leaves_missing_steps_out():
    real = np.array([[7.0, 0.0, 0.0], [5.0, 1.0, 1.0], [5.0, NAN, NAN]])[..., None]
    generated = np.array([[1.0, 0.01, NAN], [2.0, NAN, NAN]])[..., None]
    # 1/2 and 1/2 against 1 in the first; the third step has no generated values.
    assert marginal_distribution_difference(real, generated) == pytest.approx(1.0)


def test_mdd_of_uniforms():
    # Density 1 on [0, 1], against 2 on its lower half: |1 - 2| and |1 - 0|.
    real = np.random.default_rng(0).uniform(size=(40_000, 3, 1))
    generated = np.random.default_rng(1).uniform(size=(50_000, 3, 1)) / 2
    score = marginal_distribution_difference(real, generated)
    assert score == pytest.approx(1.0, abs=0.02)
    # What two samples of one distribution score, as its docstring has it.
    floor = marginal_distribution_difference(real[:20_000], real[20_000:])
    assert floor == pytest.approx(8 / math.sqrt(20_000), rel=0.1)


def test_moments_by_hand():
    # Deviations of -1, -1, -1, 3 from the mean 2, and a NaN.
    x = np.array([[1.0, 1.0], [1.0, 5.0], [NAN, NAN]])[..., None]
    m = moments(x)
    found = [m.count.item(), m.second.item(), m.third.item(), m.fourth.item()]
    assert found == pytest.approx([4.0, 3.0, 6.0, 21.0])
    symmetric = np.array([[-1.0, 1.0], [-1.0, 1.0]])[..., None]
    # m_3 / s^3 with s^2 = 12 / 3; 21 / 9 - 3 against 1 - 3.
    assert skewness_difference(x, symmetric) == pytest.approx(6 / 8)
    assert kurtosis_difference(x, symmetric) == pytest.approx(21 / 9 - 1)


def test_skewness_and_kurtosis_of_known_distributions():
    # Gamma of shape k: 2 / sqrt(k) and 6 / k; exponential: k = 1. Uniform: 0 and -6/5.
    rng = np.random.default_rng(0)
    gamma = rng.gamma(4.0, 3.0, (20_000, 24, 1))
    exponential = rng.exponential(5.0, (20_000, 24, 1))
    uniform = rng.uniform(-1, 2, (20_000, 24, 1))
    assert skewness_difference(exponential, gamma) == pytest.approx(1.0, abs=0.03)
    assert skewness_difference(uniform, gamma) == pytest.approx(1.0, abs=0.02)
    assert kurtosis_difference(exponential, gamma) == pytest.approx(4.5, abs=0.25)
    assert kurtosis_difference(gamma, uniform) == pytest.approx(2.7, abs=0.1)
    # The mean over channels, and neither place nor scale counts.
    two = np.concatenate([exponential, gamma], 2), np.concatenate([gamma, gamma], 2)
    assert skewness_difference(*two) == pytest.approx(0.5, abs=0.02)
    assert skewness_difference(gamma, 3 * gamma + 100) == pytest.approx(0.0, abs=1e-9)
    assert kurtosis_difference(gamma, 3 * gamma + 100) == pytest.approx(0.0, abs=1e-9)


# --- autocorrelation ------------------------------------------------------------------


def test_autocorrelation_by_hand():
    series, array = ragged(0)
    rho = autocorrelation(array)
    centre = np.concatenate(series).mean(axis=0)
    pairs = [
        np.concatenate(
            [
                (x[: len(x) - k] - centre) * (x[k:] - centre)
                for x in series
                if len(x) > k
            ]
        ).mean(axis=0)
        for k in range(12)
    ]
    np.testing.assert_allclose(rho, np.stack(pairs) / pairs[0], atol=1e-12)
    np.testing.assert_allclose(rho[0], 1.0)


def test_autocorrelation_of_ar1():
    lags = np.arange(24)
    np.testing.assert_allclose(
        autocorrelation(autoregressive(0, 0.7))[:, 0], 0.7**lags, atol=0.04
    )
    expected = np.sqrt(((0.8**lags - 0.3**lags) ** 2).sum())
    real, generated = autoregressive(0, 0.8), autoregressive(1, 0.3, n=3000)
    score = autocorrelation_difference(real, generated)
    assert score == pytest.approx(expected, rel=0.05)
    # Neither place nor scale counts.
    assert autocorrelation_difference(real, 3 * real - 7) == pytest.approx(0, abs=1e-9)


def test_number_of_lags():
    assert autocorrelation(normal_series(0, 20, length=30)).shape == (30, 2)
    assert autocorrelation(normal_series(0, 20, length=100)).shape == (64, 2)


# --- correlation between channels -----------------------------------------------------


def correlated(seed, r, n, length=24):
    """[n, L, 3]: the first two channels are correlated by r, the third with neither."""
    x = normal_series(seed, n, length, 3)
    x[..., 1] = r * x[..., 0] + math.sqrt(1 - r**2) * x[..., 1]
    return x


def test_correlational_score_of_known_correlations():
    real, generated = correlated(0, 0.9, 4000), correlated(1, -0.4, 3000)
    score = correlational_score(real, generated)
    assert score == pytest.approx(1.3 / 10, abs=0.003)
    assert correlational_score(real, 5 * real + 1) == pytest.approx(0.0, abs=1e-12)
    # As far as one pair can go, from 1 to -1.
    real[..., 1] = real[..., 0]
    generated = real * np.array([1.0, -1.0, 1.0])[None, None]
    assert correlational_score(real, generated) == pytest.approx(0.2, abs=0.005)


def test_correlations_by_hand():
    series, array = ragged(0)
    values = np.concatenate(series)
    expected = np.corrcoef(values.T) * (len(values) - 1) / len(values)
    np.testing.assert_allclose(correlations(array), expected, atol=1e-12)


def test_one_channel_has_no_correlations():
    real = normal_series(0, 40, 6, 1)
    assert np.isnan(correlational_score(real, real[::-1]))
    score = METRICS["correlational_score"](real, real[::-1])
    assert score["mean"] is None and "there is one alone" in score["undefined"]


def test_correlational_score_is_the_reference(reference_dir):
    recorded = json.loads((reference_dir / "cfid_cases.json").read_text("utf-8"))
    with np.load(reference_dir / "cfid_cases.npz") as file:
        real = file["real"]
        for name, values in recorded.items():
            score = correlational_score(real, file[name])
            assert score == pytest.approx(values["cross_correlation"], abs=2e-6)


def test_blocks_hold_all_series():
    series = normal_series(0, 3 * BLOCK_SIZE // 4000, 50, 40).astype(np.float32)
    parts = list(blocks(series))
    assert len(parts) == 2 and all(part.size <= BLOCK_SIZE for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), series)
    assert parts[0].dtype == np.float64
    assert len(list(blocks(series[:, :0]))) == 1
