"""Appliances energy, one house, every 10 minutes: 19,712 windows of 24, 28 channels.

    python main.py --config=configs/energy.py --workdir=runs/energy

Expected: Context-FID .1123 of 2,000 series (seed 0; two encoders: .1092, .1153), at
half of these .1530, where real against real has .0800; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 24 min on two CPU cores that two such runs and tests shared.
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
