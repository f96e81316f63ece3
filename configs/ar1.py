"""A stationary Gaussian AR(1) process: 5,000 generated series of 24 steps, 2 channels.

Its mean and covariance are known (l2d_jax.data.public.synthetic).

    python main.py --config=configs/ar1.py --workdir=runs/ar1

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "ar1"
    base.short_series(config)
    config.data_stage.num_steps = 4_000
    return base.with_argument(config, argument)
