"""How real generated points look, and how much of the real variety they show.

Points are rows [N, d]: flattened series, or what an encoder makes of them. Sources:

- precision and recall: Kynkaanniemi et al., "Improved Precision and Recall Metric for
  Assessing Generative Models", 2019;
- density and coverage: Naeem et al., "Reliable Fidelity and Diversity Metrics for
  Generative Models", 2020;
- alpha-precision, beta-recall, authenticity: Alaa et al., "How Faithful is your
  Synthetic Data?", 2022.

Two samples of one distribution don't score 1 on all of them: 2,000 and 2,000 Gaussian
points have precision and recall .99 in 2 dimensions and .7 in 64, beta-recall .97 and
less than .5, authenticity .4 and .8 (tests/test_fidelity.py). Only density, coverage
and alpha-precision hardly depend on d. Hence a score means something only beside that
of real points against other real points, as many of each.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from l2d_jax.metrics.floors import choose, summary
from l2d_jax.metrics.neighbours import count_balls, lengths, nearest

K = 5  # neighbours that make the radius of a ball
NUM_LEVELS = 100  # of alpha and of beta, in the integrals
MAX_JUDGED = 5000  # points that are asked for being copies


def fidelity(
    real: np.ndarray, generated: np.ndarray, *, k: int = K, seed: int = 0
) -> dict[str, float]:
    """All scores of this file, on sets of equal size.

    Of the larger set, as many points as the smaller one has are chosen at random by
    `seed`: balls shrink as points become more, and only then do precision and recall,
    and scores of different generators, compare.

    Args:
      real, generated: [N, d] and [M, d], k + 1 points or more of each.

    Returns:
      "precision", "recall", "density", "coverage", "alpha_precision" and
      "beta_recall": what is best, and what the range is, stands with the function of
      each name. `authenticity` isn't among them: it takes all that was trained on.
    """
    n, rng = min(len(real), len(generated)), np.random.default_rng(seed)
    real, generated = choose(rng, real, n), choose(rng, generated, n)
    return {
        **precision_and_density(real, generated, k=k),
        "recall": recall(real, generated, k=k),
        "coverage": coverage(real, generated, k=k),
        "alpha_precision": alpha_precision(real, generated),
        "beta_recall": beta_recall(real, generated, k=k),
    }


# --- balls around the points ----------------------------------------------------------


def precision_and_density(
    real: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"], *, k: int = K
) -> dict[str, float]:
    """What generated points the balls of the real ones hold: fidelity.

    The ball of a real point reaches to its k-th nearest other real point.

    - "precision": share of generated points in one ball or more. 0 to 1, the more the
      better; far outliers are all missed.
    - "density": mean number of balls that a generated point is in, over k. 0 or more;
      1 is expected of the real distribution at any N, M and d, and what crowds where
      real points are dense scores above 1. A lone outlier among the real points, whose
      ball is large, raises it little.
    """
    counts = count_balls(generated, real, radii_of(real, k))
    return {
        "precision": float((counts > 0).mean()),
        "density": float(counts.mean() / k),
    }


def recall(
    real: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"], *, k: int = K
) -> float:
    """Share of real points in the ball of one generated point or more: diversity.

    The ball of a generated point reaches to its k-th nearest other generated point.
    0 to 1, the more the better. Scattered outliers with their large balls raise it
    unduly; coverage doesn't have this fault.
    """
    return float((count_balls(real, generated, radii_of(generated, k)) > 0).mean())


def coverage(
    real: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"], *, k: int = K
) -> float:
    """Share of real points whose ball holds one generated point or more: diversity.

    The ball of a real point reaches to its k-th nearest other real point. 0 to 1. The
    real distribution scores 1 - prod_{i=1..k} (N - i) / (N + M - i), whatever it is
    (Naeem et al. 2020 for N = M): of all other N - 1 + M points, the k nearest must be
    real ones for a point to be missed. About 1 - 2^-k for large N = M: .969 for k = 5.
    """
    return float((nearest(real, generated).distances[:, 0] <= radii_of(real, k)).mean())


def radii_of(points: Float[np.ndarray, "N d"], k: int) -> Float[np.ndarray, " N"]:
    """Distance from each point to its k-th nearest other point."""
    return nearest(points, points, k, exclude_self=True).distances[:, -1]


# --- supports that hold a given share -------------------------------------------------


def alpha_precision(
    real: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"]
) -> float:
    """IP_alpha = 1 - 2 int_0^1 |P_alpha - alpha| d alpha: fidelity, typical or not.

    P_alpha is the share of generated points in the ball around the mean of the real
    ones that holds a share alpha of these. 0 to 1; 1 is ideal and about what the real
    distribution scores. All points at the centre score 0, as do all points outside;
    all at the radius that holds a share q score 2 q (1 - q).

    Only the distance from the centre counts: it doesn't see where on a shell points
    lie. Alaa et al. first train an encoder that makes real points fill a ball; here
    the points are what the caller gives.
    """
    centre = real.mean(axis=0, dtype=np.float64)[None, :]
    inner = lengths(real - centre)
    return calibration(inner, lengths(generated - centre), len(generated))


def beta_recall(
    real: Float[np.ndarray, "N d"], generated: Float[np.ndarray, "M d"], *, k: int = K
) -> float:
    """IR_beta = 1 - 2 int_0^1 |R_beta - beta| d beta: diversity, typical or not.

    R_beta is the share of real points r whose nearest generated point g

    - is no farther from r than the k-th nearest other real point, and
    - lies in the ball around the mean of the generated points that holds a share beta
      of these.

    0 to 1, 1 is ideal. R_1 is the coverage, and so the real distribution scores about
    1 - 2^-k in few dimensions (.97 for k = 5, .5 for k = 1). In many it scores less:
    a few near the mean are the nearest of most.
    """
    centre = generated.mean(axis=0, dtype=np.float64)[None, :]
    outer = lengths(generated - centre)
    found = nearest(real, generated)
    covered = found.distances[:, 0] <= radii_of(real, k)
    return calibration(outer, outer[found.indices[covered, 0]], len(real))


def calibration(
    inner: Float[np.ndarray, " N"], lying: Float[np.ndarray, " M"], total: int
) -> float:
    """1 - 2 int |P_q - q| dq, P_q = (number of `lying` <= q-quantile of inner) / total.

    By the trapezoidal rule over `NUM_LEVELS` intervals.
    """
    levels = np.linspace(0.0, 1.0, NUM_LEVELS + 1)
    counts = np.searchsorted(np.sort(lying), np.quantile(inner, levels), side="right")
    return float(1.0 - 2.0 * np.trapezoid(np.abs(counts / total - levels), levels))


# --- copies ---------------------------------------------------------------------------


def authenticity(
    train: Float[np.ndarray, "N d"],
    test: Float[np.ndarray, "H d"] | None,
    generated: Float[np.ndarray, "M d"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of generated points that are no copy of a training one, as a score.

    `train` is all that the generator saw. Copies score 0, fresh points of the
    distribution as the floor does: the share of the points of `test`, or, without them,
    of training points, each among all the others. Of more than `MAX_JUDGED`, so many
    are drawn. "floor" and "at_floor_size" have a value for each of `num_repeats` parts
    of the points; no point is in two, so that they have nothing "shared".
    """
    rng = np.random.default_rng(seed)
    found = authentic(train, choose(rng, generated, MAX_JUDGED))
    if test is None:
        rows = choose(rng, np.arange(len(train)), MAX_JUDGED)
        fresh = authentic_among_others(train, rows)
    else:
        fresh = authentic(train, choose(rng, test, MAX_JUDGED))
    n = min(len(found), len(fresh))
    num_parts = min(num_repeats, n)
    size = n // num_parts

    def parts(flags: Bool[np.ndarray, " _"]) -> dict[str, Any]:
        some = rng.permutation(flags)[: num_parts * size]
        shares = some.reshape(num_parts, size).mean(axis=1)
        return summary(shares.tolist(), num_samples=size)

    return {
        **summary([float(found.mean())], num_samples=len(found)),
        "floor": parts(fresh),
        "at_floor_size": parts(found),
        "shared": 0.0,
        "seed": seed,
        "num_repeats": num_repeats,
    }


