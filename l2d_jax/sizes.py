"""What a config leaves open (0 or "auto"), chosen for the series of a data set."""

import bisect
import math
from functools import lru_cache

import jax
from ml_collections import ConfigDict

from l2d_jax.configs import base, trained_sections
from l2d_jax.stages import STAGES
from l2d_jax.types import tree_size
from l2d_jax.variants import METHODS

# Times through the series and steps of the diffusion stages, where these are chosen.
EPOCHS = {"latent_stage": 150, "data_stage": 100}
MIN_STEPS = {"latent_stage": 500, "data_stage": 1_000}
MAX_EPOCHS = 500  # at most, and through windows that overlap
SIZES = {
    "encoder.depth": "residual blocks of the encoder",
    "encoder.decoder_patch": "steps of a patch of the decoder",
    "data_stage.patch": "steps of a patch of the denoiser",
}


def with_sizes(
    config: ConfigDict, shape: tuple[int, int]
) -> tuple[ConfigDict, list[str]]:
    """The config with sizes of 0 chosen for series of `shape`, and what they are.

    Patches: at least 4 steps, and few enough that a series makes up to 24 tokens. Those
    of the decoder: half as long. Depth: the fewest blocks, at least 5, with which
    TS2Vec's output at any step sees the whole series.

    What the denoiser predicts, where it is "auto": v, which gives finer detail, if its
    tokens are twice as wide as the noise that v takes through them; else x_0
    (benchmarks/results/ablations.md).
    """
    config, (length, channels) = config.copy_and_resolve_references(), shape
    patch = max(4, math.ceil(length / 24))
    depth = max(5, math.ceil(math.log2((length + 1) / 2)) - 1)
    chosen = {
        "encoder.depth": depth,
        "encoder.decoder_patch": patch // 2,
        "data_stage.patch": patch,
    }
    notes = []
    for field, size in chosen.items():
        section, name = field.split(".")
        if not config[section][name]:
            config[section][name] = size
            notes.append(f"{SIZES[field]} {size}: --config.{field}")
    c = config.data_stage
    if c.prediction == "auto":
        c.prediction = "v" if 2 * c.patch * channels <= c.width else "x_0"
        notes.append(
            f"the denoiser predicts {c.prediction}: --config.data_stage.prediction"
        )
    return config, notes


def with_steps(
    config: ConfigDict, num_series: int, *, overlapping: bool
) -> tuple[ConfigDict, list[str]]:
    """The config with training steps of 0 chosen for so many series, and what they are.

    Of the two diffusion stages: so many that they go `EPOCHS` times through the series,
    at least `MIN_STEPS`, but not more than some `MAX_EPOCHS` times, nor more steps than
    in configs/base.py. Series that are gone through more often are learned by heart
    (docs/own_data.md); `overlapping` windows of a recording, which show each step at
    many places, always are gone through `MAX_EPOCHS` times. Above one call of the
    training program they are whole calls: a shorter last one would be another program
    to compile.
    """
    per_call = config.training.steps_per_call
    config, known, notes = config.copy_and_resolve_references(), base.get_config(), []
    for section in ("latent_stage", "data_stage"):
        c, name = config[section], section.replace("_", " ")
        if c.num_steps or section not in trained_sections(config):
            continue
        per_epoch = num_series / c.batch_size
        steps = MAX_EPOCHS * per_epoch
        if not overlapping:
            steps = min(steps, max(EPOCHS[section] * per_epoch, MIN_STEPS[section]))
        if steps > per_call:
            steps = math.floor(steps / per_call + 0.5) * per_call
        c.num_steps = min(known[section].num_steps, math.ceil(steps))
        times = c.num_steps * c.batch_size / num_series
        notes.append(
            f"training steps of the {name} {c.num_steps:,} ({times:.0f} times through "
            f"the series): --config.{section}.num_steps"
        )
    return config, notes


def num_parameters(config: ConfigDict, shape: tuple[int, int]) -> int:
    """That a variant of the cascade trains, for series of `shape` (L, C)."""
    key = jax.random.key(0)
    return sum(
        tree_size(jax.eval_shape(STAGES[name](config, shape).init, key))
        for name in METHODS[config.variant].stages
    )


def with_equal_size(
    config: ConfigDict, shape: tuple[int, int]
) -> tuple[ConfigDict, list[str]]:
    """`data_only` as large as the whole cascade would be, by the width of its denoiser.

    The width, a multiple of 4, whose number of parameters is nearest. The cascade has 8
    latent dimensions where these are to be chosen.
    """
    config = config.copy_and_resolve_references()
    if not config.equal_size:
        return config, []
    whole = config.copy_and_resolve_references()
    whole.variant = "full"
    whole.encoder.latent_dim = whole.encoder.latent_dim or 8
    wanted = num_parameters(whole, shape)

    @lru_cache
    def count(width: int) -> int:
        config.data_stage.width = width
        return num_parameters(config, shape)

    high = 4 * math.ceil(config.data_stage.width / 4)
    while count(high) < wanted:
        high *= 2
    widths = range(4, high + 4, 4)
    first = bisect.bisect_left(widths, wanted, key=count)
    width = min(
        widths[max(first - 1, 0) : first + 1],
        key=lambda width: abs(count(width) - wanted),
    )
    config.data_stage.width = width
    note = (
        f"width {width}: {count(width):,} parameters, where the cascade has {wanted:,}"
    )
    return config, [f"{note}: --config.equal_size"]
