"""A run: train the stages of a variant, sample, score and report, in one workdir.

Everything that is finished is skipped, so that the same command goes on after any
interruption.
"""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs, memory, parallel
from l2d_jax.adaptive import with_latent
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.checkpoints import Checkpoints, load_model, save_model
from l2d_jax.configs import SECTIONS, resolve, with_equal_size, with_sizes
from l2d_jax.data import ModelSpace, Normalizer, load_splits, read_array, split
from l2d_jax.data.repeats import Share, held_below, repeat_shares
from l2d_jax.files import FilePath, absolute, same_file, to_path, write_text
from l2d_jax.lock import locked
from l2d_jax.logbook import Logbook, Silent
from l2d_jax.metrics.sets import MIN_SAMPLES
from l2d_jax.programs import keep_programs
from l2d_jax.results import generate, read_json, report, score
from l2d_jax.train import fit as fit_stage
from l2d_jax.train import smaller_batch, too_large
from l2d_jax.types import Examples, InputError, Params, Splits, is_ragged
from l2d_jax.variants import ALL_STAGES, METHODS
from l2d_jax.workdir import (
    as_json,
    check_shared,
    describe,
    load,
    make_workdir,
    versions,
)

log = logging.getLogger(__name__)

Choice = Mapping[str, Any]  # of latent dimension and mask rate: latent.json

# --- the whole program ----------------------------------------------------------------


def run(config: ConfigDict, workdir: str | FilePath) -> dict[str, Any]:
    """Trains, samples, scores and reports; returns what scores.json holds.

    Prints what was recognised in the data and chosen for it.

    Raises:
      InputError: the config, the data or the workdir can't be used.
    """
    keep_programs()
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
            raise InputError(
                f"there are {len(part.lengths)} {name} series, and scores take "
                f"{MIN_SAMPLES} or more, better thousands: add some, or do without "
                "scores, --config.evaluation.metrics='()'"
            )


def check_own_file_kept(config: ConfigDict, workdir: FilePath) -> None:
    """Raises `InputError` where samples would be written over the user's own file."""
    own = Path(config.data.path).expanduser()
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
) -> Cascade:
    """Trains a cascade on your own series, and prints what it found in them.

    Args:
      series: a set of series, [N, L, C] in any units, or a list of [L_i, C] of
        different lengths; a recording, [T, C] or [T], that is cut into windows; a
        pandas table; or the path of a file, as for configs/own.py. Missing values are
        NaN; in an array [N, L, C], NaN after the last value of a series is its end.
      workdir: where checkpoints and metrics go, and where training goes on from; by
        default a temporary folder.
      config: as from `l2d_jax.configs.own.get_config()`; by default that.

    Raises:
      InputError: the series or the config can't be used.

    Example:
      model = l2d_jax.fit(np.load("mine.npy"), workdir="runs/mine")
      x = model.sample(jax.random.key(0), 1000)
    """
    keep_programs()
    config = configs.own.get_config() if config is None else config
    if not {*configs.base.get_config()} <= {*config}:
        raise InputError(
            "config: give a whole one, l2d_jax.configs.own.get_config() with fields "
            "changed"
        )
    config = ConfigDict(config).copy_and_resolve_references()
    if isinstance(series, str | Path):
        config.data.update(name="file", path=str(series))
        config = resolve(config)
        splits = load_splits(config.data)
    else:
        config.data.update(name="array", path="")
        config = resolve(config)
        splits = split(read_array(series, config.data), config.data)
    task = prepare(config, splits)
    if workdir is not None:
        workdir = make_workdir(workdir)
        with locked(workdir):
            return train(task, workdir)
    with tempfile.TemporaryDirectory() as folder:
        return train(task, Path(folder))


# --- data -----------------------------------------------------------------------------


LOOKED_AT = 2_000  # training series, in search of outliers and repeats
GENERATED = 1_000  # series, to find which of their differences are none


