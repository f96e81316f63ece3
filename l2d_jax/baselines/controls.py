"""Two controls without any network: what a score is worth where nothing was learned.

Bootstrap returns training series as they are. Every score of quality must find it as
good as real series, every score of privacy must refuse it. The Gaussian has the mean
and covariance of all L x C values, and nothing beyond: what it scores is what second
moments explain.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax.missing import interpolated
from l2d_jax.types import Latent, Params, RandomKey, Rows, Series

PIECE = 4_096  # series whose products are summed at once


# --- bootstrap ------------------------------------------------------------------------


def training_series(config: ConfigDict, params: Params, series: Rows) -> Params:
    """All of them."""
    del config, params
    return {"training_series": interpolated(series)}


def bootstrap_decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """A training series, each as likely as any other."""
    del config, shape

    def decode(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0
        return jax.random.choice(key, jnp.asarray(params["training_series"]))

    return decode


# --- Gaussian -------------------------------------------------------------------------


def moments(config: ConfigDict, params: Params, series: Rows) -> Params:
    """Mean [L C] and F [L C, L C] with F F^T = covariance (that of N, not N - 1).

    By eigenvectors: the covariance of overlapping windows, or of fewer series than
    values, has no Cholesky factor.
    """
    del config, params
    x = interpolated(series)
    x = x.reshape(len(x), -1)
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), PIECE):
        centred = x[start : start + PIECE] - mean[None]
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / len(x))
    factor = vectors * np.sqrt(np.maximum(values, 0.0))[None]
    return {
        "mean": mean.astype(np.float32),
        "factor": factor.astype(np.float32),
    }


def gaussian_decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """mean + F z, z ~ N(0, I)."""
    del config

    def decode(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0
        mean, factor = jnp.asarray(params["mean"]), jnp.asarray(params["factor"])
        z = jax.random.normal(key, mean.shape)
        return (mean + factor @ z).reshape(shape)

    return decode
