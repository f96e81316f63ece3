"""The three stages of training, each a value: config -> Stage.

A stage is four pure functions. What it needs from the stages before it, `upstream`,
goes only into `prepare`, so that no gradient can reach it; `loss` sees its own
parameters and one example, and is batched by `vmap` outside.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import diffusion, parallel
from l2d_jax.models import (
    ConditionNetwork,
    Decoder,
    Encoder,
    LatentDenoiser,
    SeriesDenoiser,
)
from l2d_jax.schedules import NoiseSchedule, make_schedule
from l2d_jax.types import (
    Example,
    InputError,
    Latent,
    Metrics,
    Params,
    RandomKey,
    Rows,
    Scalar,
    Series,
)

ENCODE_BATCH = 256
PIECE = 4_096  # series looked at in one go
LEAST_DEVIATION = 1e-4  # of r in a direction that counts, a share of the largest


class Stage(NamedTuple):
    """One network trained on its own."""

    name: str
    init: Callable[[RandomKey], Params]
    prepare: Callable[[Params, Rows], Example]  # (upstream, [N, L, C]) -> rows
    loss: Callable[[Params, RandomKey, Example], tuple[Scalar, Metrics]]
    export: Callable[[Params, Rows], dict[str, Params]]  # (EMA params, [N, L, C])
    # Where one loss of single examples and one optimizer don't do:
    updater: "Callable[[optax.GradientTransformationExtraArgs], Updater] | None" = None
    # upstream -> parameters to begin with, where a stage goes on with those before it:
    start: Callable[[Params], Params] | None = None


class Updater(NamedTuple):
    """One step of training, inside a parallel program: several losses, alternating."""

    init: Callable[[Params], Params]  # parameters -> state of the optimizers
    update: Callable[..., tuple[Params, Params, Metrics]]  # (params, state, key, batch)


class Generator(NamedTuple):
    """How one series is made. Baselines are generators too."""

    prior: Callable[[Params, RandomKey], Latent | None]
    decode: Callable[[Params, RandomKey, Latent | None], Series]


class Variant(NamedTuple):
    """A filling of the cascade, or a baseline, and the stages that it needs trained."""

    stages: tuple[str, ...]
    prior: Callable[..., Callable]
    decode: Callable[..., Callable]
    # (config, params, [N, L, C]) -> what the generator needs besides trained weights:
    extras: Callable[[ConfigDict, Params, Rows], Params]
    chain: str  # section with the steps of the chain that draws the series; "": none
    settings: tuple[str, ...]  # of `sample`, that mean something here
    fast: Mapping[str, Any] = {}  # others of them, with fewer steps than trained with


def no_extras(config: ConfigDict, params: Params, series: Rows) -> Params:
    """For generators of trained weights alone."""
    del config, params, series
    return {}


def value_range(config: ConfigDict, params: Params, series: Rows) -> Params:
    """Lowest and highest value of each channel [C] in model space, NaN left out."""
    del config, params
    low, high = np.full(series.shape[2], np.inf), np.full(series.shape[2], -np.inf)
    for start in range(0, series.shape[0], PIECE):
        piece = series[start : start + PIECE]
        known = ~np.isnan(piece)
        low = np.minimum(low, np.where(known, piece, np.inf).min(axis=(0, 1)))
        high = np.maximum(high, np.where(known, piece, -np.inf).max(axis=(0, 1)))
    return {"low": low.astype(np.float32), "high": high.astype(np.float32)}


def no_prior(config: FrozenConfigDict) -> Callable:
    """For models without a latent."""
    del config
    return lambda params, key: None


# --- stage 1: masked pretraining ------------------------------------------------------


def encoder_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """E and D: rebuild the hidden steps of a series from r alone."""
    c = config.encoder
    encoder, decoder = make_encoder(config), make_decoder(config, shape)

    def init(key):
        key_encoder, key_decoder = jax.random.split(key)
        return {
            "encoder": encoder.init(key_encoder, jnp.zeros(shape)),
            "decoder": decoder.init(key_decoder, jnp.zeros((c.latent_dim,))),
        }

    def loss(params, key, x):
        key_mask, key_noise = jax.random.split(key)
        mask = jax.random.bernoulli(key_mask, c.mask_rate, shape[:1])
        x_seen, visible = without_hidden(x, mask)
        x, observed = fill_missing(x)
        r = encoder.apply(params["encoder"], x_seen, visible)
        noise = jax.random.normal(key_noise, r.shape, r.dtype)
        x_hat = decoder.apply(params["decoder"], r + c.latent_noise * noise)
        error = diffusion.masked_mean(jnp.square(x - x_hat), mask[:, None] & observed)
        penalty = c.latent_penalty * jnp.mean(jnp.square(r)) / 2.0
        return error + penalty, {"mse": error}

    def export(params, series):
        r = encode_all(config, params["encoder"], series)
        return {**params, "latent": latent_moments(r, whiten=c.whiten)}

    return Stage("encoder", init, lambda _, series: series, loss, export)


# --- stage 2: latent diffusion --------------------------------------------------------


def latent_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """r_phi: diffusion of the standardised representations, `standard_latents`."""
    del shape
    c, dim = config.latent_stage, config.encoder.latent_dim
    denoiser, schedule = make_latent_denoiser(config), stage_schedule(c)

    def init(key):
        return denoiser.init(key, jnp.zeros((dim,)), jnp.int32(0))

    def prepare(upstream, series):
        return standard_latents(config, upstream, series)

    def loss(params, key, r_0):
        return diffusion.diffusion_loss(
            lambda r_t, t: denoiser.apply(params, r_t, t),
            schedule,
            key,
            r_0,
            prediction=c.prediction,
            weighting=c.weighting,
        )

    return Stage("latent", init, prepare, loss, lambda p, _: {"latent_denoiser": p})


# --- stage 3: data diffusion ----------------------------------------------------------


def data_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """F and x_theta: diffusion of the series, given r (or alone, for `data_only`)."""
    c, dim = config.data_stage, config.encoder.latent_dim
    denoiser, network = make_series_denoiser(config), make_condition(config, shape)
    schedule, conditional = stage_schedule(c), config.variant != "data_only"

    def init(key):
        key_denoiser, key_network = jax.random.split(key)
        params, signal = {}, None
        if conditional:
            r = jnp.zeros((dim,))
            signal, params["condition"] = network.init_with_output(key_network, r)
        params["denoiser"] = denoiser.init(
            key_denoiser, jnp.zeros(shape), jnp.int32(0), signal
        )
        return params

    def prepare(upstream, series):
        if not conditional:
            return {"x_0": series}
        return {"x_0": series, "r_0": standard_latents(config, upstream, series)}

    def loss(params, key, example):
        key_loss, key_drop, key_noise = jax.random.split(key, 3)
        signal = None
        if conditional:
            kept = jax.random.bernoulli(key_drop, 1.0 - c.condition_dropout)
            noise = jax.random.normal(key_noise, (dim,), jnp.float32)
            r = example["r_0"] + c.condition_noise * noise
            signal = network.apply(params["condition"], r)
            signal = jnp.where(kept, signal, 0.0)
        x_0, observed = fill_missing(example["x_0"])
        return diffusion.diffusion_loss(
            lambda x_t, t: denoiser.apply(params["denoiser"], x_t, t, signal),
            schedule,
            key_loss,
            x_0,
            prediction=c.prediction,
            weighting=c.weighting,
            observed=observed,
        )

    return Stage("data", init, prepare, loss, lambda p, _: {"series_denoiser": p})


STAGES: dict[str, Callable[[ConfigDict, tuple[int, int]], Stage]] = {
    "encoder": encoder_stage,
    "latent": latent_stage,
    "data": data_stage,
}


# --- networks and schedules from the config -------------------------------------------


def make_encoder(config: ConfigDict) -> Encoder:
    """E."""
    c = config.encoder
    return Encoder(c.latent_dim, c.width, c.features, c.depth, dtype_of(config))


def make_decoder(config: ConfigDict, shape: tuple[int, int]) -> Decoder:
    """D, for series of `shape` (L, C)."""
    c = config.encoder
    return Decoder(
        *shape, c.decoder_patch, c.decoder_width, c.decoder_layers, dtype_of(config)
    )


def make_latent_denoiser(config: ConfigDict) -> LatentDenoiser:
    """r_phi."""
    c = config.latent_stage
    return LatentDenoiser(c.width, c.num_blocks, c.num_octaves, dtype_of(config))


def make_condition(config: ConfigDict, shape: tuple[int, int]) -> ConditionNetwork:
    """F, for series of `shape` (L, C)."""
    c = config.data_stage
    num_tokens = -(-shape[0] // c.patch)
    return ConditionNetwork(
        num_tokens,
        c.condition_width,
        c.condition_layers,
        dtype_of(config),
        c.get("condition_network", "cnn"),  # models of version 0.1.0 don't say
    )


def make_series_denoiser(config: ConfigDict) -> SeriesDenoiser:
    """x_theta."""
    c = config.data_stage
    return SeriesDenoiser(
        c.patch, c.width, c.num_blocks, c.mixing, c.condition, dtype_of(config)
    )


def dtype_of(config: ConfigDict) -> jnp.dtype:
    """Precision of the factors of products; all else is float32."""
    return jnp.dtype(config.training.compute_dtype)


def stage_schedule(c: ConfigDict) -> NoiseSchedule:
    """The noise schedule of a diffusion stage."""
    return make_schedule(
        c.schedule,
        num_steps=c.num_diffusion_steps,
        beta_first=c.beta_first,
        beta_last=c.beta_last,
        noise_scale=c.get("noise_scale", 1.0),  # models of version 0.1.0 have none
    )


# --- missing values -------------------------------------------------------------------


def fill_missing(x: Series) -> tuple[Series, Bool[Array, "L C"]]:
    """x with NaN filled in, and where x was known, which is where a loss may look.

    Filled by linear interpolation along time, at the ends by the nearest known value,
    in a channel without any by 0. What is known stays as it is, bit by bit.
    """
    steps, length = jnp.arange(x.shape[0])[:, None], x.shape[0]
    observed = ~jnp.isnan(x)
    known = jnp.where(observed, x, 0.0)
    before = jax.lax.cummax(jnp.where(observed, steps, -1), axis=0)
    after = jax.lax.cummin(jnp.where(observed, steps, length), axis=0, reverse=True)
    left = jnp.clip(jnp.where(before < 0, after, before), 0, length - 1)
    right = jnp.clip(jnp.where(after == length, before, after), 0, length - 1)
    x_left = jnp.take_along_axis(known, left, axis=0)
    x_right = jnp.take_along_axis(known, right, axis=0)
    share = (steps - left) / jnp.maximum(right - left, 1)
    between = x_left + jnp.clip(share, 0.0, 1.0) * (x_right - x_left)
    return jnp.where(observed, x, between), observed


def without_hidden(
    x: Series, hidden: Bool[Array, " L"]
) -> tuple[Series, Bool[Array, " L"]]:
    """What the encoder may see: x, and the steps with a value that aren't hidden.

    Where a channel of a step is missing it is interpolated between values that are
    seen, so that none comes from a hidden step.
    """
    seen, observed = fill_missing(jnp.where(hidden[:, None], jnp.nan, x))
    return seen, observed.any(axis=-1)


def interpolated(_: tuple[()], x: Series) -> Series:
    """Without missing values: for `parallel.map_all`, that has nothing to share."""
    return fill_missing(x)[0]


# --- latents --------------------------------------------------------------------------


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
        key = jax.random.key(0, impl="threefry2x32")  # whatever the user's default
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
    encode = encode_one(FrozenConfigDict(config))
    return parallel.map_all(encode, params, series, batch_size=ENCODE_BATCH)


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
    scale = np.asarray(as_matrix(latent["scale"]))
    inverse = np.linalg.pinv(scale, rcond=2 * LEAST_DEVIATION, hermitian=True)
    return (r - np.asarray(latent["mean"])[None]) @ inverse


def raw_latents(latent: Params, z: Latent) -> Latent:
    """r = mean + scale z: the inverse of `standardise`, for one z; what D decodes."""
    return latent["mean"] + as_matrix(latent["scale"]) @ z


def latent_moments(r: Float[np.ndarray, "N d"], *, whiten: bool) -> Params:
    """Mean [d] and scale [d, d] of the representations r of the training series.

    The scale is the root of their covariance, so that z has variance 1 in every
    direction. Nothing keeps E from spreading what it knows over correlated dimensions;
    divided by its own deviation each, they vary in some directions by less than the
    noise of most diffusion steps. Without `whiten` the scale is that, a diagonal.
    """
    covariance = np.atleast_2d(np.cov(r.astype(np.float64), rowvar=False, bias=True))
    if not whiten:
        covariance = np.diag(np.diag(covariance))
    variances, directions = np.linalg.eigh(covariance)
    # A direction without variance stays one, instead of growing to noise.
    variances = np.maximum(variances, LEAST_DEVIATION**2 * variances[-1])
    if variances[-1] < 1e-12:  # all series have the same r
        variances = np.ones_like(variances)
    scale = (directions * np.sqrt(variances)) @ directions.T
    mean = r.mean(axis=0, dtype=np.float64)  # in float32 it drifts with many series
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}


def as_matrix(scale: Array | np.ndarray) -> Array | np.ndarray:
    """[d, d], also of models of version 0.1.0, which keep one deviation a dimension."""
    return scale if scale.ndim == 2 else jnp.diag(scale)


def check_choice(value: str, choices, field: str) -> None:
    """Raises `InputError` naming the field and what it can be."""
    if value not in choices:
        raise InputError(f"{field}={value!r}: use one of {', '.join(choices)}")
