"""Spoken Arabic Digits: 8,800 utterances of 10 digits, 13 channels, 4 to 93 steps.

    python main.py --config=configs/spoken_arabic_digits.py --workdir=runs/digits

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "spoken_arabic_digits"
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_000
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 93
    config.encoder.decoder_patch = 4
    config.latent_stage.num_steps = 4_000
    config.data_stage.patch = 5
    config.data_stage.batch_size = 64
    config.data_stage.num_steps = 3_000
    return base.with_argument(config, argument)
