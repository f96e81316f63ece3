"""Spoken Arabic Digits: 8,800 utterances of 10 digits, 13 channels, 4 to 93 steps.

    python main.py --config=configs/spoken_arabic_digits.py --workdir=runs/digits

Expected: Context-FID .0828 of 2,000 series (seed 0; two encoders: .0761, .0894), at
half of these .131, where real against real has .0861; with
--config.evaluation.num_series=2000, .num_repeats=2 and
--config.training.compute_dtype=bfloat16. Not measured: all series, five encoders. Time:
16 min on one of two CPU cores with AMX, which other programs shared.

It is sampled with 100 ancestral steps: 20 of DPM-Solver++, as for other sets, score
worse, and 5 far worse.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "spoken_arabic_digits"
    base.long_series(config)
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 93
    config.data_stage.patch = 5
    config.data_stage.condition_noise = 0.2
    config.data_stage.num_steps = 8_000
    config.sampling.solver = "ancestral"
    return base.with_argument(config, argument)
