"""Latent dimension and mask rate, chosen from the data by small cascades.

A cascade misses the data by two parts: what its data stage makes of the latents of
real series, and what the prior's latents change in that. With W the 2-Wasserstein
distance of the fitted Gaussians, the root of `frechet_distance`, the triangle
inequality gives

    W(generated, data) <= W(generated, rebuilt) + W(rebuilt, data),

rebuilt being drawn given E(x), in the second term of held-out x. More dimensions leave
less to the data stage, so that the second term falls, and more to the prior, so that
the first one rises. Both are measured in the principal components of the series, as
shares of their deviation, on cascades whose stages are trained for a few hundred steps:
first for each dimension at the mask rate given (0.5 if that is to be chosen too), then
for each rate.

The smallest sum is no better than another that it can't be told from by the samples
drawn: of all such, the one nearest to the paper's 8 dimensions and rate of 0.5 is
taken.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from l2d_jax import parallel
from l2d_jax.cascade import numbers, reconstructor, sampler
from l2d_jax.latents import standard_latents
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.representations import principal_components
from l2d_jax.metrics.sets import rows_of
from l2d_jax.missing import interpolated
from l2d_jax.stages import STAGES
from l2d_jax.train import fit_briefly
from l2d_jax.types import InputError, Params, Rows
from l2d_jax.variants import METHODS, with_sampling

LATENT_DIMS = (4, 8, 16, 32)
MASK_RATES = (0.25, 0.5, 0.75)
PAPER_CHOICE = (8, 0.5)  # latent dimension, mask rate
MAX_SERIES = 2_048  # that are looked at: three quarters to train on
NUM_DRAWN = 4_096  # series, by each small cascade
NUM_PARTS = 4  # of them, whose scores differ by chance
NUM_ERRORS = 2.0  # standard errors of a difference that says nothing
STEPS = {"encoder": 400, "latent_stage": 800, "data_stage": 400}  # by section
SAMPLING_STEPS = 5
MIN_SERIES = 8
MIN_DEVIATION = 1e-5  # of series that aren't all the same, in model space

Points = Float[np.ndarray, "N D"]


class Candidate(NamedTuple):
    """A latent dimension and a mask rate, and what a small cascade misses with them."""

    latent_dim: int
    mask_rate: float
    rebuilding: float  # W(rebuilt, data) of held-out series, a share of the deviation
    prior: float  # W(generated, rebuilt), as well
    error: float  # standard error of `prior`, by the samples drawn

    @property
    def bound(self) -> float:
        """On what it misses in all: the smaller the better."""
        total = self.rebuilding + self.prior
        return total if math.isfinite(total) else math.inf

    def as_good_as(self, other: "Candidate") -> bool:
        """Whether this bound can't be told from the smaller one of `other`."""
        apart = self.bound - other.bound
        return apart <= NUM_ERRORS * math.hypot(self.error, other.error)

    @property
    def from_paper(self) -> tuple[float, float]:
        """How far from the paper's dimension, in octaves, and from its rate."""
        dim, rate = PAPER_CHOICE
        return abs(math.log2(self.latent_dim / dim)), abs(self.mask_rate - rate)


def with_latent(config: ConfigDict, series: Rows) -> tuple[ConfigDict, list[Candidate]]:
    """The config with `encoder.latent_dim` and `mask_rate` of 0 chosen; what was tried.

    Args:
      config: resolved; its stages are trained for a few hundred steps for each
        candidate: some minutes on two CPU cores in all.
      series: [N, L, C] in model space; up to `MAX_SERIES` of them are used.

    Raises:
      InputError: too few series, or all of them the same.
    """
    config = config.copy_and_resolve_references()
    c, some = config.encoder, rows_of(series.shape[0], MAX_SERIES, seed=config.seed)
    rows = np.asarray(series[some], np.float32)
    if len(rows) < MIN_SERIES:
        raise InputError(
            f"{len(rows)} training series are too few to choose latent_dim and "
            f"mask_rate by: give both, or {MIN_SERIES} series"
        )
    if deviation_of(points_of(rows)) < MIN_DEVIATION:
        raise InputError("all training series are the same: give others")
    dims = (c.latent_dim,) if c.latent_dim else LATENT_DIMS
    rates = (c.mask_rate,) if c.mask_rate else MASK_RATES
    rate = c.mask_rate or PAPER_CHOICE[1]
    tried = [measure(config, rows, dim, rate) for dim in dims]
    dim = best(tried).latent_dim
    tried += [measure(config, rows, dim, other) for other in rates if other != rate]
    chosen = best([one for one in tried if one.latent_dim == dim])
    c.update(latent_dim=dim, mask_rate=chosen.mask_rate)
    return config, tried


