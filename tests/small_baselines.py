"""Configs of baselines that train for seconds."""

from l2d_jax.baselines import settings
from l2d_jax.configs import base

SHAPE = (8, 2)


def tiny(method):
    """The smoke form, smaller still."""
    config = base.with_argument(base.get_config(), f"smoke,{method}")
    for name in settings.DEFAULTS:
        config[name].update(num_steps=4, batch_size=24)
    config.time_gan_embedding.num_layers = 1
    config.diffusion_ts.width = 8
    config.training.steps_per_call = config.training.checkpoint_every = 2
    config.sampling.batch_size = 16
    return config
