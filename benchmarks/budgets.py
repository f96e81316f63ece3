"""How many steps fit into the minutes of a cell of `paper.py`: timed, then planned."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from ml_collections import ConfigDict

from l2d_jax import parallel, train
from l2d_jax.cascade import Cascade
from l2d_jax.configs import SECTIONS
from l2d_jax.files import write_text
from l2d_jax.results import num_samples
from l2d_jax.stages import Stage
from l2d_jax.task import Task
from l2d_jax.types import InputError
from l2d_jax.variants import ALL_STAGES, METHODS, num_diffusion_steps
from l2d_jax.workdir import as_json

# Of a cell's budget, over the stages that a method has.
SHARES = {
    "encoder": 0.15,
    "latent": 0.15,
    "data": 0.7,
    "time_gan_embedding": 0.1,
    "time_gan_supervised": 0.1,
    "time_gan_joint": 0.8,
}
SPARE = 0.95  # of a share is planned for; the rest is for batches and checkpoints
PROBE_STEPS = 10  # in a call that is timed
PROBE_ROWS = 512  # training series that it sees
SECONDS_PER_CALL = 5.0
SECONDS_PER_CHECKPOINT = 60.0
PROBE_CHAINS = (2, 4)  # steps of the chains that are timed
MIN_CHAIN = 5  # steps: no budget cuts a chain to fewer

Plan = dict[str, Any]


def check_nothing_open(config: ConfigDict) -> None:
    """Raises `InputError` where training begins with a choice, which takes its time."""
    c, stages = config.encoder, METHODS[config.variant].stages
    if "encoder" in stages and not (c.latent_dim and c.mask_rate):
        raise InputError(
            "--budget_minutes needs encoder.latent_dim and encoder.mask_rate, and one "
            "of them is to be chosen (0): give a number, or no budget"
        )


def plan(task: Task, minutes: float) -> Plan:
    """Fields of the config with which training takes so long, and what was measured."""
    config, params, key = task.config, {}, jax.random.key(0)
    rows = task.series[:PROBE_ROWS]
    names = METHODS[config.variant].stages
    total = sum(SHARES.get(name, 1.0) for name in names)
    fields: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for name in names:
        stage = ALL_STAGES[name](config, task.layout.shape)
        c, share = config[SECTIONS[name]], SHARES.get(name, 1.0) / total
        compilation, step = seconds(stage, stage.prepare(params, rows), c)
        params |= stage.export(jax.jit(stage.init)(key), rows)
        left = SPARE * share * 60.0 * minutes - compilation
        measured[name] = {
            "share": share,
            "seconds of compilation": compilation,
            "seconds of a step": step,
            "steps": max(int(left / step), 1),
        }
    if measured:
        slowest = max(found["seconds of a step"] for found in measured.values())
        for field, period, most in (
            ("steps_per_call", SECONDS_PER_CALL, config.training.steps_per_call),
            ("checkpoint_every", SECONDS_PER_CHECKPOINT, 100_000),
        ):
            fields[f"training.{field}"] = min(max(int(period / slowest), 1), most)
    for name, found in measured.items():
        c, a_call = config[SECTIONS[name]], fields["training.steps_per_call"]
        found["steps"] = whole_calls(found["steps"], a_call)
        for field, scaled in stretched(c, found["steps"]).items():
            fields[f"{SECTIONS[name]}.{field}"] = scaled
        print(
            f"plan: {name} {found['steps']:,} steps, {found['seconds of a step']:.3g} "
            f"s each after {found['seconds of compilation']:.0f} s of compilation; "
            f"{c.num_steps:,} in the config",
            flush=True,
        )
    return {"minutes": minutes, "fields": fields, "measured": measured}


def whole_calls(num_steps: int, a_call: int) -> int:
    """The steps but those of a last shorter call, which would be compiled again."""
    return num_steps // a_call * a_call or num_steps


def seconds(stage: Stage, examples: Any, c: ConfigDict) -> tuple[float, float]:
    """Of compilation, and of one step; the median of some calls."""
    program = train.make_program(stage, c, seed=0)
    state = parallel.replicate(train.init_state(stage, c, seed=0))
    batches = train.batches(examples, 0, PROBE_STEPS, batch_size=c.batch_size, seed=0)
    times = []
    with no_kept_programs():
        for _ in range(4):
            start = time.perf_counter()
            state, metrics = program(state, batches)
            jax.block_until_ready(metrics)
            times.append(time.perf_counter() - start)
    step = float(np.median(times[1:])) / PROBE_STEPS
    return max(times[0] - step * PROBE_STEPS, 0.0), step


@contextmanager
def no_kept_programs() -> Generator[None, None, None]:
    """Compiles what a cell will have to: its own programs are never in the cache."""
    before = jax.config.jax_enable_compilation_cache
    for kept in (False, before):
        jax.config.update("jax_enable_compilation_cache", kept)
        compilation_cache.reset_cache()
        if not kept:
            yield


def stretched(c: ConfigDict, num_steps: int) -> dict[str, Any]:
    """The schedule of a stage over another number of steps: the same shape.

    But warm-up stays as long as it was, up to a quarter of the steps: with a few dozen,
    FourierDiffusion's ten layers learn nothing.
    """
    ratio = num_steps / c.num_steps
    fields: dict[str, Any] = {"num_steps": num_steps}
    if "patience" in c:
        fields["patience"] = min(round(c.patience * ratio), c.patience)
    if "warmup_steps" in c:
        fields["warmup_steps"] = min(c.warmup_steps, num_steps // 4)
    if "decay_rate" in c:
        fields["decay_rate"] = float(c.decay_rate ** (1.0 / ratio))
    return fields


def kept_plan(task: Task, minutes: float, workdir: Path) -> Plan:
    """The plan of a cell: of one that was cut off, the one that it began with."""
    sections = {SECTIONS[name] for name in METHODS[task.config.variant].stages}
    of = {name: task.config[name].to_dict() for name in sorted(sections)}
    return read_or_make(workdir / "plan.json", minutes, of, lambda: plan(task, minutes))


def read_or_make(
    path: Path, minutes: float, of: dict[str, Any], make: Callable[[], Plan]
) -> Plan:
    """The plan in a file; made, and written there, where none is `of` the same.

    Raises:
      InputError: it is for another number of minutes.
    """
    found = json.loads(path.read_text()) if path.exists() else {}
    if found.get("minutes", minutes) != minutes:
        raise InputError(
            f"{path} is a plan for {found['minutes']:g} minutes, and {minutes:g} are "
            "asked for: use another --workdirs"
        )
    if not found or found.get("of", of) != of:
        found = make() | {"of": of}
        write_text(path, as_json(found))
    return found


def fitting_steps(model: Cascade, n: int, minutes: float) -> int:
    """Steps of the chain with which n series take so long; all of them at the most."""
    config = model.config
    steps = config.sampling.num_steps or num_diffusion_steps(config)
    if steps <= MIN_CHAIN:
        return steps
    rows = min(n, parallel.sampling_batch_size(config) * jax.device_count())
    few, more = PROBE_CHAINS
    times = [seconds_of_sampling(model, rows, num_steps) for num_steps in PROBE_CHAINS]
    a_step = max((times[1] - times[0]) / (more - few), 1e-9)
    left = 60.0 * minutes * rows / n - times[0]
    fitting = few + int(left / a_step)
    if fitting >= steps:
        return steps
    fitting = max(fitting, MIN_CHAIN)
    print(
        f"plan: sampling takes {fitting:,} of {steps:,} steps, {a_step:.3g} s each for "
        f"{rows:,} series",
        flush=True,
    )
    return fitting


def seconds_of_sampling(model: Cascade, n: int, num_steps: int) -> float:
    """Of n series, without compilation."""
    times = []
    for seed in range(2):
        start = time.perf_counter()
        model.sample(jax.random.key(seed), n, num_steps=num_steps)
        times.append(time.perf_counter() - start)
    return times[1]


def with_fitting_steps(
    model: Cascade, task: Task, minutes: float, workdir: Path
) -> Cascade:
    """The model with the steps that fit; of a cell that was cut off, those it had."""
    num_series = num_samples(model)
    now = model.config.sampling.num_steps or num_diffusion_steps(model.config)

    def make():
        return {"minutes": minutes, "steps": fitting_steps(model, num_series, minutes)}

    of = {"series": num_series, "steps": now}
    found = read_or_make(workdir / "sampling_plan.json", minutes, of, make)
    if found["steps"] < now:
        model = model.with_sampling(num_steps=found["steps"])
        task.config.sampling.update(model.config.sampling.to_dict())
    return model