def authentic(
    train: Float[np.ndarray, "N d"], points: Float[np.ndarray, "M d"]
) -> Bool[np.ndarray, " M"]:
    """Which points are no copy of a training one.

    x is authentic if its nearest training point r has another training point nearer
    than x: d(r, train without r) < d(r, x). Of copies none is, of far outliers all. Of
    fresh points of the distribution 1 less the chance that r and x are nearest to one
    another: 1/3, .38 and .41 in 1, 2 and 3 dimensions, .8 for 2,000 Gaussian points in
    64, where a few are the nearest of most. Well below the share of held-out points:
    copies.
    """
    found = nearest(points, train)
    return found.distances[:, 0] > spacing(train, found.indices[:, 0])


def authentic_among_others(
    train: Float[np.ndarray, "N d"], rows: Int[np.ndarray, " M"]
) -> Bool[np.ndarray, " M"]:
    """`authentic` of these training points, each against all the others."""
    found = nearest(train[rows], train, 2)
    itself = found.indices[:, 0] == rows  # a copy elsewhere may come before it
    other = np.where(itself, found.indices[:, 1], found.indices[:, 0])
    distance = np.where(itself, found.distances[:, 1], found.distances[:, 0])
    return distance > spacing(train, other, without=rows)


def spacing(
    train: Float[np.ndarray, "N d"],
    rows: Int[np.ndarray, " M"],
    *,
    without: Int[np.ndarray, " M"] | None = None,
) -> Float[np.ndarray, " M"]:
    """Distance from training points to the nearest other one, which isn't `without`."""
    index, place = np.unique(rows, return_inverse=True)
    found = nearest(train[index], train, 2 if without is None else 3)
    neighbours, distances = found.indices[place], found.distances[place]
    barred = neighbours == rows[:, None]
    if without is not None:
        barred |= neighbours == without[:, None]
    return np.where(barred, np.inf, distances).min(axis=1)
