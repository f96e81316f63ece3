"""The page of the paper's tables, from the cells that `benchmarks/paper.py` left.

    python benchmarks/page.py R --sets=stock --methods=all

Writes FOLDER/tables.md: a table a set with the scores, how much of its full training
each method had, and its cost; what of --sets, --methods and --seeds was not run, by
name; and where the cells were made. The floor is that of half the series: it stands in
the column of as many generated ones, where a score has one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from cells import budget_of
from compare import (
    NOT_RUN,
    UNDEFINED,
    check_budgets,
    check_numbers,
    entry_of,
    grid,
    plain,
    written,
)
from kept import count, one_line_errors, read_sets
from ml_collections import ConfigDict
from paper import Method, Options, make_config, read_methods

from l2d_jax.configs import SECTIONS
from l2d_jax.files import write_text
from l2d_jax.metrics.catalog import SCORES
from l2d_jax.progress import showable
from l2d_jax.types import InputError
from l2d_jax.variants import METHODS, num_diffusion_steps

Cell = dict[str, Any]
Cells = dict[tuple[str, str], list[Cell]]  # by set and method, one a seed

COLUMNS = (
    "context_fid",
    "random_convolution_fid",
    "discriminative_score",
    "predictive_score",
    "precision",
    "recall",
    "exact_copies",
    "closest_record",
)
LATER = METHODS["time_gan"].stages[1:]  # of whose networks the first is told too
FIELDS = {  # of a cell
    "scores",
    "seed",
    "config",
    "options",
    "budget",
    "seconds of training",
    "seconds of sampling",
    "parameters",
    "device",
    "versions",
    "git_commit",
}
COSTS = (
    "share of full training",
    "steps of the chain",
    "parameters",
    "training, s",
    "sampling, s",
    "commit",
)


def read(folder: Path) -> Cells:
    """All cells of a folder, seeds in order."""
    found: Cells = {}
    paths: dict[tuple[str, str, int], Path] = {}
    for path in sorted(folder.glob("*__*__*.json")):
        try:
            cell = json.loads(path.read_text())
            missing = FIELDS - {*cell}
            Options(**cell["options"])
            found.setdefault((cell["set"], cell["method"]), []).append(cell)
            other = paths.setdefault((cell["set"], cell["method"], cell["seed"]), path)
        except (ValueError, KeyError, TypeError):
            missing, other = FIELDS, path
        if missing:
            raise InputError(f"{path}: not a cell, remove it") from None
        if other is not path:
            raise InputError(f"{path}: the same cell as {other}, remove one")
    if not found:
        raise InputError(f"{folder}: no cells there, run benchmarks/paper.py first")
    return found


def of_score(cells: list[Cell], name: str) -> str:
    """Mean over seeds; of one seed with the score's own interval."""
    scores = [cell["scores"][name] for cell in cells if name in cell["scores"]]
    warned = " ‼" if any("warning" in score for score in scores) else ""
    return shown(scores, name) + warned


def shown(scores: list[dict[str, Any]], name: str) -> str:
    """Mean and half the interval, or why there is none."""
    if not scores:
        return NOT_RUN
    entry = entry_of(scores, "low", name)
    return UNDEFINED if entry.mean is None else written(entry.mean, entry.reach)


def at_floor_size(cells: list[Cell], name: str) -> list[dict[str, Any]]:
    """The score of as many generated series as the floor has real ones."""
    scores = [cell["scores"].get(name) or {} for cell in cells]
    return [score["at_floor_size"] for score in scores if "at_floor_size" in score]


def is_halved(cells: list[Cell], name: str) -> bool:
    """Whether the score has a value at the floor's size in any of them."""
    found = at_floor_size(cells, name)
    return any(one.get("mean") is not None for one in found)


def floor_of(cells: list[Cell], name: str) -> str:
    """Mean over cells; all score halves of the same real series."""
    floors = [(cell["scores"].get(name) or {}).get("floor") or {} for cell in cells]
    means = [floor["mean"] for floor in floors if floor.get("mean") is not None]
    return written(float(np.mean(means))) if means else ""


def shares_of_training(cells: list[Cell], method: Method) -> str:
    """Steps of the stage that most time goes to, as shares of the config's.

    Of each seed, or once where all have the same.
    """
    full = [
        make_config(method, cell["set"], cell["seed"], Options(**cell["options"]))
        for cell in cells
    ]
    stages = METHODS[full[0].variant].stages
    if not stages:
        return ""

    def seconds(stage: str) -> float:
        return sum(cell["seconds of training"].get(stage, 0.0) for cell in cells)

    stage = max(stages, key=seconds)
    shares = [
        share_of_training(cell, stage, config[SECTIONS[stage]].num_steps)
        for cell, config in zip(cells, full, strict=True)
    ]
    return ", ".join(shares if len({*shares}) > 1 else shares[:1])


def share_of_training(cell: Cell, stage: str, num_steps: int) -> str:
    """The cell's steps of a stage, of `num_steps`."""
    if not cell["budget"]:
        return "all"
    share = cell["budget"][stage]["steps"] / num_steps
    return f"{100 * share:.0f} %" if share < 2 else f"{share:.0f} times"


