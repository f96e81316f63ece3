"""Scores two files: python -m l2d_jax.metrics real.npy generated.npy."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from l2d_jax.data import read_file, split
from l2d_jax.data.ragged import comparable
from l2d_jax.data.windows import choose_window
from l2d_jax.errors import Parser, status_of
from l2d_jax.files import write_text
from l2d_jax.metrics import ALL, GROUPS, METRICS, check_names, evaluate
from l2d_jax.metrics.sets import SeriesSet
from l2d_jax.metrics.table import table
from l2d_jax.missing import filled
from l2d_jax.types import Collection, InputError, Splits

GENERATED = 1  # place among the files
SCALED = 1.0  # values of many generators stay below it, whatever the data
USAGE = """python -m l2d_jax.metrics REAL GENERATED [--test=FILE] [--out=scores.json]

Files: .npy or .npz of [N, L, C]; .csv or .parquet with a column of ids; .ts. A file of
one recording is cut into windows of --window steps (by default as long as the series of
the other file). NaN in all channels from a step on ends a series there. Labels come
from the file: a column of a table, or "labels" in an .npz."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the scores; exit status 0, or 2 for what can't be scored."""
    parser = Parser(prog="python -m l2d_jax.metrics", usage=USAGE)
    parser.add_argument("real", help="series that the generator was trained on")
    parser.add_argument("generated", help="series that it made")
    parser.add_argument("--test", help="real series that it wasn't trained on")
    parser.add_argument("--window", type=int, default=0, help="steps, of a recording")
    parser.add_argument(
        "--metrics",
        default=ALL,
        help=f"joined by commas, of {', '.join([ALL, *METRICS, *GROUPS])}",
    )
    parser.add_argument("--num_repeats", type=int, default=5, help="of each score")
    parser.add_argument("--seed", type=int, default=0, help="of the scores")
    parser.add_argument("--out", help="file for the scores, as JSON")
    options = parser.parse_args(argv)
    try:
        metrics = check_names(filter(None, options.metrics.split(",")))
        if not metrics:
            raise InputError(
                f"--metrics: name some of {', '.join([*METRICS, *GROUPS])}"
            )
        if options.out and not Path(options.out).absolute().parent.is_dir():
            raise InputError(f"--out={options.out}: there is no such folder, make it")
        if options.out and Path(options.out).is_dir():
            raise InputError(f"--out={options.out} is a folder: name a file in it")
        paths = [options.real, options.generated, options.test]
        real, generated, *tests = read([*filter(None, paths)], options.window)
        test = tests[0] if tests else None
        for other in filter(None, (generated, test)):
            check_channels(real, other)
            tell_of_shorter(real, other)
            tell_of_scale(real, other)
        labelled = real.labels is not None
        if not labelled and metrics == ["classes"]:
            raise InputError(
                f"{options.real} has no labels, which the scores of classes are of: "
                "give it a column of them"
            )
        scores = evaluate(
            real.series,
            generated.series,
            test=None if test is None else test.series,
            labels=real.labels,
            test_labels=test.labels if test is not None and labelled else None,
            generated_labels=generated.labels if labelled else None,
            metrics=metrics,
            num_repeats=options.num_repeats,
            seed=options.seed,
            announce=lambda what: print(f"scores: {what}", file=sys.stderr),
        )
    except InputError as error:
        parser.error(str(error).replace("--config.data.window", "--window"))
    print(table(scores))
    if options.out:
        try:
            text = json.dumps(scores, indent=2, allow_nan=False) + "\n"
            write_text(Path(options.out), text)
        except OSError as error:
            parser.error(f"--out={options.out} can't be written: {error}")
    return 0


class Read(NamedTuple):
    """What a file holds."""

    path: str
    series: SeriesSet
    labels: np.ndarray | None  # names of classes
    channels: tuple[str, ...]


