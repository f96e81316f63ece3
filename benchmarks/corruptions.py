"""Which score notices which corruption: real series, corrupted at five strengths.

    python benchmarks/corruptions.py --sets=stock,crop --out=runs/corruptions

A set is dealt at random into three parts of equal size: what a generator is said to
have trained on, what was held out, and fresh real series that are corrupted and scored
as if generated. A score notices where its verdict says that they aren't as real ones
(a paired t-test at 99 % over the repeats, corrected for what they share,
`catalog.verdict`), or where it warns. The first column holds the fresh series as they
are: what is noticed there is a false alarm.

Each cell is kept in OUT/corruptions.json as soon as it is there; the same command goes
on after an interruption, and --metrics=a,b adds scores to what is there. Another --size
or --num_repeats than that of the cells is refused. A cell of all scores takes some two
to four minutes, most of it the repaired forms (benchmarks/results/corruptions.json).
"""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
from l2d_jax.data import load_splits
from l2d_jax.files import write_text
from l2d_jax.lock import locked
from l2d_jax.metrics import check_names, evaluate
from l2d_jax.metrics.catalog import FAMILIES, SCORES, verdict
from l2d_jax.metrics.sets import sets_of
from l2d_jax.progress import showable
from l2d_jax.types import Examples, InputError, is_ragged
from l2d_jax.workdir import make_workdir

Corrupt = Callable[..., np.ndarray]
NOTICED, UNSEEN, UNDEFINED, WARNED, NOT_RUN = "●", "·", "–", "‼", "?"
FIRST = {  # a score of each group
    "fidelity": "precision",
    "classes": "dropped_classes",
    "privacy": "exact_copies",
}


# --- corruptions ----------------------------------------------------------------------


def noise(x, strength, rng, **_):
    """White noise, its deviation a share of the range."""
    return x + strength * rng.standard_normal(x.shape)


def reversal(x, strength, rng, **_):
    """A share of the series with time running backwards."""
    chosen = rng.random(len(x)) < strength
    return np.where(chosen[:, None, None], x[:, ::-1], x)


def flattening(x, strength, **_):
    """Each series drawn towards its own mean; flat lines at 1."""
    return (1 - strength) * x + strength * x.mean(axis=1, keepdims=True)


def dropping(x, strength, rng, *, modes, **_):
    """A share of the modes is missing: others stand in their place."""
    num_modes = int(modes.max()) + 1
    order = np.random.default_rng(0).permutation(num_modes)
    dropped = order[: round(strength * num_modes)]
    kept = np.flatnonzero(~np.isin(modes, dropped))
    rows = np.arange(len(x))
    lost = np.isin(modes, dropped)
    rows[lost] = rng.choice(kept, lost.sum())
    return x[rows]


def copying(x, strength, rng, *, train, **_):
    """A share of the series is training series."""
    chosen = rng.permutation(len(x))[: round(strength * len(x))]
    x = x.copy()
    x[chosen] = train[rng.permutation(len(train))[: len(chosen)]]
    return x


CORRUPTIONS: dict[str, tuple[Corrupt, tuple[float, ...]]] = {
    "noise": (noise, (0.005, 0.01, 0.02, 0.05, 0.1)),
    "time reversal": (reversal, (0.1, 0.25, 0.5, 0.75, 1.0)),
    "flattening": (flattening, (0.1, 0.25, 0.5, 0.75, 1.0)),
    "mode dropping": (dropping, (0.1, 0.2, 0.4, 0.6, 0.8)),
    "copying": (copying, (0.02, 0.1, 0.25, 0.5, 1.0)),
}
STRENGTHS = {"none": (0.0,)} | {name: both[1] for name, both in CORRUPTIONS.items()}


# --- one cell -------------------------------------------------------------------------


def parts_of(name: str, size: int) -> dict[str, Any]:
    """Three parts of a set, in [0, 1], with modes: classes, or tenths by level.

    Raises:
      InputError: it has too few series for them, or series of different lengths.
    """
    config = configs.load(name).get_config()
    examples: Examples = load_splits(config.data).train
    most = len(examples.series) // 3
    if size > most:
        raise InputError(f"--size={size}: {name} has three parts of {most} at most")
    if is_ragged(examples):
        raise InputError(f"--sets={name}: its series are of different lengths")
    series = sets_of(np.asarray(examples.series), np.asarray(examples.series)).train
    order = np.random.default_rng(0).permutation(len(series))[: 3 * size]
    rows = np.array_split(order, 3)
    modes = examples.labels
    if modes is None:
        level = series.mean(axis=(1, 2))
        modes = np.searchsorted(np.quantile(level, np.linspace(0, 1, 11)[1:-1]), level)
    names = ("train", "test", "fresh")
    parts = {part: series[index] for part, index in zip(names, rows, strict=True)}
    labelled = examples.labels is not None
    return {
        **parts,
        "modes": modes[rows[2]],
        "labels": examples.labels[rows[0]] if labelled else None,
        "test_labels": examples.labels[rows[1]] if labelled else None,
    }


def score(parts: dict[str, Any], generated: np.ndarray, **settings) -> dict[str, Any]:
    """All scores of one corrupted set."""
    return evaluate(
        parts["train"],
        generated,
        test=parts["test"],
        labels=parts["labels"],
        test_labels=parts["test_labels"],
        **settings,
    )


def missing(
    scores: dict[str, Any], parts: dict[str, Any], metrics: list[str]
) -> list[str]:
    """Those of the metrics and groups that a cell doesn't have yet."""
    found = {*scores, *(group for group, first in FIRST.items() if first in scores)}
    if parts["labels"] is None:
        found.add("classes")
    return [name for name in metrics if name not in found]


