"""A run: train the stages of a variant, sample, score and report, in one workdir.

Everything that is finished is skipped, so that the same command goes on after any
interruption.
"""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs, memory, parallel
from l2d_jax.adaptive import with_latent
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.checkpoints import (
    DIGEST,
    Checkpoints,
    check_place,
    differences,
    load_model,
    save_model,
)
from l2d_jax.compilation_cache import enable_compilation_cache
from l2d_jax.configs import SECTIONS, resolve
from l2d_jax.data import load_splits, read_array, split
from l2d_jax.files import FilePath, same_file, to_path, write_text
from l2d_jax.lock import locked
from l2d_jax.metric_writer import MetricWriter, NullWriter
from l2d_jax.metrics.sets import MIN_SAMPLES
from l2d_jax.progress import say, silence
from l2d_jax.results import generate, report, score
from l2d_jax.stages import is_given_latent
from l2d_jax.task import Task, prepare, with_values_of
from l2d_jax.train import fit as fit_stage
from l2d_jax.train import smaller_batch, too_large
from l2d_jax.types import InputError, Params, Splits
from l2d_jax.variants import ALL_STAGES, METHODS
from l2d_jax.workdir import (
    as_json,
    check_shared,
    describe,
    load,
    make_workdir,
    read_json,
    versions,
)

log = logging.getLogger(__name__)

Choice = Mapping[str, Any]  # of latent dimension and mask rate: latent.json
OWN = ("file", "array")  # data sets of the user
LONG = 200  # steps of a series that may be cut into windows
# %s: the error that it had
MADE_AGAIN = "nothing to do: the model is made again from the finished stages: %s"

# --- the whole program ----------------------------------------------------------------


def run(config: ConfigDict, workdir: str | FilePath) -> dict[str, Any]:
    """Trains, samples, scores and reports; returns what scores.json holds.

    Prints what was recognised in the data and chosen for it.

    Raises:
      InputError: the config, the data or the workdir can't be used.
    """
    enable_compilation_cache()
    config = resolve(config)
    with parallel.first_before_others("data prepared"):
        splits = load_splits(config.data)
    check_scorable(config, splits)
    workdir = to_path(workdir)
    check_own_file_kept(config, workdir)
    task = prepare(config, splits)
    config = task.config
    workdir = make_workdir(workdir)
    with locked(workdir):
        model = train(task, workdir)
        generate(model, workdir)
        with parallel.first_before_others("scored"):  # the others find it done
            scores = score(workdir, config, task.splits)
            if parallel.is_first():
                report(workdir, config, task.splits)
    return scores


def check_scorable(config: ConfigDict, splits: Splits) -> None:
    """Raises `InputError` where the scores would refuse the series after training."""
    if not config.evaluation.metrics:
        return
    parts = {"training": splits.train, "held-out": splits.test}
    for name, part in parts.items():
        if part is not None and len(part.lengths) < MIN_SAMPLES:
            longer = ""
            if config.data.name in OWN and part.series.shape[1] >= LONG:
                longer = "cut them into windows, --config.data.window=24, "
            raise InputError(
                f"there are {len(part.lengths)} {name} series, and scores take "
                f"{MIN_SAMPLES} or more, better thousands: {longer}add some, or do "
                "without scores, --config.evaluation.metrics='()'"
            )


def check_own_file_kept(config: ConfigDict, workdir: FilePath) -> None:
    """Raises `InputError` where samples would be written over the user's own file."""
    own = to_path(config.data.path)
    if config.data.path and own.stem == "samples" and same_file(own.parent, workdir):
        raise InputError(
            f"--config.data.path={own}: the run would write its samples over it; give "
            "the file another name, or name another --workdir"
        )


