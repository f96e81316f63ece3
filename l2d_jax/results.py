"""What a run makes of a trained model, in its workdir: samples, scores and the report.

Each is skipped where it is already there, made with the same settings.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from l2d_jax import parallel
from l2d_jax.cascade import Cascade
from l2d_jax.checkpoints import checksum
from l2d_jax.chunks import crc32
from l2d_jax.configs import SECTIONS, resolve_evaluation
from l2d_jax.data import load_splits
from l2d_jax.data.protocols import take
from l2d_jax.data.ragged import ModelSpace, comparable
from l2d_jax.files import FilePath, same_file, to_path, write_text
from l2d_jax.lock import locked
from l2d_jax.metric_writer import read_losses, read_seconds
from l2d_jax.metrics import evaluate
from l2d_jax.metrics.catalog import SCORES
from l2d_jax.metrics.sets import rows_of
from l2d_jax.metrics.table import table
from l2d_jax.missing import filled
from l2d_jax.progress import say, shows_bar
from l2d_jax.report import write_report
from l2d_jax.samples import (
    WRITERS,
    check_out,
    read_npz,
    read_settings,
    write_samples,
)
from l2d_jax.types import Examples, InputError, Splits, is_ragged, tree_size
from l2d_jax.variants import METHODS
from l2d_jax.workdir import as_json, load, made_by, make_workdir, read_json

log = logging.getLogger(__name__)

MAX_ROWS = 100_000  # of samples of a public set that are also written as a table
MAX_SEARCHED = 100_000  # series searched for copies, where not all are compared
COPYING = {"authenticity", *(n for n, a in SCORES.items() if a.family == "privacy")}

# --- samples --------------------------------------------------------------------------


def generate(model: Cascade, workdir: FilePath) -> FilePath:
    """workdir/samples.npz, by the settings of the config; skipped if it is there.

    And the same series as a table, or in the form of the user's file: `suffix_beside`.
    """
    seed, path = model.config.seed, workdir / "samples.npz"
    n, done = num_samples(model), False
    suffix = suffix_beside(model, n)
    beside = path.with_suffix(suffix) if suffix else None
    try:
        done = read_settings(path) == sample_settings(model, n=n, seed=seed)
    except InputError:  # missing or unreadable: made again
        pass
    if not parallel.all_agree(done):
        if parallel.is_first():
            if beside is not None:
                check_not_own(model, beside)
            remove_others(model, path)  # else old ones were taken for these
        sample_to_file(model, path, n=n, seed=seed)
        say(f"samples: {n:,} in {path}")
    if beside is not None and parallel.is_first() and not beside.exists():
        write_beside(model, path, beside)
        say(f"samples: {n:,} in {beside}")
    return path


def remove_others(model: Cascade, path: FilePath) -> None:
    """Removes the files of samples of other kinds; not the user's own file."""
    for suffix in WRITERS.keys() - {path.suffix}:
        other = path.with_suffix(suffix)
        if not is_own(model, other):
            other.unlink(missing_ok=True)


def suffix_beside(model: Cascade, n: int) -> str:
    """Ending of a second file of the n samples; "": there is none.

    That of the user's own file; of a public set .csv, if it has `MAX_ROWS` at most.
    """
    form, length = model.layout.form, model.layout.length
    if form is None:
        return ".csv" if n * length <= MAX_ROWS else ""
    return form.suffix if form.suffix != ".npz" else ""


def write_beside(model: Cascade, source: FilePath, path: FilePath) -> None:
    """The samples of an .npz as another kind of file."""
    examples, settings = read_npz(source)
    n, size = len(examples.lengths), parallel.sampling_batch_size(model.config)
    write_samples(
        path,
        (take(examples, np.arange(i, min(i + size, n))) for i in range(0, n, size)),
        n=n,
        channels=model.layout.channels,
        form=model.layout.form,
        settings=settings,
    )


def num_samples(model: Cascade) -> int:
    """How many series `generate` makes: as asked for, or as many as are scored."""
    config, available = model.config, model.layout.num_series
    if config.sampling.num_samples:
        return config.sampling.num_samples
    return min(available, config.evaluation.num_series or available)


def sample_to_file(
    model: Cascade, path: FilePath, *, n: int, seed: int, **settings: str | int | None
) -> FilePath:
    """n series of `model.sample(jax.random.key(seed), n, **settings)`, on disk.

    Raises:
      InputError: n below 1, settings out of range, or a path that can't be written.
    """
    path = to_path(path)
    check_not_own(model, path)
    model = model.with_sampling(**settings)
    made_with = sample_settings(model, n=n, seed=seed)
    write_batches(model, path, n=n, seed=seed, settings=made_with)
    return path


def check_not_own(model: Cascade, path: FilePath) -> None:
    """Raises `InputError` where `path` is the file that the model was trained on."""
    if is_own(model, path):
        raise InputError(f"--out={path}: it is what the model was trained on: keep it")


def is_own(model: Cascade, path: FilePath) -> bool:
    """Whether `path` is the file that the model was trained on."""
    own = model.config.data.path
    return bool(own) and same_file(Path(own), path)


