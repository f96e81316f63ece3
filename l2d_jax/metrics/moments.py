"""Differences between moments and marginals of two sets of series, in closed form.

All take real series [N, L, C] and generated ones [M, L, C], both scaled per channel by
the range of the real ones, with NaN after the end of series shorter than L. What is
pooled over series and steps leaves NaN out. All work in float64 and in blocks: beside
the series they need some 100 MB, whatever N is.

Where a measure isn't defined, NaN is returned. A channel that is constant in either set
is the usual reason: `evaluate` refuses it in the real series, but a generator may have
collapsed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from l2d_jax.types import SeriesBatch

BLOCK_SIZE = 2**20  # values held at a time
NUM_BINS = 50
MAX_LAGS = 64

Generated = Float[np.ndarray, "M L C"]


class Moments(NamedTuple):
    """Central moments of each channel, over all series and steps; NaN if constant."""

    count: Float[np.ndarray, " C"]
    second: Float[np.ndarray, " C"]  # over `count`, as the others
    third: Float[np.ndarray, " C"]
    fourth: Float[np.ndarray, " C"]


# --- marginals ------------------------------------------------------------------------


def marginal_distribution_difference(real: SeriesBatch, generated: Generated) -> float:
    """MDD: how far the histograms are from each other, step by step.

    For each step t and channel c, the range of the real values there is cut into 50
    bins; the densities of real and generated values in them, p and q, give the mean of
    |p - q| over the bins. MDD is the mean over (t, c).

    As in TSGBench (Ang et al., VLDB 2023), the first step is left out (t >= 2, of 1 to
    L), and generated values outside of the real range count in q's total only. Unlike
    there, values on the edge of two bins count, in the upper one, and the greatest in
    the last: the real series have MDD 0 to themselves.

    Units: density, 1 / data. From 0, the same histograms, to the mean of 2 / range: at
    a step where the real values span all of [0, 1], 2. Two samples of n series of one
    distribution aren't at 0: about 8 / sqrt(n) / range where bins are evenly filled.
    Not symmetric: the bins are the real ones'. Blind to dependence between steps or
    channels.

    Steps where the real values of the channel are all one, or where either set has
    none, are left out. NaN if nothing is left, as for L = 1.
    """
    real, generated = real[:, 1:], generated[:, 1:]
    low = np.fmin.reduce(real, axis=0).astype(np.float64)
    high = np.fmax.reduce(real, axis=0).astype(np.float64)
    p, q = (bin_shares(series, low, high) for series in (real, generated))
    differences, span = np.abs(p - q).sum(axis=-1), high - low
    valid = (span > 0) & ~np.isnan(differences)
    if not valid.any():
        return float("nan")
    # The mean over 50 bins, of shares divided by the width span / 50.
    return float((differences[valid] / span[valid]).mean())


def bin_shares(
    series: SeriesBatch,
    low: Float[np.ndarray, "L C"],
    high: Float[np.ndarray, "L C"],
) -> Float[np.ndarray, "L C bins"]:
    """Share of the values at each (t, c) that lies in each bin; NaN without values."""
    width = np.where(high > low, high - low, 1.0) / NUM_BINS
    cells = np.arange(low.size).reshape(low.shape)
    counts = np.zeros(low.size * NUM_BINS)
    totals = np.zeros(low.shape)
    for block in blocks(series):
        totals += (~np.isnan(block)).sum(axis=0)
        inside = (block >= low) & (block <= high)
        bins = ((block - low) / width)[inside].astype(np.int64).clip(max=NUM_BINS - 1)
        cell = np.broadcast_to(cells, block.shape)[inside]
        counts += np.bincount(cell * NUM_BINS + bins, minlength=counts.size)
    totals[totals == 0] = np.nan
    return counts.reshape(*low.shape, NUM_BINS) / totals[..., None]


def skewness_difference(real: SeriesBatch, generated: Generated) -> float:
    """SD: |skewness of real - skewness of generated|, mean over channels.

    Skewness is m_3 / s^3 of all values of a channel, m_3 the third central moment, s^2
    the variance over n - 1 (TSGBench). No units, 0 and up; 0: equally lopsided, at any
    mean and scale. Symmetric; blind to the order of steps. NaN for constant channels.
    """

    def skewness(series: SeriesBatch) -> Float[np.ndarray, " C"]:
        m = moments(series)
        return m.third / (m.second * m.count / (m.count - 1)) ** 1.5

    return float(np.abs(skewness(real) - skewness(generated)).mean())


def kurtosis_difference(real: SeriesBatch, generated: Generated) -> float:
    """KD: |excess kurtosis of real - that of generated|, mean over channels.

    Excess kurtosis is m_4 / m_2^2 - 3 of all values of a channel, from central moments
    over n (TSGBench). No units, 0 and up; 0: equally heavy tails, at any mean and
    scale. Symmetric; blind to the order of steps. NaN for constant channels.
    """

    def kurtosis(series: SeriesBatch) -> Float[np.ndarray, " C"]:
        m = moments(series)
        return m.fourth / m.second**2 - 3.0

    return float(np.abs(kurtosis(real) - kurtosis(generated)).mean())


# --- dependence on time and between channels ------------------------------------------


def autocorrelation_difference(real: SeriesBatch, generated: Generated) -> float:
    """ACD: distance between autocorrelation functions, mean over channels.

    rho(k) = mean of (x_t - m)(x_{t+k} - m) over all series and all t that have both,
    divided by the variance; m and variance over all series and steps. The distance is
    the root of the sum of squared differences over lags 0 to min(64, L) - 1 (TSGBench).

    No units, 0 and up; 0: the same autocorrelation, at any mean and scale. As m isn't
    that of each series, what varies between series counts as correlation at all lags.
    Symmetric; blind to reversal of time. NaN for channels that are constant.
    """
    difference = autocorrelation(real) - autocorrelation(generated)
    return float(np.sqrt((difference**2).sum(axis=0)).mean())


def autocorrelation(series: SeriesBatch) -> Float[np.ndarray, "lags C"]:
    """rho(k) of each channel; NaN if constant, 0 at lags that no series is as long as.

    The sums over t at all lags are the inverse transform of |F x|^2, F that of x filled
    up with zeros to twice its length.
    """
    _, length, num_channels = series.shape
    powers = np.zeros((2, length + 1, num_channels))
    for values, observed in centred_blocks(series):
        for power, x in zip(powers, (values, observed), strict=True):
            power += (np.abs(np.fft.rfft(x, 2 * length, axis=1)) ** 2).sum(axis=0)
    sums, counts = np.fft.irfft(powers, axis=1)[:, : min(MAX_LAGS, length)]
    return sums / counts.round().clip(min=1.0) / moments(series).second[None]


def correlational_score(real: SeriesBatch, generated: Generated) -> float:
    """Distance between the correlations of channels, on all series.

    Sum of |r_real - r_generated| over all pairs of channels (i >= j, the pairs i = i
    among them), divided by 10 (Diffusion-TS, Yuan & Qiao, ICLR 2024, which takes the
    mean over five draws of a fifth of the series; after Ni et al. 2020). r is the mean
    over all series and steps of z_i z_j, of channels standardised by their mean and
    their deviation over n - 1.

    No units, from 0, the same correlations, to C (C - 1) / 10: it grows with the number
    of channels. Symmetric; blind to the order of steps and to scale. A pair i = i adds
    |1 / N - 1 / M| / L / 10 only. NaN for constant channels, and for one channel, which
    has no other.
    """
    if real.shape[2] == 1:
        return float("nan")
    difference = np.abs(correlations(real) - correlations(generated))
    return float(np.tril(difference).sum() / 10.0)


def correlations(series: SeriesBatch) -> Float[np.ndarray, "C C"]:
    """Mean product of standardised channels (over n - 1); NaN where one is constant."""
    num_channels = series.shape[2]
    sums, counts = np.zeros((2, num_channels, num_channels))
    for values, observed in centred_blocks(series):
        for total, x in ((sums, values), (counts, observed)):
            rows = x.reshape(-1, num_channels).astype(np.float64)
            total += rows.T @ rows
    m = moments(series)
    deviation = np.sqrt(m.second * m.count / (m.count - 1))
    return sums / counts.clip(min=1.0) / (deviation[:, None] * deviation[None])


# --- sums over all series -------------------------------------------------------------


def moments(series: SeriesBatch) -> Moments:
    """Central moments 2 to 4 of each channel."""
    count, second, third, fourth = np.zeros((4, series.shape[2]))
    for values, observed in centred_blocks(series):
        squares = values**2
        count += observed.sum(axis=(0, 1))
        second += squares.sum(axis=(0, 1))
        third += (squares * values).sum(axis=(0, 1))
        fourth += (squares**2).sum(axis=(0, 1))
    axes = (0, 1)
    varies = np.fmin.reduce(series, axis=axes) < np.fmax.reduce(series, axis=axes)
    count[~varies] = np.nan
    return Moments(count, second / count, third / count, fourth / count)


def centred_blocks(
    series: SeriesBatch,
) -> Iterator[tuple[Float[np.ndarray, "_ L C"], Bool[np.ndarray, "_ L C"]]]:
    """Blocks less each channel's mean, 0 where missing; and where they aren't."""
    total, count = np.zeros((2, series.shape[2]))
    for block in blocks(series):
        total += np.nansum(block, axis=(0, 1))
        count += (~np.isnan(block)).sum(axis=(0, 1))
    mean = total / count.clip(min=1.0)
    for block in blocks(series):
        observed = ~np.isnan(block)
        yield np.where(observed, block - mean, 0.0), observed


def blocks(series: SeriesBatch) -> Iterator[Float[np.ndarray, "_ L C"]]:
    """All series in order, in float64, some at a time."""
    num_rows = max(BLOCK_SIZE // max(series[0].size, 1), 1)
    for start in range(0, len(series), num_rows):
        yield series[start : start + num_rows].astype(np.float64)
