"""Sines: 10,000 generated series of 24 steps, 5 channels (as in TimeGAN).

    python main.py --config=configs/sines.py --workdir=runs/sines

Expected: Context-FID .0318 of 2,000 series (seed 0; two encoders: .0284, .0352), at
half of these .0476, where real against real has .0471; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 24 min on two CPU cores that other work shared.

These are from before the noise levels in configs/base.py were halved and latents
whitened; not run since.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "sines"
    base.short_series(config)
    return base.with_argument(config, argument)
