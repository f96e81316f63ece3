"""Electric Devices: 16,637 daily profiles of 7 kinds of device, 1 channel, 96 steps.

    python main.py --config=configs/electric_devices.py --workdir=runs/electric_devices

Expected: Context-FID .0039 (95 % interval .0024 to .0053; seed 0, five encoders) of all
series, real against real .0005 at half their number. Time: 27 min on two CPU cores with
AMX, one of them shared for a while, with --config.training.compute_dtype=bfloat16.

These are from before the noise levels in configs/base.py were halved; not run since.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "electric_devices"
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_000
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 96
    config.encoder.decoder_patch = 4
    base.sharp_latents(config)
    config.data_stage.patch = 6
    config.data_stage.batch_size = 64
    config.data_stage.num_steps = 15_000
    return base.with_argument(config, argument)