def fit(
    series: Any,
    *,
    workdir: str | FilePath | None = None,
    config: ConfigDict | None = None,
    verbose: bool = True,
) -> Cascade:
    """Trains a cascade on your own series, and prints what it found in them.

    Args:
      series: a set of series, [N, L, C] in any units, or a list of [L_i, C] of
        different lengths; a recording, [T, C] or [T], that is cut into windows; a
        DataFrame; or the path of a file, as for configs/own.py. Missing values are
        NaN; in an array [N, L, C], NaN after the last value of a series is its end.
      workdir: where checkpoints and metrics go, and where training goes on from; by
        default a temporary folder.
      config: as from `l2d_jax.configs.own.get_config()`; by default that.
      verbose: whether to print what was found and chosen, and how far training is.
        Warnings are logged in any case.

    Like `load` it turns on JAX's cache of compiled programs, for all programs of the
    process, unless you have set one (`compilation_cache.enable_compilation_cache`).

    Raises:
      InputError: the series or the config can't be used.

    Example, of a control that needs no training; without `config` it is the cascade:

    >>> walks = np.random.default_rng(0).normal(size=(100, 24, 2)).cumsum(axis=1)
    >>> config = configs.own.get_config("gaussian")
    >>> model = fit(walks, config=config, verbose=False)
    >>> model
    <Cascade gaussian: series of 24 steps x 2 channels, trained on 100>
    >>> model.sample(jax.random.key(0), 1000).shape
    (1000, 24, 2)
    """
    enable_compilation_cache()
    config = configs.own.get_config() if config is None else config
    if not {*configs.base.get_config()} <= {*config}:
        raise InputError(
            "config: give a whole one, l2d_jax.configs.own.get_config() with fields "
            "changed"
        )
    config = ConfigDict(config).copy_and_resolve_references()
    if isinstance(series, str | os.PathLike):
        config.data.update(name="file", path=os.fspath(series))
        config = resolve(config)
        splits = load_splits(config.data)
    else:
        config.data.update(name="array", path="")
        config = resolve(config)
        splits = split(read_array(series, config.data), config.data)
    with silence(not verbose):
        task = prepare(config, splits)
        if workdir is not None:
            workdir = make_workdir(workdir)
            with locked(workdir):
                return train(task, workdir)
        with tempfile.TemporaryDirectory() as folder:
            return train(task, Path(folder))


# --- training -------------------------------------------------------------------------


def train(task: Task, workdir: FilePath) -> Cascade:
    """The stages of the variant in order, each from where it was; then the model."""
    check_place(workdir)
    task, choice = with_chosen_latent(task, workdir)
    config, params = task.config, {}
    check_shared(workdir)
    variant = METHODS[config.variant]
    of_data = data_facts(task)
    facts = {name: stage_facts(config, name, of_data) for name in variant.stages}
    facts = facts or {config.variant: of_data}
    if model := finished(workdir, {"variant": config.variant, **of_data}, facts):
        write_config(config, choice, workdir)
        before, model = model, model_of(task, model.params)
        if not same_samples(before, model):
            model = with_values_of(model, task)
        elif model.config == before.config:
            return before
        else:  # it is scored otherwise
            model = replace(model, normalizer=before.normalizer)
        save(model, workdir, facts)
        return model
    if variant.stages:
        say(f"training: on {parallel.describe_devices()}")
    for name in variant.stages:
        params |= train_stage(name, task, params, facts[name], choice, workdir)
    write_config(config, choice, workdir)
    model = assemble(task, params)
    save(model, workdir, facts)
    return model


def assemble(task: Task, params: Params) -> Cascade:
    """The model whose stages exported `params`, in whichever loop they were trained.

    docs/extending.md has such a loop.
    """
    extras = METHODS[task.config.variant].extras
    params = params | extras(task.config, params, task.series)
    return with_values_of(model_of(task, params), task)


def model_of(task: Task, params: Params) -> Cascade:
    """These weights, in the units of the task and sampled as its config says."""
    config = FrozenConfigDict(task.config.to_dict())  # equal also if it was locked
    return Cascade(params, task.normalizer, config, task.layout)


def same_samples(one: Cascade, other: Cascade) -> bool:
    """Whether two models of the same weights make the same samples.

    They don't where the config changed in how it is sampled, or the data in what the
    weights don't see: its units, the names of its columns, its times. How many are
    made, and how many at once, is no part of it.
    """
    units = ("shift", "scale", "low", "high")
    settings, others = (
        (
            {**model.config.sampling, "num_samples": 0, "batch_size": 0},
            model.config.seed,
            model.layout,
        )
        for model in (one, other)
    )
    return settings == others and all(
        np.array_equal(getattr(one.normalizer, name), getattr(other.normalizer, name))
        for name in units
    )


def train_stage(
    name: str,
    task: Task,
    params: Params,
    facts: Mapping[str, Any],
    choice: Choice,
    workdir: FilePath,
) -> Params:
    """What a stage exports, after those whose `params` these are.

    Raises:
      InputError: out of memory; names the batch that fits.
    """
    config, c = task.config, task.config[SECTIONS[name]]
    calls = {"seed": config.seed, "steps_per_call": config.training.steps_per_call}
    stage = ALL_STAGES[name](config, task.layout.shape)
    if stage.start is not None:  # where the stages before it ended
        first = stage.start(params)
        stage = stage._replace(init=lambda key: first)

    def open_writer(first_step):
        write_config(config, choice, workdir)  # the checkpoints were accepted
        if not parallel.is_first():
            return NullWriter()
        return MetricWriter(
            workdir,
            name,
            first_step=first_step,
            num_steps=c.num_steps,
            batch=c.batch_size,
        )

    folder = workdir / "checkpoints" / name
    with Checkpoints(folder, facts, versions()) as checkpoints:
        make_examples = partial(stage.prepare, params, task.series)
        try:
            ema_params = fit_stage(
                stage,
                make_examples,
                c,
                **calls,
                checkpoint_every=config.training.checkpoint_every,
                checkpoints=checkpoints,
                open_writer=open_writer,
            )
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not memory.is_out_of_memory(error):
                raise
            memory.release(error)
            fitting = smaller_batch(stage, make_examples(), c, **calls)
            raise too_large(SECTIONS[name], c.batch_size, fitting) from None
    return stage.export(jax.tree.map(np.asarray, ema_params), task.series)


