"""Table, tests and ranks of many methods on many data sets, from their scores.

    python benchmarks/compare.py runs --metric=context_fid --out=comparison

Takes json files, and folders, of which it reads all json files below:

- cells, one or a list of {"method": "TimeGAN", "set": "Stocks", "seed": 0, "scores":
  {"context_fid": {"mean": 0.1, "interval": [0.09, 0.11], "floor": {"mean": 0.01}}}}.
  Scores are as in `l2d_jax.metrics.catalog`; "mean" is enough, "seed" may be left out;
- scores.json of a run whose workdir is called METHOD__SET or METHOD__SET__SEED, or a
  copy METHOD__SET__SEED.json. Below a folder with a scores.json nothing else is read.

Prints the table and writes table_METRIC.md, .csv, .tex (LaTeX with booktabs) and
ranks_METRIC.png. --metric=all: of every score there is; what can't be compared is named
and left out.
"""

import argparse
import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cells import Cell, read
from kept import one_line_errors
from rank_picture import draw

from l2d_jax.errors import did_you_mean
from l2d_jax.files import whole_file, write_text
from l2d_jax.metrics import ranking
from l2d_jax.metrics.catalog import SCORES
from l2d_jax.metrics.floors import summary
from l2d_jax.progress import showable
from l2d_jax.types import InputError

NOT_RUN, UNDEFINED, FLOOR = "–", "undefined", "real against real (floor)"
DIRECTIONS = {
    "low": "lower is better",
    "high": "higher is better",
    "real": "closer to the floor is better, at its number of series",
}
MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}"}


class Entry(NamedTuple):
    """One metric of a method on a set, over all seeds."""

    mean: float | None  # None: undefined
    reach: float | None  # half the 95 % interval
    floor: float | None
    cost: float  # low is best; NaN: undefined
    seeds: int


class Table(NamedTuple):
    """One metric of all methods, in order of their ranks, on all sets."""

    metric: str
    best: str
    methods: list[str]
    sets: list[str]
    entries: dict[tuple[str, str], Entry]  # by method and set; without those not run
    costs: np.ndarray  # [sets, methods], low is best; NaN: not run, or undefined
    ranks: np.ndarray | None  # average over complete sets; None: there is none


# --- the numbers ----------------------------------------------------------------------


def make_table(cells: list[Cell], metric: str, best: str | None) -> Table:
    """One metric of all methods."""
    best = best or (SCORES[metric].best if metric in SCORES else None)
    if best is None:
        raise InputError(f"--metric={metric}: say --best=low or --best=high of it")
    groups: dict[tuple[str, str], list[dict]] = {}
    cells = [cell for cell in cells if metric in cell.scores]
    check_budgets((cell.set, cell.method, cell.budget) for cell in cells)
    for cell in cells:
        scores = groups.setdefault((cell.method, cell.set), [])
        scores.append(cell.scores[metric])
    check_numbers(groups, metric)
    entries = {
        (method, name): entry_of(
            scores, best, f"{method} on {name}: {metric}", ideal=ideal_of(metric, best)
        )
        for (method, name), scores in groups.items()
    }
    methods, sets = (list(dict.fromkeys(key[i] for key in entries)) for i in (0, 1))
    costs = np.full((len(sets), len(methods)), np.nan)
    for (method, name), entry in entries.items():
        costs[sets.index(name), methods.index(method)] = entry.cost
    complete = ranking.is_complete(costs)
    if not complete.any():
        return Table(metric, best, methods, sets, entries, costs, None)
    ranks = ranking.average_ranks(costs[complete])
    order = np.argsort(ranks, kind="stable")
    methods = [methods[i] for i in order]
    return Table(metric, best, methods, sets, entries, costs[:, order], ranks[order])


def check_budgets(cells: Iterable[tuple[str, str, str]]) -> None:
    """Raises `InputError` where cells of a set were trained for unlike times.

    Cells are a set, a method and a budget; those that don't tell it are taken as they
    are.
    """
    for name, found in unlike(cell for cell in cells if cell[-1]):
        each = ", ".join(f"{budget} ({method})" for budget, method in found.items())
        raise InputError(
            f"cells of {name} are of unlike budgets, {each}, and only cells of one "
            "compare: keep each in a folder of its own"
        )


