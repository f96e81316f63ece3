"""Appliances energy, one house, every 10 minutes: 19,712 windows of 24, 28 channels.

    python main.py --config=configs/energy.py --workdir=runs/energy

Expected: Context-FID .0736 (95 % interval .0655 to .0817; seed 0, five encoders) of all
series, real against real .0066 at half their number; discriminative score .220 beside a
floor of .002: it is told from real. Time: 44 min on one of two CPU cores with AMX, with
--config.training.compute_dtype=bfloat16: encoder 1, latent 1, data 23, samples 3, all
scores 15.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "energy"
    config.data.window = 24
    base.short_series(config)
    base.sharp_latents(config)
    config.data_stage.num_steps = 25_000
    return base.with_argument(config, argument)
