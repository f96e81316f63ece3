"""Trainings with series held out: whether samples are nearer to what was trained on.

    python benchmarks/held_out.py              # the table of results/held_out
    python benchmarks/held_out.py WORKDIR ...  # these runs first become files of it

A run is one of main.py with --config.data.protocol=random_fifth (or held_out) and the
metrics context_fid, random_convolution_fid, fidelity and privacy. Runs that differ in
the seed alone make one row, of means. A test compares the rows with those in
benchmarks/results/ablations.md, and the last ones, which are of the configs as they
are, with those in docs/results.md.
"""

import argparse
import json
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from full_scores import ROWS, number
from kept import one_line_errors

from l2d_jax import configs
from l2d_jax.files import write_text
from l2d_jax.types import InputError
from l2d_jax.workdir import read_json

RESULTS = Path(__file__).parent / "results" / "held_out"
METRICS = ("context_fid", "random_convolution_fid", "precision", "recall")
PRIVACY = ("closer_to_train", "membership_inference")
OLDER = {"learning_rate": 1e-3}
TITLES = {row.config: row.set for row in ROWS}


class Training(NamedTuple):
    """What the trainings differ in; the order is that of the rows."""

    set: str  # the config's name
    protocol: str
    series: int  # trained on
    data_steps: int
    data_times: int  # how often these go through the series
    latent_steps: int
    latent_times: int
    condition_noise: float
    learning_rate: float  # of the data stage
    seed: int


def main() -> None:
    """Adds runs; prints the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdirs", nargs="*", type=Path, metavar="WORKDIR")
    with one_line_errors():
        for workdir in parser.parse_args().workdirs:
            found = result(workdir)
            path = RESULTS / file_name(training(found))
            write_text(path, json.dumps(found, indent=1) + "\n")
            print(f"{workdir}: {path}")
    print(table(read_all(RESULTS)), short_table(read_all(RESULTS)), sep="\n\n")


def result(workdir: Path) -> dict[str, Any]:
    """What is kept of a run: the fields of its training, and all scores.

    The set of a user's file is named after the file.
    """
    mend = "let its run of main.py end, with the metrics that --help names"
    run = read_json(workdir / "config.json", mend, {"config", "git_commit", "device"})
    scores = read_json(workdir / "scores.json", mend, {*METRICS, *PRIVACY})
    if scores["closer_to_train"]["mean"] is None:
        raise InputError(
            f"{workdir} has no series held out: use --config.data.protocol=random_fifth"
        )
    config, series = run["config"], scores["settings"]["samples"]["layout"][4]
    data, latent = config["data_stage"], config["latent_stage"]

    def times(stage: dict[str, Any]) -> int:
        return round(stage["num_steps"] * stage["batch_size"] / series)

    of_file = config["data"]["name"] == "file"
    kept = Training(
        set=Path(config["data"]["path"]).stem if of_file else config["data"]["name"],
        protocol=config["data"]["protocol"],
        series=series,
        data_times=times(data),
        latent_times=times(latent),
        seed=config["seed"],
        **fields_of(config),
    )
    others = {"git_commit": run["git_commit"], "device": run["device"]}
    return {**kept._asdict(), **others, "scores": scores}


def training(found: dict[str, Any]) -> Training:
    """Its fields in a file; the older ones don't tell their learning rate."""
    return Training(**{name: ({**OLDER, **found})[name] for name in Training._fields})


def file_name(one: Training) -> str:
    """ecg5000_4000_d3000_l4000_n0.2_r0.004_0.json; without r as OLDER ones."""
    rate = f"_r{one.learning_rate:g}" * (one.learning_rate != OLDER["learning_rate"])
    return (
        f"{one.set}_{one.series}_d{one.data_steps}_l{one.latent_steps}"
        f"_n{one.condition_noise:g}{rate}_{one.seed}.json"
    )


def read_all(folder: Path) -> list[dict[str, Any]]:
    """All files, in the order of their fields."""
    files = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    return sorted(files, key=training)


def table(files: list[dict[str, Any]]) -> str:
    """A row for each training; seeds together."""
    groups = groupby(files, key=lambda found: training(found)[:-1])
    return "\n".join(row([*group]) for _, group in groups)


def short_table(files: list[dict[str, Any]]) -> str:
    """A row for each set of `TITLES`, trained as its config says, on most series."""
    lines = []
    for name, group in groupby(files, key=lambda found: found["set"]):
        if name not in TITLES:
            continue
        fields = fields_of(configs.load(name).get_config())
        found = [
            one for one in group if fields.items() <= training(one)._asdict().items()
        ]
        most = max((one["series"] for one in found), default=0)
        found = [one for one in found if one["series"] == most]
        if found:
            cells = (TITLES[name], f"{most:,}", str(len(found)), *nearness(found))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def fields_of(config: Any) -> dict[str, Any]:
    """Those that a config sets."""
    data, latent = config["data_stage"], config["latent_stage"]
    return {
        "data_steps": data["num_steps"],
        "latent_steps": latent["num_steps"],
        "condition_noise": data["condition_noise"],
        "learning_rate": data["learning_rate"],
    }


def nearness(group: list[dict[str, Any]]) -> tuple[str, str]:
    """Means over the seeds; what chance makes of one of them, two deviations."""
    closer, auc = ([found["scores"][name] for found in group] for name in PRIVACY)
    chance = closer[0]["floor"]["interval"][1] - 0.5
    share = fmean(score["mean"] for score in closer)
    mean = fmean(score["mean"] for score in auc)
    return f"{100 * share:.1f} (50 ± {100 * chance:.1f})", number(mean)


def row(group: list[dict[str, Any]]) -> str:
    """Means over the seeds."""
    one = training(group[0])

    def mean(name: str) -> float:
        return fmean(found["scores"][name]["mean"] for found in group)

    cells = (
        one.set,
        f"{one.series:,}",
        f"{one.data_steps:,} ({one.data_times:,})",
        f"{one.latent_steps:,} ({one.latent_times:,})",
        f"{one.condition_noise:g}",
        f"{one.learning_rate:g}",
        str(len(group)),
        *(number(mean(name)) for name in METRICS),
        *nearness(group),
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