def unlike(
    values: Iterable[tuple[str, str, Any]],
) -> Iterator[tuple[str, dict[Any, str]]]:
    """Of (set, method, value): sets with several values, and a method with each."""
    found: dict[str, dict[Any, str]] = {}
    for name, method, value in values:
        found.setdefault(name, {}).setdefault(value, method)
    return ((name, one) for name, one in found.items() if len(one) > 1)


def check_numbers(groups: dict[tuple[str, str], list[dict]], metric: str) -> None:
    """Raises `InputError` where the scores of a set are of unlike numbers of series.

    Most fall with the number. Scores that don't tell it are taken as they are.
    """
    numbers = (
        (name, method, score["num_samples"])
        for (method, name), scores in groups.items()
        for score in scores
        if score["mean"] is not None and score.get("num_samples")
    )
    for name, found in unlike(numbers):
        each = ", ".join(f"{n:,} ({method})" for n, method in found.items())
        raise InputError(
            f"{metric} on {name} is of unlike numbers of series, {each}, and only "
            "scores of as many compare: score all by the same number"
        )


def ideal_of(metric: str, best: str) -> float | None:
    """Below it, a score whose best is low is no better; None: it has no such end."""
    return SCORES[metric].ideal if best == "low" and metric in SCORES else None


def entry_of(
    scores: list[dict[str, Any]], best: str, where: str, *, ideal: float | None = None
) -> Entry:
    """Mean over seeds, with Student's interval; of one seed its own interval."""
    mean, interval = mean_over(scores), scores[0].get("interval")
    floor = mean_over([score.get("floor") or {} for score in scores])
    if mean is None:
        return Entry(None, None, floor, math.nan, len(scores))
    if len(scores) > 1:
        of_seeds = [score["mean"] for score in scores]
        interval = summary(of_seeds, num_samples=0)["interval"]
    reach = (interval[1] - interval[0]) / 2 if interval else None
    costs = {"low": mean if ideal is None else max(mean, ideal), "high": -mean}
    if best == "real":
        if floor is None or None in map(at_same_size, scores):
            raise InputError(f"{where} has no floor: give --best=low or --best=high")
        costs["real"] = float(np.mean([distance_from_floor(one) for one in scores]))
    return Entry(mean, reach, floor, costs[best], len(scores))


def distance_from_floor(score: dict[str, Any]) -> float:
    """Of one seed, so that a score too high and one too low don't cancel."""
    return abs(at_same_size(score) - score["floor"]["mean"])


def at_same_size(score: dict[str, Any]) -> float | None:
    """Of as many series as the floor is of."""
    return (score.get("at_floor_size") or score).get("mean")


def mean_over(scores: list[dict[str, Any]]) -> float | None:
    """Mean of means; None where one is missing."""
    means = [score.get("mean") for score in scores]
    return None if None in means else float(np.mean(means))


def written(mean: float, reach: float | None = None) -> str:
    """Three significant digits, those of the larger number."""
    numbers = [mean] if reach is None else [mean, reach]
    scale = max(map(abs, numbers))
    digits = max(2 - math.floor(math.log10(scale)), 0) if scale else 0
    form = f".{digits}f" if 1e-4 <= scale < 1e5 or not scale else ".2e"
    return " ± ".join(f"{number:{form}}" for number in numbers).replace("-", "−")


def rows_of(
    table: Table, escape: Callable[[str], str], marks: dict[str, str]
) -> list[list[str]]:
    """The body of the table: methods, then the floor if there is one."""
    rows = []
    for i, method in enumerate(table.methods):
        row = [escape(method)]
        for costs, name in zip(table.costs, table.sets, strict=True):
            entry = table.entries.get((method, name))
            if entry is None or entry.mean is None:
                row.append(escape(NOT_RUN if entry is None else UNDEFINED))
                continue
            mark = {0: "best", 1: "second"}.get(np.sum(costs < costs[i]).item(), "")
            row.append(marks[mark].format(escape(written(entry.mean, entry.reach))))
        rank = NOT_RUN if table.ranks is None else f"{table.ranks[i]:.2f}"
        rows.append([*row, escape(rank)])
    if floors := floors_of(table):
        texts = [written(floors[s]) if s in floors else "" for s in table.sets]
        rows.append([escape(FLOOR), *map(escape, texts), ""])
    return rows


