"""Character Trajectories: 2,858 handwritten letters of 20 kinds, 3 channels, 60 to 182
steps.

    python main.py --config=configs/character_trajectories.py --workdir=runs/letters

Expected: Context-FID .0462 of 2,000 series (seed 0; two encoders: .0484, .0439), at
half of these .0585, where real against real has .0343; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 35 min on two CPU cores that two such runs and tests shared.

These are from before the noise levels in configs/base.py were halved and latents
whitened. Since then only with 10 minutes of training on one core, nine tenths of these
data steps and a quarter of the encoder's: .0203 of all series, five encoders, .0306 at
half of these, where real against real has .0211 (benchmarks/results/paper).
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "character_trajectories"
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_000
    config.encoder.depth = 6  # a receptive field of 509 steps: enough for 182
    config.encoder.decoder_patch = 4
    config.latent_stage.num_steps = 4_000
    config.data_stage.patch = 8
    config.data_stage.batch_size = 64
    config.data_stage.num_steps = 3_000
    return base.with_argument(config, argument)