def best(candidates: Sequence[Candidate]) -> Candidate:
    """Of those as good as that with the smallest bound the nearest to the paper's."""
    smallest = min(candidates, key=lambda one: one.bound)
    good = [one for one in candidates if one.as_good_as(smallest)] or [smallest]
    return min(good, key=lambda one: (*one.from_paper, one.bound))


def measure(
    config: ConfigDict,
    rows: Float[np.ndarray, "N L C"],
    latent_dim: int,
    mask_rate: float,
) -> Candidate:
    """Trains a small cascade on three quarters of the series: what it misses."""
    config = small(config, latent_dim=latent_dim, mask_rate=mask_rate)
    order = np.random.default_rng(config.seed).permutation(len(rows))
    seen, held_out = np.split(order, [len(rows) * 3 // 4])
    params = train_briefly(config, rows[seen])
    shape, latents = rows.shape[1:], standard_latents(config, params, rows)
    steps = min(SAMPLING_STEPS, config.data_stage.num_diffusion_steps)
    sampling = with_sampling(config, num_steps=steps)
    inputs = {"params": params, "key": jax.random.key(config.seed)}

    def draw(one, given):
        size = parallel.sampling_batch_size(config)
        return points_of(parallel.map_all(one, inputs, given, batch_size=size))

    real = points_of(rows)
    components = principal_components(real)
    deviation = deviation_of(real)
    real, rebuilt, drawn = (
        points @ components / deviation
        for points in (
            real,
            draw(reconstructor(sampling, shape), (numbers(len(rows)), latents)),
            draw(sampler(sampling, shape), numbers(NUM_DRAWN)),
        )
    )
    parts = [distance(drawn[i::NUM_PARTS], rebuilt) for i in range(NUM_PARTS)]
    return Candidate(
        latent_dim,
        mask_rate,
        rebuilding=distance(rebuilt[held_out], real[held_out]),
        prior=distance(drawn, rebuilt),
        error=float(np.std(parts, ddof=1)) / math.sqrt(NUM_PARTS),
    )


def small(config: ConfigDict, *, latent_dim: int, mask_rate: float) -> ConfigDict:
    """The config of a small cascade: all three stages, whatever the variant."""
    config = config.copy_and_resolve_references()
    config.variant = "full"
    config.encoder.update(latent_dim=latent_dim, mask_rate=mask_rate)
    for section, num_steps in STEPS.items():
        config[section].num_steps = num_steps
    return config


def train_briefly(config: ConfigDict, rows: Float[np.ndarray, "N L C"]) -> Params:
    """What a cascade samples with, after its stages in turn."""
    variant, params = METHODS[config.variant], {}
    for name, section in zip(variant.stages, STEPS, strict=True):
        stage, c = STAGES[name](config, rows.shape[1:]), config[section]
        examples = stage.prepare(params, rows)
        params |= stage.export(fit_briefly(stage, examples, c, seed=config.seed), rows)
    return params | variant.extras(config, params, rows)


def distance(one: Points, other: Float[np.ndarray, "M D"]) -> float:
    """W of the fitted Gaussians."""
    return math.sqrt(max(frechet_distance(one, other), 0.0))


def deviation_of(points: Points) -> float:
    """Root of the summed variances of all coordinates."""
    return float(np.sqrt(points.var(axis=0).sum()))


def points_of(rows: Float[np.ndarray, "N L C"]) -> Points:
    """A row a series, gaps interpolated."""
    return interpolated(rows).reshape(len(rows), -1)
