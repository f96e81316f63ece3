"""The three stages of training, each a value: config -> Stage.

A stage is a name and four pure functions (TimeGAN's has two more). What it needs from
the stages before it, `upstream`, goes only into `prepare`, so that no gradient can
reach it; `loss` sees its own parameters and one example, and is batched by `vmap`
outside.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import diffusion
from l2d_jax.chunks import slices
from l2d_jax.latents import encode_all, latent_moments, standard_latents
from l2d_jax.missing import fill_missing, without_hidden
from l2d_jax.networks import (
    make_condition,
    make_decoder,
    make_encoder,
    make_latent_denoiser,
    make_series_denoiser,
    stage_schedule,
)
from l2d_jax.types import (
    Example,
    Latent,
    Metrics,
    Params,
    RandomKey,
    Rows,
    Scalar,
    Series,
)


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
    num_batches: int = 1  # that lie side by side in what a device gets


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
    chain: str = ""  # section with the steps of the chain that draws the series
    settings: tuple[str, ...] = ()  # of `sample`, that mean something here
    fast: Mapping[str, Any] = {}  # others of them, with fewer steps than trained with


def no_extras(config: ConfigDict, params: Params, series: Rows) -> Params:
    """For generators of trained weights alone."""
    del config, params, series
    return {}


def value_range(config: ConfigDict, params: Params, series: Rows) -> Params:
    """Lowest and highest value of each channel [C] in model space, NaN left out."""
    del config, params
    low, high = np.full(series.shape[2], np.inf), np.full(series.shape[2], -np.inf)
    for rows in slices(series.shape):
        piece = series[rows]
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

    def loss(params, key, r_0):
        return diffusion.diffusion_loss(
            lambda r_t, t: denoiser.apply(params, r_t, t),
            schedule,
            key,
            r_0,
            prediction=c.prediction,
            weighting=c.weighting,
        )

    prepare = partial(standard_latents, config)
    return Stage("latent", init, prepare, loss, lambda p, _: {"latent_denoiser": p})


# --- stage 3: data diffusion ----------------------------------------------------------


def is_given_latent(config: ConfigDict | FrozenConfigDict) -> bool:
    """Whether the variant's data stage is conditioned on r."""
    return config.variant != "data_only"


def data_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """F and x_theta: diffusion of the series, given r (or alone, for `data_only`)."""
    c, dim = config.data_stage, config.encoder.latent_dim
    denoiser, network = make_series_denoiser(config), make_condition(config, shape)
    schedule, conditional = stage_schedule(c), is_given_latent(config)

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
