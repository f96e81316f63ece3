"""What a run trains on: series, the config for them, and what was found in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict
from tqdm import tqdm

from l2d_jax.cascade import Cascade, Layout, clips, with_decimals
from l2d_jax.data import ModelSpace, Normalizer
from l2d_jax.data.channel_order import (
    NONE,
    Pairs,
    enforce_order,
    not_by_chance,
    ordered_channels,
)
from l2d_jax.data.discrete_values import Levels, few_values, fit_cuts
from l2d_jax.data.held_values import Share, held_below, repeat_shares
from l2d_jax.data.quantiles import Quantiles, one_for_each, quantiles
from l2d_jax.data.ragged import match_values
from l2d_jax.files import absolute
from l2d_jax.progress import say, say_how_far, shows_bar
from l2d_jax.sizes import with_equal_size, with_sizes, with_steps
from l2d_jax.types import Examples, Form, SeriesBatch, Splits, is_ragged

LOOKED_AT = 2_000  # training series, in search of outliers and repeats
GENERATED = 1_000  # series, to find which of their differences are none, and their cuts
MATCHED = 20_000  # series at most, to find how frequent values are
MATCHED_VALUES = 1 << 24  # of all of them together, at most
SHOWN = 4  # values of a channel, in a note
SELDOM = 0.01  # of the range, or of the steps


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
    ordered: Pairs  # of channels, the first never above the second


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
    config, steps = with_steps(
        config, len(train_set.lengths), overlapping=splits.overlapping
    )
    config, equal = with_equal_size(config, shape)
    if config.data.path:  # the same from any working directory
        config.data.path = str(absolute(config.data.path))
    notes += sizes + steps + equal + unlikely_shapes(splits)
    notes += standing(channels, shares) + taken(channels, levels)
    normalizer = Normalizer.fit(train_set, config.data.scaler, channels)
    notes += unlike(some, channels, normalizer, levels)
    ordered = NONE
    if config.sampling.keep_order:
        kinds = kinds_of_values(levels, splits.form)
        ordered = ordered_channels(train_set, normalizer, kinds)
        ordered = not_by_chance(ordered, some)
    notes += never_above(channels, ordered)
    for note in notes:
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
    return Task(config, splits, normalizer, layout, series, shares, levels, ordered)


def with_values_of(model: Cascade, task: Task) -> Cascade:
    """The model whose samples are in order, stand still, take few values as the data.

    How frequent values are, how often samples stand still, after they are put in order
    and rounded to the decimals of the data, and take each of the few values, is for
    samples as its config says: with other steps it is nearly so.
    """
    shares, levels, ordered = task.held_shares, task.levels, task.ordered
    matches = model.config.sampling.match_quantiles
    kept: dict[str, np.ndarray] = {"ordered": ordered}
    if matches or shares.any() or not np.isnan(levels).all():
        generated = generate(model, num_matched(model.layout) if matches else GENERATED)
        if matches:
            made, real = matching_quantiles(generated, task)
            kept |= {"generated_quantiles": made, "quantiles": real}
            matching = replace(model.normalizer, **kept)
            clip = clips(model.config)
            generated = np.asarray(match_values(generated, matching, clip=clip))
        kept["held_below"] = held_below(
            generated,
            shares,
            after=lambda held: with_decimals(
                np.asarray(enforce_order(held, ordered)), model.layout.form
            ),
        )
        kept["levels"] = levels
        kept["cuts"] = fit_cuts(generated, levels, task.splits.train)
    return replace(model, normalizer=replace(model.normalizer, **kept))


def generate(model: Cascade, n: int) -> SeriesBatch:
    """n series, not rounded to the decimals of the data, with a bar."""
    key = jax.random.fold_in(jax.random.key(model.config.seed), 1)
    free = replace(model, layout=model.layout._replace(form=None))
    say_how_far(f"values: {n:,} series, to see how frequent their values are")
    parts = []
    with tqdm(total=n, desc="values", unit="series", disable=not shows_bar()) as bar:
        for part in free.sample_batches(key, n):
            parts.append(part.series)
            bar.update(len(part.series))
    return np.concatenate(parts)


def matching_quantiles(
    generated: SeriesBatch, task: Task
) -> tuple[Quantiles, Quantiles]:
    """Of the generated series, and of training series: what the former become.

    NaN for channels of few values, which are as frequent as in training by their cuts.
    """
    lengths = np.full(len(generated), generated.shape[1])  # NaN after shorter ones' end
    made = quantiles(Examples(generated, lengths))
    real = quantiles(few_examples(task.splits.train, enough(task.layout)))
    made[~np.isnan(task.levels[:, 0])] = np.nan
    return made, one_for_each(generated=made, real=real)


def num_matched(layout: Layout) -> int:
    """Series to generate: chance moves their quantiles half as far as the data's.

    With fewer than there are training series, samples of ETTh1 became worse, not better
    (docs/results.md).
    """
    return min(max(GENERATED, 4 * layout.num_series), MATCHED, enough(layout))


def enough(layout: Layout) -> int:
    """Series whose values say how frequent each is, and fit into memory."""
    return max(GENERATED, MATCHED_VALUES // (layout.length * len(layout.channels)))


# --- what is looked for in some of the series -----------------------------------------


def few_examples(examples: Examples, most: int = LOOKED_AT) -> Examples:
    """A random choice of so many, always the same; without labels."""
    count = len(examples.lengths)
    index = np.sort(np.random.default_rng(0).permutation(count)[:most])
    return Examples(examples.series[index], examples.lengths[index])


def kinds_of_values(levels: Levels, form: Form | None) -> list[tuple]:
    """Of each channel: channels of a kind have as many decimals, or the same levels."""
    places = form.places if form else [0] * len(levels)
    return [
        (*row[~np.isnan(row)].tolist(), decimals)
        for row, decimals in zip(levels, places, strict=True)
    ]


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


def never_above(channels: Sequence[str], ordered: Pairs) -> list[str]:
    """A note on the channels that are in order, or equal."""
    if ordered is NONE:
        return []
    pairs = {(int(i), int(j)) for i, j in ordered}
    equal = sorted((i, j) for i, j in pairs if i < j and (j, i) in pairs)
    below = sorted((i, j) for i, j in pairs if (j, i) not in pairs)
    words = [
        f"{channels[i]!r} {sign} {channels[j]!r}"
        for sign, some in (("=", equal), ("<=", below))
        for i, j in some
    ]
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return [
        f"at every step, in samples too, {', '.join(words[:SHOWN])}{more}: "
        "--config.sampling.keep_order"
    ]


def unlike(
    some: Examples, channels: Sequence[str], normalizer: Normalizer, levels: Levels
) -> list[str]:
    """A note for each channel whose values samples will hardly be like.

    A few values make nearly all of its range, or it is a running total. Those of few
    values are left out: samples keep to them.
    """
    notes = []
    for c, channel in enumerate(channels):
        series, name = some.series[..., c], f"channel {channel!r}"
        values = series[~np.isnan(series)]
        if not len(values) or not np.isnan(levels[c, 0]):
            continue
        reach = float(normalizer.low[c]), float(normalizer.high[c])
        words = [outliers(values, reach) or sentinel(values), uneven(values)]
        notes += [f"{name}: {text}" for text in words if text]
        steps = np.diff(series, axis=1)
        rises, falls = (steps > 0).sum(), (steps < 0).sum()
        if rises and falls <= SELDOM * rises:
            notes.append(
                f"{name} hardly ever falls, and samples of it will: if it is a running "
                "total, such as a meter reading, train on its differences"
            )
    return notes


def outliers(values: Float[np.ndarray, " n"], reach: tuple[float, float]) -> str:
    """Says so where 1 % of the values make nearly all of their range, `reach`."""
    low, high = np.quantile(values, [0.005, 0.995])
    if high - low >= SELDOM * (reach[1] - reach[0]):
        return ""
    return (
        f"99 % of its values lie between {low:.6g} and {high:.6g}, all between "
        f"{reach[0]:.6g} and {reach[1]:.6g}: where the others are faults, or marks of "
        "missing values, make them empty"
    )


def sentinel(values: Float[np.ndarray, " n"]) -> str:
    """Says so where the lowest or highest is further off than the others span: -999."""
    found, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    for mark, others in ((0, found[1:]), (-1, found[:-1])):
        if not len(others) or shares[mark] >= 0.5:
            continue
        if np.abs(others - found[mark]).min() > np.ptp(others) > 0:
            return (
                f"{100 * shares[mark]:.2g} % of its values are {found[mark]:.6g}, far "
                f"from all others, {others[0]:.6g} to {others[-1]:.6g}: where they are "
                "faults, or mark missing values, make them empty"
            )
    return ""


def uneven(values: Float[np.ndarray, " n"]) -> str:
    """Says so where half of the values take up next to nothing of their range.

    The lowest and the highest don't count: they may be marks.
    """
    inner = values[(values > values.min()) & (values < values.max())]
    if not len(inner):
        return ""
    low, high = np.quantile(inner, [0.25, 0.75])
    if not 0 < high - low < SELDOM * np.ptp(inner):
        return ""
    return (
        f"half of its values lie between {low:.6g} and {high:.6g}, all between "
        f"{values.min():.6g} and {values.max():.6g}: differences of small ones come "
        "out coarse; if they matter, train on its logarithm, or on another scale that "
        "spreads them"
    )


def unlikely_shapes(splits: Splits) -> list[str]:
    """A note where axes may be the wrong way round."""
    length, count = splits.train.series.shape[1], len(splits.channels)
    if count <= 2 * length:
        return []
    return [
        f"more channels ({count}) than steps ({length}): is the array transposed, or a "
        "table with a series in each row? Arrays are [series, steps, channels]"
    ]
