"""What data sets there are, and their preparation: python -m l2d_jax.data --list."""

import sys
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from l2d_jax.data.public.archive import archive_source
from l2d_jax.data.public.catalog import SOURCES, Source, bundled_folder, prepared
from l2d_jax.data.public.downloads import find
from l2d_jax.data.public.synthetic import SYNTHETIC
from l2d_jax.errors import Parser, did_you_mean, status_of
from l2d_jax.types import Collection, InputError

USAGE = """python -m l2d_jax.data --list
       python -m l2d_jax.data --prepare all
       python -m l2d_jax.data --prepare stock,crop NATOPS"""
HEADER = (
    "name",
    "series",
    "channels",
    "lengths",
    "classes",
    "source",
    "licence",
    "present",
)
OTHERS = (
    "Any other set of the UCR and UEA archives goes by its name there, such as NATOPS."
)
RIGHT = {"series", "channels", "lengths", "classes"}  # aligned like numbers


def main(argv: list[str] | None = None) -> int:
    """Lists or prepares, as the flags say; returns the exit status.

    0: done; 1: a set could not be prepared, the others were; 2: wrong use.
    """
    parser = Parser(prog="python -m l2d_jax.data", usage=USAGE, description=__doc__)
    parser.add_argument("--list", action="store_true", help="print a table of the sets")
    parser.add_argument(
        "--prepare",
        nargs="+",
        metavar="NAME",
        help="names, or all (of the table, but those that are generated)",
    )
    options = parser.parse_args(argv)
    if not options.list and not options.prepare:
        parser.error("give --list, or --prepare and names")
    try:
        if options.list:
            print(table())
        if options.prepare:
            words = [one for given in options.prepare for one in given.split(",")]
            return prepare_all(chosen(filter(None, map(str.strip, words))))
    except InputError as error:
        parser.error(str(error))
    return 0


def table() -> str:
    """One line a set, in aligned columns."""
    rows = [HEADER]
    rows += [source_row(source) for source in SOURCES.values()]
    rows += [synthetic_row(name, make()) for name, make in SYNTHETIC.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(HEADER, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, OTHERS])


def source_row(source: Source) -> tuple[str, ...]:
    """A public set's line; with its parts for training and testing, as 500+4,500."""
    low, high = source.lengths
    return (
        source.name,
        amount(source),
        str(len(source.channels)),
        "" if not source.classes else str(low) if low == high else f"{low}-{high}",
        str(len(source.classes) or ""),
        str(urlsplit(source.file.url).hostname).removeprefix("www."),
        source.licence,
        presence(source),
    )


def synthetic_row(name: str, made: Collection) -> tuple[str, ...]:
    """A synthetic set's line."""
    length, channels = made.series[0].shape
    count, classes = f"{len(made.series):,}", str(len(made.classes) or "")
    return name, count, str(channels), str(length), classes, "-", "-", "generated"


def amount(source: Source) -> str:
    """How much the set holds."""
    if not source.classes:
        return f"{source.num_train:,} rows"
    return f"{source.num_train:,}+{source.num_test:,}"


def presence(source: Source) -> str:
    """Where the set would come from."""
    if prepared(source):
        return "prepared"
    if find(source.file, *source.others):
        return "raw file"
    return "bundled" if bundled_folder(source) else "to fetch"


def chosen(names: Iterable[str]) -> list[Source]:
    """The sets of these names, each once. Raises InputError where a name is unknown."""
    sources: dict[str, Source] = {}
    for name in names:
        if name == "all":
            sources |= SOURCES
        elif name in SYNTHETIC:
            raise InputError(f"{name} is generated: there is nothing to prepare")
        elif source := SOURCES.get(name) or archive_source(name):
            sources[source.name] = source
        else:
            close = did_you_mean(name, SOURCES)
            hint = f"{close} " if close else ""
            raise InputError(
                f"{name!r} is no data set: {hint}See --list, or name a set of the UCR "
                "and UEA archives"
            )
    return list(sources.values())


def prepare_all(sources: list[Source]) -> int:
    """Prepares one after the other, a line each; 1 if one of them can't be had."""
    from l2d_jax.data.public import builders  # here, as it takes long to import

    failures = []
    for source in sources:
        started = time.perf_counter()
        print(f"{source.name}: ", end="", flush=True)
        try:
            made = builders.load(source)
            check(source, made)
        except InputError as error:
            print("failed")
            failures.append(f"error: {source.name}: {' '.join(str(error).split())}")
            continue
        print(f"{summary(made)} in {time.perf_counter() - started:.1f} s", flush=True)
    print("\n".join(failures), file=sys.stderr, end="\n" if failures else "")
    return int(bool(failures))


def check(source: Source, made: Collection) -> None:
    """Raises InputError unless the prepared set counts what was published."""
    from l2d_jax.data.public import builders

    found, expected = builders.counts(made), (source.num_train, source.num_test)
    if source.digest and found != expected:
        raise InputError(
            f"prepared are {found[0]:,} + {found[1]:,}, published {expected[0]:,} + "
            f"{expected[1]:,}: delete {builders.prepared_folder(source)}"
        )


def summary(made: Collection) -> str:
    """What a set holds, in words."""
    channels = made.series[0].shape[1]
    if made.labels is None:
        return f"{len(made.series[0]):,} rows x {plural(channels, 'channel')}"
    lengths = [len(series) for series in made.series]
    low, high = min(lengths), max(lengths)
    num_train = made.num_train or 0
    return (
        f"{num_train:,} + {len(lengths) - num_train:,} series x "
        f"{plural(channels, 'channel')}, "
        f"{low if low == high else f'{low}-{high}'} steps, {len(made.classes)} classes"
    )


def plural(count: int, noun: str) -> str:
    """1 channel, 2 channels."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


if __name__ == "__main__":
    sys.exit(status_of(main))
