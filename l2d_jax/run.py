"""A run: train the stages of a variant, sample, score and report, in one workdir.

Everything that is finished is skipped, so that the same command goes on after any
interruption.
"""

import json
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs
from l2d_jax.cascade import VARIANTS, Cascade, Layout
from l2d_jax.checkpoints import Checkpoints, load_model, save_model, write_text
from l2d_jax.configs import SECTIONS, resolve
from l2d_jax.data import Normalizer, from_list, load_splits, to_list, to_model_space
from l2d_jax.logbook import Logbook
from l2d_jax.results import generate, report, score
from l2d_jax.stages import STAGES, standard_latents
from l2d_jax.train import fit as fit_stage
from l2d_jax.types import Examples, InputError, Splits, is_ragged
from l2d_jax.workdir import as_json, describe, load, make_workdir

# --- the whole program ----------------------------------------------------------------


def run(config: ConfigDict, workdir: str | Path) -> dict[str, Any]:
    """Trains, samples, scores and reports; returns what scores.json holds.

    Raises:
      InputError: the config, the data or the workdir can't be used.
    """
    config = resolve(config)
    task = prepare(config, load_splits(config.data))
    workdir = make_workdir(workdir)
    model = train(task, workdir)
    generate(model, workdir)
    scores = score(workdir, config, task.splits)
    report(workdir, config, task.splits)
    return scores


def fit(
    series: np.ndarray | list[np.ndarray] | str | Path,
    *,
    workdir: str | Path | None = None,
    config: ConfigDict | None = None,
) -> Cascade:
    """Trains a cascade on your own series.

    Args:
      series: float array [N, L, C] in any units; a list of [L_i, C] arrays of different
        lengths; or the path of a csv that holds one recording (columns are channels).
      workdir: where checkpoints and metrics go, and where training goes on from; by
        default a temporary folder.
      config: as from `l2d_jax.configs.base.get_config()`; by default that.

    Raises:
      InputError: the series or the config can't be used.

    Example:
      model = l2d_jax.fit(np.load("mine.npy"), workdir="runs/mine")
      x = model.sample(jax.random.key(0), 1000)
    """
    config = (
        configs.base.get_config()
        if config is None
        else config.copy_and_resolve_references()
    )
    if isinstance(series, str | Path):
        config.data.update(name="csv", path=str(series))
        config = resolve(config)
        splits = load_splits(config.data)
    else:
        config.data.update(name="array", path="")
        config = resolve(config)
        splits = Splits(as_examples(series), None, channel_names(series))
    task = prepare(config, splits)
    if workdir is not None:
        return train(task, make_workdir(workdir))
    with tempfile.TemporaryDirectory() as folder:
        return train(task, Path(folder))


# --- data -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a run trains on."""

    config: ConfigDict
    splits: Splits
    normalizer: Normalizer
    layout: Layout
    series: np.ndarray  # [N, L, C] float32 in model space


def prepare(config: ConfigDict, splits: Splits) -> Task:
    """Fits the normaliser on the training series and takes them to model space."""
    train_set, channels = splits.train, splits.channels
    ragged = is_ragged(train_set)
    normalizer = Normalizer.fit(train_set, config.data.scaler, channels)
    length = train_set.series.shape[1]
    min_length = int(train_set.lengths.min())
    layout = Layout(length, channels, ragged, min_length, len(train_set.lengths))
    series = to_model_space(train_set, normalizer, ragged)
    return Task(config, splits, normalizer, layout, series)


def as_examples(series: np.ndarray | list[np.ndarray]) -> Examples:
    """A user's array or list of series.

    Raises:
      InputError: another number of axes, channels that differ, or values that are not
        finite.
    """
    if isinstance(series, list):
        if not series:
            raise InputError("no series: give one or more")
        series = [np.asarray(one, np.float32) for one in series]
        channels = series[0].shape[-1]
        for i, one in enumerate(series):
            if one.ndim != 2 or one.shape[1] != channels or not len(one):
                raise InputError(
                    f"series {i} has shape {list(one.shape)}: give [L_i, {channels}]"
                )
        examples = from_list(series)
    else:
        series = np.asarray(series, np.float32)
        if series.ndim != 3 or 0 in series.shape:
            raise InputError(
                f"series of shape {list(series.shape)}: give [N, L, C], or a list of "
                "[L_i, C]"
            )
        examples = Examples(series, np.full(len(series), series.shape[1]))
    for i, one in enumerate(to_list(examples.series, examples.lengths)):
        if not np.isfinite(one).all():
            raise InputError(f"series {i} holds NaN or inf: fill or drop it")
    return examples


def channel_names(series: np.ndarray | list[np.ndarray]) -> tuple[str, ...]:
    """channel_0, channel_1, ..."""
    count = np.shape(series[0])[-1]
    return tuple(f"channel_{i}" for i in range(count))


# --- training -------------------------------------------------------------------------


def train(task: Task, workdir: Path) -> Cascade:
    """The stages of the variant in order, each from where it was; then the model."""
    config, params = task.config, {}
    write_text(workdir / "config.json", as_json(describe(config)))
    names = VARIANTS[config.variant].stages
    facts = {name: stage_facts(task, name) for name in names}
    if model := finished(workdir, facts):
        return replace(model, config=FrozenConfigDict(config))
    for name in names:
        stage = STAGES[name](config, task.layout.shape)
        c = config[SECTIONS[name]]

        def open_logbook(first_step, name=name, c=c):
            return Logbook(
                workdir,
                name,
                first_step=first_step,
                num_steps=c.num_steps,
                batch=c.batch_size,
            )

        with Checkpoints(workdir / "checkpoints" / name, facts[name]) as checkpoints:
            ema_params = fit_stage(
                stage,
                stage.prepare(params, task.series),
                c,
                seed=config.seed,
                steps_per_call=config.training.steps_per_call,
                checkpoint_every=config.training.checkpoint_every,
                checkpoints=checkpoints,
                open_logbook=open_logbook,
            )
        ema_params = jax.tree.map(np.asarray, ema_params)
        params |= stage.export(ema_params, task.series)
    if config.variant == "oracle_latent":
        params["training_latents"] = standard_latents(config, params, task.series)
    model = Cascade(params, task.normalizer, FrozenConfigDict(config), task.layout)
    save_model(
        workdir / "checkpoints" / "cascade",
        {"params": params, "normalizer": vars(task.normalizer)},
        {
            "config": config.to_dict(),
            "layout": task.layout._asdict(),
            "stages": facts,
        },
    )
    return model


def finished(workdir: Path, facts: Mapping[str, Any]) -> Cascade | None:
    """The workdir's model if it was trained with these facts; else None."""
    directory = workdir / "checkpoints" / "cascade"
    try:
        saved = load_model(directory)[1]["stages"]
    except InputError:  # not there, or damaged: made again from the stages
        return None
    return load(workdir) if saved == json.loads(json.dumps(facts)) else None


def stage_facts(task: Task, name: str) -> dict[str, Any]:
    """The fields, flat, that shape the weights of a stage, and a digest of the data."""
    config = task.config
    sections = [SECTIONS[name]]
    if name != "encoder" and config.variant != "data_only":
        sections.insert(0, "encoder")
    facts = {
        f"{section}.{field}": value
        for section in sections
        for field, value in config[section].items()
    }
    facts |= {
        "seed": config.seed,
        "training.compute_dtype": config.training.compute_dtype,
        "data.scaler": config.data.scaler,
        "training series": list(task.series.shape),
        "digest of the training series": zlib.crc32(task.series.tobytes()),
    }
    if name == "data":
        facts["with a latent"] = config.variant != "data_only"
    return facts
