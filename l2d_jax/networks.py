"""Networks and noise schedules as a config has them: one in which nothing is open.

That is what `configs.resolve` and then `task.prepare` make of it.
"""

import jax.numpy as jnp
from ml_collections import ConfigDict

from l2d_jax.models import (
    ConditionNetwork,
    Decoder,
    Encoder,
    LatentDenoiser,
    SeriesDenoiser,
    num_tokens,
)
from l2d_jax.schedules import NoiseSchedule, make_schedule
from l2d_jax.types import InputError


def make_encoder(config: ConfigDict) -> Encoder:
    """E."""
    check_chosen(config, "encoder.latent_dim", "encoder.depth")
    c = config.encoder
    return Encoder(c.latent_dim, c.width, c.features, c.depth, dtype_of(config))


def make_decoder(config: ConfigDict, shape: tuple[int, int]) -> Decoder:
    """D, for series of `shape` (L, C)."""
    check_chosen(config, "encoder.decoder_patch")
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
    check_chosen(config, "data_stage.patch")
    c = config.data_stage
    return ConditionNetwork(
        num_tokens(shape[0], c.patch),
        c.condition_width,
        c.condition_layers,
        dtype_of(config),
        c.condition_network,
    )


def make_series_denoiser(config: ConfigDict) -> SeriesDenoiser:
    """x_theta."""
    check_chosen(config, "data_stage.patch")
    c = config.data_stage
    return SeriesDenoiser(
        c.patch, c.width, c.num_blocks, c.mixing, c.condition, dtype_of(config)
    )


def dtype_of(config: ConfigDict) -> jnp.dtype:
    """Precision of the factors of products; all else is float32.

    float32 products are as the device makes them: TF32 on newer GPUs, bfloat16 on TPUs.
    """
    check_chosen(config, "training.compute_dtype")
    return jnp.dtype(config.training.compute_dtype)


def check_chosen(config: ConfigDict, *fields: str) -> None:
    """Raises `InputError` for the first of these fields that is left open."""
    for field in fields:
        section, name = field.split(".")
        value = config[section][name]
        if value in (0, "auto"):
            raise InputError(
                f"{field}={value!r} is still open: config = "
                "l2d_jax.configs.resolve(config), and then, by the series, config = "
                "l2d_jax.task.prepare(config, splits).config"
            )


def stage_schedule(c: ConfigDict) -> NoiseSchedule:
    """The noise schedule of a diffusion stage."""
    return make_schedule(
        c.schedule,
        num_steps=c.num_diffusion_steps,
        beta_first=c.beta_first,
        beta_last=c.beta_last,
        noise_scale=c.noise_scale,
    )
