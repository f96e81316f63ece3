"""Several methods on several data sets: ranks, and which methods can be told apart.

All take a table of scores [sets, methods] without gaps; `is_complete` says which sets
have none. What is said holds for sets that are independent of one another: the same
recording cut twice is one set.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from l2d_jax.types import InputError

Scores = Float[np.ndarray, "sets methods"]
PValues = Float[np.ndarray, "methods methods"]
Best = Literal["low", "high"]


class Friedman(NamedTuple):
    """Friedman's test that all methods are equal, in two versions."""

    statistic: float  # 0 to sets (methods - 1), about chi-square of methods - 1
    p_value: float
    f_statistic: float  # Iman and Davenport's; inf where all sets agree without ties
    f_p_value: float


def is_complete(scores: Scores) -> Bool[np.ndarray, " sets"]:
    """True for sets on which each method has a score; NaN stands for none."""
    return np.asarray(~np.isnan(scores).any(axis=1))


def average_ranks(
    scores: Scores, *, best: Best = "low"
) -> Float[np.ndarray, " methods"]:
    """Mean over sets of each method's rank: 1 for the best, methods for the worst.

    Equal scores share the mean of their ranks.

    >>> average_ranks(np.array([[0.1, 0.3, 0.2], [0.5, 0.9, 0.5]])).tolist()
    [1.25, 3.0, 1.75]

    Raises:
      InputError: NaN, or `best` is neither "low" nor "high".
    """
    return ranks_of(scores, best=best).mean(axis=0)


def friedman(scores: Scores) -> Friedman:
    """Whether methods differ at all, beyond chance; corrected for ties.

    The p-value of the chi-square statistic is fair from some 10 sets and 6 methods on
    (Demsar 2006), and too large with fewer. The F statistic of Iman and Davenport
    (1980), with (methods - 1) and (methods - 1)(sets - 1) degrees of freedom, is closer
    with few sets, and the one to report; where all sets agree its p-value is 0, the
    exact one being methods!^(1 - sets). All scores equal: statistics 0, p-values 1.

    Source: Conover, Practical Nonparametric Statistics, 3rd ed., 1999, section 5.8.

    Raises:
      InputError: fewer than 3 methods or 2 sets, or NaN.
    """
    from scipy import stats  # takes a second to import

    check_size(scores)
    n, k = scores.shape
    ranks = ranks_of(scores)
    centre = n * k * (k + 1) ** 2 / 4  # sum of squared ranks if all were equal
    spread = (ranks**2).sum() - centre
    if spread == 0:
        return Friedman(0.0, 1.0, 0.0, 1.0)
    between = (ranks.sum(axis=0) ** 2).sum() / n - centre
    statistic = float(n * (k - 1) * between / spread)
    rest = spread - between  # 0: all sets agree
    f_statistic = float((n - 1) * between / rest) if rest > 1e-9 else float("inf")
    return Friedman(
        statistic,
        float(stats.chi2.sf(statistic, k - 1)),
        f_statistic,
        float(stats.f.sf(f_statistic, k - 1, (k - 1) * (n - 1))),
    )


