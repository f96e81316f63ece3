"""Japanese Vowels: 640 utterances of 9 speakers, 12 channels, 7 to 29 steps.

    python main.py --config=configs/japanese_vowels.py --workdir=runs/japanese_vowels

Expected: Context-FID .0926 (95 % interval .0882 to .0970; seed 0, five encoders); at
half the number of series .174, where real against real has .158: as real. Time: 11 min
on one CPU core: encoder 70 s, latent 8 s, data 220 s, all scores 6 min.
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
    config.latent_stage.num_steps = 1_500
    config.latent_stage.width = 64
    config.latent_stage.weight_decay = 0.1
    config.data_stage.num_steps = 2_500
    return base.with_argument(config, argument)
