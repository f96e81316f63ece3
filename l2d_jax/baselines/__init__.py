"""Methods of others, and two controls, on the same data and under the same scores.

A baseline fills the same `Variant` as the cascade does: stages to train, and a
generator. It is chosen as a variant is, by the argument of a config:
`--config=configs/stock.py:diffusion_ts`. Settings, those of the references, are in
`settings.py`. TimeGAN and FourierFlow have no lower precision on any device.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from l2d_jax.baselines import (
    controls,
    diffusion_ts,
    fourier_diffusion,
    fourier_flow,
    time_gan,
)
from l2d_jax.stages import Stage, Variant, no_prior, value_range

BASELINES: dict[str, Variant] = {
    "diffusion_ts": Variant(
        ("diffusion_ts",),
        no_prior,
        diffusion_ts.decode,
        value_range,
        chain="diffusion_ts",
        settings=("solver", "num_steps", "eta"),
        fast={"solver": "ddim", "eta": 0.0},
    ),
    "fourier_diffusion": Variant(
        ("fourier_diffusion",),
        no_prior,
        fourier_diffusion.decode,
        fourier_diffusion.extras,
        chain="fourier_diffusion",
        settings=("num_steps",),
    ),
    "fourier_flow": Variant(
        ("fourier_flow",),
        no_prior,
        fourier_flow.decode,
        fourier_diffusion.extras,
    ),
    "time_gan": Variant(
        ("time_gan_embedding", "time_gan_supervised", "time_gan_joint"),
        no_prior,
        time_gan.decode,
        value_range,
    ),
    "bootstrap": Variant(
        (), no_prior, controls.bootstrap_decode, controls.training_series
    ),
    "gaussian": Variant((), no_prior, controls.gaussian_decode, controls.moments),
}

STAGES: dict[str, Callable[[ConfigDict, tuple[int, int]], Stage]] = {
    "diffusion_ts": diffusion_ts.stage,
    "fourier_diffusion": fourier_diffusion.stage,
    "fourier_flow": fourier_flow.stage,
    "time_gan_embedding": time_gan.embedding_stage,
    "time_gan_supervised": time_gan.supervised_stage,
    "time_gan_joint": time_gan.joint_stage,
}
