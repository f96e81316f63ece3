"""Face All: 2,250 outlines of heads of 14 persons, 1 channel, 131 steps.

    python main.py --config=configs/face_all.py --workdir=runs/face_all

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "face_all"
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_000
    config.encoder.depth = 6  # a receptive field of 509 steps: enough for 131
    config.encoder.decoder_patch = 4
    config.latent_stage.num_steps = 4_000
    config.data_stage.patch = 6
    config.data_stage.batch_size = 64
    config.data_stage.num_steps = 3_000
    return base.with_argument(config, argument)
