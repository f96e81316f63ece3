"""What a run trains on: series, the config for them, and what was found in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from l2d_jax.cascade import Layout
from l2d_jax.data import ModelSpace, Normalizer
from l2d_jax.data.levels import Levels, few_values
from l2d_jax.data.repeats import Share, repeat_shares
from l2d_jax.files import absolute
from l2d_jax.progress import say
from l2d_jax.sizes import with_equal_size, with_sizes, with_steps
from l2d_jax.types import Examples, Splits, is_ragged

LOOKED_AT = 2_000  # training series, in search of outliers and repeats
SHOWN = 4  # values of a channel, in a note


@dataclass(frozen=True)
class Task:
    """What a run trains on."""

    config: ConfigDict
    splits: Splits
    normalizer: Normalizer
    layout: Layout
    series: ModelSpace  # [N, L, C] in model space, made when it is taken
    held_shares: Share  # of the steps of each channel that stand still
    levels: Levels  # of channels that take few values


def prepare(config: ConfigDict, splits: Splits) -> Task:
    """Fits the normaliser on the training series; prints what was found and chosen."""
    train_set, channels = splits.train, splits.channels
    length = train_set.series.shape[1]
    notes, ragged = list(splits.notes), is_ragged(train_set)
    some = few_examples(train_set)
    levels = few_values(train_set, config.sampling.few_values)
    shares = held_shares(some, config.sampling.repeats_from)
    shares[~np.isnan(levels[:, 0])] = 0.0  # few values repeat by themselves
    shape = length, len(channels) + ragged
    config, sizes = with_sizes(config, shape)
    config, steps = with_steps(config, len(train_set.lengths))
    config, equal = with_equal_size(config, shape)
    if config.data.path:  # the same from any working directory
        config.data.path = str(absolute(config.data.path))
    notes += sizes + steps + equal + unlikely_shapes(splits)
    notes += standing(channels, shares) + taken(channels, levels)
    normalizer = Normalizer.fit(train_set, config.data.scaler, channels)
    for note in [*notes, *outliers(some, channels, normalizer)]:
        say(f"data: {note}")
    series = ModelSpace(train_set, normalizer, ragged)
    layout = Layout(
        length=length,
        channels=channels,
        ragged=ragged,
        min_length=int(train_set.lengths.min()),
        num_series=len(train_set.lengths),
        digest=series.digest(),
        form=splits.form,
    )
    return Task(config, splits, normalizer, layout, series, shares, levels)


# --- what is looked for in some of the series -----------------------------------------


def few_examples(examples: Examples) -> Examples:
    """A random choice of `LOOKED_AT`, always the same; without labels."""
    count = len(examples.lengths)
    index = np.sort(np.random.default_rng(0).permutation(count)[:LOOKED_AT])
    return Examples(examples.series[index], examples.lengths[index])


def held_shares(some: Examples, least: float) -> Share:
    """Shares of steps that repeat the value before; 0 where they are below `least`.

    1: all are 0.
    """
    shares = repeat_shares(some)
    shares[shares < least] = 0.0
    return shares if least < 1.0 else np.zeros_like(shares)


def standing(channels: Sequence[str], shares: Share) -> list[str]:
    """A note on the channels that stand still for many steps."""
    names = [
        f"{name!r} ({share:.0%})"
        for name, share in zip(channels, shares, strict=True)
        if share
    ]
    if not names:
        return []
    return [
        "steps that repeat the value before, as those of samples will in "
        f"{', '.join(names)}: --config.sampling.repeats_from"
    ]


def taken(channels: Sequence[str], levels: Levels) -> list[str]:
    """A note on the channels that take few values."""
    names = []
    for name, row in zip(channels, levels, strict=True):
        values = [f"{value:g}" for value in row[~np.isnan(row)]]
        if len(values) > SHOWN:
            values[SHOWN - 1 : -1] = ["..."]
        if values:
            names.append(f"{name!r} ({', '.join(values)})")
    if not names:
        return []
    return [
        f"few values, that samples keep to, in {', '.join(names)}: "
        "--config.sampling.few_values"
    ]


def outliers(
    some: Examples, channels: Sequence[str], normalizer: Normalizer
) -> list[str]:
    """A note for each channel in which a few values make nearly all of the range."""
    notes = []
    for c, name in enumerate(channels):
        values = some.series[..., c][~np.isnan(some.series[..., c])]
        if not len(values):
            continue
        low, high = np.quantile(values, [0.005, 0.995])
        least, most = float(normalizer.low[c]), float(normalizer.high[c])
        if high - low < 0.01 * (most - least):
            notes.append(
                f"channel {name!r}: 99 % of its values lie between {low:.6g} and "
                f"{high:.6g}, all between {least:.6g} and {most:.6g}: where the others "
                "are faults, or marks of missing values, make them empty"
            )
    return notes


def unlikely_shapes(splits: Splits) -> list[str]:
    """A note where axes may be the wrong way round."""
    length, count = splits.train.series.shape[1], len(splits.channels)
    if count <= 2 * length:
        return []
    return [
        f"more channels ({count}) than steps ({length}): is the array transposed, or a "
        "table with a series in each row? Arrays are [series, steps, channels]"
    ]
