"""Japanese Vowels: 640 utterances of 9 speakers, 12 channels, 7 to 29 steps.

    python main.py --config=configs/japanese_vowels.py --workdir=runs/japanese_vowels

Expected: Context-FID .0713 (95 % interval .0701 to .0725; seed 0, five encoders); at
half the number of series .144, where real against real has .158: as real, by this and
every other score that was computed. Time: 10 min on one of two CPU cores with AMX,
which other programs shared, with --config.training.compute_dtype=bfloat16; half of it
went into some of the scores.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "japanese_vowels"
    config.encoder.num_steps = 1_500
    config.encoder.batch_size = 64
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 29
    # 640 latents: more steps or units learn them by heart, and samples lie at them.
    config.latent_stage.prediction = "x_0"
    config.latent_stage.num_steps = 1_500
    config.latent_stage.width = 64
    config.latent_stage.weight_decay = 0.1
    config.data_stage.num_steps = 2_500
    return base.with_argument(config, argument)
