"""The committed scores of full trainings as tables, which the documents repeat.

    python benchmarks/full_scores.py

The first table is that of README.md, the last that of the ablations (training length),
the others those of docs/results.md: a test looks for each of their rows there. All are
read from benchmarks/results.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from l2d_jax.metrics.catalog import SCORES, ScoreInfo, verdict
from l2d_jax.metrics.context_fid import NUM_EXCHANGES

RESULTS = Path(__file__).parent / "results"

Score = dict[str, Any]
Scores = dict[str, Score]


class Row(NamedTuple):
    """A set, the number of series that its scores are of, and their file."""

    title: str
    series: int
    file: str

    @property
    def config(self) -> str:
        """The name of its config."""
        return self.file.removeprefix("scores_").removesuffix(".json")

    @property
    def set(self) -> str:
        """The title without sizes."""
        return self.title.split(",")[0]


ROWS = (  # all series, five encoders
    Row("Stock, 24 x 6", 3662, "scores_stock.json"),
    Row("Japanese Vowels, 7-29 x 12", 640, "scores_japanese_vowels.json"),
    Row("ETTh1, 24 x 7", 17_397, "scores_etth.json"),
    Row("ECG5000, 140 x 1", 5000, "scores_ecg5000.json"),
    Row(
        "Character Trajectories, 60-182 x 3", 2858, "scores_character_trajectories.json"
    ),
    Row("Electric Devices, 96 x 1", 16_637, "scores_electric_devices.json"),
    Row("Energy, 24 x 28", 19_712, "scores_energy.json"),
    Row("Face All, 131 x 1", 2250, "scores_face_all.json"),
)
SMALL_ROWS = (  # 2,000 series, two encoders
    Row("Riverflow, 24 x 1", 2000, "scores_riverflow.json"),
    Row("Spoken Arabic Digits, 4-93 x 13", 2000, "scores_spoken_arabic_digits.json"),
    Row("Crop, 46 x 1", 2000, "scores_crop.json"),
    Row("AR(1), 24 x 2", 2000, "scores_ar1.json"),
    Row("Mixture, 24 x 1", 2000, "scores_mixture.json"),
    Row("Sines, 24 x 5", 2000, "scores_sines.json"),
)
SEEDS = (1, 2)  # of the trainings beside that of seed 0
MATCHED_ROWS = ROWS[:4] + ROWS[6:7]  # scored without `match_quantiles` as well
MATCHED = (
    "context_fid",
    "random_convolution_fid",
    "discriminative_score",
    "spectral_distance",
    "kurtosis_difference",
    "density",
    "recall",
)
LENGTH_ROWS = (  # steps of the data stage, and how often these go through the series
    Row("ECG5000, 3,000 (38)", 5000, "training_length/ecg5000_3000.json"),
    Row("ECG5000, 12,000 (154)", 5000, "training_length/ecg5000_12000.json"),
    Row(
        "Character Trajectories, 3,000 (67)",
        2858,
        "training_length/character_trajectories_3000.json",
    ),
    Row(
        "Character Trajectories, 12,000 (269)",
        2858,
        "training_length/character_trajectories_12000.json",
    ),
    Row("Stock, 10,000 (350)", 3662, "scores_stock.json"),
    Row("Stock, 40,000 (1,398)", 3662, "training_length/stock_40000.json"),
    Row("Energy, 20,000 (130)", 19_712, "scores_energy.json"),
    Row("Energy, 60,000 (390)", 19_712, "training_length/energy_60000.json"),
)
OF_LENGTHS = (
    "random_convolution_fid",
    "spectral_distance",
    "discriminative_score",
    "precision",
    "recall",
)
OF_TRAININGS = ("random_convolution_fid", "discriminative_score", "recall")
OTHERS = (
    "random_convolution_fid",
    "two_sample_accuracy",
    "spectral_distance",
    "discriminative_score",
    "predictive_score",
    "precision",
    "recall",
    "coverage",
)


def read(row: Row) -> Scores:
    """All scores of a set."""
    found = json.loads((RESULTS / row.file).read_text("utf-8"))
    return found.get("scores", found)


def other_trainings(row: Row) -> list[Scores]:
    """Scores of the trainings with seeds 1, 2, ..., that are there."""
    files = [f"trainings/{row.config}_{seed}.json" for seed in SEEDS]
    return [read(row._replace(file=f)) for f in files if (RESULTS / f).exists()]


def number(x: float) -> str:
    """Four decimals below .1, else three; two from 1 on."""
    decimals = 4 if abs(x) < 0.1 else 3 if abs(x) < 1 else 2
    return f"{x:.{decimals}f}".removeprefix("0")


def context_fid_row(row: Row, scores: Scores) -> str:
    """Context-FID, of other trainings, at the floor's size, the floor, the test."""
    score = scores["context_fid"]
    low, high = map(number, score["interval"])
    cells = (
        row.title,
        f"{row.series:,}",
        f"**{number(score['mean'])}** ({low} to {high})",
        ", ".join(number(one["context_fid"]["mean"]) for one in other_trainings(row)),
        number(score["at_floor_size"]["mean"]),
        number(score["floor"]["mean"]),
        f"{exchanges_below(score)} of {NUM_EXCHANGES}",
    )
    return "| " + " | ".join(cells) + " |"


