"""A run: train the stages of a variant, sample, score and report, in one workdir.

Everything that is finished is skipped, so that the same command goes on after any
interruption.
"""

import json
import platform
import shlex
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict
from tqdm import tqdm

from l2d_jax import configs, parallel
from l2d_jax.cascade import VARIANTS, Cascade, Layout
from l2d_jax.checkpoints import Checkpoints, load_model, save_model, write_text
from l2d_jax.configs import SECTIONS, resolve
from l2d_jax.data import (
    Normalizer,
    from_list,
    load_splits,
    to_list,
    to_model_space,
)
from l2d_jax.logbook import Logbook, read_losses, read_seconds
from l2d_jax.metrics import evaluate
from l2d_jax.report import write_report
from l2d_jax.samples import check_out, read_npz, write_samples
from l2d_jax.stages import STAGES, standard_latents
from l2d_jax.train import fit as fit_stage
from l2d_jax.types import Examples, InputError, Splits, is_ragged, tree_size

LIBRARIES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


# --- the whole program ----------------------------------------------------------------


def run(config: ConfigDict, workdir: str | Path) -> dict[str, Any]:
    """Trains, samples, scores and reports; returns what scores.json holds.

    Raises:
      InputError: the config, the data or the workdir can't be used.
    """
    config = resolve(config)
    task = prepare(config, load_splits(config.data))
    workdir = make_workdir(workdir)
    write_text(workdir / "config.json", as_json(describe(config)))
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


def load(workdir: str | Path) -> Cascade:
    """The trained model of a finished workdir: weights, config and normaliser.

    Raises:
      InputError: there is no finished model in the workdir, or it can't be read.
    """
    arrays, facts = load_model(Path(workdir) / "checkpoints" / "cascade")
    layout: dict[str, Any] = dict(facts["layout"])
    layout["channels"] = tuple(layout["channels"])
    return Cascade(
        params=arrays["params"],
        normalizer=Normalizer(**arrays["normalizer"]),
        config=FrozenConfigDict(with_tuples(facts["config"])),
        layout=Layout(**layout),
    )


# --- the workdir ---------------------------------------------------------------------


def describe(config: ConfigDict) -> dict[str, Any]:
    """The config with the versions and the commit that it ran with."""
    return {
        "config": config.to_dict(),
        "versions": {
            "python": platform.python_version(),
            **{name: library_version(name) for name in ("l2d_jax", *LIBRARIES)},
        },
        "git_commit": git_commit(),
        "command": shlex.join(["python", *sys.argv]),
        "device": parallel.describe_devices(),
    }


def library_version(name: str) -> str:
    """Of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str:
    """Of the checkout that this package lies in; "unknown" elsewhere."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def make_workdir(workdir: str | Path) -> Path:
    """The folder, made if it is missing.

    Raises:
      InputError: it is a file, or can't be written to.
    """
    workdir = Path(workdir).absolute()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            return workdir
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--workdir={workdir} is a file: name a folder") from None
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} can't be written to ({error.strerror}): name another "
            "folder"
        ) from None


def as_json(value: Any) -> str:
    """For people to read; what json has no word for becomes its name."""
    return json.dumps(value, indent=2, default=str) + "\n"


def with_tuples(value: Any) -> Any:
    """Lists back to tuples, as configs had them before they went through json."""
    if isinstance(value, Mapping):
        return {name: with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


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


# --- samples, scores, report ----------------------------------------------------------


def generate(model: Cascade, workdir: Path) -> Path:
    """workdir/samples.npz, by the settings of the config; skipped if it is there."""
    config, path = model.config, workdir / "samples.npz"
    n = config.sampling.num_samples or model.layout.num_series
    if path.exists():
        try:
            if read_npz(path)[1] == sample_settings(model, n=n, seed=config.seed):
                return path
        except InputError:  # unreadable: made again
            pass
    return sample_to_file(model, path, n=n, seed=config.seed)


def sample_to_file(
    model: Cascade, path: Path, *, n: int, seed: int, **settings: str | int | None
) -> Path:
    """n series of `model.sample(jax.random.key(seed), n, **settings)`, on disk.

    Raises:
      InputError: n below 1, settings out of range, or a path that can't be written.
    """
    check_out(path)
    model = model.with_sampling(**settings)
    batches = model.sample_batches(jax.random.key(seed), n)
    with tqdm(total=n, desc="sample", unit="series", disable=None) as bar:

        def counted():
            for batch in batches:
                bar.update(len(batch.series))
                yield batch

        write_samples(
            path,
            counted(),
            n=n,
            channels=model.layout.channels,
            settings=sample_settings(model, n=n, seed=seed),
        )
    return path


def sample_settings(model: Cascade, *, n: int, seed: int) -> dict[str, Any]:
    """What the samples are a function of."""
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model.params)]
    return {
        "num_samples": n,
        "seed": seed,
        "variant": model.config.variant,
        **model.config.sampling.to_dict(),
        "digest of the weights": zlib.crc32(b"".join(leaves)),
    }


