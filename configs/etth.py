"""Transformer temperature (ETTh1), hourly: 17,397 windows of 24, 7 channels.

    python main.py --config=configs/etth.py --workdir=runs/etth

Expected: Context-FID .0275 of 2,000 series (seed 0; two encoders: .0257, .0293), at
half of these .0610, where real against real has .0708; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 15 min on two CPU cores that two such runs and tests shared.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "etth"
    config.data.window = 24
    base.short_series(config)
    return base.with_argument(config, argument)
