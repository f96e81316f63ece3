"""Distribution metrics against closed forms and recorded values."""

import json
import math
from functools import partial

import numpy as np
import pytest

import l2d_jax.metrics.distances as distances_module
import l2d_jax.metrics.moments as moments_module
from l2d_jax.metrics import METRICS
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

# One number each, where some measures have several.
MEASURES = {
    "mdd": marginal_distribution_difference,
    "acd": autocorrelation_difference,
    "skewness": skewness_difference,
    "kurtosis": kurtosis_difference,
    "correlation": correlational_score,
    "values": value_distribution_distance,
    "sliced": partial(sliced_wasserstein, num_directions=100),
    "sliced frequency": partial(sliced_wasserstein, num_directions=100, frequency=True),
    "mmd": maximum_mean_discrepancy,
    "mmd increments": partial(maximum_mean_discrepancy, increments=True),
    "spectrum": spectral_distance,
}
NOT_SYMMETRIC = ("mdd", "mmd", "mmd increments")  # the real ones choose bins, kernels
BLIND_TO_REVERSAL = (
    "acd",
    "skewness",
    "kurtosis",
    "correlation",
    "values",
    "spectrum",
)


def normal_series(seed, n, length=12, num_channels=2):
    """[n, L, C], independent standard normal values."""
    return np.random.default_rng(seed).standard_normal((n, length, num_channels))


def autoregressive(seed, phi, n=4000, length=24):
    """[n, L, 1], stationary, of variance 1, autocorrelation phi^k."""
    x = np.random.default_rng(seed).standard_normal((n, length, 1))
    x[:, 1:] *= math.sqrt(1 - phi**2)
    for t in range(1, length):
        x[:, t] += phi * x[:, t - 1]
    return x


def ragged(seed, n=60, length=12, num_channels=2, scale=1.0):
    """The series as a list of [L_i, C], and as an array with NaN after their ends."""
    rng = np.random.default_rng(seed)
    steps = np.arange(length)[None] < rng.integers(3, length + 1, n)[:, None]
    array = scale * rng.standard_normal((n, length, num_channels))
    array[~steps] = NAN
    return [one[~np.isnan(one[:, 0])] for one in array], array


# --- what all have in common ----------------------------------------------------------


@pytest.mark.parametrize("name", MEASURES)
def test_common_ground(name):
    measure = MEASURES[name]
    # Channels and steps differ from one another, and so do the two sets.
    scales = np.linspace(1, 2, 12)[None, :, None] * np.array([1.0, 0.5])[None, None]
    real, generated = normal_series(0, 150) * scales, normal_series(1, 90) ** 2 * scales
    score = measure(real, generated)
    assert isinstance(score, float) and score > 0.0
    assert measure(real, generated) == score
    # The same set: 0. Being unbiased, MMD is below: the pairs x, x' = x are left out.
    itself = measure(real, real)
    assert -0.02 < itself < 0.0 if name.startswith("mmd") else itself == 0.0
    # Neither the order of the series matters nor the precision.
    order = np.random.default_rng(2)
    shuffled = order.permutation(real), order.permutation(generated)
    assert measure(*shuffled) == pytest.approx(score, rel=1e-9)
    single = real.astype(np.float32), generated.astype(np.float32)
    assert measure(*single) == pytest.approx(score, rel=2e-2)


