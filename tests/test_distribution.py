"""What all measures of distribution have in common, and what each is for."""

import math
from functools import partial

import numpy as np
import pytest
from drawn import normal_series, ragged

import l2d_jax.metrics.distances as distances_module
import l2d_jax.metrics.moments as moments_module
from l2d_jax.metrics.distances import (
    maximum_mean_discrepancy,
    sliced_wasserstein,
    spectral_distance,
    value_distribution_distance,
)
from l2d_jax.metrics.moments import (
    autocorrelation_difference,
    correlational_score,
    kurtosis_difference,
    marginal_distribution_difference,
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
