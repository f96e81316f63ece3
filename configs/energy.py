"""Appliances energy, one house, every 10 minutes: 19,712 windows of 24, 28 channels.

    python main.py --config=configs/energy.py --workdir=runs/energy

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "energy"
    config.data.window = 24
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_500
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 24
    config.latent_stage.num_steps = 4_000
    config.data_stage.num_steps = 6_000
    return base.with_argument(config, argument)