@dataclass(frozen=True)
class Task:
    """What a run trains on."""

    config: ConfigDict
    splits: Splits
    normalizer: Normalizer
    layout: Layout
    series: ModelSpace  # [N, L, C] in model space, made when it is taken
    held_shares: Share  # of the steps of each channel that stand still


def prepare(config: ConfigDict, splits: Splits) -> Task:
    """Fits the normaliser on the training series; prints what was found and chosen."""
    train_set, channels = splits.train, splits.channels
    length = train_set.series.shape[1]
    notes, ragged = list(splits.notes), is_ragged(train_set)
    some = few_examples(train_set)
    shares = held_shares(some, splits, config.sampling.repeats_from)
    shape = length, len(channels) + ragged
    config, sizes = with_sizes(config, shape)
    config, equal = with_equal_size(config, shape)
    if config.data.path:  # the same from any working directory
        config.data.path = str(absolute(config.data.path))
    notes += sizes + equal + unlikely_shapes(splits) + standing(channels, shares)
    normalizer = Normalizer.fit(train_set, config.data.scaler, channels)
    for note in [*notes, *outliers(some, channels, normalizer)]:
        parallel.say(f"data: {note}")
    series = ModelSpace(train_set, normalizer, ragged)
    layout = Layout(
        length=length,
        channels=channels,
        ragged=ragged,
        min_length=int(train_set.lengths.min()),
        num_series=len(train_set.lengths),
        digest=series.digest(),
        form=splits.form,
    )
    return Task(config, splits, normalizer, layout, series, shares)


def few_examples(examples: Examples) -> Examples:
    """A random choice of `LOOKED_AT`, always the same; without labels."""
    count = len(examples.lengths)
    index = np.sort(np.random.default_rng(0).permutation(count)[:LOOKED_AT])
    return Examples(examples.series[index], examples.lengths[index])


def held_shares(some: Examples, splits: Splits, least: float) -> Share:
    """Shares of steps that repeat the value before; 0 where they are below `least`.

    And where values are whole numbers, that repeat by being rounded; 1: all are 0.
    """
    shares = repeat_shares(some)
    shares[shares < least] = 0.0
    if splits.form is not None:
        shares[list(splits.form.integers)] = 0.0
    return shares if least < 1.0 else np.zeros_like(shares)


def standing(channels: Sequence[str], shares: Share) -> list[str]:
    """A note on the channels that stand still for many steps."""
    names = [
        f"{name!r} ({share:.0%})"
        for name, share in zip(channels, shares, strict=True)
        if share
    ]
    if not names:
        return []
    return [
        "steps that repeat the value before, as those of samples will in "
        f"{', '.join(names)}: --config.sampling.repeats_from"
    ]


def outliers(
    some: Examples, channels: Sequence[str], normalizer: Normalizer
) -> list[str]:
    """A note for each channel in which a few values make nearly all of the range."""
    notes = []
    for c, name in enumerate(channels):
        values = some.series[..., c][~np.isnan(some.series[..., c])]
        if not len(values):
            continue
        low, high = np.quantile(values, [0.005, 0.995])
        least, most = float(normalizer.low[c]), float(normalizer.high[c])
        if high - low < 0.01 * (most - least):
            notes.append(
                f"channel {name!r}: 99 % of its values lie between {low:.6g} and "
                f"{high:.6g}, all between {least:.6g} and {most:.6g}: where the others "
                "are faults, or marks of missing values, make them empty"
            )
    return notes


def unlikely_shapes(splits: Splits) -> list[str]:
    """A note where axes may be the wrong way round."""
    length, count = splits.train.series.shape[1], len(splits.channels)
    if count <= 2 * length:
        return []
    return [
        f"more channels ({count}) than steps ({length}): is the array transposed, or a "
        "table with a series in each row? Arrays are [series, steps, channels]"
    ]


# --- training -------------------------------------------------------------------------


