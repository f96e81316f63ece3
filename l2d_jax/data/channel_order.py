"""Channels of which one is never above another: the lowest price, open, the highest.

What diffusion makes of them is now and then the wrong way round, by its error, which no
series of the data is. So where it holds at all steps of the training series, and not by
chance, it does in generated ones. Channels that are equal, as a price and the adjusted
one, are so too: neither is above the other.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.data.normalizer import (
    AnyArray,
    Normalizer,
    known_in_channels,
    known_values,
)
from l2d_jax.types import Examples

Pairs = Int[np.ndarray, "P 2"]

NONE = np.zeros((1, 2), int)  # the first channel, which isn't above itself
MIN_STEPS = 100  # with both values, or there are too few to say that it always holds
BY_CHANCE = 0.05  # share of steps, see `not_by_chance`
BEYOND = 0.05  # share of values, see there
LOOKED_AT_FIRST = (8, 64, 512)  # steps, which leave few pairs for the others


def ordered_channels(
    examples: Examples, normalizer: Normalizer, kinds: Sequence[Hashable]
) -> Pairs:
    """Pairs (i, j): channel i is at no step above j, i != j; `NONE` if there are none.

    Up to a series' end and where neither is missing. Of channels of the same kind, of
    `kinds` [C], whose values may be swapped. Without pairs whose ranges, of the
    normaliser, lie apart or touch.
    """
    channels = examples.series.shape[2]
    low, high = normalizer.low, normalizer.high
    kind = np.array([kinds.index(one) for one in kinds])
    above = [
        np.flatnonzero((high[i] > low) & (kind[i] == kind)) for i in range(channels)
    ]
    above = [js[js != i] for i, js in enumerate(above)]
    counts = [np.zeros(len(js), int) for js in above]
    for series, known in known_values(examples, np.float32):
        x, known = series.reshape(-1, channels), known.reshape(-1, channels)
        cuts = (0, *LOOKED_AT_FIRST, len(x))
        for start, stop in pairwise(cuts):
            part, there = x[start:stop], known[start:stop]
            for i, js in enumerate(above):
                if not len(js):
                    continue
                both = there[:, i, None] & there[:, js]
                holds = (~both | (part[:, i, None] <= part[:, js])).all(axis=0)
                above[i] = js[holds]
                counts[i] = (counts[i] + both.sum(axis=0))[holds]
    pairs = [
        (i, j)
        for i, (js, seen) in enumerate(zip(above, counts, strict=True))
        for j in js[seen >= MIN_STEPS]
    ]
    return np.array(pairs) if pairs else NONE


def not_by_chance(pairs: Pairs, some: Examples) -> Int[np.ndarray, "Q 2"]:
    """Those pairs, and what follows from them, that say more than their values do.

    If each value of i stood beside any of j, i would be above j at `BY_CHANCE` of the
    steps or more: a temperature below 30 and a humidity above 25 are in order by their
    units. Nor may more than `BEYOND` of j be below all of i, or of i above all of j:
    the other is missing there, and swaps would give each the values of the other. What
    follows: i <= j and j <= k make i <= k.

    Args:
      some: of the series in which the pairs are in order.
    """
    values = [*map(np.sort, known_in_channels(some))]
    channels = len(values)
    below = np.zeros((channels, channels), bool)
    for i, j in pairs:
        lower = np.searchsorted(values[j], values[i])  # how many of j are below each
        num_i, num_j = len(values[i]), len(values[j])
        below[i, j] = (
            lower.sum() >= BY_CHANCE * max(num_i * num_j, 1)
            and lower.min(initial=num_j) <= BEYOND * num_j
            and (lower == num_j).sum() <= BEYOND * num_i
        )
    for k in range(channels):
        below |= below[:, k, None] & below[None, k]
    np.fill_diagonal(below, False)
    return np.argwhere(below) if below.any() else NONE


def enforce_order(
    series: Float[AnyArray, "*N L C"], pairs: Pairs
) -> Float[AnyArray, "*N L C"]:
    """Values of a pair that are the wrong way round are swapped.

    Of equal channels all have the values of the first. NaN stays.

    Args:
      pairs: with those that follow from them.
    """
    xp = series.__array_namespace__()  # numpy's or JAX's
    known = {(i, j) for i, j in pairs.tolist() if i != j}
    if not known:
        return series
    first = list(range(series.shape[-1]))  # of the channels that equal one
    for i, j in known:
        if (j, i) in known:
            first[i] = min(first[i], j)
    columns = [series[..., c] for c in first]
    # From the lowest channel up: once it is below all that are above it, it stays so.
    num_above = Counter(i for i, _ in known)
    for i, j in sorted(known, key=lambda pair: (-num_above[pair[0]], pair)):
        if first[i] == i and first[j] == j:
            one, other = columns[i], columns[j]
            columns[i], columns[j] = xp.minimum(one, other), xp.maximum(one, other)
    return xp.stack([columns[c] for c in first], axis=-1)
