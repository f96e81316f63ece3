"""Averages of the weights, beside the closed form of their profile."""

from typing import NamedTuple

import ema_lengths
import jax
import jax.numpy as jnp
import numpy as np
import pytest


class State(NamedTuple):
    step: jax.Array
    params: jax.Array


def count(state, _):
    """A training whose weights after step k (from 1) are k."""
    k = state.step + 1
    return State(k, k * jnp.ones(3)), {}


def test_weights_of_a_power_function():
    """The step k of N has the weight (k^(gamma + 1) - (k - 1)^(gamma + 1)) / N^..."""
    gammas, last = np.array([0.0, 1.5, 6.94], np.float32), 200
    step = ema_lengths.with_tracks(count, gammas)
    start = (State(jnp.int32(0), jnp.full(3, 9e9)), jnp.full((3, 3), 9e9))
    (_, tracks), _ = jax.lax.scan(step, start, None, length=last)
    k = np.arange(1, last + 1)
    for gamma, track in zip(gammas, tracks, strict=True):
        whole = np.append(0.0, k) ** (gamma + 1.0)
        expected = (k * np.diff(whole)).sum() / whole[-1]
        np.testing.assert_allclose(track, expected, rtol=1e-4)


@pytest.mark.parametrize(("width", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_widths_as_published(width, gamma):
    """Karras et al. 2024, section 3: gamma of the two averages that they keep."""
    assert ema_lengths.power(width) == pytest.approx(gamma, abs=0.005)
