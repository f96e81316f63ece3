"""Series drawn from distributions whose statistics are known."""

import math

import numpy as np


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
    array[~steps] = np.nan
    return [one[~np.isnan(one[:, 0])] for one in array], array
