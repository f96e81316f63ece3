"""Quality against solver steps: the cascade, and the same network without the latent.

    python benchmarks/few_steps.py --sets=stock,japanese_vowels --out=runs/few_steps

For each set two models: RUNS/NAME (configs/NAME.py) and RUNS/NAME_data_only (the same
data stage alone; RUNS: --runs), trained where they are not there yet. Each is sampled
with the same keys by every solver and number of steps, and scored against as many real
series by the same encoders: Context-FID, FID of random convolutions, spectral distance
and, given two channels or more, the discriminative score (one classifier a seed), means
over the seeds. In the rows of the data chain the latent chain takes 20 steps of
DPM-Solver++; in those of the latent chain the data chain takes 5.

Seconds are the median over the seeds, without compilation, for all series together,
both chains. A row that is in --out is not run again, but for scores that it lacks and,
with --time_again, its seconds; other numbers of series, seeds and encoders than a set's
rows have are refused. Results: few_steps.json, .md and .png in --out.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from kept import (
    check_same,
    command_of,
    count,
    made_here,
    one_line_errors,
    read_sets,
    with_also,
)

from l2d_jax import configs
from l2d_jax.cascade import Cascade
from l2d_jax.configs import resolve
from l2d_jax.data import load_splits
from l2d_jax.data.ragged import comparable
from l2d_jax.files import whole_file, write_text
from l2d_jax.lock import locked
from l2d_jax.metrics import evaluate
from l2d_jax.metrics.context_fid import encode, train_encoders
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.sets import sets_of
from l2d_jax.results import real_sets
from l2d_jax.run import train
from l2d_jax.task import prepare
from l2d_jax.types import tree_size
from l2d_jax.variants import METHODS
from l2d_jax.workdir import make_workdir

Scores = dict[str, float]

SCORES = {
    "context_fid": "Context-FID",
    "random_convolution_fid": "random-convolution FID",
    "spectral_distance": "spectral distance",
    "discriminative_score": "discriminative score",
}
DPM, SDE, DDIM, ANCESTRAL = "dpm_solver++", "sde_dpm_solver++", "ddim", "ancestral"
# chain, solver, steps
DATA_ROWS = [
    *(("data", DPM, steps) for steps in (1, 2, 3, 5, 10, 20, 100)),
    *(("data", SDE, steps) for steps in (5, 10, 20)),
    *(("data", DDIM, steps) for steps in (5, 10)),
    ("data", ANCESTRAL, 100),
]
LATENT_ROWS = [
    *(("latent", DPM, steps) for steps in (1, 2, 3, 5, 10, 20, 50, 100)),
    *(("latent", DDIM, steps) for steps in (5, 10, 20)),
    *(("latent", ANCESTRAL, steps) for steps in (20, 100)),
]
VARIANTS = {"full": DATA_ROWS + LATENT_ROWS, "data_only": DATA_ROWS}
SETS_ABREAST = 4  # in the picture, so that it can be read on a page


# --- models ---------------------------------------------------------------------------


def model_of(name: str, variant: str, runs: Path, compute_dtype: str) -> Cascade:
    """The trained model, from its workdir or trained there."""
    config = configs.load(name).get_config("" if variant == "full" else variant)
    config.training.compute_dtype = compute_dtype
    config.sampling.match_quantiles = False  # so that nothing hides what a chain does
    config = resolve(config)
    task = prepare(config, load_splits(config.data))
    name = name if variant == "full" else f"{name}_{variant}"
    folder = make_workdir(runs / name)
    with locked(folder):
        return train(task, folder)


def settings_of(variant: str, chain: str, solver: str, steps: int) -> dict[str, Any]:
    """Arguments of `Cascade.sample`; of the other chain, the fast setting."""
    data, latent = (solver, steps), (DPM, 20)
    if chain == "latent":
        data, latent = (DPM, 5), (solver, steps)
    settings = {
        "solver": data[0],
        "num_steps": data[1],
        "latent_solver": latent[0],
        "latent_num_steps": latent[1],
    }
    known = METHODS[variant].settings
    return {name: value for name, value in settings.items() if name in known}


# --- scores ---------------------------------------------------------------------------


def make_score(real: Any, *, repeats: int) -> Callable[[Any], float]:
    """series -> mean Context-FID over encoders that are trained once."""
    real_scaled = sets_of(real, real).real
    encoders = train_encoders(real_scaled, num_repeats=repeats, seed=0)
    of_real = encode(encoders, real_scaled)

    def score(x) -> float:
        generated = sets_of(real, x).generated
        pairs = zip(of_real, encode(encoders, generated), strict=True)
        return float(np.mean([frechet_distance(*pair) for pair in pairs]))

    return score


def names_of_scores(real: Any) -> list[str]:
    """Those that are defined: one channel has no discriminative score."""
    names = list(SCORES)
    if real[0].shape[-1] == 1:
        names.remove("discriminative_score")
    return names


def measure(
    model: Cascade,
    real: Any,
    make_context_fid: Callable[[], Callable[[Any], float]],
    settings: dict[str, Any],
    before: list[Scores],
) -> dict[str, Any]:
    """Scores of one setting, one a seed: those that `before` lacks, and their means."""
    found: list[Scores] = []
    for seed, scores in enumerate(before):
        lacking = [name for name in names_of_scores(real) if name not in scores]
        if lacking:
            x = model.sample(jax.random.key(seed), len(real), **settings)
            if "context_fid" in lacking:
                scores = scores | {"context_fid": make_context_fid()(x)}
            fine = [name for name in lacking if name != "context_fid"]
            new = evaluate(real, x, metrics=fine, num_repeats=1)
            scores = scores | {name: float(new[name]["mean"]) for name in fine}
        found.append(scores)
    return {
        **{name: float(np.mean([one[name] for one in found])) for name in found[0]},
        "of each seed": found,
    }


def seconds(
    model: Cascade, count: int, settings: dict[str, Any], *, seeds: int
) -> float:
    """Median over the seeds to sample so many series, without compilation."""
    model.sample(jax.random.key(0), count, **settings)
    times = []
    for seed in range(seeds):
        start = time.perf_counter()
        model.sample(jax.random.key(seed), count, **settings)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


# --- the page -------------------------------------------------------------------------


def markdown(results: dict[str, Any]) -> str:
    """A table a set."""
    lines = ["# Quality against solver steps", ""]
    for name, one in results["sets"].items():
        lines += [f"## {name}, {one['series']:,} series", "", made_by(one), ""]
        shown = {
            key: head
            for key, head in SCORES.items()
            if any(key in row for row in one["rows"].values())
        }
        heads = ["model", "chain", "solver", "steps", *shown.values(), "seconds"]
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for key, row in one["rows"].items():
            values = [f"{row[name]:.4f}" if name in row else "" for name in shown]
            cells = [*key.split("|"), *values, f"{row['seconds']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def made_by(one: dict[str, Any]) -> str:
    """How the rows of a set were made."""
    return (
        f"Made by `{one['command']}` on {one['device']}, products in "
        f"{one['compute dtype']}, JAX {one['jax']}; {one['seeds']} seeds of sampling "
        f"of one training, {one['repeats']} encoders."
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """Context-FID against steps of the data chain, and below it against time, by set.

    Of sets with rows of both models, if there are any. Lines: DPM-Solver++. Stars: 100
    ancestral steps, as the paper has them.
    """
    from matplotlib.figure import Figure

    sets = results["sets"]
    both = {name: one for name, one in sets.items() if has_all(one)}
    sets = both or sets
    columns = min(len(sets), SETS_ABREAST)
    lines = math.ceil(len(sets) / columns)
    figure = Figure(figsize=(2.6 * columns, 4.8 * lines + 0.4))
    axes = figure.subplots(2 * lines, columns, squeeze=False)
    pairs = [pair for line in range(lines) for pair in axes[2 * line :][:2].T]
    for pair in pairs[len(sets) :]:
        for axis in pair:
            axis.set_axis_off()
    for column, (name, one) in zip(pairs, sets.items(), strict=False):
        for variant, label, color, marker in (
            ("full", "cascade", "#0072b2", "o"),
            ("data_only", "without the latent", "#d55e00", "s"),
        ):
            rows = sorted(
                (int(key.split("|")[3]), row)
                for key, row in one["rows"].items()
                if key.startswith(f"{variant}|data|{DPM}|")
            )
            fids = [row["context_fid"] for _, row in rows]
            style = {"marker": marker, "color": color, "label": label}
            column[0].plot([steps for steps, _ in rows], fids, **style)
            column[1].plot([row["seconds"] for _, row in rows], fids, **style)
            paper = one["rows"].get(f"{variant}|data|{ANCESTRAL}|100")
            if paper:
                star = {"marker": "*", "s": 140, "color": color, "zorder": 3}
                star["label"] = f"{label}, 100 ancestral"
                column[0].scatter(100, paper["context_fid"], **star)
                column[1].scatter(paper["seconds"], paper["context_fid"], **star)
        column[0].set(title=name, xlabel="steps of the data chain")
        column[1].set(xlabel=f"seconds for {one['series']:,} series")
        for axis in column:
            axis.set(xscale="log", yscale="log")
            axis.grid(alpha=0.3)
            plain_numbers(axis.xaxis)
            plain_numbers(axis.yaxis)
    for axis in axes[:, 0]:
        axis.set_ylabel("Context-FID")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0.6 / figure.get_figheight(), 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=2, fontsize=9)
    with whole_file(path) as picture:
        figure.savefig(picture, dpi=150, format="png")


def has_all(one: dict[str, Any]) -> bool:
    """Whether a set has rows of all variants."""
    return {key.split("|")[0] for key in one["rows"]} == {*VARIANTS}


def plain_numbers(axis: Any) -> None:
    """.01 and 100 on a logarithmic axis, and some between where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    between = (1, 2, 5) if high > 10 * low else (1, 2, 3, 4, 5, 6, 8)
    axis.set_major_locator(LogLocator(subs=between))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def save(results: dict[str, Any], folder: Path) -> None:
    """All three files."""
    write_text(folder / "few_steps.json", json.dumps(results, indent=1) + "\n")
    write_text(folder / "few_steps.md", markdown(results))
    draw(results, folder / "few_steps.png")