def read(paths: Sequence[str], window: int) -> list[Read]:
    """The series of each file, as `evaluate` takes them.

    Recordings are cut into windows of one length: `window`, or, if 0, that of the
    series of another file, or what suits the first of them.
    """
    configs = [data_config(path) for path in paths]
    files = [read_file(configs[0])]
    for config in configs[1:]:  # a channel that is dead there is what scores must see
        config.constants = files[0].channels
        files.append(read_file(config))
    found = []
    for i, (path, config, file) in enumerate(zip(paths, configs, files, strict=True)):
        config.window = window
        if not window and len(file.series) == 1:
            config.window = common_length(files)
            print(
                f"{path}: cut into windows of {config.window} steps: --window",
                file=sys.stderr,
            )
        splits = split(file, config)
        if i != GENERATED:  # as a run fills what it scores samples against
            train = filled(splits.train, splits.train)
            if train is not splits.train:
                print(f"{path}: interpolated what is missing", file=sys.stderr)
            splits = splits._replace(train=train)
        found.append(as_read(path, splits))
    return found


def common_length(files: Sequence[Collection]) -> int:
    """Steps of a window that recordings are cut into."""
    for file in files:
        lengths = {len(one) for one in file.series}
        if len(file.series) > 1 and len(lengths) == 1:
            return lengths.pop()
    return choose_window(files[0].series[0])[0]


def data_config(path: str) -> ConfigDict:
    """Of a file, as `read_file` and `split` take it."""
    if not Path(path).exists():
        raise InputError(f"{path} does not exist")
    roles = dict.fromkeys(("time_column", "id_column", "label_column"), "")
    return ConfigDict(
        {
            "name": "file",
            "path": path,
            "protocol": "published",
            "channels": "",
            "window": 0,
            "stride": 0,
            "length": 0,
            "constants": (),
            **roles,
        }
    )


def as_read(path: str, splits: Splits) -> Read:
    """What a file holds; prints what of it was left out, and how it was cut."""
    for note in splits.notes:
        if "left out" in note and not note.startswith("missing values"):
            print(f"{path}: {note}", file=sys.stderr)
    labels = splits.train.labels
    if labels is not None:
        labels = np.asarray(splits.classes)[labels]
    return Read(path, comparable(splits.train), labels, splits.channels)


def tell_of_shorter(real: Read, other: Read) -> None:
    """A line on series that end early where the real ones never do."""
    if isinstance(other.series, list) and not isinstance(real.series, list):
        longest = max(map(len, other.series))
        shorter = sum(len(x) < longest for x in other.series)
        print(
            f"{other.path}: {shorter:,} of {len(other.series):,} series end before the "
            f"last step, and count as shorter ones; none of {real.path} does",
            file=sys.stderr,
        )


def tell_of_scale(real: Read, other: Read) -> None:
    """A line on series that stay between -1 and 1 where the real ones don't."""
    ends = [extremes(one.series) for one in (other, real)]
    largest, of_real = (max(map(abs, both)) for both in ends)
    if largest <= SCALED < of_real / 2:
        (low, high), (real_low, real_high) = ends
        print(
            f"{other.path}: all values lie between {low:.4g} and {high:.4g}, those of "
            f"{real.path} between {real_low:.4g} and {real_high:.4g}: scores compare "
            "them as they are, so bring both to the same units",
            file=sys.stderr,
        )


def extremes(series: Any) -> tuple[float, float]:
    """Lowest and highest value, NaN left out."""
    parts = series if isinstance(series, list) else [series]
    return (
        min(float(np.nanmin(part)) for part in parts),
        max(float(np.nanmax(part)) for part in parts),
    )


def check_channels(one: Read, other: Read) -> None:
    """Raises `InputError` where two files have other channels, or another order."""
    if len(one.channels) != len(other.channels):
        raise InputError(
            f"channels: {one.path} has {len(one.channels)} and {other.path} "
            f"{len(other.channels)}, and both need the same. An array of series is "
            "[series, steps, channels]; two axes, [steps, channels], are one recording"
        )
    if one.channels != other.channels:
        if any(name.startswith("channel_") for name in one.channels + other.channels):
            return  # names that nobody gave
        raise InputError(
            f"{one.path} has the channels {', '.join(one.channels)} and {other.path} "
            f"{', '.join(other.channels)}: bring them into the same order"
        )


if __name__ == "__main__":
    sys.exit(status_of(main))
