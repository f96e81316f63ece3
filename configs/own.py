"""Your own csv: one recording, a header line, a numeric column per channel.

    python main.py --config=configs/own.py --config.data.path=mine.csv --workdir=W

Expected: depends on the data; compare with the floor that the report shows beside each
score. Time: on two CPU cores about that of configs/stock.py for windows of 24 steps; it
grows with the window (--config.data.window) and hardly with the number of rows.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "csv"
    return base.with_argument(config, argument)
