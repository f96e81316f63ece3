"""Face All: 2,250 outlines of heads of 14 persons, 1 channel, 131 steps.

    python main.py --config=configs/face_all.py --workdir=runs/face_all

Expected: Context-FID .0872 of 2,000 series (seed 0; two encoders: .0951, .0792), at
half of these .0985, where real against real has .0212; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 49 min on two CPU cores that other work shared.
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
    config.data_stage.condition_noise = 0.2
    config.data_stage.batch_size = 64
    config.data_stage.num_steps = 6_000
    return base.with_argument(config, argument)
