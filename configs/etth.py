"""Transformer temperature (ETTh1), hourly: 17,397 windows of 24, 7 channels.

    python main.py --config=configs/etth.py --workdir=runs/etth

Expected: Context-FID .0048 (95 % interval .0043 to .0052; seed 0, five encoders) of all
series, .0064 at half their number, where real against real has .0049; a permutation
test finds no difference; discriminative score at that size .003 beside .009, predictive
score .122 beside .124. Time: 30 min on one of two CPU cores with AMX, which other
programs shared, with --config.training.compute_dtype=bfloat16: encoder 1, latent 1.5,
data 21.

Noise on the latent r in training was chosen by the random-convolution FID to the series
trained on.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "etth"
    config.data.window = 24
    base.short_series(config)
    base.sharp_latents(config)
    config.data_stage.condition_noise = 0.2
    config.data_stage.num_steps = 20_000
    return base.with_argument(config, argument)