def write_batches(
    model: Cascade, path: FilePath, *, n: int, seed: int, settings: Mapping[str, Any]
) -> None:
    """Samples, and writes them as they come."""
    batches = model.sample_batches(jax.random.key(seed), n)
    if not parallel.is_first():
        for _ in batches:  # the first process gets them too, and writes
            pass
        return
    check_out(path)
    with tqdm(total=n, desc="sample", unit="series", disable=not shows_bar()) as bar:

        def counted():
            for batch in batches:
                bar.update(len(batch.series))
                yield batch

        write_samples(
            path,
            counted(),
            n=n,
            channels=model.layout.channels,
            form=model.layout.form,
            settings=settings,
        )


def sample_settings(model: Cascade, *, n: int, seed: int) -> dict[str, Any]:
    """What the samples are a function of."""
    settings = model.config.sampling.to_dict()
    del settings["batch_size"]  # memory, not results
    return {
        **settings,
        "num_samples": n,  # the config's may be 0: as many as there are real ones
        "seed": seed,
        "variant": model.config.variant,
        "digest of the model": checksum((model.params, model.normalizer)),
        "layout": json.loads(json.dumps(model.layout)),
    }


# --- scores ---------------------------------------------------------------------------


def score(workdir: FilePath, config: ConfigDict, splits: Splits) -> dict[str, Any]:
    """workdir/scores.json: samples.npz against the real series; skipped if done."""
    samples, settings = read_npz(workdir / "samples.npz")
    c, path = config.evaluation, workdir / "scores.json"
    count = len(splits.train.lengths)
    num_searched = min(count, most_searched(c) or count)
    train, test = real_sets(splits, config, searched=True)
    settings = {
        "samples": settings,
        "evaluation": json.loads(json.dumps(c.to_dict())),
        "searched for copies": num_searched,
        "digest of the real series": [digest(one) for one in (train, test) if one],
    }
    try:
        scores = read_json(path, "it is made")
        before = scores.get("settings")
        if isinstance(before, dict) and settings.items() <= before.items():
            return scores
    except InputError:  # made, or made again
        pass
    scores: dict[str, Any] = {}
    if c.metrics:
        scores = evaluate(
            comparable(train),
            comparable(samples),
            test=None if test is None else comparable(test),
            labels=train.labels,
            test_labels=None if test is None else test.labels,
            classes=splits.classes,
            metrics=tuple(c.metrics),
            num_series=c.num_series,
            num_repeats=c.num_repeats,
            seed=c.seed,
            announce=lambda what: say(f"scores: {what}"),
        )
    if num_searched < count:
        note = f"Searched are {num_searched:,} of {count:,} training series"
        for name in COPYING & scores.keys():
            before = scores[name].get("note")
            scores[name]["note"] = f"{before}. {note}" if before else note
    scores["settings"] = settings | made_by()
    write_text(path, as_json(scores))
    return scores


def real_sets(
    splits: Splits, config: ConfigDict, *, searched: bool = False
) -> tuple[Examples, Examples | None]:
    """What generated series are compared with: trained on, and held out if any.

    `searched`: all, or `MAX_SEARCHED` of each, among which copies are searched.
    """
    c = config.evaluation
    most = most_searched(c) if searched else c.num_series
    train = some(splits.train, most, seed=c.seed)
    test = None if splits.test is None else some(splits.test, most, seed=c.seed)
    return filled(train, train), None if test is None else filled(test, train)


def most_searched(c: ConfigDict) -> int:
    """How many at most; 0: all, where all are compared. These are among them."""
    return max(c.num_series, MAX_SEARCHED) if c.num_series else 0


def some(examples: Examples, most: int, *, seed: int) -> Examples:
    """`most` of them, drawn without replacement; all, as they are, for 0."""
    rows = rows_of(len(examples.lengths), most, seed=seed)
    return examples if isinstance(rows, slice) else take(examples, rows)


def summary(workdir: FilePath, scores: Mapping[str, Any]) -> str:
    """The scores as a table, warnings, and where the report lies."""
    found = {name: score for name, score in scores.items() if name != "settings"}
    return f"{table(found)}\nreport: {workdir / 'report' / 'index.html'}"


# --- report ---------------------------------------------------------------------------


def report(workdir: FilePath, config: ConfigDict, splits: Splits) -> FilePath:
    """workdir/report/index.html from what the workdir holds."""
    samples, settings = read_npz(workdir / "samples.npz")
    scores = read_json(workdir / "scores.json", "run --mode=evaluate first")
    scores.pop("settings", None)
    train, test = real_sets(splits, config)
    real = train if test is None else test
    searched, unseen = real_sets(splits, config, searched=True)
    count, c = len(splits.train.lengths), config.evaluation
    return write_report(
        workdir,
        real=real.series,
        train=searched.series,
        train_rows=np.arange(count)[rows_of(count, most_searched(c), seed=c.seed)],
        num_train=count,
        test=None if unseen is None else unseen.series,
        generated=samples.series,
        labels=real.labels,
        classes=splits.classes,
        channels=splits.channels,
        scores=scores,
        facts=facts_of(workdir, config, settings),
        losses=read_losses(workdir / "metrics.jsonl"),
    )


