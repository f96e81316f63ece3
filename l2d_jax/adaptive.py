"""Latent dimension and mask rate, chosen from the data by short trainings.

What the latents alone would generate misses the data by two parts: what D(E(x)) does
not rebuild of a series x, and what the decoded samples of the prior differ from decoded
real latents. With W the 2-Wasserstein distance, the triangle inequality gives

    W(D(prior), data) <= W(D(prior), D(E(x))) + W(D(E(x)), x),

both sides on held-out series. D is trained further for it, on whole series: in stage 1
it only sees representations of series that are partly hidden. More dimensions make the
second term smaller and the first one larger. The candidate with the smallest sum, each
term as a share of the data's deviation, is taken: first the dimension at the mask rate
given (0.5 if that is to be chosen too), then the rate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax.cascade import diffusion_prior
from l2d_jax.diffusion import masked_mean
from l2d_jax.stages import (
    STAGES,
    Stage,
    fill_missing,
    make_decoder,
    raw_latents,
    standard_latents,
)
from l2d_jax.train import fit_briefly
from l2d_jax.types import InputError, Params, Rows

LATENT_DIMS = (4, 8, 16, 32)
MASK_RATES = (0.25, 0.5, 0.75)
DEFAULT_MASK_RATE = 0.5
MAX_SERIES = 2_048  # that are looked at: three quarters to train on
MAX_COMPARED = 512  # of each set in a transport, whose time goes with N^3
ENCODER_STEPS = 400
LATENT_STEPS = 800
MIN_SERIES = 8
LEAST_DEVIATION = 1e-5  # of series that aren't all the same, in model space

Points = Float[np.ndarray, "N D"]


class Candidate(NamedTuple):
    """A latent dimension and a mask rate, and what they leave of held-out series."""

    latent_dim: int
    mask_rate: float
    rebuilding: float  # root mean (D(E(x)) - x)^2, a share of the data's deviation
    prior: float  # W(D(prior), D(E(x))), as well

    @property
    def sum(self) -> float:
        """The bound: the smaller the better."""
        return self.rebuilding + self.prior


def with_latent(config: ConfigDict, series: Rows) -> tuple[ConfigDict, list[Candidate]]:
    """The config with `encoder.latent_dim` and `mask_rate` of 0 chosen; what was tried.

    Args:
      config: resolved; its encoder and latent stage are trained for a few hundred steps
        for each candidate: some minutes on two CPU cores in all.
      series: [N, L, C] in model space; up to `MAX_SERIES` of them are used.

    Raises:
      InputError: too few series, or all of them the same.
    """
    config = config.copy_and_resolve_references()
    c, rows = config.encoder, some_rows(series, seed=config.seed)
    if len(rows) < MIN_SERIES:
        raise InputError(
            f"{len(rows)} training series are too few to choose latent_dim and "
            f"mask_rate by: give both, or {MIN_SERIES} series"
        )
    if deviation_of(rows) < LEAST_DEVIATION:
        raise InputError("all training series are the same: give others")
    dims = (c.latent_dim,) if c.latent_dim else LATENT_DIMS
    rates = (c.mask_rate,) if c.mask_rate else MASK_RATES
    rate = c.mask_rate or DEFAULT_MASK_RATE
    tried = [measure(config, rows, dim, rate) for dim in dims]
    dim = best(tried).latent_dim
    tried += [measure(config, rows, dim, other) for other in rates if other != rate]
    chosen = best([one for one in tried if one.latent_dim == dim])
    c.update(latent_dim=dim, mask_rate=chosen.mask_rate)
    return config, tried


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the smallest sum; of equals the first."""
    return min(candidates, key=lambda one: one.sum)


def some_rows(series: Rows, *, seed: int) -> Float[np.ndarray, "N L C"]:
    """Up to `MAX_SERIES` of the series at random."""
    n = series.shape[0]
    order = np.random.default_rng(seed).permutation(n)[:MAX_SERIES]
    return np.asarray(series[np.sort(order)], np.float32)


