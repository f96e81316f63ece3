"""Trains, samples and scores every method on every set: the paper's tables.

    python benchmarks/paper.py --sets=stock --methods=all --seeds=3 --out=R
    python benchmarks/compare.py R --metric=context_fid

A cell is a method, a set and a seed; each leaves one json file in --out: scores,
config, git commit, device, seconds, parameters. Cells that are there are skipped, and
one that was cut off goes on where it was, in its workdir below --workdirs. Several
processes may make a table: a cell that another one is making is left to it.

Methods: `all` (the cascade, the baselines, the controls), `variants` (the ablation
table of the paper and a single stage of equal size), or the arguments of a config, by
name, each with fields if need be: full+data_stage.condition=add.

--budget_minutes=M gives each cell M minutes of training, compilation included, on
whatever machine: a few steps of each stage are timed first (that time isn't counted),
and the number of steps is set so that the stage, with its whole schedule, ends within
its share (budgets.SHARES). Without it, training is as long as the config says. A share
that hardly covers the compilation leaves few steps: see the lines that begin with
"plan".

--sampling_minutes=M does the same for sampling: a chain of more steps than fit is cut
to those that do, though to no fewer than 5. By default it is as long as the budget,
without a budget without end: FourierDiffusion's 1,000 steps take hours on a CPU.
"""

import argparse
import ast
import json
import math
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from budgets import check_nothing_open, kept_plan, with_fitting_steps
from kept import count, one_line_errors, read_sets
from ml_collections import ConfigDict

from l2d_jax import configs
from l2d_jax.baselines import BASELINES
from l2d_jax.data import load_splits
from l2d_jax.files import write_text
from l2d_jax.lock import InUseError, locked
from l2d_jax.metric_writer import read_seconds
from l2d_jax.results import generate, parameters, score
from l2d_jax.run import train
from l2d_jax.task import prepare
from l2d_jax.types import InputError
from l2d_jax.variants import num_diffusion_steps, with_sampling
from l2d_jax.workdir import as_json, describe, make_workdir

GROUPS = {
    "all": ("full", *BASELINES),
    "variants": ("full", "latent_only", "data_only", "oracle_latent", "single_stage"),
}


class Method(NamedTuple):
    """What a cell trains: an argument of a config, and fields that differ."""

    name: str
    argument: str
    fields: dict[str, Any]


class Options(NamedTuple):
    """What is the same for all cells of a table, and kept with each."""

    budget_minutes: float | None
    metrics: tuple[str, ...]
    num_series: int
    num_repeats: int
    sampling_steps: int
    smoke: bool
    sampling_minutes: float | None = None


# --- what is asked for ----------------------------------------------------------------


def read_methods(text: str) -> list[Method]:
    """Of --methods: groups, arguments, and arguments with fields behind a plus."""
    found: dict[str, Method] = {}
    for name in filter(None, text.split(",")):
        for one in GROUPS.get(name, (name,)):
            argument, *fields = one.split("+")
            if argument not in configs.base.ARGUMENTS:
                known = ", ".join([*GROUPS, *(configs.base.ARGUMENTS)])
                raise InputError(f"--methods={one}: use some of {known}")
            pairs = [field.partition("=")[::2] for field in fields]
            found[one] = Method(one, argument, {key: value(v) for key, v in pairs})
    if not found:
        raise InputError("--methods: name one or more")
    return list(found.values())


def check_minutes(minutes: float | None, option: str) -> None:
    """Raises `InputError` for what is no time."""
    none_at_all = minutes == 0 and option == "budget_minutes"
    if minutes is not None and (none_at_all or not 0 <= minutes < math.inf):
        raise InputError(
            f"--{option}={minutes:g}: use a number above 0, or leave it out"
        )


