"""Every array of the project, named once, and the error that users see.

Dimensions are fixed project-wide: B batch, L length, C channels, d latent dimension,
N examples of a data set, K diffusion steps, S solver steps, T tokens (L / patch).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

Params: TypeAlias = Any  # a pytree of arrays, as a Flax module's `init` returns it
Example: TypeAlias = Any  # a pytree of arrays: one row of what a stage trains on
RandomKey: TypeAlias = Key[Array, ""]  # one typed key, `jax.random.key(0)`
Scalar: TypeAlias = Float[Array, ""]
Step: TypeAlias = Int[Array, ""]  # t, a diffusion step: always an integer index

Series: TypeAlias = Float[Array, "L C"]  # x_0, x_t: one series in model space
Latent: TypeAlias = Float[Array, " d"]  # r_0, r_t: one representation
Signal: TypeAlias = Float[Array, "T width"]  # F(r): the guidance signal along time
SeriesBatch: TypeAlias = Float[np.ndarray, "N L C"]  # in data units, on the host
Lengths: TypeAlias = Int[np.ndarray, " N"]  # true length of each series, 1..L


class InputError(ValueError):
    """Something the user gave can't be used. One line: the thing, and the mend."""


class Examples(NamedTuple):
    """N series of a data set, in data units."""

    series: SeriesBatch  # NaN after the end of a series shorter than L
    lengths: Lengths
    labels: Int[np.ndarray, " N"] | None = None  # class index, 0..classes-1


class Splits(NamedTuple):
    """What a data set's function returns."""

    train: Examples
    test: Examples | None  # held-out examples; None: trained on all, as the peers do
    channels: tuple[str, ...]
    classes: tuple[str, ...] = ()


def is_ragged(examples: Examples) -> bool:
    """True where the series have different lengths."""
    return bool((examples.lengths < examples.series.shape[1]).any())


def tree_size(params: Params) -> int:
    """Number of parameters in a pytree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


Metrics: TypeAlias = Mapping[str, Scalar]
