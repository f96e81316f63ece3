import jax
import numpy as np
import pytest

from l2d_jax import latents


def correlated(n=500):
    """r with a direction that hardly varies: E spreads little over many dimensions."""
    z = np.random.default_rng(0).normal(size=(n, 3))
    mixing = np.array([[2.0, 1.9, 0.0], [1.0, 1.05, 0.0], [0.0, 0.3, 0.01]])
    return (z @ mixing + [5.0, -1.0, 0.0]).astype(np.float32)


def test_whitened_latents_have_variance_1_in_every_direction():
    r = correlated()
    latent = latents.latent_moments(r, whiten=True)
    z = latents.standardise(latent, r)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=2e-3)
    # The root is the symmetric one: dimensions keep their names and signs.
    np.testing.assert_allclose(latent["scale"], latent["scale"].T, atol=1e-7)
    assert (np.diag(latent["scale"]) > 0).all()


def test_latents_that_are_not_whitened_are_divided_by_their_deviations():
    r = correlated()
    latent = latents.latent_moments(r, whiten=False)
    z = latents.standardise(latent, r)
    np.testing.assert_allclose(z, (r - r.mean(axis=0)) / r.std(axis=0), atol=1e-4)


@pytest.mark.parametrize("whiten", [True, False])
def test_raw_latents_undo_the_standardisation(whiten):
    r = correlated()
    latent = latents.latent_moments(r, whiten=whiten)
    back = jax.vmap(latents.raw_latents, (None, 0))(
        latent, latents.standardise(latent, r)
    )
    np.testing.assert_allclose(back, r, atol=1e-3)


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_a_direction_without_variance_is_not_blown_up(size):
    r = np.float32(size) * correlated()
    r[:, 2] = 7.0
    z = latents.standardise(latents.latent_moments(r, whiten=True), r)
    np.testing.assert_allclose(z[:, 2], 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(z[:, :2].T, bias=True), np.eye(2), atol=2e-3)
    # Nor is another series that varies there.
    other = r[:1] + np.float32([0.0, 0.0, 3.0 * size])
    z_other = latents.standardise(latents.latent_moments(r, whiten=True), other)
    np.testing.assert_allclose(z_other[0, :2], z[0, :2], atol=1e-3)
    np.testing.assert_allclose(z_other[0, 2], 0.0, atol=1e-3)


def test_the_mean_of_many_latents_does_not_drift():
    """In float32, row by row, the sum of a million .7 is 2 % off."""
    r = np.full((1_000_000, 2), 0.7, np.float32)
    latent = latents.latent_moments(r, whiten=True)
    np.testing.assert_allclose(latent["mean"], 0.7, rtol=1e-6)


def test_equal_latents_stay_in_their_units():
    r = np.full((3, 2), 5.0, np.float32)
    r[0, 0] = np.nextafter(r[0, 0], np.float32(6.0))  # equal but for rounding
    latent = latents.latent_moments(r, whiten=True)
    z = latents.standardise(latent, np.float32([[5.0, 7.0]]))
    np.testing.assert_allclose(z, [[0.0, 2.0]], atol=1e-6)