def steps_of_chain(cell: Cell) -> str:
    """Of the solver, and of how many it was trained with, where these are more."""
    config = ConfigDict(cell["config"])
    longest = num_diffusion_steps(config)
    steps = config.sampling.num_steps or longest
    if not longest:
        return ""
    return f"{steps:,}" if steps == longest else f"{steps:,} of {longest:,}"


def costs(cells: list[Cell], method: Method) -> list[str]:
    """Of all seeds, seconds as medians; parameters are the same for each."""
    first = cells[0]
    sampling = [
        cell["seconds of sampling"] for cell in cells if cell["seconds of sampling"]
    ]
    training = [sum(cell["seconds of training"].values()) for cell in cells]
    counted = sum(
        number for stage, number in first["parameters"].items() if stage not in LATER
    )
    return [
        shares_of_training(cells, method),
        ", ".join(dict.fromkeys(map(steps_of_chain, cells))),
        f"{counted:,}" if counted else "",
        f"{np.median(training):.0f}" if np.median(training) else "",
        f"{np.median(sampling):.0f}" if sampling else "",
        ", ".join(dict.fromkeys(cell["git_commit"] for cell in cells)),
    ]


def table(found: Cells, name: str, methods: list[Method]) -> str:
    """A row a method that was run on this set, then the floor."""
    run = [
        (method, found[name, method.name])
        for method in methods
        if (name, method.name) in found
    ]
    used = [cell for _, cells in run for cell in cells]
    check_budgets((name, cell["method"], budget_of(cell)) for cell in used)
    for column in COLUMNS:
        of_methods = {
            (method.name, name): [
                cell["scores"][column] for cell in cells if column in cell["scores"]
            ]
            for method, cells in run
        }
        check_numbers(of_methods, column)
    halved = {column for column in COLUMNS if is_halved(used, column)}
    heads, floors = [], []
    for column in COLUMNS:
        heads.append(SCORES[column].title)
        if column in halved:
            heads.append("at the floor's size")
            floors.append("")
        floors.append(floor_of(used, column))
    rows = [row_of(method, cells, halved) for method, cells in run]
    rows.append(["real against real, half the size", "", *floors, *[""] * len(COSTS)])
    return grid(["method", "seeds", *heads, *COSTS], rows)


def row_of(method: Method, cells: list[Cell], halved: set[str]) -> list[str]:
    """Of the scores in `halved` two cells: as they are, and at the floor's size."""
    found = [plain(method.name), str(len(cells))]
    for column in COLUMNS:
        found.append(of_score(cells, column))
        if column in halved:
            found.append(shown(at_floor_size(cells, column), column))
    return [*found, *costs(cells, method)]


def page(found: Cells, names: list[str], methods: list[Method], seeds: range) -> str:
    """All of tables.md."""
    parts = ["# Methods on the same data, under the same scores"]
    missing: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if any((name, method.name) in found for method in methods):
            parts += [f"## {name}", table(found, name, methods)]
        for method in methods:
            done = {cell["seed"] for cell in found.get((name, method.name), [])}
            left = ", ".join(str(seed) for seed in seeds if seed not in done)
            if left:
                missing.setdefault((name, left), []).append(plain(method.name))
    not_run = [
        f"- {name}, seeds {left}: {', '.join(group)}"
        for (name, left), group in missing.items()
    ]
    cells = [cell for group in found.values() for cell in group]
    parts += [
        "±: half the 95 % interval, over the repeats of a score or, with several "
        f"seeds, over these. {NOT_RUN}: not scored. At the floor's size: of half the "
        "series, as the floor is; only these two compare. Share of full training: "
        "steps of the longest stage, of those that the set's config has.",
        "Made with: " + "; ".join(sorted({made_with(cell) for cell in cells})) + ".",
        "Not run:" if not_run else "Nothing that was asked for is missing.",
        "\n".join(not_run),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def made_with(cell: Cell) -> str:
    """Device, versions and options of a cell."""
    options = Options(**cell["options"])
    steps = options.sampling_steps
    sampling = options.sampling_minutes
    parts = (
        cell["device"],
        f"JAX {cell['versions']['jax']}",
        budget_of(cell),
        f"at most {steps} steps in a chain" if steps else "all steps of each chain",
        *([f"or those of {sampling:g} minutes of sampling"] if sampling else []),
        f"{options.num_series:,} series" if options.num_series else "all series",
        f"{options.num_repeats} repeats of each score",
    )
    return ", ".join(parts)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", required=True, help="names of configs, by commas")
    parser.add_argument("--methods", default="all", help="as in paper.py")
    parser.add_argument("--seeds", type=count, default=3, help="how many, in a row")
    parser.add_argument("--first_seed", type=int, default=0, help="of them")
    args = parser.parse_args(arguments)
    with one_line_errors():
        text = page(
            read(args.folder),
            read_sets(args.sets),
            read_methods(args.methods),
            range(args.first_seed, args.first_seed + args.seeds),
        )
    write_text(args.folder / "tables.md", text)
    print(showable(text))


if __name__ == "__main__":
    main()
