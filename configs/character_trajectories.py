"""Character Trajectories: 2,858 handwritten letters of 20 kinds, 3 channels, 60 to 182
steps.

    python main.py --config=configs/character_trajectories.py --workdir=runs/letters

Expected: Context-FID .0154 (95 % interval .0140 to .0168; seed 0, five encoders) of all
series, .0273 at half their number, where real against real has .0211; a permutation
test finds no difference, narrowly (96 of 100 splits are below it); discriminative score
at that size .022 beside .015; a classifier trained on samples is right for .965 of real
series, one trained on real series for .989. Time: 5 min of training on one of two cores
of an AMD EPYC (Zen 5), with --config.training.compute_dtype=bfloat16; scores 20 min.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "character_trajectories"
    base.long_series(config)
    config.latent_stage.num_steps = 2_000
    config.data_stage.patch = 8
    config.data_stage.learning_rate = 4e-3  # with it, more latent steps copy
    config.data_stage.num_steps = 3_000
    return base.with_argument(config, argument)