# --- the program ----------------------------------------------------------------------


def add_set(
    results: dict[str, Any], name: str, command: str, args: argparse.Namespace
) -> None:
    """The rows of a set that are not there yet, saved one by one."""
    config = configs.load(name).get_config()
    config.evaluation.num_series = args.num_series
    config.training.compute_dtype = args.compute_dtype
    real = comparable(real_sets(load_splits(config.data), config)[0])
    settings = {
        "series": len(real),
        "seeds": args.seeds,
        "repeats": args.repeats,
        "compute dtype": resolve(config).training.compute_dtype,
    }
    made = made_here(command=command)
    one = results["sets"].setdefault(name, {"rows": {}} | settings | made)
    check_same(one, settings, f"{args.out / 'few_steps.json'}, {name}")
    context_fid = lru_cache(partial(make_score, real, repeats=args.repeats))
    for variant in args.variants.split(","):
        model = model_of(name, variant, args.runs, args.compute_dtype)
        one[f"parameters of {variant}"] = tree_size(model.params)
        for row in VARIANTS[variant]:
            if row[0] not in args.chains.split(","):
                continue
            key = "|".join(map(str, (variant, *row)))
            found = complete_row(
                one["rows"].get(key, {}),
                model,
                real,
                context_fid,
                settings_of(variant, *row),
                args,
            )
            if found is None:
                continue
            one["rows"][key] = found
            one |= with_also(one, made)
            save(results, args.out)
            print(
                f"{name} {key:35} {found['context_fid']:.4f} {found['seconds']:8.2f} s",
                flush=True,
            )