@pytest.mark.parametrize("name", MEASURES)
def test_symmetry(name):
    real, generated = normal_series(0, 150), normal_series(1, 90) ** 2
    there, back = MEASURES[name](real, generated), MEASURES[name](generated, real)
    if name in NOT_SYMMETRIC:
        assert abs(there - back) > 1e-3 * there
    else:
        assert there == pytest.approx(back, rel=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_steps_that_no_series_has(name):
    (_, real), (_, generated) = ragged(0), ragged(1, n=45, scale=1.5)
    score = MEASURES[name](real, generated)
    assert math.isfinite(score)
    end = ((0, 0), (0, 4), (0, 0))
    longer = [np.pad(x, end, constant_values=NAN) for x in (real, generated)]
    # The spectrum is sampled elsewhere, and directions in more dimensions are others.
    tolerance = {"spectrum": 0.15, "sliced": 0.4, "sliced frequency": 0.4}
    assert MEASURES[name](*longer) == pytest.approx(
        score, rel=tolerance.get(name, 1e-9)
    )


@pytest.mark.parametrize("name", MEASURES)
def test_one_step(name):
    real, generated = normal_series(0, 50, length=1), normal_series(1, 40, length=1)
    score = MEASURES[name](real, generated)
    if name in ("mdd", "mmd increments", "spectrum"):
        assert math.isnan(score)
    else:
        assert math.isfinite(score)


@pytest.mark.parametrize("name", MEASURES)
def test_collapsed_channel(name):
    real, generated = normal_series(0, 50), normal_series(1, 40)
    generated[..., 1] = 0.1  # which has a variance of some 1e-34 by rounding
    score = MEASURES[name](real, generated)
    if name in ("acd", "skewness", "kurtosis", "correlation"):
        assert math.isnan(score)
    else:
        assert score > 0.0


@pytest.mark.parametrize("name", MEASURES)
def test_reversal_of_time(name):
    # Slow rises and sudden falls, at random phases: reversed, the opposite.
    phase = np.random.default_rng(0).uniform(size=(1000, 1, 2))
    saws = (phase + np.arange(24)[None, :, None] / 8) % 1.0
    real, reversed_ = saws[:500], saws[500:, ::-1]
    floor = MEASURES[name](real, saws[500:])
    score = MEASURES[name](real, reversed_)
    if name in BLIND_TO_REVERSAL:
        assert score == pytest.approx(floor, rel=1e-6, abs=1e-12)
    elif name == "mdd":  # at each step, values are as before
        assert score == pytest.approx(floor, rel=0.15)
    elif name.startswith("mmd"):
        assert abs(floor) < 0.002 < 0.008 < score


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


# --- memory, and what each is for -----------------------------------------------------


def test_blocks_hold_all_series():
    series = normal_series(0, 3 * BLOCK_SIZE // 4000, 50, 40).astype(np.float32)
    parts = list(blocks(series))
    assert len(parts) == 2 and all(part.size <= BLOCK_SIZE for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), series)
    assert parts[0].dtype == np.float64
    assert len(list(blocks(series[:, :0]))) == 1


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_scores_dont_depend_on_blocks(measure, monkeypatch):
    real, generated = normal_series(0, 40), normal_series(1, 30) ** 2
    whole = measure(real, generated)
    monkeypatch.setattr(moments_module, "BLOCK_SIZE", 24 * 7)
    monkeypatch.setattr(distances_module, "KERNEL_ROWS", 7)
    assert measure(real, generated) == pytest.approx(whole, rel=1e-9)


# Scores of windows of Stock, in units of what two halves of the real ones score: at
# least so much where the measure is meant to notice,
NOTICED = {
    "noise_0.1": {
        "mdd": 2,
        "acd": 10,
        "correlation": 50,
        "values": 1.5,
        "sliced": 1.5,
        "sliced frequency": 1.5,
        "mmd": 30,
        "mmd increments": 500,
        "spectrum": 40,
    },
    "first_half_of_range": {
        "mdd": 4,
        "acd": 5,
        "skewness": 5,
        "correlation": 10,
        "values": 8,
        "sliced": 8,
        "sliced frequency": 8,
        "mmd": 100,
        "mmd increments": 50,
        "spectrum": 5,
    },
    "channel_means": {  # each window at its mean
        "acd": 4,
        "correlation": 10,
        "mmd increments": 200,
        "spectrum": 100,
    },
}
# and less than 2 where it can't.
UNNOTICED = {
    "time_reversed": MEASURES.keys(),  # of these windows, hardly anything can tell
    "channel_means": {"mdd", "values", "sliced", "sliced frequency", "mmd"},
}


@pytest.mark.parametrize("name", MEASURES)
def test_corruptions_of_real_series(reference_dir, name):
    with np.load(reference_dir / "cfid_cases.npz") as file:
        cases = {case: file[case][:1000] for case in file}
    real = cases.pop("real")
    scores = {case: MEASURES[name](real, series) for case, series in cases.items()}
    floor = abs(scores["other_half"])
    for case, least in NOTICED.items():
        assert scores[case] > least.get(name, -np.inf) * floor, case
    for case, names in UNNOTICED.items():
        assert name not in names or scores[case] < 2 * floor, case
    if name in BLIND_TO_REVERSAL:
        assert scores["time_reversed"] < 1e-6
