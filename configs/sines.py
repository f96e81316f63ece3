"""Sines: 10,000 generated series of 24 steps, 5 channels (as in TimeGAN).

    python main.py --config=configs/sines.py --workdir=runs/sines

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "sines"
    base.short_series(config)
    return base.with_argument(config, argument)
