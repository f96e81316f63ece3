"""Networks and noise schedules as a config has them."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from l2d_jax.models import (
    ConditionNetwork,
    Decoder,
    Encoder,
    LatentDenoiser,
    SeriesDenoiser,
)
from l2d_jax.schedules import NoiseSchedule, make_schedule


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
        c.condition_network,
    )


def make_series_denoiser(config: ConfigDict) -> SeriesDenoiser:
    """x_theta."""
    c = config.data_stage
    return SeriesDenoiser(
        c.patch, c.width, c.num_blocks, c.mixing, c.condition, dtype_of(config)
    )


def dtype_of(config: ConfigDict) -> jnp.dtype:
    """Precision of the factors of products; all else is float32.

    float32 products are as the device makes them: TF32 on newer GPUs, bfloat16 on TPUs.
    """
    return jnp.dtype(config.training.compute_dtype)


def stage_schedule(c: ConfigDict) -> NoiseSchedule:
    """The noise schedule of a diffusion stage."""
    return make_schedule(
        c.schedule,
        num_steps=c.num_diffusion_steps,
        beta_first=c.beta_first,
        beta_last=c.beta_last,
        noise_scale=c.noise_scale,
    )