def cells(sets: list[str]) -> list[tuple[str, str, float]]:
    """(set, corruption, strength) in order, the untouched series first."""
    return [
        (name, corruption, strength)
        for name in sets
        for corruption, strengths in STRENGTHS.items()
        for strength in strengths
    ]


# --- the table ------------------------------------------------------------------------


def mark(name: str, one: dict[str, Any] | None) -> str:
    """What a score says of a corrupted set."""
    if one is None:
        return NOT_RUN
    if "warning" in one:
        return WARNED
    if one["mean"] is None:
        return UNDEFINED
    found = verdict(one, SCORES[name])
    return UNSEEN if found in ("as real", "unknown") else NOTICED


def markdown(results: dict[str, Any]) -> str:
    """A table a set: a row a score, a column a corruption, five marks a cell."""
    lines = ["# Which score notices which corruption", "", HOW_TO_READ, ""]
    for name in dict.fromkeys(key.split("|")[0] for key in results["cells"]):
        found = {
            tuple(key.split("|")[1:]): one
            for key, one in results["cells"].items()
            if key.split("|")[0] == name
        }
        heads = ["untouched", *CORRUPTIONS]
        size = next(iter(found.values()))["num_series"]
        lines += [f"## {name}, {size} series of each part", ""]
        lines += ["| score | " + " | ".join(heads) + " |", "|---" * 7 + "|"]
        for family, heading in FAMILIES.items():
            rows = []
            for score_name, about in SCORES.items():
                if about.family != family:
                    continue
                marks = [
                    "".join(
                        mark(score_name, found[key]["scores"].get(score_name))
                        for strength in strengths
                        if (key := (corruption, f"{strength:g}")) in found
                    )
                    for corruption, strengths in STRENGTHS.items()
                ]
                if set("".join(marks)) - {NOT_RUN}:
                    rows.append(f"| {about.title} | " + " | ".join(marks) + " |")
            if rows:
                lines += [f"| **{heading}** |" + " |" * 6, *rows]
        lines.append("")
    strengths = "; ".join(
        f"{name} {', '.join(f'{one:g}' for one in values)}"
        for name, (_, values) in CORRUPTIONS.items()
    )
    lines += [f"Strengths: {strengths}.", "", f"Made by `{results['command']}`"]
    lines[-1] += f" on {results['device']}, JAX {results['jax']}."
    return "\n".join(lines) + "\n"


HOW_TO_READ = (
    f"Five marks a cell, from weak to strong: {NOTICED} noticed, {UNSEEN} not noticed, "
    f"{WARNED} a loud warning, {UNDEFINED} undefined, {NOT_RUN} not run. Real series "
    "stand for a perfect generator's; what is noticed in the column *untouched* is a "
    "false alarm."
)


def rounded(tree: Any) -> Any:
    """The same with six digits of each number, to keep the file small."""
    return json.loads(
        json.dumps(tree), parse_float=lambda one: float(f"{float(one):.6g}")
    )


def corrupted(parts: dict[str, Any], corruption: str, strength: float) -> np.ndarray:
    """The fresh series, corrupted."""
    if corruption == "none":
        return parts["fresh"]
    return CORRUPTIONS[corruption][0](
        parts["fresh"],
        strength,
        rng=np.random.default_rng(1),
        modes=parts["modes"],
        train=parts["train"],
    )


def add_cells(
    results: dict[str, Any], path: Path, made: dict[str, str], options: Namespace
) -> None:
    """What the cells lack, saved one by one."""
    settings = {"num_series": options.size, "num_repeats": options.num_repeats}
    metrics = check_names(options.metrics.split(","))
    names = read_sets(options.sets)
    asked = {"|".join((*one[:2], f"{one[2]:g}")): one for one in cells(names)}
    for key in asked:
        check_same(results["cells"].get(key, {}), settings, f"{path}, {key}")
    parts_by_set = {name: parts_of(name, options.size) for name in names}
    for key, (name, corruption, strength) in asked.items():
        cell = results["cells"].get(key, {"scores": {}, "seconds": 0.0} | settings)
        parts, start = parts_by_set[name], time.perf_counter()
        wanted = missing(cell["scores"], parts, metrics)
        if not wanted:
            continue
        generated = corrupted(parts, corruption, strength)
        repeats = options.num_repeats
        scores = score(parts, generated, metrics=wanted, num_repeats=repeats)
        seconds = time.perf_counter() - start
        cell["scores"] |= scores
        cell["seconds"] += seconds
        results["cells"][key] = cell
        results |= with_also(results, made)
        write_text(path, json.dumps(rounded(results)) + "\n")
        write_text(path.with_suffix(".md"), markdown(results))
        print(f"{key}: {seconds:.0f} s", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="stock,crop")
    parser.add_argument("--size", type=count, default=1000, help="series of each part")
    parser.add_argument("--num_repeats", type=count, default=5)
    parser.add_argument("--metrics", default="all")
    parser.add_argument("--out", type=Path, default=Path("runs/corruptions"))
    options = parser.parse_args(argv)
    path = options.out / "corruptions.json"
    made = made_here(command=command_of(__file__, parser, options))
    with one_line_errors(), locked(make_workdir(options.out)):
        results = {"cells": {}} | made
        if path.exists():
            results = json.loads(path.read_text())
        add_cells(results, path, made, options)
        write_text(path.with_suffix(".md"), markdown(results))
    print(showable(path.with_suffix(".md").read_text("utf-8")))


if __name__ == "__main__":
    main()