def exchanges_below(score: Score) -> int:
    """How many of the permutation test's splits score below the true one."""
    return round(score["percentile"] * (NUM_EXCHANGES + 1) - 0.5)


def other_scores_row(row: Row, scores: Scores) -> str:
    """At the floor's size and the floor; bold where generated ones are worse."""
    cells = (cell(scores.get(name), SCORES[name]) for name in OTHERS)
    return "| " + " | ".join((row.set, *cells)) + " |"


def small_row(row: Row, scores: Scores) -> str:
    """Context-FID and, in brackets, by each encoder; at the floor's size; the floor."""
    score = scores["context_fid"]
    of_each, of_floor = (
        f"{number(one['mean'])} ({', '.join(map(number, one['values']))})"
        for one in (score, score["floor"])
    )
    cells = (row.title, of_each, number(score["at_floor_size"]["mean"]), of_floor)
    return "| " + " | ".join(cells) + " |"


def training_rows(row: Row, scores: Scores) -> str:
    """A line for each training, by its seed; they differ in nothing else."""
    lines = []
    for seed, found in enumerate([scores, *other_trainings(row)]):
        score = found["context_fid"]
        cells = (
            row.set,
            str(seed),
            number(score["mean"]),
            number(score["at_floor_size"]["mean"]),
            f"{exchanges_below(score)} of {NUM_EXCHANGES}",
            *(cell(found.get(name), SCORES[name]) for name in OF_TRAININGS),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def length_row(row: Row, scores: Scores) -> str:
    """Of all series; the distance to the closest record beside that among real ones."""
    score, closest = scores["context_fid"], scores["closest_record"]
    means = (scores.get(name, {}).get("mean") for name in OF_LENGTHS)
    cells = (
        *row.title.split(", ", 1),
        number(score["mean"]),
        f"{exchanges_below(score)} of {NUM_EXCHANGES}",
        *("" if mean is None else number(mean) for mean in means),
        f"{number(closest['mean'])} / {number(closest['floor']['mean'])}",
    )
    return "| " + " | ".join(cells) + " |"


def matched_row(row: Row, scores: Scores) -> str:
    """Of the same training: without `match_quantiles` and with it, of all series."""
    before = read(row._replace(file=row.file.replace(".json", "_unmatched.json")))
    cells = (
        f"{number(before[name]['mean'])}, {number(scores[name]['mean'])}"
        if scores.get(name, {}).get("mean") is not None
        else ""
        for name in MATCHED
    )
    return "| " + " | ".join((row.set, *cells)) + " |"


def cell(score: Score | None, words: ScoreInfo) -> str:
    """Empty where it is undefined or wasn't computed."""
    found = (score or {}).get("at_floor_size") or {}
    if score is None or found.get("mean") is None:
        return ""
    text = f"{number(found['mean'])} / {number(score['floor']['mean'])}"
    return f"**{text}**" if verdict(score, words) == "worse" else text


def main() -> None:
    """Prints all tables, without their heads."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for rows, make in (
        (ROWS, context_fid_row),
        (ROWS, other_scores_row),
        (SMALL_ROWS, small_row),
        (MATCHED_ROWS, matched_row),
        (ROWS, training_rows),
        (LENGTH_ROWS, length_row),
    ):
        print("\n".join(make(row, read(row)) for row in rows), end="\n\n")


if __name__ == "__main__":
    main()