def measure(
    config: ConfigDict,
    rows: Float[np.ndarray, "N L C"],
    latent_dim: int,
    mask_rate: float,
) -> Candidate:
    """Trains encoder and prior briefly on three quarters; measures on the rest."""
    config = config.copy_and_resolve_references()
    config.encoder.update(
        latent_dim=latent_dim, mask_rate=mask_rate, num_steps=ENCODER_STEPS
    )
    config.latent_stage.num_steps = LATENT_STEPS
    order = np.random.default_rng(config.seed).permutation(len(rows))
    cut = len(rows) * 3 // 4
    seen, unseen = rows[order[:cut]], rows[order[cut:]]

    shape = (rows.shape[1], rows.shape[2])
    encoder, latent = STAGES["encoder"](config, shape), STAGES["latent"](config, shape)
    params = fit_briefly(encoder, seen, config.encoder, seed=config.seed)
    upstream = encoder.export(params, seen)
    r_seen, r_unseen = (
        standard_latents(config, upstream, part) for part in (seen, unseen)
    )
    decoder = decoder_stage(config, shape, upstream)
    whole = {"x_0": seen, "r_0": r_seen}
    params = fit_briefly(decoder, whole, config.encoder, seed=config.seed)
    upstream |= decoder.export(params, seen)
    params = fit_briefly(latent, r_seen, config.latent_stage, seed=config.seed)
    upstream |= latent.export(params, seen)
    r_drawn = draw(config, upstream, len(unseen))

    of_seen, of_unseen, drawn = (
        decode(config, upstream, r, shape) for r in (r_seen, r_unseen, r_drawn)
    )
    real, observed = filled(unseen)
    deviation = deviation_of(rows)
    error = np.where(observed, of_unseen - real, 0.0)
    # What two real samples differ by is no fault of the prior.
    excess = transport(drawn, of_unseen) - transport(of_seen, of_unseen)
    return Candidate(
        latent_dim,
        mask_rate,
        rebuilding=float(np.sqrt(np.square(error).sum(axis=1).mean())) / deviation,
        prior=float(np.sqrt(max(excess, 0.0))) / deviation,
    )


def decoder_stage(
    config: ConfigDict, shape: tuple[int, int], upstream: Params
) -> Stage:
    """D goes on from `upstream`, on representations of whole series."""
    network = make_decoder(config, shape)

    def loss(params, key, example):
        del key
        x, observed = fill_missing(example["x_0"])
        x_hat = network.apply(params, raw_latents(upstream["latent"], example["r_0"]))
        error = masked_mean(jnp.square(x - x_hat), observed)
        return error, {"mse": error}

    return Stage(
        "decoder",
        lambda key: upstream["decoder"],
        lambda _, examples: examples,
        loss,
        lambda params, _: {"decoder": params},
    )


def draw(config: ConfigDict, params: Params, n: int) -> Float[np.ndarray, "N d"]:
    """n latents of the prior, standardised."""
    prior = diffusion_prior(FrozenConfigDict(config))
    keys = jax.random.split(jax.random.key(config.seed), n)
    return np.asarray(jax.jit(jax.vmap(prior, (None, 0)))(params, keys))


def decode(
    config: ConfigDict,
    params: Params,
    latents: Float[np.ndarray, "N d"],
    shape: tuple[int, int],
) -> Points:
    """D(r) as points, of standardised latents."""
    decoder = make_decoder(config, shape)
    r = jax.vmap(raw_latents, (None, 0))(params["latent"], jnp.asarray(latents))
    x = jax.jit(jax.vmap(decoder.apply, (None, 0)))(params["decoder"], r)
    return np.asarray(x).reshape(len(r), -1)


def deviation_of(rows: Float[np.ndarray, "N L C"]) -> float:
    """Root of the summed variances of all values over the series."""
    return float(np.sqrt(filled(rows)[0].var(axis=0).sum()))


def filled(rows: Float[np.ndarray, "N L C"]) -> tuple[Points, np.ndarray]:
    """Series as points, gaps interpolated, and where they were known."""
    series, observed = jax.jit(jax.vmap(fill_missing))(rows)
    n = len(rows)
    return np.asarray(series).reshape(n, -1), np.asarray(observed).reshape(n, -1)


def transport(one: Float[np.ndarray, "N D"], other: Float[np.ndarray, "M D"]) -> float:
    """W^2 of two samples: mean squared distance under the best pairing.

    Of `MAX_COMPARED` points of each at the most, as many of both.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    n = min(len(one), len(other), MAX_COMPARED)
    cost = cdist(one[:n], other[:n], "sqeuclidean")
    return float(cost[linear_sum_assignment(cost)].mean())
