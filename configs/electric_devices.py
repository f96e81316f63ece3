"""Electric Devices: 16,637 daily profiles of 7 kinds of device, 1 channel, 96 steps.

    python main.py --config=configs/electric_devices.py --workdir=runs/electric_devices

Expected: Context-FID .0007 (95 % interval .0006 to .0009; seed 0, five encoders) of all
series, .0009 at half their number, where real against real has .0005; random
convolutions .135 beside .005; a classifier trained on samples is right for .75 of real
series, one trained on real series for .84. Time: 9 min of training on one of two cores
of an AMD EPYC (Zen 5), with --config.training.compute_dtype=bfloat16; 8 for samples and
what their values are matched by, 20 for scores.

60 % of its steps repeat the previous value, and so does the same share of the steps of
samples (config.sampling.repeats_from).

It is sampled with 100 ancestral steps: 20 of DPM-Solver++, as for other sets, score
worse.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "electric_devices"
    base.long_series(config)
    config.encoder.depth = 5  # a receptive field of 253 steps: enough for 96
    base.sharp_latents(config)
    config.data_stage.patch = 6
    config.data_stage.num_steps = 15_000
    config.sampling.solver = "ancestral"
    return base.with_argument(config, argument)