def conover(scores: Scores, *, adjust: Literal["holm", "none"] = "holm") -> PValues:
    """Two-sided p-values of Conover's test between each two methods, after Friedman's.

    Student's t with (sets - 1)(methods - 1) degrees of freedom of the difference of
    rank sums R over sqrt(2 (n A - sum R^2) / ((n - 1)(k - 1))), of n sets, k methods
    and A the sum of all squared ranks. Symmetric, 1 on the diagonal. Where all sets
    agree, 0 between methods of different rank. It means something only where
    `friedman` finds a difference.

    `adjust`: "holm" keeps the chance of any false finding among all pairs below the
    level (Holm 1979); "none" holds for a single pair that was chosen beforehand.

    Both hold where all methods are equal. The scatter of ranks is taken as one for all
    methods, and those that are always last have none: of two equal methods beside
    others that are clearly worse, one is called better too often: at .05 with "holm",
    on 10 sets, in 12, 32 and 34 % of cases with 1, 3 and 8 others
    (tests/test_ranking.py). So two methods near one another, beside
    clearly worse ones, are better tested by themselves: by the signed-rank test of
    Wilcoxon, which doesn't look at the others (Benavoli et al., "Should We Really Use
    Post-Hoc Tests Based on Mean-Ranks?", 2016).

    Source: Conover, Practical Nonparametric Statistics, 3rd ed., 1999, section 5.8.

    Raises:
      InputError: fewer than 3 methods or 2 sets, NaN, or another adjustment.
    """
    from scipy import stats

    check_size(scores)
    if adjust not in ("holm", "none"):
        raise InputError(f"adjust={adjust!r}: use 'holm' or 'none'")
    n, k = scores.shape
    ranks = ranks_of(scores)
    sums = ranks.sum(axis=0)
    degrees = (n - 1) * (k - 1)
    scale = np.sqrt(2 * (n * (ranks**2).sum() - (sums**2).sum()) / degrees)
    pairs = np.triu_indices(k, 1)
    distance = np.abs(sums[pairs[0]] - sums[pairs[1]])
    t = np.full_like(distance, np.inf)
    np.divide(distance, scale, out=t, where=scale > 0)
    t[distance == 0] = 0.0
    p = 2 * stats.t.sf(t, degrees)
    p_values = np.ones((k, k))
    p_values[pairs] = holm(p) if adjust == "holm" else p
    return np.minimum(p_values, p_values.T)


def groups(
    scores: Scores, *, best: Best = "low", alpha: float = 0.05
) -> list[tuple[int, ...]]:
    """Methods that can't be told apart: indices, the best group and method first.

    A group is a run of neighbours by average rank of which no two have a p-value of
    `conover` below `alpha`, by Holm's adjustment; as long as can be, and of two methods
    at least. Groups overlap: a method may be close to both a better and a worse one
    that differ. All methods are one group where `friedman` (by F) finds no difference.

    Raises:
      InputError: fewer than 3 methods or 2 sets, NaN, or alpha outside 0 < alpha < 1.
    """
    check_alpha(alpha)
    check_size(scores)
    order = np.argsort(average_ranks(scores, best=best), kind="stable")
    if friedman(scores).f_p_value >= alpha:
        return [tuple(order.tolist())]
    close = conover(scores)[np.ix_(order, order)] >= alpha
    found, reached = [], 0
    for first in range(len(order)):
        # The scale is one for all pairs, so the ends of a run differ most.
        last = int(np.flatnonzero(close[first])[-1])
        if last > max(first, reached):
            found.append(tuple(order[first : last + 1].tolist()))
            reached = last
    return found


def ranks_of(scores: Scores, *, best: Best = "low") -> Scores:
    """Rank of each method on each set, 1 for the best; ties share."""
    from scipy import stats

    if best not in ("low", "high"):
        raise InputError(f"best={best!r}: use 'low' or 'high'")
    if gaps := np.flatnonzero(~is_complete(scores)).tolist():
        raise InputError(
            f"scores of sets {gaps} are missing (NaN): leave these sets out, "
            "scores[is_complete(scores)]"
        )
    return stats.rankdata(scores if best == "low" else -scores, axis=1)


def holm(p: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
    """P-values adjusted by Holm: the smallest times all, the next times one less."""
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def check_size(scores: Scores) -> None:
    """Enough methods and sets to test anything."""
    num_sets, num_methods = scores.shape
    if num_methods < 3 or num_sets < 2:
        raise InputError(
            f"methods: {num_methods}, sets: {num_sets}. Friedman's test needs "
            "3 methods and 2 sets that all of them have, or more"
        )


def check_alpha(alpha: float) -> None:
    """A level is a probability."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha={alpha}: use a level between 0 and 1, as .05")
