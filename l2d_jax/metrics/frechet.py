"""The distance between two Gaussians fitted to two samples."""

import numpy as np
from jaxtyping import Float


def frechet_distance(a: Float[np.ndarray, "N d"], b: Float[np.ndarray, "M d"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussians fitted to a and b (N, M >= 2).

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with covariances over N - 1 and
    M - 1 and nothing added to their diagonals (Heusel et al. 2017, eq. 6). In float64.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_gap = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = covariance(a), covariance(b)
    traces = np.trace(cov_a) + np.trace(cov_b) - 2.0 * trace_of_root(cov_a, cov_b)
    return float(mean_gap @ mean_gap + traces)


def covariance(x: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "d d"]:
    """Covariance of the columns, over N - 1."""
    return np.atleast_2d(np.cov(x, rowvar=False, ddof=1))


def trace_of_root(
    cov_a: Float[np.ndarray, "d d"], cov_b: Float[np.ndarray, "d d"]
) -> float:
    """tr (A B)^(1/2): A B has the eigenvalues of the symmetric A^(1/2) B A^(1/2)."""
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = root @ cov_b @ root
    return float(np.sqrt(np.linalg.eigvalsh(product).clip(min=0.0)).sum())
