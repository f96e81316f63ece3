"""The distance between two Gaussians fitted to two samples."""

import math

import numpy as np
from jaxtyping import Float

BLOCK = 8192  # rows that are taken to float64 at once


def frechet_distance(a: Float[np.ndarray, "N d"], b: Float[np.ndarray, "M d"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussians fitted to a and b (N, M >= 2).

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with covariances over N - 1 and
    M - 1 and nothing added to their diagonals (Heusel et al. 2017, eq. 6). In float64.
    NaN where a value isn't finite. What rounding leaves below 0 is 0.
    """
    mean_gap = mean(a) - mean(b)
    if not np.isfinite(mean_gap).all():
        return float("nan")
    cov_a, cov_b = covariance(a), covariance(b)
    traces = np.trace(cov_a) + np.trace(cov_b) - 2.0 * trace_of_root(cov_a, cov_b)
    return max(float(mean_gap @ mean_gap + traces), 0.0)


def covariance(x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "d d"]:
    """Covariance of the columns, over N - 1, block by block."""
    center, total = mean(x), np.zeros((x.shape[1], x.shape[1]))
    for block in np.array_split(x, math.ceil(len(x) / BLOCK)):
        apart = block - center[None, :]
        total += apart.T @ apart
    return total / (len(x) - 1)


def mean(x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " d"]:
    """Mean of the columns."""
    return x.mean(axis=0, dtype=np.float64)


def trace_of_root(
    cov_a: Float[np.ndarray, "d d"], cov_b: Float[np.ndarray, "d d"]
) -> float:
    """tr (A B)^(1/2): A B has the eigenvalues of the symmetric A^(1/2) B A^(1/2)."""
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = root @ cov_b @ root
    return float(np.sqrt(np.linalg.eigvalsh(product).clip(min=0.0)).sum())


def halves_and_whole(
    rng: np.random.Generator,
    real: Float[np.ndarray, "N d"],
    generated: Float[np.ndarray, "M d"],
) -> tuple[float, float, float]:
    """All to all, half real to half real, half real to as many generated."""
    half = len(real) // 2
    order = rng.permutation(len(real))
    one, other = real[order[:half]], real[order[half : 2 * half]]
    part = generated[rng.permutation(len(generated))[:half]]
    return (
        frechet_distance(real, generated),
        frechet_distance(one, other),
        frechet_distance(one, part),
    )
