"""From whole series to what is trained on and what is held out.

published     scaler and training on everything, as the peers do.
held_out      of a recording, the first 80 % of the rows are for training; a gap of one
              window follows, then the test windows, so that no test window shares a
              step with a training window. Of a set of series, the official test part,
              or a fifth of the series chosen at random where there is none; cut into
              windows, the official test part, or the end of each series, as of a
              recording.
random_fifth  of a set of whole series, a fifth of them chosen at random, also where
              there is an official test part, which can be most of them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from l2d_jax.chunks import slices
from l2d_jax.data.own.roles import asked_of, listed
from l2d_jax.data.ragged import from_list
from l2d_jax.data.sampler import permutation
from l2d_jax.data.windows import (
    check_window,
    choose_stride,
    choose_window,
    observed_enough,
    share_steps,
    windows,
)
from l2d_jax.errors import check_choice
from l2d_jax.types import Collection, Examples, InputError, Splits

PROTOCOLS = ("published", "held_out", "random_fifth")
TEST_SHARE = 0.2

Parts = tuple[Examples, Examples | None]


def split(collection: Collection, config: ConfigDict) -> Splits:
    """The examples that `config` asks for: channels, windows, protocol.

    Raises:
      InputError: an unknown channel or protocol, a channel or series without a value,
        windows that don't fit, a part that is left without examples, or a length or
        stride that would be ignored.
    """
    check_choice(config.protocol, PROTOCOLS, "--config.data.protocol")
    collection = choose_channels(collection, asked_of(config).channels)
    notes = list(collection.notes) + missing_values(collection)
    if len(collection.series) == 1 or config.window:
        if config.length:
            raise InputError(
                f"--config.data.length={config.length} is of whole series, and "
                f"{collection.name} is cut into windows: leave it out"
            )
        train, test, overlapping = cut(collection, config, notes)
        mend = "lower --config.data.window"
    else:
        if config.stride:
            raise InputError(
                f"--config.data.stride={config.stride} is of windows, and the series "
                f"of {collection.name} are taken whole: leave it out, or set "
                "--config.data.window"
            )
        train, test = whole(collection, config)
        overlapping = share_steps(train.series)
        if overlapping:
            notes.append(
                "many series share steps, as windows of a recording do, and held-out "
                "ones may share some with those trained on: give the recording itself"
            )
        mend = "add series"
    for part, what in ((train, "training"), (test, "held-out")):
        if part is not None and not len(part.series):
            raise InputError(
                f"{collection.name} leaves no {what} example: {mend}, or set "
                "--config.data.protocol=published"
            )
    if collection.form is not None and collection.form.columns:
        names = listed(collection.channels)
        notes.append(f"channels {names}: --config.data.channels")
    notes.append(sizes(train, test))
    return Splits(
        train,
        test,
        collection.channels,
        collection.classes,
        collection.form,
        tuple(notes),
        overlapping,
    )


def sizes(train: Examples, test: Examples | None) -> str:
    """How many examples there are, of which size."""
    count, _, channels = train.series.shape
    low, high = train.lengths.min(), train.lengths.max()
    steps = f"{low} to {high}" if low < high else f"{low}"
    held_out = "none" if test is None else f"{len(test.series):,}"
    return (
        f"{count:,} training examples of {steps} steps x {channels} channels; "
        f"held out: {held_out}"
    )


# --- channels and missing values ------------------------------------------------------


def choose_channels(collection: Collection, names: tuple[str, ...]) -> Collection:
    """The channels of these names, in this order; all, if there are none."""
    if not names or names == collection.channels:
        return collection
    index = []
    for name in names:
        if name not in collection.channels:
            raise InputError(
                f"{collection.name} has no channel {name!r}: set "
                f"--config.data.channels to some of {', '.join(collection.channels)}"
            )
        if names.count(name) > 1:
            raise InputError(
                f"{collection.name}: channel {name!r} is asked for twice: name it once "
                "in --config.data.channels"
            )
        index.append(collection.channels.index(name))
    form = collection.form
    if form is not None:
        dtypes = tuple(form.dtypes[i] for i in index)
        others = set(collection.channels) - set(names)
        columns = tuple(name for name in form.columns if name not in others)
        decimals = tuple(form.decimals[i] for i in index if form.decimals)
        form = form._replace(dtypes=dtypes, columns=columns, decimals=decimals)
    series = [one[:, index] for one in collection.series]
    return collection._replace(series=series, channels=names, form=form)


def missing_values(collection: Collection) -> list[str]:
    """A note with the missing values of each channel, if there are any.

    Raises:
      InputError: a channel or a series has no value at all.
    """
    missing = np.zeros(len(collection.channels), np.int64)
    rows = 0
    for i, one in enumerate(collection.series):
        in_series = count_missing(one)
        if (in_series == len(one)).all():
            raise InputError(
                f"{collection.name}: series {i} (the first is 0) has no value at all: "
                "remove it"
            )
        missing += in_series
        rows += len(one)
    for name, count in zip(collection.channels, missing.tolist(), strict=True):
        if count == rows:
            raise InputError(
                f"{collection.name}: channel {name!r} has no value at all: leave it "
                "out, by naming the others in --config.data.channels"
            )
    if not missing.any():
        return []
    counts = ", ".join(
        f"{name} {count:,} ({count / rows:.1%})"
        for name, count in zip(collection.channels, missing.tolist(), strict=True)
        if count
    )
    return [f"missing values, left out of every loss: {counts}"]


def count_missing(series: Float[np.ndarray, "T C"]) -> Int[np.ndarray, " C"]:
    """How many NaN each channel has; a recording on disk is read piece by piece."""
    counts = np.zeros(series.shape[1], np.int64)
    for rows in slices(series.shape):
        counts += np.isnan(series[rows]).sum(axis=0)
    return counts


# --- recordings: windows --------------------------------------------------------------


def cut(
    collection: Collection, config: ConfigDict, notes: list[str]
) -> tuple[Examples, Examples | None, bool]:
    """Windows of each series, in parts, and whether they overlap.

    Adds to the notes what was chosen.
    """
    if config.protocol == "random_fifth":
        raise InputError(
            "protocol=random_fifth is of whole series, and these are cut into windows: "
            "use --config.data.protocol=held_out"
        )
    longest = max(collection.series, key=len)
    length, stride = config.window, config.stride
    if not length:
        length, why = choose_window(longest)
        notes.append(f"window of {length} steps ({why}): --config.data.window")
    if not stride:
        stride = choose_stride([len(one) for one in collection.series], length)
        notes.append(f"stride {stride}: --config.data.stride")
    check_window(len(longest), length=length, stride=stride, name=collection.name)
    if short := sum(len(one) < length for one in collection.series):
        notes.append(
            f"{short:,} of {len(collection.series):,} series are shorter than the "
            f"window of {length} steps and left out"
        )
    trained, tested = collection, None
    if config.protocol == "held_out":
        trained, tested = held_out(collection, length)
    sparse, train = window_examples(
        trained.series, trained.labels, length=length, stride=stride
    )
    check_sparse(collection.name, "training", sparse, train)
    test = None
    if tested is not None:
        more, test = window_examples(
            tested.series, tested.labels, length=length, stride=stride
        )
        check_sparse(collection.name, "held-out", more, test)
        sparse += more
    if sparse:
        notes.append(
            f"{sparse:,} windows have fewer than half of their values and are left out"
        )
    recordings = sum(len(one) >= length for one in trained.series)
    return train, test, stride < length and len(train.series) >= 2 * recordings


def held_out(collection: Collection, length: int) -> tuple[Collection, Collection]:
    """What windows are trained on, and what tested on: official parts, else by time."""
    series, labels = collection.series, collection.labels
    if (count := collection.num_train) is not None:
        of_train, of_test = (
            (None, None) if labels is None else (labels[:count], labels[count:])
        )
        return (
            collection._replace(series=series[:count], labels=of_train),
            collection._replace(series=series[count:], labels=of_test),
        )
    borders = [int((1.0 - TEST_SHARE) * len(one)) for one in series]
    pairs = [*zip(series, borders, strict=True)]
    return (
        collection._replace(series=[one[:border] for one, border in pairs]),
        collection._replace(series=[one[border + length :] for one, border in pairs]),
    )


def check_sparse(name: str, what: str, sparse: int, examples: Examples) -> None:
    """Raises InputError where all windows were left out for missing values."""
    if sparse and not len(examples.series):
        raise InputError(
            f"{name}: each of the {sparse:,} {what} windows has fewer than half of its "
            "values: fill some in, leave out channels with many gaps, by naming the "
            "others in --config.data.channels, or set another --config.data.window"
        )


def window_examples(
    recordings: Sequence[Float[np.ndarray, "_ C"]],
    labels: Int[np.ndarray, " N"] | None,
    *,
    length: int,
    stride: int,
) -> tuple[int, Examples]:
    """(windows left out for missing values, the others); a view where it can be."""
    parts, counts, left_out = [], [], 0
    for one in recordings:
        part = windows(one, length=length, stride=stride)
        if len(part):
            keep = observed_enough(one, length=length, stride=stride)
            if not keep.all():
                left_out += int((~keep).sum())
                part = part[keep]
        parts.append(part)
        counts.append(len(part))
    series = parts[0] if len(parts) == 1 else np.concatenate(parts)
    lengths = np.full(len(series), length)
    of_window = None if labels is None else np.repeat(labels, counts)
    return left_out, Examples(series, lengths, of_window)


# --- sets of series: as they are ------------------------------------------------------


def whole(collection: Collection, config: ConfigDict) -> Parts:
    """Each series is an example; the test part is the official one, or a fifth."""
    examples = from_list(
        collection.series, labels=collection.labels, length=config.length
    )
    if config.protocol == "published":
        return examples, None
    count = len(collection.series)
    if collection.num_train is not None and config.protocol == "held_out":
        order, border = np.arange(count), collection.num_train
    else:
        order = permutation(0, 0, count)
        border = count - int(TEST_SHARE * count)
    return take(examples, np.sort(order[:border])), take(
        examples, np.sort(order[border:])
    )


def take(examples: Examples, index: Int[np.ndarray, " M"]) -> Examples:
    """Some of the examples."""
    labels = None if examples.labels is None else examples.labels[index]
    return Examples(examples.series[index], examples.lengths[index], labels)
