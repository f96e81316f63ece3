"""ECG5000: 5,000 heart beats of 5 classes, 1 channel, 140 steps.

    python main.py --config=configs/ecg5000.py --workdir=runs/ecg5000

Expected: Context-FID .0012 (95 % interval .0003 to .0020; seed 0, five encoders) of all
series, .0021 at half their number, where real against real has .0017; a permutation
test finds no difference. Time: 4 min of training on one of two cores of an AMD EPYC
(Zen 5), with --config.training.compute_dtype=bfloat16; scores take longer.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "ecg5000"
    base.long_series(config)
    config.data_stage.patch = 7
    config.data_stage.learning_rate = 4e-3  # as good as four times the steps
    config.data_stage.num_steps = 3_000
    return base.with_argument(config, argument)
