"""Beside each score its floor: what real series score against other real series.

Most scores fall with the number of series, so that even two samples of one distribution
score above 0 and only scores at equal numbers compare. Hence three scores of n real and
n generated series, n the smaller of the two numbers: of all n; of a random half of the
real ones against the other half, the floor; and of that half against n // 2 generated.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from l2d_jax.types import SeriesBatch

Measure = Callable[[SeriesBatch, Float[np.ndarray, "M L C"]], float]
Measures = Callable[[SeriesBatch, Float[np.ndarray, "M L C"]], Mapping[str, float]]

MIN_REPEATS = 3  # of a score, for a verdict
UNDEFINED = "it has no value for a channel that is constant, or for a single step"
NOT_FINITE = "numbers become too large for it: look at the generated values"


def with_floor(
    measure: Measure, *, undefined: str = UNDEFINED
) -> Callable[..., dict[str, Any]]:
    """A metric, as `METRICS` holds them, of a measure without randomness of its own.

    It returns "mean", "interval", "values" and "num_samples"; the same four under
    "floor" and "at_floor_size". Values are one a repeat, in which the larger set and
    the halves are drawn anew; a single one where nothing varies. "interval" is the 95 %
    interval of the mean by Student's t, None for a single value. Where the measure is
    NaN, "mean" is None, and "undefined" says why: `undefined`.
    """
    metrics = with_floors(
        lambda real, x: {"score": measure(real, x)}, undefined=undefined
    )

    def metric(
        real: SeriesBatch,
        generated: Float[np.ndarray, "M L C"],
        *,
        num_repeats: int = 5,
        seed: int = 0,
    ) -> dict[str, Any]:
        return metrics(real, generated, num_repeats=num_repeats, seed=seed)["score"]

    return metric


def with_floors(
    measures: Measures, *, max_series: int | None = None, undefined: str = UNDEFINED
) -> Callable[..., dict[str, dict[str, Any]]]:
    """The same for measures that come together, by name.

    `max_series`: of more, so many are drawn in each repeat.
    """

    def metrics(
        real: SeriesBatch,
        generated: Float[np.ndarray, "M L C"],
        *,
        num_repeats: int = 5,
        seed: int = 0,
    ) -> dict[str, dict[str, Any]]:
        n = min(len(real), len(generated), max_series or len(real))
        half = n // 2
        x, y = real, generated
        whole, floor, at_floor_size = [], [], []
        for repeat in range(num_repeats):
            rng = np.random.default_rng((seed, repeat))
            if len(real) > n or len(generated) > n or not whole:
                x, y = choose(rng, real, n), choose(rng, generated, n)
                whole.append(measures(x, y))
            order = rng.permutation(n)
            one, other = x[order[:half]], x[order[half : 2 * half]]
            floor.append(measures(one, other))
            at_floor_size.append(measures(one, choose(rng, y, half)))

        def score(name: str) -> dict[str, Any]:
            values = (
                [row[name] for row in rows] for rows in (whole, floor, at_floor_size)
            )
            found = as_score(*values, num_samples=n, undefined=undefined)
            return {**found, "seed": seed, "num_repeats": num_repeats}

        return {name: score(name) for name in whole[0]}

    return metrics


def as_score(
    whole: Sequence[float],
    floor: Sequence[float],
    at_floor_size: Sequence[float],
    *,
    num_samples: int,
    undefined: str = "",
) -> dict[str, Any]:
    """The three scores of `num_samples` real and as many generated series."""
    half = num_samples // 2
    return {
        **summary(whole, num_samples=num_samples, undefined=undefined),
        "floor": summary(floor, num_samples=half),
        "at_floor_size": summary(at_floor_size, num_samples=half),
    }


def choose(
    rng: np.random.Generator, rows: Shaped[np.ndarray, "N *rest"], n: int
) -> Shaped[np.ndarray, "n *rest"]:
    """n different rows at random; all, in order, where there are no more."""
    if len(rows) <= n:
        return rows
    return rows[rng.choice(len(rows), n, replace=False)]


def summary(
    values: Sequence[float], *, num_samples: int, undefined: str = ""
) -> dict[str, Any]:
    """Mean and interval, mean -+ t(.975, repeats - 1) SEM; None for one repeat.

    All None where a value isn't finite, as JSON has no NaN; `undefined` is then said.
    """
    from scipy import stats  # takes a second to import

    n = len(values)
    if not np.isfinite(values).all():
        empty = {"mean": None, "interval": None, "values": [None] * n}
        why = {"undefined": undefined} if undefined else {}
        return {**empty, "num_samples": num_samples, **why}
    mean, interval = float(np.mean(values)), None
    if n > 1:
        sem = np.std(values, ddof=1) / np.sqrt(n)
        reach = float(stats.t.ppf(0.975, n - 1) * sem)
        interval = [mean - reach, mean + reach]
    return {
        "mean": mean,
        "interval": interval,
        "values": list(values),
        "num_samples": num_samples,
    }
