"""Distances between the distributions of two sets of series.

All take real series [N, L, C] and generated ones [M, L, C], both scaled per channel by
the range of the real ones, with NaN after the end of series shorter than L. What takes
a series as one point of L C coordinates counts NaN as 0, so that it compares lengths as
well. All are deterministic in `seed`, work in float64 and in blocks: beside the series
they need some hundred MB, up to 100,000 series of 24 x 28.
"""

import numpy as np
from jaxtyping import Float

from l2d_jax.metrics.floors import choose
from l2d_jax.metrics.moments import Generated, blocks
from l2d_jax.types import SeriesBatch

PROJECTION_SIZE = 2**23  # projections, or coordinates of directions, held at a time
KERNEL_ROWS = 512  # rows of a kernel matrix held at a time
MEDIAN_SERIES = 2000  # at most, to find the median distance
WIDEST, NUM_BANDWIDTHS = 4.0, 5  # 4, 2, 1, 1/2, 1/4 times the median distance
MIN_POWER = 1e-12  # an amplitude of a millionth of the range: what counts as no power

Points = Float[np.ndarray, "N d"]
Directions = Float[np.ndarray, "D L C"]


# --- Wasserstein distances ------------------------------------------------------------


def value_distribution_distance(real: SeriesBatch, generated: Generated) -> float:
    """1-Wasserstein distance between all values of a channel, pooled over steps.

    The area between the two distribution functions, or the mean distance that a value
    has to be moved, at best; exact for any N and M.

    Units: those of the series, the range of the real ones being 1. 0 and up; 0: the
    same values. Symmetric; blind to the order of steps and to dependence between them
    or between channels, whose mean it is. Of a constant channel, the mean distance to
    the constant. NaN is left out; NaN if a channel has no values.
    """
    distances = [
        wasserstein(values_of(real, channel), values_of(generated, channel)).item()
        for channel in range(real.shape[2])
    ]
    return float(np.mean(distances))