def write_config(config: ConfigDict, choice: Choice, workdir: FilePath) -> None:
    """config.json and latent.json, of a run that the workdir was accepted for."""
    if parallel.is_first():
        write_text(workdir / "config.json", as_json(describe(config)))
        if choice:
            write_text(workdir / "latent.json", as_json(choice))


def save(model: Cascade, workdir: FilePath, facts: Mapping[str, Any]) -> None:
    """The finished model; the one before stays until it is written."""
    save_model(
        workdir / "checkpoints" / "cascade",
        {"params": model.params, "normalizer": vars(model.normalizer)},
        {
            "config": model.config.to_dict(),
            "layout": as_facts(model.layout),
            "stages": facts,
        },
        versions(),
    )


def with_chosen_latent(task: Task, workdir: FilePath) -> tuple[Task, Choice]:
    """Latent dimension and mask rate chosen where the config leaves them open.

    What was chosen, and by what: to be kept in the workdir, from where the same command
    takes it. Empty where nothing was open.
    """
    c = task.config.encoder
    if "encoder" not in METHODS[task.config.variant].stages:
        return task, {}
    if c.latent_dim and c.mask_rate:
        return task, {}
    path = workdir / "latent.json"
    facts = fields_of(task.config, ["encoder", "latent_stage"]) | data_facts(task)
    asked = json.loads(json.dumps(facts))
    try:
        known = read_json(path, "it is made")
    except InputError:  # chosen, or chosen again
        known = {}
    if parallel.all_agree(known.get("asked") == asked):
        config = task.config.copy_and_resolve_references()
        config.encoder.update(known["chosen"])
        return replace(task, config=config), known
    config, candidates = with_latent(task.config, task.series)
    chosen = {name: config.encoder[name] for name in ("latent_dim", "mask_rate")}
    tried = [one._asdict() for one in candidates]
    for field in chosen:
        if not c[field]:
            say(f"data: {field} {chosen[field]:g}: --config.encoder.{field}")
    choice = {"asked": asked, "chosen": chosen, "tried": tried}
    return replace(task, config=config), choice


def as_facts(layout: Layout) -> dict[str, Any]:
    """For json, which would make a list of a named tuple."""
    form = layout.form and layout.form._asdict()
    return {**layout._asdict(), "form": form}


def finished(
    workdir: FilePath, made_of: Mapping[str, Any], facts: Mapping[str, Any]
) -> Cascade | None:
    """The workdir's model if its stages were trained with these facts; else None.

    Raises:
      InputError: it is of another variant, or of other data: `made_of` names both.
    """
    directory, saved = workdir / "checkpoints" / "cascade", {}
    try:
        saved = load_model(directory)[1]
    except InputError as error:
        if any(directory.glob("[0-9]*")):
            log.warning(MADE_AGAIN, error)
    if stages := saved.get("stages"):
        was = {**next(iter(stages.values())), "variant": saved["config"]["variant"]}
        if differing := differences(made_of, was, made_of):
            raise InputError(
                f"the model in {directory} was made with another config or data: "
                f"{differing}. Put it back, or take another --workdir"
            )
    if not parallel.all_agree(saved.get("stages") == json.loads(json.dumps(facts))):
        return None
    try:
        return load(workdir)
    except InputError as error:  # of another version
        log.warning(MADE_AGAIN, error)
        return None


def stage_facts(
    config: ConfigDict, name: str, of_data: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields, flat, that shape the weights of a stage, and a digest of the data."""
    names = METHODS[config.variant].stages
    before = names[: names.index(name)]
    # Stage 3 doesn't see stage 2.
    sections = [SECTIONS[one] for one in before if one != "latent"] + [SECTIONS[name]]
    facts = {**fields_of(config, sections), **of_data}
    if name == "data":
        facts["with a latent"] = is_given_latent(config)
    return facts


def fields_of(config: ConfigDict, sections: Sequence[str]) -> dict[str, Any]:
    """The fields of these sections, flat."""
    return {
        f"{section}.{field}": value
        for section in sections
        for field, value in config[section].items()
    }


def data_facts(task: Task) -> dict[str, Any]:
    """What shapes all weights."""
    config = task.config
    return {
        "seed": config.seed,
        "training.compute_dtype": config.training.compute_dtype,
        "data.scaler": config.data.scaler,
        "training series": list(task.series.shape),
        DIGEST: task.layout.digest,
    }
