"""Finds, reads and checks configs, in a checkout and in an installed package alike."""

import importlib.util
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from l2d_jax import baselines, parallel
from l2d_jax.data.normalizer import SCALERS
from l2d_jax.data.protocols import PROTOCOLS
from l2d_jax.diffusion import PREDICTIONS, WEIGHTINGS
from l2d_jax.errors import check_choice, did_you_mean
from l2d_jax.layers import NUM_HEADS
from l2d_jax.metrics import ALL, GROUPS, METRICS
from l2d_jax.metrics.sets import MIN_SAMPLES
from l2d_jax.models import CONDITION_NETWORKS, CONDITIONS, MIXERS
from l2d_jax.networks import stage_schedule
from l2d_jax.schedules import SCHEDULES
from l2d_jax.stages import is_given_latent
from l2d_jax.train import DECAY_FIELDS
from l2d_jax.types import InputError
from l2d_jax.variants import METHODS, check_eta, check_sampling, choose_solver

MAX_GROWTH = 100.0  # of K = 100 and betas up to 0.1: 13
SECTIONS = {
    "encoder": "encoder",
    "latent": "latent_stage",
    "data": "data_stage",
    **{stage: stage for stage in baselines.STAGES},
}
OF_FILES = tuple(
    f"data.{name}" for name in ("path", "id_column", "time_column", "label_column")
)
CHECKOUT = Path(__file__).resolve().parent.parent / "configs"
BUNDLED = Path(__file__).resolve().parent / "bundled_configs"


def folder() -> Path:
    """The configs folder: inside the package, or beside it in a checkout."""
    return BUNDLED if BUNDLED.is_dir() else CHECKOUT


def parted(name: str) -> list[str]:
    """FILE[:argument] in its parts; a colon before the .py, as in C:, ends no file."""
    if re.search(r"\.py(:|$)", name):
        return re.split(r"(?<=\.py):", name, maxsplit=1)
    return name.split(":", 1)


def find(name: str) -> str:
    """A path for `--config`: FILE[:argument] as it is, or a bundled set by its name.

    Raises:
      InputError: no such file, or not one of Python.
    """
    path, *argument = parted(name)
    if Path(path).is_file():
        if Path(path).suffix == ".py":
            return name
        raise InputError(
            f"--config={name}: not a .py file; a data file goes to --config=own "
            f"--config.data.path={path}"
        )
    bundled = folder() / f"{Path(path).stem}.py"
    if bundled.exists() and path in (bundled.stem, f"configs/{bundled.name}"):
        return ":".join([str(bundled), *argument])
    known = ", ".join(sorted(p.stem for p in folder().glob("*.py") if p.stem != "base"))
    what = "a folder" if Path(path).is_dir() else "no such file"
    what = what if path else "name a file"
    raise InputError(f"--config={name}: {what}; bundled configs: {known}")