def train(task: Task, workdir: FilePath) -> Cascade:
    """The stages of the variant in order, each from where it was; then the model."""
    task, choice = with_chosen_latent(task, workdir)
    config, params = task.config, {}
    check_shared(workdir)
    variant = METHODS[config.variant]
    of_data = data_facts(task)
    facts = {name: stage_facts(config, name, of_data) for name in variant.stages}
    facts = facts or {config.variant: of_data}
    if model := finished(workdir, {"variant": config.variant, **of_data}, facts):
        write_config(config, choice, workdir)
        before, model = model, replace(model, config=FrozenConfigDict(config))
        if before.config != model.config:  # in how it is sampled or scored
            model = with_repeats(model, task.held_shares)
            save(model, workdir, facts)
        return model
    for name in variant.stages:
        params |= train_stage(name, task, params, facts[name], choice, workdir)
    params |= variant.extras(config, params, task.series)
    write_config(config, choice, workdir)
    model = Cascade(params, task.normalizer, FrozenConfigDict(config), task.layout)
    model = with_repeats(model, task.held_shares)
    save(model, workdir, facts)
    return model


def with_repeats(model: Cascade, shares: Share) -> Cascade:
    """The model whose samples repeat the value before at these shares of steps.

    Sampled as its config says: with other steps the shares are nearly these.
    """
    normalizer = replace(model.normalizer, held_below=np.zeros(len(shares), np.float32))
    model = replace(model, normalizer=normalizer)
    if not shares.any():
        return model
    key = jax.random.fold_in(jax.random.key(model.config.seed), 1)
    parts = [part.series for part in model.sample_batches(key, GENERATED)]
    limits = held_below(np.concatenate(parts), shares)
    return replace(model, normalizer=replace(normalizer, held_below=limits))


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
    steps_per_call = config.training.steps_per_call
    stage = ALL_STAGES[name](config, task.layout.shape)
    if stage.start is not None:  # where the stages before it ended
        first = stage.start(params)
        stage = stage._replace(init=lambda key: first)

    def open_logbook(first_step):
        write_config(config, choice, workdir)  # the checkpoints were accepted
        if not parallel.is_first():
            return Silent()
        return Logbook(
            workdir,
            name,
            first_step=first_step,
            num_steps=c.num_steps,
            batch=c.batch_size,
        )

    folder = workdir / "checkpoints" / name
    with Checkpoints(folder, facts, versions()) as checkpoints:
        examples = stage.prepare(params, task.series)
        try:
            ema_params = fit_stage(
                stage,
                examples,
                c,
                seed=config.seed,
                steps_per_call=steps_per_call,
                checkpoint_every=config.training.checkpoint_every,
                checkpoints=checkpoints,
                open_logbook=open_logbook,
            )
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not memory.is_out_of_memory(error):
                raise
            memory.release(error)
            fitting = smaller_batch(
                stage, examples, c, seed=config.seed, steps_per_call=steps_per_call
            )
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
    if parallel.agree(known.get("asked") == asked):
        config = task.config.copy_and_resolve_references()
        config.encoder.update(known["chosen"])
        return replace(task, config=config), known
    config, candidates = with_latent(task.config, task.series)
    chosen = {name: config.encoder[name] for name in ("latent_dim", "mask_rate")}
    tried = [one._asdict() for one in candidates]
    for field in chosen:
        if not c[field]:
            parallel.say(f"data: {field} {chosen[field]:g}: --config.encoder.{field}")
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
            log.warning("made again from the finished stages: %s", error)
    if stages := saved.get("stages"):
        was = {**next(iter(stages.values())), "variant": saved["config"]["variant"]}
        differing = [
            f"{name} was {was.get(name)!r} and is {value!r}"
            for name, value in made_of.items()
            if was.get(name) != value
        ]
        if differing:
            raise InputError(
                f"the model in {directory} was made with another config or data: "
                f"{'; '.join(differing)}. Put it back, or take another --workdir"
            )
    if not parallel.agree(saved.get("stages") == json.loads(json.dumps(facts))):
        return None
    try:
        return load(workdir)
    except InputError as error:  # of another version
        log.warning("made again from the finished stages: %s", error)
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
        facts["with a latent"] = config.variant != "data_only"
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
        "digest of the training series": task.layout.digest,
    }
