"""Eight labelled modes of unequal weights: 4,000 generated series of 24 steps.

One channel. Modes that a model drops can be counted (l2d_jax.data.public.synthetic).

    python main.py --config=configs/mixture.py --workdir=runs/mixture

Expected: Context-FID .0095 of 2,000 series (seed 0; two encoders: .0100, .0090), at
half of these .0130, where real against real has .0030; with
--config.evaluation.num_series=2000 and .num_repeats=2. All series with five encoders:
not measured. Time: 29 min on two CPU cores that other work shared.

These are from before the noise levels in configs/base.py were halved; not run since.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "mixture"
    base.short_series(config)
    config.data_stage.num_steps = 4_000
    return base.with_argument(config, argument)
