"""Electric Devices: 16,637 daily profiles of 7 kinds of device, 1 channel, 96 steps.

    python main.py --config=configs/electric_devices.py --workdir=runs/electric_devices

Expected: Context-FID .0124 of 2,000 series (seed 0; two encoders: .0133, .0114), at
half of these .0155, where real against real has .0043; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 21 min on two CPU cores that other work shared.
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