def value(text: str) -> Any:
    """A number or True as such, all else as text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def put(config: ConfigDict, fields: dict[str, Any], where: str) -> None:
    """Sets fields, each by its sections and name: data_stage.width."""
    for path, new in fields.items():
        *sections, name = path.split(".")
        section: Any = config
        for one in sections:
            section = section.get(one, {}) if isinstance(section, ConfigDict) else {}
        if not isinstance(section, ConfigDict) or name not in section:
            raise InputError(f"{where}: there is no field {path!r} in configs/base.py")
        try:
            section[name] = new
        except TypeError as error:
            raise InputError(f"{where}: {path}={new!r}: {error}") from None


def make_config(method: Method, name: str, seed: int, options: Options) -> ConfigDict:
    """The config of a cell, but for its budget."""
    arguments = [method.argument, *(["smoke"] if options.smoke else [])]
    config = configs.load(name).get_config(",".join(reversed(arguments)))
    config.sampling.match_quantiles = False  # as of baselines: methods are compared
    put(config, method.fields, f"--methods={method.name}")
    for field in method.fields:
        if field == "seed" or field.startswith("evaluation."):
            raise InputError(f"--methods={method.name}: {field} is that of all cells")
        section, _, last = field.rpartition(".")
        if options.budget_minutes and last == "num_steps" and section != "sampling":
            raise InputError(
                f"--methods={method.name}: {field} is what --budget_minutes sets: "
                "leave one of them out"
            )
    configs.check_used(config, method.fields)
    config.seed = seed
    config.evaluation.update(
        metrics=options.metrics,
        num_series=options.num_series,
        num_repeats=options.num_repeats,
    )
    config = configs.resolve(config)
    now = config.sampling.num_steps or num_diffusion_steps(config)
    if 0 < options.sampling_steps < now:
        steps = with_sampling(config, num_steps=options.sampling_steps).sampling
        config.sampling.update(steps.to_dict())
    if options.budget_minutes:
        check_nothing_open(config)
    return config


# --- a cell ---------------------------------------------------------------------------


def run_cell(
    method: Method, name: str, seed: int, *, options: Options, workdir: Path
) -> dict[str, Any]:
    """What its json file holds."""
    workdir = make_workdir(workdir)
    config = make_config(method, name, seed, options)
    task = prepare(config, load_splits(config.data))
    planned = None
    if options.budget_minutes:
        planned = kept_plan(task, options.budget_minutes, workdir)
        put(task.config, planned["fields"], "plan.json")
    model = train(task, workdir)
    if options.sampling_minutes:
        model = with_fitting_steps(model, task, options.sampling_minutes, workdir)
    start = time.perf_counter()
    sampled = (workdir / "samples.npz").exists()
    generate(model, workdir)
    sampling = None if sampled else time.perf_counter() - start
    scores = score(workdir, task.config, task.splits)
    scores.pop("settings", None)
    told = describe(task.config)
    return {
        "method": method.name,
        "set": name,
        "seed": seed,
        "scores": scores,
        "options": options._asdict(),
        "budget": planned and planned["measured"],
        "seconds of training": read_seconds(workdir / "metrics.jsonl"),
        "seconds of sampling": sampling,  # null: done before the cell was cut off
        "parameters": parameters(model),
        **told,
    }


def is_done(path: Path, options: Options) -> bool:
    """Whether the file of a cell is there and whole.

    One that was sampled without a limit, in less than `options` allow, is as with it.

    Raises:
      InputError: it isn't a cell, or was made with other options.
    """
    if not path.exists():
        return False
    try:
        cell = json.loads(path.read_text())
        found, seconds = Options(**cell["options"]), cell["seconds of sampling"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a cell, remove it") from None
    limit = options.sampling_minutes
    in_time = limit and seconds is not None and seconds <= 60.0 * limit
    if in_time and not found.sampling_minutes:
        found = found._replace(sampling_minutes=limit)
    wanted = json.loads(json.dumps(options._asdict()))
    differing = [name for name, is_ in found._asdict().items() if wanted[name] != is_]
    if differing:
        raise InputError(
            f"{path}: made with other options ({', '.join(differing)}): use the same, "
            "or another --out"
        )
    return True


def run_all(
    methods: list[Method],
    names: list[str],
    seeds: Sequence[int],
    *,
    options: Options,
    out: Path,
    workdirs: Path,
) -> list[str]:
    """Every cell that isn't there yet; what went wrong, a line for each that failed.

    Raises:
      InputError: before the first of them, for what can be known by then.
    """
    cells = {  # a whole table early, then the next seed
        f"{method.name}__{name}__{seed}".replace("/", "_"): (method, name, seed)
        for seed in seeds
        for name in names
        for method in methods
    }
    for cell, one in cells.items():
        make_config(*one, options)
        is_done(out / f"{cell}.json", options)
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for cell, (method, name, seed) in cells.items():
        path = out / f"{cell}.json"
        if is_done(path, options):
            print(f"{cell}: done before", flush=True)
            continue
        print(f"{cell}: begins", flush=True)
        workdir = workdirs / cell
        try:
            with locked(make_workdir(workdir)):
                if not is_done(path, options):  # by another process, meanwhile
                    found = run_cell(
                        method, name, seed, options=options, workdir=workdir
                    )
                    write_text(path, as_json(found))
        except InUseError as error:
            print(f"{cell}: being made by another process: {error}", flush=True)
        except InputError as error:
            failed.append(f"{cell}: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
        except Exception as error:  # the others go on
            traceback.print_exception(error)
            failed.append(f"{cell}: {type(error).__name__}: {error}")
        jax.clear_caches()  # each program holds memory
    return failed


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", required=True, help="names of configs, by commas")
    parser.add_argument("--methods", default="all", help="as above, by commas")
    parser.add_argument("--seeds", type=count, default=3, help="how many, in a row")
    parser.add_argument("--first_seed", type=int, default=0, help="of them")
    parser.add_argument("--budget_minutes", type=float, help="of training, a cell")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells")
    parser.add_argument("--workdirs", type=Path, help="default: OUT with _runs behind")
    parser.add_argument("--metrics", default="all", help="by commas")
    parser.add_argument(
        "--num_series",
        type=int,
        default=0,
        help="real ones that are scored, and as many are generated; 0: all",
    )
    parser.add_argument("--num_repeats", type=count, default=5, help="of each score")
    parser.add_argument(
        "--sampling_steps",
        type=int,
        default=0,
        help="at most so many in a chain, 0: all",
    )
    parser.add_argument(
        "--sampling_minutes",
        type=float,
        help="a cell, at most; default: as --budget_minutes; 0: no limit",
    )
    parser.add_argument("--smoke", action="store_true", help="tiny networks")
    args = parser.parse_args(arguments)
    options = Options(
        budget_minutes=args.budget_minutes,
        metrics=tuple(filter(None, args.metrics.split(","))),
        num_series=args.num_series,
        num_repeats=args.num_repeats,
        sampling_steps=args.sampling_steps,
        smoke=args.smoke,
        sampling_minutes=args.budget_minutes
        if args.sampling_minutes is None
        else args.sampling_minutes or None,
    )
    with one_line_errors():
        for option in ("budget_minutes", "sampling_minutes"):
            check_minutes(getattr(args, option), option)
        methods = read_methods(args.methods)
        names = read_sets(args.sets)
        failed = run_all(
            methods,
            names,
            range(args.first_seed, args.first_seed + args.seeds),
            options=options,
            out=args.out,
            workdirs=args.workdirs or args.out.with_name(f"{args.out.name}_runs"),
        )
    if failed:
        sys.exit(f"{len(failed)} cells failed; the same command tries them again")


if __name__ == "__main__":
    main()
