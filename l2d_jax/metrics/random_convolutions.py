"""Random-convolution features of series: MiniRocket, with nothing trained.

Dempster, Schmidt & Webb, "MiniRocket", KDD 2021; several channels as in sktime's
MiniRocketMultivariate, whose features these are for the same kernels. A feature is the
share of steps at which a dilated convolution, summed over some of the channels, lies
above a bias. Kernels have 9 weights, three of them 2 and six of them -1; only the
channels, and the series whose quantiles the biases are, are drawn at random.

Weights sum to 0, so that levels are seen at the ends only, where half of the kernels
reach beyond the series and meet zeros. Values are rounded to 2^-16, of a range of 1:
sums are then exact, what is constant gives 0 and not the sign of a rounding error, and
features are the same on every device and for every batch size.
"""

from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from l2d_jax.parallel import map_all
from l2d_jax.types import Series, SeriesBatch

WIDTH = 9  # weights of a kernel, and the least length of a series
TRIPLES = np.array([*combinations(range(WIDTH), 3)])  # where the weights are 2
NUM_KERNELS = len(TRIPLES)  # 84, for each dilation
KERNELS = np.full((NUM_KERNELS, WIDTH), -1.0, np.float32)
np.put_along_axis(KERNELS, TRIPLES, 2.0, axis=1)

MAX_DILATIONS = 32
GRID = 2.0**16  # values are rounded to 1 / GRID; sums are exact up to |x| = 2
BLOCK_SIZE = 2**24  # numbers that a block of series needs, at most
MAX_ROWS = 256  # of a block


class Kernels(NamedTuple):
    """Convolutions of D dilations x 84 kernels, and F biases to compare them with.

    Convolution 84 i + k is of dilation i and kernel k.
    """

    dilations: Int[Array, " D"]
    channels: Float[Array, "D 84 C"]  # 1 for those that are summed, else 0
    convolution: Int[Array, " F"]  # that each bias is for
    biases: Float[Array, " F"]


# --- the features ---------------------------------------------------------------------