def floors_of(table: Table) -> dict[str, float]:
    """Mean over methods of each set's floor."""
    floors: dict[str, list[float]] = {}
    for (_, name), entry in table.entries.items():
        if entry.floor is not None:
            floors.setdefault(name, []).append(entry.floor)
    return {name: float(np.mean(values)) for name, values in floors.items()}


# --- tables ---------------------------------------------------------------------------


def markdown(table: Table, *, alpha: float, warnings: list[str]) -> str:
    """The table, what its signs mean, and the tests."""
    title = SCORES[table.metric].title if table.metric in SCORES else table.metric
    header = ["method", *table.sets, "average rank"]
    ideal = ideal_of(table.metric, table.best)
    end = "" if ideal is None else f", down to {ideal:g}"
    parts = [
        f"# {plain(title)}: {DIRECTIONS[table.best]}{end}",
        grid([*map(plain, header)], rows_of(table, plain, MARKDOWN)),
        notes(table),
        *(f"**Warning**: {plain(warning)}" for warning in warnings),
        tests(table, alpha),
    ]
    return "\n\n".join(parts) + "\n"


def notes(table: Table) -> str:
    """What the signs mean, and the number of seeds."""
    seeds = sorted({entry.seeds for entry in table.entries.values()})
    text = f"Seeds of each cell: {' or '.join(map(str, seeds))}. Bold: best, underlined"
    text += ": second. ±: half the 95 % interval, over seeds where there are several."
    if len(table.entries) < table.costs.size:
        text += f" {NOT_RUN}: not run."
    if floors_of(table):
        text += (
            f" {FLOOR.capitalize()}: one half scored against the other. Scores of as "
            "few series tend to be worse than those of all: a cell better than the "
            "floor says little."
        )
    return text


def tests(table: Table, alpha: float) -> str:
    """Which sets count, Friedman's test and Conover's p-values, as text."""
    complete = ranking.is_complete(table.costs)
    sets = [plain(s) for s, ok in zip(table.sets, complete, strict=True) if ok]
    out = [plain(s) for s, ok in zip(table.sets, complete, strict=True) if not ok]
    text = f"Sets in ranks and tests, {len(sets)}: {', '.join(sets) or 'none'}."
    if out:
        text += f" Left out, as not all methods have a score: {', '.join(out)}."
    costs, names = table.costs[complete], [*map(plain, table.methods)]
    try:
        found, p = ranking.friedman(costs), ranking.conover(costs)
    except InputError as error:
        return f"{text}\n\nNo tests ({error})."
    groups = ranking.groups(costs, alpha=alpha)
    together = "; ".join(", ".join(names[i] for i in group) for group in groups)
    shown = [
        [name, *(p_text(value).removeprefix("= ") for value in row)]
        for name, row in zip(names, p, strict=True)
    ]
    return "\n\n".join(
        [
            text,
            f"Friedman's test that all methods are equal: chi-square of "
            f"{len(names) - 1} = {found.statistic:.3g}, p {p_text(found.p_value)} "
            "(fair from some 10 sets and 6 methods on); Iman and Davenport's F = "
            f"{found.f_statistic:.3g}, p {p_text(found.f_p_value)}.",
            f"Not told apart at {alpha}, by Friedman's F and, where it finds a "
            "difference, Conover's test with Holm's adjustment: "
            f"{together or 'none'}. Beside clearly worse methods, Conover's test tells "
            "equal ones apart too often. Its p-values:",
            grid(["p", *names], shown),
        ]
    )


def p_text(p: float) -> str:
    """A p-value, to three digits."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def grid(header: list[str], rows: list[list[str]]) -> str:
    """A table in markdown; its texts are escaped."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(text: str) -> str:
    """Without a meaning to markdown."""
    return re.sub(r"([\\`*_<|\[])", r"\\\1", text)