def score(workdir: Path, config: ConfigDict, splits: Splits) -> dict[str, Any]:
    """workdir/scores.json: samples.npz against the real series; skipped if done."""
    samples, settings = read_npz(workdir / "samples.npz")
    c, path = config.evaluation, workdir / "scores.json"
    settings = {"samples": settings, "evaluation": json.loads(json.dumps(c.to_dict()))}
    if path.exists():
        try:
            scores = json.loads(path.read_text())
            if scores.get("settings") == settings:
                return scores
        except json.JSONDecodeError:  # made again
            pass
    scores = evaluate(
        comparable(some(splits.train, c.num_series, seed=c.seed)),
        comparable(samples),
        metrics=tuple(c.metrics),
        num_repeats=c.num_repeats,
        seed=c.seed,
    )
    scores["settings"] = settings
    write_text(path, as_json(scores))
    return scores


def some(examples: Examples, n: int, *, seed: int) -> Examples:
    """n of the series, drawn without replacement; all of them for n = 0."""
    if not 0 < n < len(examples.series):
        return examples
    index = np.random.default_rng(seed).permutation(len(examples.series))[:n]
    labels = None if examples.labels is None else examples.labels[index]
    return Examples(examples.series[index], examples.lengths[index], labels)


def comparable(examples: Examples) -> np.ndarray | list[np.ndarray]:
    """As `evaluate` takes them: an array, or a list where lengths differ."""
    if is_ragged(examples):
        return to_list(examples.series, examples.lengths)
    return examples.series


def report(workdir: Path, config: ConfigDict, splits: Splits) -> Path:
    """workdir/report/index.html from what the workdir holds."""
    samples, settings = read_npz(workdir / "samples.npz")
    scores = json.loads((workdir / "scores.json").read_text())
    scores.pop("settings", None)
    return write_report(
        workdir,
        real=splits.train.series,
        generated=samples.series,
        labels=splits.train.labels,
        classes=splits.classes,
        channels=splits.channels,
        scores=scores,
        facts=facts_of(workdir, config, settings),
        losses=read_losses(workdir / "metrics.jsonl"),
    )


def facts_of(
    workdir: Path, config: ConfigDict, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What was run, for the report."""
    ran = json.loads((workdir / "config.json").read_text())
    params = load(workdir).params
    parts = {
        "encoder": ("encoder", "decoder"),
        "latent": ("latent_denoiser",),
        "data": ("series_denoiser",),
    }
    seconds = read_seconds(workdir / "metrics.jsonl")
    facts = {
        "data set": config.data.name,
        "variant": config.variant,
        "command": ran["command"],
        "seed": config.seed,
        "device": ran["device"],
    }
    for stage in VARIANTS[config.variant].stages:
        count = sum(tree_size(params[part]) for part in parts[stage])
        c = config[SECTIONS[stage]]
        facts[f"stage {stage}"] = (
            f"{count:,} parameters, {c.num_steps:,} steps of {c.batch_size}, "
            f"{seconds.get(stage, 0.0):.0f} s"
        )
    facts["samples"] = f"{settings['num_samples']:,}, seed {settings['seed']}"
    facts["data chain"] = chain(
        settings["solver"], settings["num_steps"], config.data_stage
    )
    facts["latent chain"] = chain(
        settings["latent_solver"], settings["latent_num_steps"], config.latent_stage
    )
    facts |= ran["versions"]
    facts["git commit"] = ran["git_commit"]
    return facts


def chain(solver: str, num_steps: int, c: ConfigDict) -> str:
    """A solver and its steps, in words."""
    return f"{solver}, {num_steps or c.num_diffusion_steps} steps"


def rescore(
    workdir: Path, config: ConfigDict | None, *, report_only: bool
) -> dict[str, Any]:
    """Scores (unless `report_only`) and report of a finished workdir.

    `config`: its section `evaluation` replaces the one that the model was trained with.

    Raises:
      InputError: something that is needed is missing from the workdir.
    """
    model = load(workdir)
    used = ConfigDict(model.config.to_dict())
    if config is not None:
        used.evaluation = config.evaluation
    splits = load_splits(used.data)
    scores_path = workdir / "scores.json"
    if not report_only:
        generate(model, workdir)
        scores = score(workdir, used, splits)
    elif scores_path.exists():
        scores = json.loads(scores_path.read_text())
    else:
        raise InputError(f"{scores_path} is missing: run --mode=evaluate first")
    report(workdir, used, splits)
    return scores


def summary(workdir: Path, scores: Mapping[str, Any]) -> str:
    """The scores in a line each, and where the report lies."""
    lines = []
    for name, value in scores.items():
        if name == "settings":
            continue
        line = f"{name}: {value['mean']:.4f}"
        if value["interval"]:
            low, high = value["interval"]
            line += f" (95 % {low:.4f} to {high:.4f})"
        if "floor" in value:
            line += f", real against real {value['floor']['mean']:.4f}"
        lines.append(line)
    return "\n".join([*lines, f"report: {workdir / 'report' / 'index.html'}"])