def complete_row(
    row: dict[str, Any],
    model: Cascade,
    real: Any,
    make_context_fid: Callable[[], Callable[[Any], float]],
    settings: dict[str, Any],
    args: argparse.Namespace,
) -> dict[str, Any] | None:
    """The row with what it lacks; None where that is nothing."""
    before = row.get("of each seed", [{}] * args.seeds)
    found = row | measure(model, real, make_context_fid, settings, before)
    if found == row and not args.time_again:
        return None
    if "seconds" not in found or args.time_again:
        found["seconds"] = seconds(model, len(real), settings, seeds=args.seeds)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="stock,japanese_vowels")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("runs/few_steps"))
    parser.add_argument("--num_series", type=count, default=2000)
    parser.add_argument("--seeds", type=count, default=3, help="of sampling")
    parser.add_argument("--repeats", type=count, default=3, help="encoders")
    parser.add_argument("--compute_dtype", default="auto", help="of products")
    parser.add_argument("--chains", default="data,latent", help="whose rows")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--time_again", action="store_true", help="on a quiet machine")
    args = parser.parse_args(argv)
    for option, known in (("chains", ("data", "latent")), ("variants", VARIANTS)):
        if unknown := set(getattr(args, option).split(",")) - {*known}:
            parser.error(f"--{option}: {unknown.pop()!r}, use {', '.join(known)}")
    path = args.out / "few_steps.json"
    with one_line_errors(), locked(make_workdir(args.out)):
        results = json.loads(path.read_text()) if path.exists() else {"sets": {}}
        for name in read_sets(args.sets):
            command = command_of(__file__, parser, args, sets=name)
            add_set(results, name, command, args)
        if results["sets"]:  # of a call that was cut off between its files, too
            save(results, args.out)
    print(markdown(results))


if __name__ == "__main__":
    main()