def latex(table: Table) -> str:
    """A tabular for booktabs."""
    columns = len(table.sets) + 2
    lines = [" & ".join(row) + r" \\" for row in rows_of(table, tex, LATEX)]
    if floors_of(table):
        lines.insert(-1, r"\midrule")
    header = " & ".join(["Method", *map(tex, table.sets), "Average rank"])
    start = [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\toprule"]
    end = [r"\bottomrule"]
    if len(table.entries) < table.costs.size:
        end.append(rf"\multicolumn{{{columns}}}{{l}}{{--: not run}} \\")
    end.append(r"\end{tabular}")
    return "\n".join([*start, rf"{header} \\", r"\midrule", *lines, *end]) + "\n"


def tex(text: str) -> str:
    """Without a meaning to LaTeX."""
    special = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum"}
    special |= {"<": "textless", ">": "textgreater", "|": "textbar"}
    escaped = {sign: rf"\{sign}" for sign in "&%$#_{}"}
    escaped |= {sign: rf"\{name}{{}}" for sign, name in special.items()}
    escaped |= {"±": r"$\pm$", "–": "--", "−": "$-$"}
    return "".join(escaped.get(sign, sign) for sign in text)


def comma_separated(table: Table) -> str:
    """A line a method and set; floors as a method of their own."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["method", "set", "mean", "low", "high", "seeds", "average_rank"])
    ranks = [""] * len(table.methods) if table.ranks is None else table.ranks
    ranks = dict(zip(table.methods, ranks, strict=True))
    for (method, name), (mean, reach, _, _, seeds) in table.entries.items():
        ends = ("", "") if reach is None else (mean - reach, mean + reach)
        writer.writerow([method, name, mean, *ends, seeds, ranks[method]])
    for name, floor in floors_of(table).items():
        writer.writerow([FLOOR, name, floor, "", "", "", ""])
    return file.getvalue()


# --- command --------------------------------------------------------------------------


def choose(cells: list[Cell], metric: str, best: str | None) -> list[str]:
    """The metrics to compare by."""
    known = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    if not known:
        raise InputError("no file holds a score: give others, or score the runs first")
    if metric == "all":
        if best:
            raise InputError("--best goes with one metric: name it, --metric=NAME")
        return known
    if metric not in known:
        hint = did_you_mean(metric, known) or f"use one of {known}"
        raise InputError(f"--metric={metric}: no cell has it, {hint}")
    return [metric]


def compare(cells: list[Cell], metric: str, out: Path, *, best, alpha: float) -> None:
    """Prints the table of one metric and writes its files."""
    table = make_table(cells, metric, best)
    warnings = [
        f"{cell.method} on {cell.set}: {score['warning']}"
        for cell in cells
        for name in dict.fromkeys((metric, "exact_copies"))  # copies score best
        if "warning" in (score := cell.scores.get(name, {}))
    ]
    text = markdown(table, alpha=alpha, warnings=warnings)
    print(showable(text))
    name = re.sub(r"[^\w.-]", "_", metric)
    tables = {"md": text, "csv": comma_separated(table), "tex": latex(table)}
    for suffix, content in tables.items():
        write_text(out / f"table_{name}.{suffix}", content)
    costs = table.costs[ranking.is_complete(table.costs)]
    try:
        bars = ranking.groups(costs, alpha=alpha)
    except InputError:  # said in the table
        return
    with whole_file(out / f"ranks_{name}.png") as picture:
        draw(table.methods, table.ranks, bars).savefig(picture, format="png")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+", help="files or folders")
    parser.add_argument(
        "--metric", default="context_fid", help='its name, or "all"; %(default)s'
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), help="folder for the files"
    )
    parser.add_argument("--best", choices=("low", "high"))
    parser.add_argument("--alpha", type=float, default=0.05)
    args = parser.parse_args(arguments)
    with one_line_errors():
        ranking.check_alpha(args.alpha)
        cells = read(args.results)
        for metric in choose(cells, args.metric, args.best):
            try:
                compare(cells, metric, args.out, best=args.best, alpha=args.alpha)
            except InputError as error:
                if args.metric != "all":
                    raise
                print(f"{metric} left out: {error}\n")


if __name__ == "__main__":
    main()
