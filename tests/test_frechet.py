"""The Frechet distance: closed forms, and what the reference code gives."""

import math

import numpy as np
import pytest

from l2d_jax.metrics import frechet
from l2d_jax.metrics.frechet import frechet_distance, halves_and_whole


def sample_with_moments(seed, mean, cov, n=500):
    """A sample whose mean and covariance (over n - 1) are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    q, _ = np.linalg.qr(x - x.mean(axis=0))
    return np.sqrt(n - 1) * q @ np.linalg.cholesky(cov).T + np.asarray(mean)[None]


def test_frechet_distance_of_diagonal_gaussians():
    a = sample_with_moments(0, [0.0, 1.0, 2.0], np.diag([1.0, 4.0, 9.0]))
    b = sample_with_moments(1, [1.0, 1.0, 0.0], np.diag([4.0, 1.0, 9.0]), n=300)
    # (1 + 0 + 4) from the means, (1-2)^2 + (2-1)^2 + (3-3)^2 from the deviations.
    assert frechet_distance(a, b) == pytest.approx(7.0, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(7.0, rel=1e-9)


def test_frechet_distance_of_correlated_gaussians():
    # For 2 x 2, tr M^(1/2) = sqrt(tr M + 2 sqrt(det M)).
    cov_a, cov_b = (
        np.array([[2.0, 1.2], [1.2, 1.0]]),
        np.array([[1.0, -0.3], [-0.3, 3]]),
    )
    root = math.sqrt(
        np.trace(cov_a @ cov_b) + 2 * math.sqrt(np.linalg.det(cov_a @ cov_b))
    )
    expected = np.trace(cov_a) + np.trace(cov_b) - 2 * root
    a = sample_with_moments(0, [0.0, 0.0], cov_a)
    b = sample_with_moments(1, [0.0, 0.0], cov_b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_covariance_of_several_blocks():
    """more rows than a block, far from 0 -> as in one piece, over N - 1"""
    x = np.random.default_rng(0).standard_normal((2 * frechet.BLOCK + 3, 3)) + 100.0
    x[:, 1] -= 2.0 * x[:, 0]
    expected = np.cov(x, rowvar=False)
    np.testing.assert_allclose(frechet.covariance(x), expected, rtol=1e-10)


def test_the_mean_of_many_rows_in_float32():
    """Which float32 itself would get to three digits."""
    x = np.random.default_rng(0).random((200_000, 2), np.float32)
    expected = [math.fsum(column) / len(x) for column in x.T.tolist()]
    np.testing.assert_allclose(frechet.mean(x), expected, rtol=1e-12)


def test_halves_are_drawn_at_random_of_both_sets():
    """Of 0 to 1 in order, the first and the last half would be 1/4 apart."""
    x = np.linspace(0.0, 1.0, 2000)[:, None]
    whole, floor, at_floor_size = halves_and_whole(np.random.default_rng(0), x, x)
    assert whole == pytest.approx(0.0, abs=1e-12)
    for score in (floor, at_floor_size):
        assert 0.0 < score < 0.005


def test_frechet_distance_with_more_dimensions_than_samples():
    a = np.random.default_rng(0).standard_normal((20, 50)).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-5)
    moved = a.astype(np.float64) + 0.5
    assert frechet_distance(a, moved) == pytest.approx(50 * 0.25, rel=1e-5)


def test_frechet_distance_of_equal_sets_is_not_below_zero():
    """Roots of eigenvalues that are 0 but for rounding, which add up."""
    for seed in range(5):
        points = np.random.default_rng(seed).standard_normal((30, 100))
        assert 0.0 <= frechet_distance(points, points) < 1e-5


def test_frechet_distance_is_biased_by_one_over_n():
    # In one dimension: 2 / n from the means, 1 / n from the deviations.
    n, draws = 100, np.random.default_rng(0).standard_normal((2, 4000, 100, 1))
    mean = np.mean([frechet_distance(a, b) for a, b in zip(*draws, strict=True)])
    assert mean == pytest.approx(3 / n, rel=0.06)


def test_frechet_distance_of_what_is_not_finite_has_no_value():
    a = np.random.default_rng(0).standard_normal((20, 3))
    b = np.where(np.arange(20)[:, None] == 4, np.inf, a)
    assert np.isnan(frechet_distance(a, b))
    assert np.isnan(frechet_distance(b, a))


def test_frechet_distance_of_the_reference(reference_dir):
    with np.load(reference_dir / "fid.npz") as file:
        assert frechet_distance(file["a"], file["b"]) == pytest.approx(
            float(file["fid"]), rel=1e-6
        )
