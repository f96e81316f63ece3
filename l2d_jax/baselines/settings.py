"""Settings of the baselines, those of the references, and where a data set has its own.

Fields mean what they mean in configs/base.py.
"""

from typing import Any

from ml_collections import ConfigDict

Settings = dict[str, Any]


def training(
    *,
    num_steps: int,
    batch_size: int,
    learning_rate: float = 1e-3,
    warmup_steps: int = 0,
    decay: str = "constant",
    beta_2: float = 0.999,
    weight_decay: float = 0.0,
    clip_norm: float = 1e9,
    ema_decay: float = 0.0,
    **more: float | int,
) -> Settings:
    """Fields of a stage. By default Adam as it is, and weights that aren't averaged."""
    return {
        "num_steps": num_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "decay": decay,  # constant, cosine, exponential or plateau, after warm-up
        "beta_2": beta_2,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,  # 1e9: none
        "ema_decay": ema_decay,  # 0: the last weights are kept
        **more,
    }


DEFAULTS: dict[str, Settings] = {
    "diffusion_ts": {
        "encoder_layers": 3,
        "decoder_layers": 2,
        "width": 64,  # features of a step: a multiple of twice the heads
        "num_heads": 4,
        "expansion": 4,  # hidden units of an MLP, in widths
        "kernel_size": 0,  # of the season's last layer; 0: by length and channels
        "num_diffusion_steps": 500,  # K
        **training(
            num_steps=15_000,
            batch_size=128,
            learning_rate=8e-4,
            warmup_steps=500,
            decay="plateau",
            beta_2=0.96,
            clip_norm=1.0,
            ema_decay=0.9995,  # a step; .995 every ten steps
            patience=4_000,  # steps without a tenth less loss, after which
            factor=0.5,  # the learning rate is multiplied by this,
            least_rate=1e-5,  # down to this
        ),
    },
    "fourier_diffusion": {
        "width": 72,  # features of a coefficient: a multiple of the heads
        "num_layers": 10,
        "num_heads": 12,
        "hidden": 2_048,  # units of an MLP
        "dropout": 0.1,
        "num_diffusion_steps": 1_000,  # of Euler-Maruyama; training knows no steps
        **training(
            num_steps=20_000,
            batch_size=64,
            warmup_steps=2_000,
            decay="cosine",
            weight_decay=0.01,
            clip_norm=1.0,
        ),
    },
    "fourier_flow": {
        "num_flows": 5,
        "hidden": 200,
        **training(
            num_steps=1_500, batch_size=512, decay="exponential", decay_rate=0.999
        ),
    },
    "time_gan_embedding": {
        "num_layers": 3,  # of GRU; the supervisor has one less
        "width": 24,
        **training(num_steps=50_000, batch_size=128),
    },
    "time_gan_supervised": training(num_steps=50_000, batch_size=128),
    "time_gan_joint": training(num_steps=50_000, batch_size=3 * 128),
}

# FourierDiffusion: 200 epochs, a tenth of them warm-up. Energy's TimeGAN and all of the
# sets that aren't named have the defaults, of which those of Diffusion-TS and
# FourierDiffusion lie between what the references have for single sets.
FOR_SETS: dict[str, dict[str, Settings]] = {
    "stock": {
        "diffusion_ts": {
            "encoder_layers": 2,
            "num_steps": 10_000,
            "patience": 2_000,
        },
        "fourier_diffusion": {"num_steps": 11_600, "warmup_steps": 1_160},
        "fourier_flow": {"num_flows": 3, "num_steps": 1_000},
    },
    "etth": {
        "diffusion_ts": {"num_steps": 18_000, "batch_size": 256},
        "fourier_diffusion": {"num_steps": 54_400, "warmup_steps": 5_440},
    },
    "energy": {
        "diffusion_ts": {
            "encoder_layers": 4,
            "decoder_layers": 3,
            "width": 96,
            "num_diffusion_steps": 1_000,
            "num_steps": 25_000,
            "patience": 5_000,
        },
        "fourier_diffusion": {"num_steps": 61_600, "warmup_steps": 6_160},
    },
    "sines": {
        "diffusion_ts": {
            "encoder_layers": 1,
            "num_steps": 12_000,
            "batch_size": 256,
            "patience": 3_000,
        },
    },
}

SMOKE: dict[str, Settings] = {
    "diffusion_ts": {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "width": 16,
        "num_diffusion_steps": 10,
    },
    "fourier_diffusion": {
        "width": 24,
        "num_layers": 1,
        "hidden": 32,
        "num_diffusion_steps": 10,
    },
    "fourier_flow": {"num_flows": 2, "hidden": 16},
    "time_gan_embedding": {"num_layers": 2, "width": 8},
}


def add_sections(config: ConfigDict) -> None:
    """A section for each, `config.diffusion_ts` and so on."""
    for name, settings in DEFAULTS.items():
        config[name] = ConfigDict(settings)


def for_set(config: ConfigDict) -> None:
    """The settings for `config.data.name`, where the references have any."""
    for section, settings in FOR_SETS.get(config.data.name, {}).items():
        config[section].update(settings)


def smoke(config: ConfigDict) -> None:
    """Sizes for seconds."""
    for name in DEFAULTS:
        batch_size = 48 if name == "time_gan_joint" else 16
        config[name].update(num_steps=20, batch_size=batch_size, **SMOKE.get(name, {}))