def transform(kernels: Kernels, series: SeriesBatch) -> Float[np.ndarray, "N F"]:
    """Share of steps at which each convolution lies above its bias; float32, 0 to 1.

    Every other convolution counts at all steps, with zeros beyond the ends; the rest
    only at steps where all 9 weights lie within the series.

    Series have the steps and channels of those that the kernels were fitted to. Ended
    ones go on at their last value, and so do all to 9 steps. Where one of those fitted
    to was shorter than L, the kernels have a channel of validity more: 1 up to the end
    of a series and 0 after.

    Memory beside the features doesn't depend on N.
    """
    num_channels = kernels.channels.shape[2]
    rows = filled(series, with_validity=num_channels > series.shape[2])
    windows = len(kernels.dilations) * WIDTH * num_channels
    size = rows.shape[1] * max(len(kernels.biases), windows)
    batch_size = min(8 * max(BLOCK_SIZE // size // 8, 1), MAX_ROWS)
    return map_all(features_of, kernels, rows, batch_size=batch_size)


def features_of(kernels: Kernels, x: Series) -> Float[Array, " F"]:
    """The features of one series."""
    sums = jnp.einsum(
        "dlwc,dkwc->dkl",
        windows_of(x, kernels.dilations),
        KERNELS[None, :, :, None] * kernels.channels[:, :, None, :],
        precision="highest",
    )
    counted = steps_counted(kernels.dilations, len(x))
    sums = jnp.where(counted, sums, -jnp.inf).reshape(-1, len(x))
    above = sums[kernels.convolution] > kernels.biases[:, None]
    num_counted = counted.sum(axis=2).reshape(-1)[kernels.convolution]
    return above.sum(axis=1) / num_counted.astype(jnp.float32)


def windows_of(x: Series, dilations: Int[Array, " D"]) -> Float[Array, "D L 9 C"]:
    """What the 9 weights meet when centred on each step: zeros beyond the ends."""
    offsets = dilations[:, None] * (jnp.arange(WIDTH) - WIDTH // 2)[None, :]
    at = jnp.arange(len(x))[None, :, None] + offsets[:, None, :]
    inside = (at >= 0) & (at < len(x))
    return jnp.where(inside[..., None], x[at.clip(0, len(x) - 1)], 0.0)


def steps_counted(
    dilations: Int[Array, " D"], length: int
) -> Bool[Array, "D 84 {length}"]:
    """In turns: all steps, and those where the kernel lies within the series."""
    margin = (WIDTH // 2) * dilations[:, None]
    step = jnp.arange(length)[None, :]
    within = (step >= margin) & (step < length - margin)
    place = jnp.arange(len(dilations))[:, None] + jnp.arange(NUM_KERNELS)[None, :]
    return within[:, None, :] | (place % 2 == 0)[:, :, None]


def filled(
    series: SeriesBatch, *, with_validity: bool
) -> Float[np.ndarray, "N steps channels"]:
    """On the grid, 9 steps or more, with the last value after the end of a series.

    `with_validity` adds a channel: 1 up to the end, 0 after it.
    """
    valid = ~np.isnan(series[:, :, :1])
    last = np.maximum(valid.sum(axis=1, keepdims=True) - 1, 0)
    steps = np.minimum(np.arange(series.shape[1])[None, :, None], last)
    held = np.take_along_axis(series, steps, axis=1)
    if with_validity:
        held = np.concatenate([held, valid], axis=2)
    lacking = max(WIDTH - series.shape[1], 0)
    held = np.pad(held, ((0, 0), (0, lacking), (0, 0)), mode="edge")
    return (np.round(held * GRID) / GRID).astype(np.float32)


# --- the kernels ----------------------------------------------------------------------


def fit_kernels(
    series: SeriesBatch, *, seed: int | tuple[int, ...], num_features: int = 1008
) -> Kernels:
    """Draws channels, and takes the biases from some of the series.

    Args:
      series: real ones, as `transform` takes them.
      seed: all that is random follows from it.
      num_features: the next lower multiple of 84 is made, 84 at least.

    Dilations are spread evenly in their logarithm, from 1 to where a kernel spans the
    series. The biases of a convolution are quantiles of it, at all steps of one series
    drawn at random; of which order, say the multiples of the golden ratio modulo 1.
    """
    rng = np.random.default_rng(seed)
    ragged = bool(np.isnan(series).any())
    dilations, counts = dilations_of(max(series.shape[1], WIDTH), num_features)
    channels = draw_channels(rng, len(dilations), series.shape[2] + ragged)
    chosen = rng.integers(len(series), size=len(dilations) * NUM_KERNELS)
    rows = filled(series[chosen], with_validity=ragged)
    sums = np.asarray(convolutions_of(rows, dilations, channels))
    convolution = np.repeat(np.arange(len(chosen)), np.repeat(counts, NUM_KERNELS))
    levels = np.arange(1, len(convolution) + 1) * (np.sqrt(5) + 1) / 2 % 1
    biases = [np.quantile(one, levels[convolution == i]) for i, one in enumerate(sums)]
    return Kernels(
        dilations=jnp.asarray(dilations),
        channels=jnp.asarray(channels),
        convolution=jnp.asarray(convolution, jnp.int32),
        biases=jnp.asarray(np.concatenate(biases), jnp.float32),
    )


@jax.jit
def convolutions_of(
    rows: Float[Array, "K L C"],
    dilations: Int[Array, " D"],
    channels: Float[Array, "D 84 C"],
) -> Float[Array, "K L"]:
    """Convolution k of series k, for all K = 84 D of them."""
    windows = jax.vmap(lambda x, dilation: windows_of(x, dilation[None])[0])(
        rows, jnp.repeat(dilations, NUM_KERNELS)
    )
    kernels = jnp.tile(KERNELS, (len(dilations), 1))
    channels = channels.reshape(len(rows), -1)
    return jnp.einsum("klwc,kw,kc->kl", windows, kernels, channels, precision="highest")


def dilations_of(
    length: int, num_features: int
) -> tuple[Int[np.ndarray, " D"], Int[np.ndarray, " D"]]:
    """Dilations, and how many biases each kernel has for each of them."""
    per_kernel = max(num_features // NUM_KERNELS, 1)
    most = min(per_kernel, MAX_DILATIONS)
    exponents = np.linspace(0.0, np.log2((length - 1) / (WIDTH - 1)), most)
    dilations, counts = np.unique((2.0**exponents).astype(np.int32), return_counts=True)
    counts = (counts * (per_kernel / most)).astype(int)
    left, extra = divmod(per_kernel - counts.sum(), len(counts))
    return dilations, counts + left + (np.arange(len(counts)) < extra)


def draw_channels(
    rng: np.random.Generator, num_dilations: int, num_channels: int
) -> Float[np.ndarray, "D 84 C"]:
    """1 for the channels that a convolution sums, 0 for the others.

    Their number is 2^u rounded down, u uniform, from 1 to all, or 9 of more.
    """
    shape = (num_dilations, NUM_KERNELS)
    most = np.log2(min(num_channels, WIDTH) + 1)
    sizes = (2.0 ** rng.uniform(0.0, most, shape)).astype(int)
    ranks = rng.random((*shape, num_channels)).argsort(axis=2).argsort(axis=2)
    return (ranks < sizes[:, :, None]).astype(np.float32)
