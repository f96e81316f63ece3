"""Eight labelled modes of unequal weights: 4,000 generated series of 24 steps.

One channel. Modes that a model drops can be counted (l2d_jax.data.public.synthetic).

    python main.py --config=configs/mixture.py --workdir=runs/mixture

Expected: not measured yet. Time: not measured yet.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "mixture"
    base.short_series(config)
    config.data_stage.num_steps = 4_000
    return base.with_argument(config, argument)
