"""Mean daily flow of the Saugeen River: 23,718 windows of 24 days, 1 channel.

    python main.py --config=configs/riverflow.py --workdir=runs/riverflow

Expected: Context-FID .0007 of 2,000 series (seed 0; two encoders: .0006, .0009), at
half of these .0041, where real against real has .0083; with
--config.evaluation.num_series=2000, .num_repeats=2 and
--config.training.compute_dtype=bfloat16. Not measured: all series, five encoders.
Time: 5 min on one of two cores of an AMD EPYC (Zen 5), with all scores.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "riverflow"
    config.data.window = 24
    base.short_series(config)
    return base.with_argument(config, argument)
