"""Sines: 10,000 generated series of 24 steps, 5 channels (as in TimeGAN).

    python main.py --config=configs/sines.py --workdir=runs/sines

Expected: Context-FID .0204 of 2,000 series (seed 0; two encoders: .0190, .0218), at
half of these .0411, where real against real has .0471; with
--config.evaluation.num_series=2000, .num_repeats=2 and
--config.training.compute_dtype=bfloat16. Not measured: all series, five encoders.
Time: 5 min on one of two cores of an AMD EPYC (Zen 5), with all scores.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "sines"
    base.short_series(config)
    config.data_stage.prediction = "v"
    return base.with_argument(config, argument)
