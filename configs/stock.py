"""Google stock, 2004 to 2019: 3,662 windows of 24 days, 6 channels.

    python main.py --config=configs/stock.py --workdir=runs/stock

Expected: to be measured. Time: to be measured.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "stock"
    config.latent_stage.prediction = "v"
    return base.with_argument(config, argument)