def facts_of(
    workdir: FilePath, config: ConfigDict, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What was run, for the report."""
    needs = {"command", "device", "versions", "git_commit"}
    path, mend = workdir / "config.json", "run the training command again"
    ran = read_json(path, mend, needs)
    counts = parameters(load(workdir))
    seconds = read_seconds(workdir / "metrics.jsonl")
    facts = {
        "data set": data_set(config),
        "protocol": config.data.protocol,
        "variant": config.variant,
        "command": ran["command"],
        "seed": config.seed,
        "device": ran["device"],
    }
    for stage in METHODS[config.variant].stages:
        c = config[SECTIONS[stage]]
        facts[f"stage {stage}"] = (
            (f"{counts[stage]:,} parameters, " if stage in counts else "")
            + f"{c.num_steps:,} steps of {c.batch_size} series, "
            + f"{seconds.get(stage, 0.0):,.0f} s"
        )
    facts["samples"] = f"{settings['num_samples']:,}, seed {settings['seed']}"
    variant = METHODS[config.variant]
    if variant.chain:
        solver = settings["solver"] if "solver" in variant.settings else "as published"
        facts["data chain"] = chain_in_words(
            solver, settings["num_steps"], config[variant.chain]
        )
    if "latent_solver" in variant.settings:
        facts["latent chain"] = chain_in_words(
            settings["latent_solver"], settings["latent_num_steps"], config.latent_stage
        )
    facts |= ran["versions"]
    facts["git commit"] = ran["git_commit"]
    return facts


def data_set(config: ConfigDict) -> str:
    """What the data is called: the file of the user, or the name of a public set."""
    return Path(config.data.path).name if config.data.path else config.data.name


def parameters(model: Cascade) -> dict[str, int]:
    """How many each stage trained. Phases of TimeGAN: those of all its networks.

    Stages that export their weights under other names than their own are left out.
    """
    variant = METHODS[model.config.variant]
    parts = {
        "encoder": ("encoder", "decoder"),
        "latent": ("latent_denoiser",),
        "data": ("series_denoiser",),
        **dict.fromkeys(METHODS["time_gan"].stages, ("time_gan",)),
    }
    names = {stage: parts.get(stage, (stage,)) for stage in variant.stages}
    return {
        stage: sum(tree_size(model.params[part]) for part in found)
        for stage, found in names.items()
        if {*found} <= {*model.params}
    }


def chain_in_words(solver: str, num_steps: int, c: ConfigDict) -> str:
    """A solver and its steps, in words."""
    return f"{solver}, {num_steps or c.num_diffusion_steps} steps"


def digest(examples: Examples) -> int:
    """A checksum of the series with their lengths and labels."""
    return crc32(part.tobytes() for part in examples if part is not None)


# --- again, on a finished workdir -----------------------------------------------------


def rescore(
    workdir: FilePath, config: ConfigDict | None, *, report_only: bool
) -> dict[str, Any]:
    """Scores (unless `report_only`) and report of a finished workdir.

    `config`: its section `evaluation` replaces the one that the model was trained with,
    and so does its `data.path`, for a data file that was moved.

    Raises:
      InputError: something that is needed is missing from the workdir, or a field of
        `evaluation` can't be.
    """
    model = load(workdir)
    used = ConfigDict(model.config.to_dict())
    if config is not None:
        used.evaluation = ConfigDict(config.evaluation)
        resolve_evaluation(used)
        used.data.path = config.data.path or used.data.path
        if used.data.path and used.data.name == "array":
            used.data.name = "file"
    if used.data.name == "array":
        raise InputError(
            f"the model in {workdir} was trained on an array, of which no file is "
            "known: score its samples by l2d_jax.evaluate(series, samples), or name a "
            "file of the same series by --config=own --config.data.path"
        )
    with parallel.first_before_others("data prepared"):
        splits = load_splits(used.data)
    check_trained_on(model, splits)
    scores_path = workdir / "scores.json"
    with locked(make_workdir(workdir)):
        if not report_only:
            generate(model, workdir)
        with parallel.first_before_others("scored"):  # the others find it done
            if report_only:
                scores = read_json(scores_path, "run --mode=evaluate first")
            else:
                scores = score(workdir, used, splits)
            if parallel.is_first():
                report(workdir, used, splits)
    return scores


def check_trained_on(model: Cascade, splits: Splits) -> None:
    """Raises `InputError` unless these are the series that the model was trained on."""
    layout, train = model.layout, splits.train
    count, length = train.series.shape[:2]
    same = (count, length) == (layout.num_series, layout.length)
    same &= (splits.channels, is_ragged(train)) == (layout.channels, layout.ragged)
    if same:
        series = ModelSpace(train, model.normalizer, layout.ragged)
        same = series.digest() == layout.digest
    if not same:
        raise InputError(
            f"{count:,} series of {length} steps x {len(splits.channels)} channels, "
            "which aren't those that the model was trained on: name the file that it "
            "was trained on by --config.data.path. Against other series samples are "
            "scored by python -m l2d_jax.metrics"
        )
