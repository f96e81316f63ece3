"""Scores of a method on a set with one seed, as `compare.py` reads them from files."""

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from l2d_jax.types import InputError


class Cell(NamedTuple):
    """A method on a set with one seed."""

    method: str
    set: str
    seed: int
    scores: dict[str, Any]
    path: Path
    budget: str = ""  # how long it was trained; "": not known


def read(paths: list[Path]) -> list[Cell]:
    """All cells of files and folders."""
    files = list(dict.fromkeys(f.resolve() for path in paths for f in files_of(path)))
    if not files:
        where = ", ".join(map(str, paths))
        raise InputError(f"{where}: no .json files there, give other folders or files")
    cells: dict[tuple, Cell] = {}
    for file in files:
        for cell in read_file(file):
            other = cells.setdefault(cell[:3], cell)
            if other is not cell:
                raise InputError(
                    f"{cell.path}: {cell.method} on {cell.set}, seed {cell.seed}, is "
                    f"also in {other.path}: remove one, or give it another seed"
                )
    return list(cells.values())


def files_of(path: Path) -> Iterator[Path]:
    """The json files to read of a file or folder, in the order of their names."""
    if path.is_file():
        yield path
    elif not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        if "scores.json" in names:  # a workdir
            subfolders.clear()
            names = ["scores.json"]
        yield from (Path(folder) / n for n in sorted(names) if n.endswith(".json"))


def read_file(path: Path) -> list[Cell]:
    """The cells of one file, checked."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}): write it anew") from None
    if isinstance(found, dict) and not {"method", "set", "scores"} & {*found}:
        return [cell_of_run(path, found)]
    rows = found if isinstance(found, list) else [found]
    return [cell_of(path, row) for row in rows]


def cell_of(path: Path, row: Any) -> Cell:
    """A cell in words of its own."""
    for field, kind, what in (
        ("method", str, '"TimeGAN"'),
        ("set", str, '"Stocks"'),
        ("scores", dict, '{"context_fid": {"mean": 0.1}}'),
    ):
        if not isinstance(row, dict) or not isinstance(row.get(field), kind):
            raise InputError(f'{path}: no "{field}", or a wrong one: give {what}')
    if not isinstance(seed := row.get("seed", 0), int):
        raise InputError(f'{path}: "seed" is {seed!r}: give a whole number')
    for name, score in row["scores"].items():
        check(score, f"{path}: {name}")
    method, name = (" ".join(row[field].split()) for field in ("method", "set"))
    return Cell(method, name, seed, row["scores"], path, budget_of(row))


def cell_of_run(path: Path, scores: dict[str, Any]) -> Cell:
    """A run's scores.json, named by its workdir, or by the file itself."""
    name = path.parent.name if path.name == "scores.json" else path.stem
    match = re.fullmatch(r"(.+?)__(.+?)(?:__(\d+))?", name)
    if not match:
        raise InputError(
            f'{path}: no "method", "set" and "scores", and {name!r} does not name them:'
            " add these fields, or call a run's workdir METHOD__SET or METHOD__SET__0"
        )
    scores = {name: score for name, score in scores.items() if name != "settings"}
    row = {"method": match[1], "set": match[2], "seed": int(match[3] or 0)}
    return cell_of(path, {**row, "scores": scores})


def check(score: Any, where: str) -> None:
    """A score, or its floor, has a finite mean and a finite interval, or null."""
    if not isinstance(score, dict) or "mean" not in score:
        raise InputError(f'{where} has no "mean": give {{"mean": 0.1}}')
    mean, interval = score["mean"], score.get("interval")
    if not (mean is None or are_numbers([mean], 1)):
        raise InputError(f'{where}: "mean" is {mean!r}: give a number, or null')
    if not (interval is None or are_numbers(interval, 2)):
        raise InputError(
            f'{where}: "interval" is {interval!r}: give [low, high], or null'
        )
    for part in ("floor", "at_floor_size"):
        if score.get(part) is not None:
            check(score[part], f"{where}: {part}")


def are_numbers(found: Any, count: int) -> bool:
    """A list of so many finite numbers."""
    return (
        isinstance(found, list)
        and len(found) == count
        and all(isinstance(x, int | float) and math.isfinite(x) for x in found)
    )


def budget_of(row: dict[str, Any]) -> str:
    """How long a cell of `paper.py` was trained; of another cell nothing is known."""
    options = row.get("options")
    if not isinstance(options, dict) or "budget_minutes" not in options:
        return ""
    minutes, budget = options["budget_minutes"], "full trainings"
    if isinstance(minutes, int | float):
        budget = f"{minutes:g} minutes of training a cell"
    return f"{budget}, tiny networks, --smoke" if options.get("smoke") else budget
