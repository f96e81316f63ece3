"""Scores of generated series against real ones. A metric is a function and one line.

Series are scaled to [0, 1] by the range of the real ones. What a score is called, says
and is at best stands in `catalog.SCORES`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from l2d_jax.errors import did_you_mean
from l2d_jax.metrics import context_fid, distances, fidelity, moments, table
from l2d_jax.metrics.classes import class_scores
from l2d_jax.metrics.copying import Points, drift, privacy_scores
from l2d_jax.metrics.discriminative import (
    discriminative_score,
    discriminative_score_repaired,
)
from l2d_jax.metrics.floors import with_floor, with_floors
from l2d_jax.metrics.predictive import predictive_score, predictive_score_repaired
from l2d_jax.metrics.representations import (
    pca_fid,
    random_convolution_fid,
    two_sample_accuracy,
)
from l2d_jax.metrics.sets import Labels, SeriesSet, Sets, sets_of
from l2d_jax.types import InputError, SeriesBatch

__all__ = ["ALL", "GROUPS", "METRICS", "check_names", "evaluate", "table"]

MAX_FIDELITY = 5000  # series of each set: the time of nearest neighbours goes with N^2
FEW = 100  # series: below it, a score says little


# --- metrics --------------------------------------------------------------------------

# real [N, L, C], generated [M, L, C], num_repeats and seed -> the score of that name.
# `evaluate` has scaled both, so that the real ones span 0 to 1 in each channel; behind
# the end of a shorter series is NaN. `with_floor` makes one of a function (real,
# generated) -> float.
METRICS: dict[str, Callable[..., dict[str, Any]]] = {
    "context_fid": context_fid.context_fid,
    "discriminative_score": discriminative_score,
    "discriminative_score_repaired": discriminative_score_repaired,
    "predictive_score": predictive_score,
    "predictive_score_repaired": predictive_score_repaired,
    "random_convolution_fid": random_convolution_fid,
    "pca_fid": pca_fid,
    "two_sample_accuracy": two_sample_accuracy,
    "marginal_distribution_difference": with_floor(
        moments.marginal_distribution_difference
    ),
    "value_distribution_distance": with_floor(distances.value_distribution_distance),
    "autocorrelation_difference": with_floor(moments.autocorrelation_difference),
    "spectral_distance": with_floor(distances.spectral_distance),
    "correlational_score": with_floor(
        moments.correlational_score,
        undefined="it compares channels: there is one alone, or one that is constant",
    ),
    "skewness_difference": with_floor(moments.skewness_difference),
    "kurtosis_difference": with_floor(moments.kurtosis_difference),
    "sliced_wasserstein": with_floor(distances.sliced_wasserstein),
    "sliced_wasserstein_frequency": with_floor(
        partial(distances.sliced_wasserstein, frequency=True)
    ),
    "mmd_series": with_floor(
        distances.maximum_mean_discrepancy,
        undefined="half of the pairs of real series are equal",
    ),
    "mmd_increments": with_floor(
        partial(distances.maximum_mean_discrepancy, increments=True),
        undefined="half of the pairs of real series have equal increments",
    ),
}


def score_fidelity(sets: Sets, *, num_repeats: int, seed: int) -> dict[str, Any]:
    """The scores of `fidelity`, and `authenticity`, of series as points.

    Held-out series that drifted are no floor of copies, as in `privacy_scores`.
    """
    metrics = with_floors(
        lambda real, x: fidelity.fidelity(points(real), points(x)),
        max_series=MAX_FIDELITY,
    )
    settings = {"num_repeats": num_repeats, "seed": seed}
    train, test, found = searched(sets)
    drifted = "" if test is None else drift(train, test, seed)
    copying = fidelity.authenticity(train, None if drifted else test, found, **settings)
    if drifted:
        copying["note"] = f"The floor is of training series among others: {drifted}"
    scores = metrics(sets.real, sets.generated, **settings)
    return {**scores, "authenticity": copying}


def score_classes(sets: Sets, *, num_repeats: int, seed: int) -> dict[str, Any]:
    """The scores of `class_scores`, of labelled series."""
    assert sets.labels is not None
    return class_scores(
        sets.train,
        sets.generated,
        sets.labels,
        num_classes=len(sets.classes),
        classes=sets.classes,
        test=sets.test,
        test_labels=sets.test_labels,
        generated_labels=sets.generated_labels,
        num_repeats=num_repeats,
        seed=seed,
    )


def score_privacy(sets: Sets, *, num_repeats: int, seed: int) -> dict[str, Any]:
    """The scores of `privacy_scores`; `num_repeats` has no part."""
    return privacy_scores(*searched(sets), seed=seed)


# Several scores each, of all that is known: `Sets`, num_repeats, seed -> by name.
GROUPS: dict[str, Callable[..., dict[str, dict[str, Any]]]] = {
    "fidelity": score_fidelity,
    "classes": score_classes,
    "privacy": score_privacy,
}
ALL = "all"


def searched(sets: Sets) -> tuple[Points, Points | None, Points]:
    """All training and test series, and the generated ones, as points."""
    test = None if sets.all_test is None else points(sets.all_test)
    return points(sets.all_train), test, points(sets.generated)


def points(series: SeriesBatch) -> Points:
    """A point a series; NaN counts as 0."""
    return np.nan_to_num(series).reshape(len(series), -1)


# --- evaluation -----------------------------------------------------------------------


def evaluate(
    real: SeriesSet,
    generated: SeriesSet,
    *,
    test: SeriesSet | None = None,
    labels: Labels | None = None,
    test_labels: Labels | None = None,
    generated_labels: Labels | None = None,
    classes: Labels = (),
    metrics: Sequence[str] | None = None,
    num_series: int = 0,
    num_repeats: int = 5,
    seed: int = 0,
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """Scores of `generated`, from any generator, by the names in `catalog.SCORES`.

    Args:
      real: what the generator was trained on, in data units: an array [N, L, C], or a
        list of arrays [L_i, C] where lengths differ. At least 16 series.
      generated: the same, as many or not.
      test: real series that it wasn't trained on. Where given, `generated` is compared
        with these, which gives no credit for copies, and all privacy scores are
        defined; else with `real`, as the published protocol has it.
      labels, test_labels: the class of each series of `real` and `test`, integers or
        text; without them the scores of classes are left out.
      generated_labels: of a generator that makes labels; else a classifier trained on
        the real series gives them.
      classes: names, where labels are the indices 0 to K - 1.
      metrics: keys of `METRICS` and `GROUPS`; all by default.
      num_series: of `real`, and of `test`, so many are compared, drawn by the seed; 0:
        all. Copies (privacy and authenticity) are searched among all in any case.
      num_repeats: how often each metric is computed, with fresh randomness.
      seed: what the randomness is derived from.
      announce: is told what is computed next, as "context_fid, 1 of 22".

    All are scaled per channel so that the real ones compared (both sets) span 0 to 1,
    as the published protocol has it. Lists are filled up with NaN to the longest.

    Returns:
      A score by name, as `about` describes it, and its "seconds" (its share, where
      several are computed together).

    Raises:
      InputError: naming what can't be scored, and the mend.

    Example: real series against others, and against the same with their steps mixed.

    >>> walks = np.random.default_rng(0).normal(size=(400, 24, 2)).cumsum(axis=1)
    >>> real, others = walks[:200], walks[200:]
    >>> for generated in (others, np.random.default_rng(1).permuted(others, axis=1)):
    ...     found = evaluate(real, generated, metrics=["spectral_distance"])
    ...     score = found["spectral_distance"]
    ...     print(score["at_floor_size"]["mean"] < 2 * score["floor"]["mean"])
    True
    False
    """
    names = check_names([ALL] if metrics is None else metrics)
    check_whole(num_repeats, "num_repeats", least=1)
    check_whole(num_series, "num_series", least=0)
    check_whole(seed, "seed", least=0)
    sets = sets_of(
        real,
        generated,
        test=test,
        labels=labels,
        test_labels=test_labels,
        generated_labels=generated_labels,
        classes=classes,
        num_series=num_series,
        seed=seed,
    )
    if sets.labels is None:
        names = [name for name in names if name != "classes"]
    told = {"context_fid": {"encoder_series": sets.train}}
    scores = {}
    for count, name in enumerate(names, 1):
        announce(f"{name}, {count} of {len(names)}")
        start = time.perf_counter()
        if name in GROUPS:
            found = GROUPS[name](sets, num_repeats=num_repeats, seed=seed)
        else:
            score = METRICS[name](
                sets.real,
                sets.generated,
                num_repeats=num_repeats,
                seed=seed,
                **told.get(name, {}),
            )
            if not isinstance(score, dict):
                raise InputError(
                    f"METRICS[{name!r}] gives {type(score).__name__}, no dict: wrap it "
                    "in l2d_jax.metrics.floors.with_floor"
                )
            found = {name: score}
        seconds = (time.perf_counter() - start) / max(len(found), 1)
        for key, score in found.items():
            scores[key] = {**score, "seconds": seconds}
    warn_of_few(scores, min(len(sets.real), len(sets.generated)))
    return scores


def check_whole(number: Any, name: str, *, least: int) -> None:
    """Raises `InputError` unless it is a whole number that isn't too small."""
    if not isinstance(number, int | np.integer) or number < least:
        raise InputError(f"{name}={number!r}: use a whole number, {least} or more")


def check_names(names: str | Iterable[str]) -> list[str]:
    """The metrics and groups meant; `ALL` stands for every one.

    Raises:
      InputError: one doesn't exist.
    """
    names = [names] if isinstance(names, str) else names
    known = [*METRICS, *GROUPS]
    chosen = []
    for name in names:
        if name not in (ALL, *known):
            hint = did_you_mean(name, (ALL, *known)) or f"use {ALL} or {known}"
            raise InputError(f"unknown metric {name!r}: {hint}")
        chosen += known if name == ALL else [name]
    return list(dict.fromkeys(chosen))


def warn_of_few(scores: dict[str, dict[str, Any]], num_series: int) -> None:
    """Adds a "warning" where there are too few series for a score."""
    features = context_fid.ENCODER.features
    if "context_fid" in scores and num_series <= features:
        scores["context_fid"]["warning"] = (
            f"Context-FID of {num_series} series says little: the covariance of its "
            f"{features} features takes {features + 1} or more"
        )
    first = next(iter(scores.values()), None)
    if first is not None and num_series < FEW:
        few = (
            f"only {num_series} series of each set: every score says little below {FEW}"
        )
        first["warning"] = "; ".join([few, *filter(None, [first.get("warning")])])
