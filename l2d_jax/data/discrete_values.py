"""Channels of few values: states that are on or off, meters of coarse steps.

What diffusion makes lies beside them, a switch at .97 for one; samples of such channels
take the values that occur in training, each as often as there.
"""

import numpy as np
from jaxtyping import Float

from l2d_jax.data.normalizer import AnyArray, known_values
from l2d_jax.types import Examples, SeriesBatch

Levels = Float[np.ndarray, "C V"]
Cuts = Float[np.ndarray, "C V"]  # between the levels; NaN: in the middle

MIN_STEPS = 20  # steps for each value, or there are too few to say that it is one


def few_values(examples: Examples, most: int) -> Levels:
    """The values of each channel that has at most so many, in order; NaN behind them.

    Channels that have more, or hardly a value twice, are NaN alone. V is at least 1.
    """
    channels = examples.series.shape[2]
    found = {c: np.array([], np.float32) for c in range(channels)} if most else {}
    counts = np.zeros(channels, int)
    for series, known in known_values(examples, np.float32):
        counts += known.sum(axis=(0, 1))
        for c in list(found):
            found[c] = np.union1d(found[c], series[..., c][known[..., c]])
            if len(found[c]) > most:
                del found[c]
        if not found:
            break
    levels = {c: v for c, v in found.items() if 0 < MIN_STEPS * len(v) <= counts[c]}
    result = np.full((channels, max(map(len, levels.values()), default=1)), np.nan)
    for c, values in levels.items():
        result[c, : len(values)] = values
    return result.astype(np.float32)


def fit_cuts(generated: SeriesBatch, levels: Levels, examples: Examples) -> Cuts:
    """Cuts by which each of the few values is as frequent as in training.

    In series that are made as `generated` were, before they take few values.
    """
    few = [(c, row[~np.isnan(row)]) for c, row in enumerate(levels)]
    few = [(c, values) for c, values in few if len(values)]
    counts = [np.zeros(len(values), int) for _, values in few]
    for series, known in known_values(examples, np.float32):
        for (c, values), count in zip(few, counts, strict=True):
            found = np.searchsorted(values, series[..., c][known[..., c]])
            count += np.bincount(found, minlength=len(values))
    cuts = np.full_like(levels, np.nan)
    for (c, _), count in zip(few, counts, strict=True):
        made = generated[..., c]
        up_to = np.cumsum(count)[:-1] / count.sum()
        cuts[c, : len(up_to)] = np.quantile(made[~np.isnan(made)], up_to)
    return cuts


def snap(
    series: Float[AnyArray, "*N L C"], levels: Levels, cuts: Cuts
) -> Float[AnyArray, "*N L C"]:
    """Each value of a channel of few becomes the one between whose cuts it lies.

    A cut itself belongs to the value below it. NaN stays.
    """
    xp, columns = series.__array_namespace__(), []  # numpy's or JAX's
    for c, row in enumerate(levels):
        values, column = row[~np.isnan(row)], series[..., c]
        if len(values):
            between = cuts[c, : len(values) - 1]
            middles = (values[1:] + values[:-1]) / 2
            between = np.where(np.isnan(between), middles, between)
            taken = xp.asarray(values)[xp.searchsorted(between, column)]
            column = xp.where(xp.isnan(column), xp.nan, taken)
        columns.append(column)
    return xp.stack(columns, axis=-1)
