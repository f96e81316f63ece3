"""r = E(x) of whole sets, standardised: what stages 2 and 3 work with."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import parallel
from l2d_jax.missing import without_hidden
from l2d_jax.networks import make_encoder
from l2d_jax.types import Latent, Params, Rows, Series

MIN_DEVIATION = 1e-4  # of r in a direction that counts, a share of the largest


@lru_cache(maxsize=16)
def encode_one(config: FrozenConfigDict) -> Callable[[Params, Series], Latent]:
    """(encoder params, x [L, C]) -> r [d], the same object for the same config.

    Steps without any value count as hidden. With `num_masks`, r is the mean over so
    many masks of the training rate, the same ones for every series.
    """
    encoder, c = make_encoder(config), config.encoder

    def encode(params: Params, x: Series) -> Latent:
        if not c.num_masks:
            nothing = jnp.zeros(x.shape[:1], bool)
            return encoder.apply(params, *without_hidden(x, nothing))
        shown = jnp.float32(1.0 - c.mask_rate)
        key = jax.random.key(0, impl="threefry2x32")
        with jax.threefry_partitionable(True):  # whatever the user has set
            hidden = ~jax.random.bernoulli(key, shown, (c.num_masks, x.shape[0]))
        encode_shown = jax.vmap(
            lambda one: encoder.apply(params, *without_hidden(x, one))
        )
        return encode_shown(hidden).mean(axis=0)

    return encode


def encode_all(
    config: ConfigDict, params: Params, series: Rows
) -> Float[np.ndarray, "N d"]:
    """r = E(x), nothing hidden unless `num_masks` says so, for all series [N, L, C]."""
    sections = {name: config[name] for name in ("encoder", "training")}
    encode = encode_one(FrozenConfigDict(sections))  # one program for any sampling
    return parallel.map_all(encode, params, series)


def standard_latents(
    config: ConfigDict, upstream: Params, series: Rows
) -> Float[np.ndarray, "N d"]:
    """r = E(x), standardised: what stages 2 and 3 work with."""
    return standardise(
        upstream["latent"], encode_all(config, upstream["encoder"], series)
    )


def standardise(
    latent: Params, r: Float[np.ndarray, "N d"]
) -> Float[np.ndarray, "N d"]:
    """z of r = mean + scale z; 0 in directions in which no training series varied."""
    scale = np.asarray(latent["scale"])
    inverse = np.linalg.pinv(scale, rcond=2 * MIN_DEVIATION, hermitian=True)
    return (r - np.asarray(latent["mean"])[None]) @ inverse


def raw_latents(latent: Params, z: Latent) -> Latent:
    """r = mean + scale z: the inverse of `standardise`, for one z; what D decodes."""
    return latent["mean"] + latent["scale"] @ z


def latent_moments(r: Float[np.ndarray, "N d"], *, whiten: bool) -> Params:
    """Mean [d] and scale [d, d] of the representations r of the training series.

    The scale is the root of their covariance, so that z has variance 1 in every
    direction. Nothing keeps E from spreading what it knows over correlated dimensions;
    divided by its own deviation each, they vary in some directions by less than the
    noise of most diffusion steps. Without `whiten` the scale is that, a diagonal.
    """
    covariance = np.atleast_2d(np.cov(r, rowvar=False, bias=True))
    if not whiten:
        covariance = np.diag(np.diag(covariance))
    variances, directions = np.linalg.eigh(covariance)
    # A direction without variance stays one, instead of growing to noise.
    variances = np.maximum(variances, MIN_DEVIATION**2 * variances[-1])
    if variances[-1] < 1e-12:  # all series have the same r
        variances = np.ones_like(variances)
    scale = (directions * np.sqrt(variances)) @ directions.T
    mean = r.mean(axis=0, dtype=np.float64)  # in float32 it drifts with many series
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
