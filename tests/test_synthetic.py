"""The synthetic sets: their moments, in closed form and as drawn."""

import numpy as np
import pytest

from l2d_jax.data.public import synthetic
from l2d_jax.data.public.synthetic import SYNTHETIC

SHAPES = {
    "sines": (10_000, 24, 5),
    "ar1": (5_000, 24, 2),
    "mixture": (4_000, 24, 1),
}


def drawn(name: str) -> np.ndarray:
    return np.stack(SYNTHETIC[name]().series).astype(np.float64)


def assert_moments(values: np.ndarray, mean: np.ndarray, covariance: np.ndarray):
    """Mean and covariance over the rows, within 5 standard errors of what is known."""
    count = len(values)
    error = np.sqrt(np.diag(covariance) / count)
    assert (np.abs(values.mean(axis=0) - mean) < 5 * error).all()
    products = (values - mean)[:, :, None] * (values - mean)[:, None, :]
    error = products.std(axis=0) / np.sqrt(count)
    assert (np.abs(products.mean(axis=0) - covariance) <= 5 * error).all()


@pytest.mark.parametrize("name", SYNTHETIC)
def test_shape_and_determinism(name):
    made = SYNTHETIC[name]()
    series = np.stack(made.series)
    assert series.shape == SHAPES[name]
    assert series.dtype == np.float32
    assert np.isfinite(series).all()
    assert made.name == name
    assert len(made.channels) == SHAPES[name][2]
    assert made.num_train is None
    np.testing.assert_array_equal(series, np.stack(SYNTHETIC[name]().series))


def test_sets_are_independent_of_each_other():
    assert not np.array_equal(drawn("sines")[0, :, 0], drawn("ar1")[0, :, 0])


def test_sines_have_the_known_moments():
    series = drawn("sines")
    assert series.min() >= 0
    assert series.max() <= 1
    mean, covariance = synthetic.sines_mean(), synthetic.sines_covariance()
    for channel in range(5):
        assert_moments(series[:, :, channel], mean, covariance)
    assert np.abs(np.corrcoef(series[:, 12].T) - np.eye(5)).max() < 5 / np.sqrt(10_000)


def test_known_moments_of_sines_by_quadrature():
    nodes = (np.arange(400) + 0.5) / 400 * 0.1
    frequency, phase = (grid.ravel() for grid in np.meshgrid(nodes, nodes))
    waves = (np.sin(frequency[:, None] * np.arange(24) + phase[:, None]) + 1) / 2
    np.testing.assert_allclose(synthetic.sines_mean(), waves.mean(axis=0), atol=1e-6)
    covariance = np.cov(waves.T, bias=True)
    np.testing.assert_allclose(synthetic.sines_covariance(), covariance, atol=1e-6)


def test_each_sine_is_one_wave():
    """x(t + 1) + x(t - 1) = 2 cos(f) x(t) for a wave about 0, with one f a channel."""
    wave = 2 * drawn("sines") - 1
    sums, middle = wave[:, 2:] + wave[:, :-2], wave[:, 1:-1]
    cosine = (sums * middle).sum(axis=1) / (2 * middle**2).sum(axis=1)
    np.testing.assert_allclose(sums, 2 * cosine[:, None] * middle, atol=1e-6)


def test_ar1_has_the_known_moments():
    series = drawn("ar1")
    for channel, coefficient in enumerate(synthetic.AR1_COEFFICIENTS):
        covariance = synthetic.ar1_covariance(coefficient)
        assert covariance[3, 8] == pytest.approx(coefficient**5)
        assert_moments(series[:, :, channel], np.zeros(24), covariance)
    across = (series[:, :, 0] * series[:, :, 1]).mean(axis=1)
    assert abs(across.mean()) < 5 * across.std() / np.sqrt(len(across))


def test_mixture_modes_are_told_apart_by_the_nearest_template():
    made = SYNTHETIC["mixture"]()
    templates = synthetic.mixture_templates()
    assert templates.shape == (len(made.classes), 24)
    series = np.stack(made.series)[:, None, :, 0]
    nearest = ((series - templates) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, made.labels)
    gaps = np.linalg.norm(templates[:, None] - templates, axis=2)
    gaps += np.diag(np.full(8, np.inf))
    assert gaps.min() / 2 > 9 * synthetic.MIXTURE_SD  # nine sigma to the border


def test_mixture_has_the_known_weights_and_noise():
    made, series = SYNTHETIC["mixture"](), drawn("mixture")[:, :, 0]
    weights = np.array(synthetic.MIXTURE_WEIGHTS)
    assert weights.sum() == pytest.approx(1)
    shares = np.bincount(made.labels, minlength=8) / len(series)
    error = np.sqrt(weights * (1 - weights) / len(series))
    assert (np.abs(shares - weights) < 5 * error).all()
    noise = series - synthetic.mixture_templates()[made.labels]
    sd = synthetic.MIXTURE_SD
    assert abs(noise.mean()) < 5 * sd / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * noise.size))


def test_mixture_has_the_known_moments():
    series = drawn("mixture")[:, :, 0]
    mean, covariance = synthetic.mixture_mean(), synthetic.mixture_covariance()
    assert_moments(series, mean, covariance)