def load(name: str) -> ModuleType:
    """A bundled config file, by its name without the ending."""
    spec = importlib.util.spec_from_file_location(
        f"l2d_jax.bundled_configs.{name}", folder() / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


base = load("base")
own = load("own")


def resolve(config: ConfigDict) -> ConfigDict:
    """The config with every `auto` replaced, after checking each choice.

    Raises:
      InputError: naming the field and what it can be.
    """
    config = ConfigDict(config).copy_and_resolve_references()
    check_known(config, base.get_config())
    if config.training.compute_dtype == "auto":
        config.training.compute_dtype = parallel.default_compute_dtype()
    is_baseline = config.variant in baselines.BASELINES
    if config.data.scaler == "auto":
        config.data.scaler = "min_max" if is_baseline else "equal_range"
    if is_baseline:
        config.sampling.update(base.NOTHING_KEPT)
    check_choice(config.variant, METHODS, "--config.variant")
    if not config.data_stage.noise_scale:
        config.data_stage.noise_scale = 0.5 if is_given_latent(config) else 2.0
    if config.sampling.eta != base.get_config().sampling.eta:
        check_eta(config)  # before "auto" becomes a solver with an eta of its own
    choose_solver(config)
    check_choices(config)
    resolve_evaluation(config)
    for section in trained_sections(config):
        field = f"--config.{section}.batch_size"
        parallel.check_batch_size(config[section].batch_size, field)
        check_decay(config[section], section)
    check_ranges(config)
    check_chains(config)
    check_heads(config)
    if config.equal_size and config.variant != "data_only":
        raise InputError(
            f"--config.equal_size is for data_only, and the variant is "
            f"{config.variant!r}: leave it out"
        )
    check_sampling(config)
    return config


def resolve_evaluation(config: ConfigDict) -> None:
    """The section `evaluation` with names of metrics one by one, after checking it.

    Raises:
      InputError: naming the field and what it can be.
    """
    c = config.evaluation
    named = ",".join(c.metrics).split(",")  # "a,b" is two of them
    c.metrics = tuple(name.strip() for name in named if name.strip())
    for metric in c.metrics:
        check_choice(metric, (ALL, *METRICS, *GROUPS), "--config.evaluation.metrics")
    ranges = {f: one for f, one in RANGES.items() if f.startswith("evaluation.")}
    check_values(config, ranges)


CHOICES: dict[str, Iterable[str]] = {
    "data.protocol": PROTOCOLS,
    "data.scaler": SCALERS,
    "training.compute_dtype": ("float32", "bfloat16"),
    "data_stage.condition": CONDITIONS,
    "data_stage.condition_network": CONDITION_NETWORKS,
    "data_stage.mixing": MIXERS,
    "latent_stage.schedule": SCHEDULES,
    "latent_stage.prediction": PREDICTIONS,
    "latent_stage.weighting": WEIGHTINGS,
    "data_stage.schedule": SCHEDULES,
    "data_stage.prediction": PREDICTIONS,  # or "auto": chosen with the sizes
    "data_stage.weighting": WEIGHTINGS,
}


def check_choices(config: ConfigDict) -> None:
    """Raises `InputError` naming the first field that is none of its choices."""
    for field, known in CHOICES.items():
        value = value_of(config, field)
        if (field, value) != ("data_stage.prediction", "auto"):
            check_choice(value, known, f"--config.{field}")


def value_of(config: ConfigDict, field: str) -> Any:
    """Of a field by its sections and name, as data_stage.width."""
    return reduce(getitem, field.split("."), config)


def check_known(config: ConfigDict, known: ConfigDict, section: str = "") -> None:
    """Raises `InputError` for a field that nothing reads: a slip of the pen."""
    for name, value in config.items():
        field = f"--config.{section}{name}"
        if name not in known:
            hint = did_you_mean(name, known) or "leave it out"
            raise InputError(f"{field}: there is no such field, {hint}")
        if isinstance(known[name], ConfigDict):
            if not isinstance(value, ConfigDict):
                raise InputError(f"{field}={value!r}: it is a section of fields")
            check_known(value, known[name], f"{section}{name}.")


def trained_sections(config: ConfigDict) -> list[str]:
    """Of the stages that are trained, also of those that choose what is left open."""
    stages = METHODS[config.variant].stages
    c = config.encoder
    if "encoder" in stages and not (c.latent_dim and c.mask_rate):
        stages = METHODS["full"].stages
    return [SECTIONS[stage] for stage in stages]


def check_used(config: ConfigDict, fields: Iterable[str]) -> None:
    """Raises `InputError` for the first that the variant, or the data set, ignores.

    Fields that a user gave, as `data_stage.width`: in the config of a data set there
    may be some for other variants.
    """
    fields = [*fields]
    for field in fields:
        if field in OF_FILES and config.data.name != "file":
            raise InputError(
                f"--config.{field} is of a file of your own, and the data set is "
                f"{config.data.name!r}: leave it out, or take --config=own"
            )
    if config.variant not in METHODS:
        return  # `resolve` says so
    for field in fields:
        if is_ignored(config, field):
            raise InputError(
                f"--config.{field}: variant {config.variant!r} ignores it, leave it out"
            )


def is_ignored(config: ConfigDict, field: str) -> bool:
    """Whether a field changes nothing for the config's variant."""
    takes = METHODS[config.variant].settings
    section, _, name = field.partition(".")
    if section == "sampling":
        if name in base.NOTHING_KEPT:
            return config.variant in baselines.BASELINES
        return name not in takes and any(name in m.settings for m in METHODS.values())
    if config.equal_size:  # the sizes of all stages count
        return False
    if section == "data_stage" and name.startswith("condition"):
        return not is_given_latent(config)
    return section in SECTIONS.values() and section not in trained_sections(config)


def check_decay(c: ConfigDict, section: str) -> None:
    """Raises `InputError` for a decay whose fields the section lacks."""
    if "decay" in c:
        known = [name for name, needs in DECAY_FIELDS.items() if needs <= {*c.keys()}]
        check_choice(c.decay, known, f"--config.{section}.decay")


class Range(NamedTuple):
    """Values that a field may have."""

    holds: Callable[[float], bool]
    mend: str


COUNT = Range(lambda n: n >= 1, "use 1 or more")
CHOSEN = Range(lambda n: n >= 0, "use 1 or more, or 0 to have it chosen")
NOT_NEGATIVE = Range(lambda x: x >= 0, "use 0 or more")
UP_TO_1 = Range(lambda x: 0 < x <= 1, "use above 0, up to 1")
ABOVE_0 = Range(lambda x: x > 0, "use a number above 0")
BELOW_1 = Range(lambda x: 0 <= x < 1, "use 0 or more, and less than 1")
RANGES = {
    "seed": Range(lambda n: 0 <= n < 2**32, "use 0 or more, and less than 2^32"),
    "data.window": NOT_NEGATIVE,
    "data.stride": NOT_NEGATIVE,
    "data.length": NOT_NEGATIVE,
    "encoder.latent_dim": NOT_NEGATIVE._replace(
        mend="use 1 or more, or 0 (auto) to have it chosen"
    ),
    "encoder.mask_rate": Range(
        lambda x: 0 <= x <= 1, "use above 0, up to 1, or 0 (auto) to have it chosen"
    ),
    "encoder.depth": CHOSEN,
    "encoder.decoder_patch": CHOSEN,
    "encoder.width": COUNT,
    "encoder.features": COUNT,
    "encoder.latent_noise": NOT_NEGATIVE,
    "encoder.latent_penalty": NOT_NEGATIVE,
    "encoder.num_masks": NOT_NEGATIVE,
    "encoder.decoder_width": COUNT,
    "encoder.decoder_layers": NOT_NEGATIVE,
    "latent_stage.num_steps": CHOSEN,
    "latent_stage.width": COUNT,
    "latent_stage.num_blocks": NOT_NEGATIVE,
    "latent_stage.num_octaves": NOT_NEGATIVE,
    "data_stage.num_steps": CHOSEN,
    "data_stage.patch": CHOSEN,
    "data_stage.width": COUNT,
    "data_stage.num_blocks": NOT_NEGATIVE,
    "data_stage.condition_width": COUNT,
    "data_stage.condition_layers": NOT_NEGATIVE,
    "data_stage.condition_dropout": BELOW_1,
    "data_stage.condition_noise": NOT_NEGATIVE,
    "training.steps_per_call": COUNT,
    "training.checkpoint_every": COUNT,
    "sampling.num_samples": Range(
        lambda x: x == 0 or x >= MIN_SAMPLES,
        f"use {MIN_SAMPLES} or more, or 0 (as many as real)",
    ),
    "sampling.repeats_from": UP_TO_1._replace(
        mend="use above 0, below 1, or 1 to have no repeats"
    ),
    "sampling.few_values": NOT_NEGATIVE,
    "sampling.batch_size": NOT_NEGATIVE._replace(
        mend="use 1 or more, or 0 (by the device)"
    ),
    "evaluation.num_series": Range(
        lambda x: x == 0 or x >= MIN_SAMPLES, f"use {MIN_SAMPLES} or more, or 0 (all)"
    ),
    "evaluation.num_repeats": COUNT,
    "evaluation.seed": NOT_NEGATIVE,
}
TRAINING_RANGES = {
    "num_steps": COUNT,
    "learning_rate": ABOVE_0,
    "warmup_steps": NOT_NEGATIVE,
    "beta_2": BELOW_1,
    "weight_decay": NOT_NEGATIVE,
    "clip_norm": ABOVE_0,
    "ema_decay": BELOW_1,
    "patience": COUNT,
    "factor": UP_TO_1,
    "least_rate": NOT_NEGATIVE,
    "decay_rate": UP_TO_1,
}
BASELINE_RANGES = TRAINING_RANGES | {
    "encoder_layers": COUNT,
    "decoder_layers": COUNT,
    "num_layers": COUNT,
    "num_flows": COUNT,
    "num_heads": COUNT,
    "width": COUNT,
    "hidden": COUNT,
    "expansion": COUNT,
    "kernel_size": NOT_NEGATIVE,
    "num_diffusion_steps": COUNT,
    "dropout": BELOW_1,
}


def check_ranges(config: ConfigDict) -> None:
    """Raises `InputError` naming the first field whose value can't be."""
    of_training = {
        f"{section}.{name}": one
        for stage, section in SECTIONS.items()
        for name, one in ranges_of(stage).items()
        if name in config[section]
    }
    check_values(config, of_training | RANGES)


def check_values(config: ConfigDict, ranges: Mapping[str, Range]) -> None:
    """Raises `InputError` naming the first of these fields that is out of its range."""
    for field, allowed in ranges.items():
        value = value_of(config, field)
        if not allowed.holds(value):
            raise InputError(f"--config.{field}={value}: {allowed.mend}")


def ranges_of(stage: str) -> dict[str, Range]:
    """Of the fields that any stage, or any baseline's, may have."""
    return BASELINE_RANGES if stage in baselines.STAGES else TRAINING_RANGES


def check_chains(config: ConfigDict) -> None:
    """Raises `InputError` for noise levels that can't be, of the stages trained."""
    for section in ("latent_stage", "data_stage"):
        if section not in trained_sections(config):
            continue
        c = config[section]
        try:
            alpha_bar = stage_schedule(c).alpha_bar[-1]
        except InputError as error:
            raise InputError(f"--config.{section}.{error}") from None
        # Estimates of r aren't clipped: errors of eps grow by this in them.
        growth = math.sqrt((1.0 - alpha_bar) / alpha_bar)
        if section == "latent_stage" and c.prediction == "eps" and growth > MAX_GROWTH:
            raise InputError(
                "--config.latent_stage.prediction=eps: the last steps of this schedule "
                f"hold too little of r to tell it from eps (errors x {growth:.0f}); "
                "use v or x_0, or --config.latent_stage.schedule=linear"
            )


def check_heads(config: ConfigDict) -> None:
    """Raises `InputError` where the heads of attention can't share the width."""
    if "data_stage" not in trained_sections(config):
        return
    c = config.data_stage
    for field, kind, width in (
        ("width", c.mixing, c.width),
        ("condition_width", c.condition_network, c.condition_width),
    ):
        if kind == "attention" and width % NUM_HEADS:
            raise InputError(
                f"--config.data_stage.{field}={width}: attention has {NUM_HEADS} "
                f"heads, use a multiple of {NUM_HEADS}"
            )
