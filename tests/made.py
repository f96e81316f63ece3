"""Series, points and configs that several tests make."""

import numpy as np

from l2d_jax.configs import base
from l2d_jax.types import Examples, Splits


def gaussians(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def column(*values):
    return np.array(values)[:, None]


def autoregressive(seed, num_series, num_steps):
    """Stationary AR(1) series of coefficient .95; `seed` may be a generator."""
    x = gaussians(seed, num_series, num_steps)
    x[:, 0] /= np.sqrt(1 - 0.95**2)
    for t in range(1, num_steps):
        x[:, t] += 0.95 * x[:, t - 1]
    return x


def waves(n=30, length=8, seed=0):
    """Two channels, in units far from 1."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)[None] + rng.uniform(0, 6, (n, 1))
    return np.stack([300 + 20 * np.sin(t), 1e-3 * np.cos(t)], -1).astype(np.float32)


def equal_length(series) -> Examples:
    """Examples that all fill their array."""
    series = np.asarray(series, dtype=np.float32)
    return Examples(series, np.full(len(series), series.shape[1]))


def tiny_splits(_=None):
    """Forty waves, whatever set is asked for."""
    t = np.arange(8)[None] + np.random.default_rng(0).uniform(0, 6, (40, 1))
    series = np.stack([np.sin(t), np.cos(t)], -1).astype(np.float32)
    return Splits(Examples(series, np.full(40, 8)), None, ("a", "b"))


def tiny(*arguments):
    """Of a run that takes seconds, of a variant and what else `base` takes."""
    config = base.with_argument(base.get_config(), ",".join(("smoke", *arguments)))
    for stage in (config.encoder, config.latent_stage, config.data_stage):
        stage.num_steps, stage.batch_size = 10, 8
    config.training.steps_per_call = config.training.checkpoint_every = 5
    config.data_stage.num_diffusion_steps = config.latent_stage.num_diffusion_steps = 10
    config.sampling.update(latent_num_steps=0, batch_size=16)
    return config