def sliced_wasserstein(
    real: SeriesBatch,
    generated: Generated,
    *,
    num_directions: int = 1000,
    frequency: bool = False,
    seed: int = 0,
) -> float:
    """Mean 1-Wasserstein distance of projections on random directions.

    A series is a point x of d = L C coordinates. The mean is over unit vectors v, drawn
    uniformly, of the 1-Wasserstein distance between <v, x> of the real and of the
    generated series (as FourierDiffusion, Crabbe et al., ICML 2024), which is exact for
    any N and M.

    With `frequency`, the coordinates are the real and imaginary parts of the
    orthonormal transform, np.fft.rfft(x, norm="ortho"), without imaginary parts that
    are always 0; again L per channel. This is nearly a rotation, which uniform
    directions can't tell: it only halves the squares of all but the mean and, for even
    L, the highest frequency. So this distance is about the one in time where levels
    differ, that one / sqrt(2) where shapes do, and says little more.

    Units: those of the series, the range of the real ones being 1. 0 and up; 0: the
    same distribution, but two samples of one have some sqrt(1 / n) of their spread. A
    shift by s has about |s| sqrt(2 / (pi d)): values of one d only compare. Symmetric.
    NaN counts as 0; constant channels are no trouble.
    """
    largest = max(len(real) + len(generated), real[0].size)
    at_a_time = max(PROJECTION_SIZE // largest, 1)
    rng, total = np.random.default_rng(seed), 0.0
    for first in range(0, num_directions, at_a_time):
        count = min(at_a_time, num_directions - first)
        unit = rng.standard_normal((count, *real.shape[1:]))
        unit /= np.sqrt((unit**2).sum(axis=(1, 2), keepdims=True))
        directions = from_frequency(unit) if frequency else unit
        total += wasserstein(
            project(real, directions), project(generated, directions)
        ).sum()
    return float(total / num_directions)


def wasserstein(
    a: Float[np.ndarray, "D N"], b: Float[np.ndarray, "D M"]
) -> Float[np.ndarray, " D"]:
    """1-Wasserstein distance of each row's N values to its M, all weighing alike.

    The integral over 0 < u <= 1 of |quantile of a - quantile of b|. Both are constant
    between the steps of either: u = i / N and u = j / M, in units of 1 / (N M) here.
    NaN without values.
    """
    n, m = a.shape[1], b.shape[1]
    if n == 0 or m == 0:
        return np.full(len(a), np.nan)
    a, b = np.sort(a, axis=1), np.sort(b, axis=1)
    if n == m:
        return np.abs(a - b).mean(axis=1)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    weights = np.diff(ends, prepend=0) / (n * m)
    return np.abs(a[:, (ends - 1) // m] - b[:, (ends - 1) // n]) @ weights


def values_of(series: SeriesBatch, channel: int) -> Float[np.ndarray, "1 values"]:
    """All values of a channel."""
    values = series[..., channel]
    return values[~np.isnan(values)].astype(np.float64)[None]


def project(series: SeriesBatch, directions: Directions) -> Float[np.ndarray, "D N"]:
    """Scalar product of each series with each direction; NaN counts as 0."""
    flat = directions.reshape(len(directions), -1)
    parts = [
        flat @ np.nan_to_num(block).reshape(len(block), -1).T
        for block in blocks(series)
    ]
    return np.concatenate(parts, axis=1)


def from_frequency(directions: Directions) -> Directions:
    """Directions in time that give the projections of these ones in frequency.

    Those are first the real parts, 0 to L // 2, then the imaginary ones, from 1 on. For
    F the transform, <v, F x> = <F^T v, x>, and F^T is the inverse of F but for the
    frequencies that `irfft` takes to stand for two, k and -k.
    """
    length = directions.shape[1]
    num_real = length // 2 + 1
    paired = slice(1, 1 + length - num_real)
    spectrum = directions[:, :num_real].astype(np.complex128)
    spectrum[:, paired] += 1j * directions[:, num_real:]
    spectrum[:, paired] /= 2
    return np.fft.irfft(spectrum, n=length, axis=1, norm="ortho")


# --- maximum mean discrepancy ---------------------------------------------------------


def maximum_mean_discrepancy(
    real: SeriesBatch,
    generated: Generated,
    *,
    increments: bool = False,
    max_series: int = 4096,
    seed: int = 0,
) -> float:
    """Squared MMD with Gaussian kernels, unbiased (Gretton et al. 2012, eq. 3).

    E k(x, x') + E k(y, y') - 2 E k(x, y), over pairs of different series x, x' real and
    y, y' generated. k is the mean of exp(-|x - y|^2 / (2 s^2)) over five widths s, 1/4,
    1/2, 1, 2 and 4 times the median distance between two real series (of 2,000 at
    most). A series is a point of L C coordinates, with `increments` x_{t+1} - x_t.

    No units, up to 2. 0: the same distribution; being unbiased, it is below 0 for many
    a pair of samples of one. Not symmetric, by the median alone: the real ones choose
    the kernel, so that generators compare. NaN counts as 0, also in increments. NaN is
    returned where the median is 0, half the pairs of real series being equal, and with
    `increments` for L = 1.

    Sets of more than `max_series` are cut to so many, chosen at random.
    """
    rng = np.random.default_rng(seed)
    real, generated = choose(rng, real, max_series), choose(rng, generated, max_series)
    subset = choose(rng, real, MEDIAN_SERIES)
    sets = real, generated, subset
    if increments:
        sets = tuple(np.diff(series, axis=1) for series in sets)
    x, y, z = map(flattened, sets)
    origin = x.mean(axis=0, keepdims=True)
    for points in (x, y, z):
        points -= origin  # small distances are more precise near 0
    median = median_distance(z)
    return unbiased_mmd(x, y, median) if median else float("nan")


def unbiased_mmd(x: Points, y: Float[np.ndarray, "M d"], median: float) -> float:
    """The squared MMD of two samples; `median` is the scale of the kernel."""
    n, m = len(x), len(y)
    within_x = (kernel_sum(x, x, median) - n) / (n * (n - 1))  # less k(x, x) = 1
    within_y = (kernel_sum(y, y, median) - m) / (m * (m - 1))
    return within_x + within_y - 2 * kernel_sum(x, y, median) / (n * m)


def kernel_sum(x: Points, y: Float[np.ndarray, "M d"], median: float) -> float:
    """Sum of k over all pairs. To halve a width is to take the fourth power of k."""
    total = 0.0
    for start in range(0, len(x), KERNEL_ROWS):
        squares = squared_distances(x[start : start + KERNEL_ROWS], y)
        kernel = np.exp(squares / (-2 * (WIDEST * median) ** 2))
        total += kernel.sum()
        for _ in range(NUM_BANDWIDTHS - 1):
            np.square(kernel, out=kernel)
            np.square(kernel, out=kernel)
            total += kernel.sum()
    return float(total / NUM_BANDWIDTHS)


def squared_distances(
    x: Points, y: Float[np.ndarray, "M d"]
) -> Float[np.ndarray, "N M"]:
    """|x - y|^2 of all pairs; exactly 0 where nothing but rounding is left."""
    norms = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None]
    squares = norms - 2 * (x @ y.T)
    return np.where(squares > 1e-12 * norms, squares, 0.0)


def median_distance(x: Points) -> float:
    """Median over the pairs of different points."""
    pairs = np.triu_indices(len(x), k=1)
    return float(np.sqrt(np.median(squared_distances(x, x)[pairs])))


def flattened(series: SeriesBatch) -> Points:
    """A point a series, a copy in float64; NaN counts as 0."""
    return np.nan_to_num(series.astype(np.float64), copy=False).reshape(len(series), -1)


# --- spectra --------------------------------------------------------------------------


def spectral_distance(real: SeriesBatch, generated: Generated) -> float:
    """Distance between mean log power spectra, mean over channels.

    Of each series its mean is taken off; its power at the frequencies k / L, k = 1 to
    L // 2, is |DFT|^2 / length. The distance is the root mean square over k of the
    difference between the means over series of log power. To compare mean log spectra
    is after FourierDiffusion (Crabbe et al., ICML 2024), which plots them.

    Units: nats of power; 2 log s for series s times as large. 0 and up; 0: the same
    mean spectrum. Symmetric; blind to phases, so to reversal of time, and to the mean
    of each series. Shorter series are filled up with zeros, their own mean taken off.
    Power below 1e-12 counts as that, which is also what a flat series has: where sets
    differ in how many are flat, this is most of the distance. NaN for L = 1, which has
    no frequency.
    """
    if real.shape[1] < 2:
        return float("nan")
    difference = mean_log_spectrum(real) - mean_log_spectrum(generated)
    return float(np.sqrt((difference**2).mean(axis=0)).mean())


def mean_log_spectrum(series: SeriesBatch) -> Float[np.ndarray, "frequencies C"]:
    """Mean over series of log power, at frequencies 1 / L to 1 / 2."""
    total = np.zeros((series.shape[1] // 2, series.shape[2]))
    for block in blocks(series):
        total += log_spectra(block).sum(axis=0)
    return total / len(series)


def log_spectra(
    series: Float[np.ndarray, "N L C"],
) -> Float[np.ndarray, "N frequencies C"]:
    """Natural log of the power of every series alone, at k / L for k = 1 to L // 2.

    |DFT|^2 / length of the series less its mean, 1e-12 where it is less than that. A
    sine of amplitude a has a^2 L / 4 at its frequency.
    """
    observed = ~np.isnan(series)
    lengths = observed.sum(axis=1, keepdims=True).clip(min=1)
    means = np.nansum(series, axis=1, keepdims=True) / lengths
    spectrum = np.fft.rfft(np.where(observed, series - means, 0.0), axis=1)[:, 1:]
    return np.log((np.abs(spectrum) ** 2 / lengths).clip(min=MIN_POWER))
