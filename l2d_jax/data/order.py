"""Channels of which one is never above another: the lowest price, open, the highest.

What diffusion makes of them is now and then the wrong way round, by its error, which no
series of the data is. So where it holds at all steps of the training series, it does in
generated ones. Channels that are equal, as a price and the adjusted one, are so too:
neither is above the other.
"""

from collections import defaultdict
from functools import reduce
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.data.normalizer import AnyArray, Normalizer, known_values
from l2d_jax.types import Examples

Pairs = Int[np.ndarray, "P 2"]

NONE = np.zeros((1, 2), int)  # the first channel, which isn't above itself
MIN_STEPS = 100  # with both values, or there are too few to say that it always holds
LOOKED_AT_FIRST = (8, 64, 512)  # steps, which leave few pairs for the others


def ordered_channels(examples: Examples, normalizer: Normalizer) -> Pairs:
    """Pairs (i, j): channel i is at no step above j, i != j; `NONE` if there are none.

    Up to a series' end and where neither is missing. Without pairs whose ranges, of the
    normaliser, lie apart or touch: no clipped series has them the wrong way round.
    """
    channels = examples.series.shape[2]
    low, high = normalizer.low, normalizer.high
    above = [np.flatnonzero(high[i] > low) for i in range(channels)]
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


def in_order(
    series: Float[AnyArray, "*N L C"], pairs: Pairs
) -> Float[AnyArray, "*N L C"]:
    """The mean of the lowest series above this one, and the highest below, in order.

    Values that are in order are left as they are. NaN stays.
    """
    xp = series.__array_namespace__()  # numpy's or JAX's
    below, above = defaultdict(list), defaultdict(list)
    for i, j in pairs[pairs[:, 0] != pairs[:, 1]]:
        below[j].append(series[..., i])
        above[i].append(series[..., j])
    if not below:
        return series
    columns = []
    for c in range(series.shape[-1]):
        lowest = reduce(xp.maximum, below[c], series[..., c])
        highest = reduce(xp.minimum, above[c], series[..., c])
        columns.append(lowest / 2 + highest / 2)
    return xp.stack(columns, axis=-1)
