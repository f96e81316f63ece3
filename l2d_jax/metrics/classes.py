"""Scores by class, for labelled real series: shares, dropped classes, usefulness.

Generated series have their own labels, or those that a classifier tells which learned
from real ones. It is that of the two-sample test, linear in random-convolution
features, and is sometimes wrong: hence the floors.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.metrics.floors import as_score, summary
from l2d_jax.metrics.random_convolutions import fit_kernels, transform
from l2d_jax.metrics.representations import (
    FEATURES,
    MAX_SERIES,
    Classes,
    Classifier,
    Features,
    classify,
    train_classifier,
)
from l2d_jax.types import SeriesBatch

HELD_OUT = 5  # one of so many series of each class, where there is no test set
DROPPED = 0.1  # of its real share is too little for a class, where it is significant
SIGNIFICANT = 0.001
ONE_CLASS = "the real series are all of one class"
NO_TEST = "no class has the 5 series of which 1 is held out: give a test set"


class Labelled(NamedTuple):
    """The features of some series, and their classes."""

    features: Features
    labels: Classes

    def take(self, rows: np.ndarray) -> "Labelled":
        """Some of them."""
        return Labelled(self.features[rows], self.labels[rows])


class Trio(NamedTuple):
    """Of n, of two halves of the real ones, and of one half and n // 2 generated."""

    whole: float
    floor: float
    at_floor_size: float


class Repeat(NamedTuple):
    """What one repeat finds."""

    n: int
    counts: tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"]]  # of the whole
    distance: Trio
    dropped: Trio
    dropped_classes: Classes  # of the whole
    accuracy: Trio  # after learning from generated series; the floor, from real ones
    of_real: float  # after learning from n real series with their own labels
    balanced: tuple[float, float]  # mean over classes of accuracy and of_real


# --- the scores -----------------------------------------------------------------------


def class_scores(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    labels: Int[np.ndarray, " labels"],
    *,
    num_classes: int,
    classes: Sequence[str] = (),
    test: Float[np.ndarray, "H L C"] | None = None,
    test_labels: Int[np.ndarray, " test_labels"] | None = None,
    generated_labels: Int[np.ndarray, " generated_labels"] | None = None,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Which classes are generated, and what can be learned from them.

    Args:
      real: what the generator learned from. Without `test`, a fifth of each class is
        held out in its place, of real series drawn anew in each repeat.
      labels: of `real`, 0 to num_classes - 1; so are all labels.
      classes: names, for the warning.
      generated_labels: of a generator that makes classes on demand. Without them, a
        classifier that learned from `real` tells the classes of generated series.

    Of n real and n generated series, n the smaller of the two numbers; "floor" and
    "at_floor_size" are of halves of the real ones, as everywhere (`floors`). There, the
    classifier learns from one half, and tells the classes of the other half or of
    n // 2 generated series, which are compared with the true ones of the first half. So
    its errors are in the floor.

    - "class_histogram_distance": total variation distance between the shares of
      classes, 0 to 1; 0: the same shares. Errors of the classifier move it. "shares":
      both, "real" and "generated", by class, mean over repeats.
    - "dropped_classes": how many of the classes among the real series have no generated
      ones, or nearly: less than a tenth of the real share, and so few by chance in less
      than 1 of 1,000 cases, if the shares were the same (Fisher's exact test). At equal
      numbers, fewer than 10 real series of a class can't show that. 0 to 1, 0 is ideal.
      "classes" are those that more than half of the repeats find, "warning" names them.
    - "train_synthetic_test_real": accuracy on test series of a classifier that learned
      from n generated ones, 0 to 1, the more the better; "real": from n real ones with
      their own labels. "balanced_accuracy" is the mean accuracy over classes, of both.
      "at_floor_size" learned from n // 2 generated ones, "floor" from the other half of
      the real ones. Labels that a classifier told are sometimes wrong, which costs
      accuracy, however good the series are. So where generated series have none of
      their own, both learn from labels that the classifier of the first half told, and
      "real" is no floor. Told labels carry what the classifier knows about the real
      series: then this says whether a classifier can be distilled through generated
      series, and is no proof that these have classes of their own.

    Biases of the features are quantiles of any real series, held out or not; labels
    aren't seen. A classifier learns from 4,000 series at most. Classes may be missing
    from either set, or from a half: they are then never told. Undefined where the real
    series are of one class, the last also where nothing can be held out.
    """
    num_present = len(np.unique(labels))
    if num_present < 2:
        return undefined(ONE_CLASS, num_samples=min(len(real), len(generated)))
    repeats = []
    for repeat in range(num_repeats):
        rng = np.random.default_rng((seed, repeat))
        kernels = fit_kernels(real, seed=(seed, repeat, 1), num_features=FEATURES)
        known = Labelled(transform(kernels, real), labels)
        if test is None or test_labels is None:
            known, unseen = hold_out(rng, known)
        else:
            unseen = Labelled(transform(kernels, test), test_labels)
        features = transform(kernels, generated)
        repeats.append(
            compare(rng, known, unseen, features, generated_labels, num_classes)
        )
    context = {"seed": seed, "num_repeats": num_repeats}
    scores = {
        "class_histogram_distance": histogram_distance(repeats),
        "dropped_classes": dropped_score(repeats, num_present, classes),
        "train_synthetic_test_real": usefulness(repeats),
    }
    return {name: {**score, **context} for name, score in scores.items()}


def undefined(why: str, *, num_samples: int) -> dict[str, dict[str, Any]]:
    """All three scores without a value."""
    names = ("class_histogram_distance", "dropped_classes", "train_synthetic_test_real")
    nothing = summary([np.nan], num_samples=num_samples)
    parts = {"floor": nothing, "at_floor_size": nothing, "undefined": why}
    return {name: {**nothing, **parts} for name in names}


def trio(repeats: list[Repeat], name: str) -> dict[str, Any]:
    """A score, its floor and the score at the floor's size, of a field of `Repeat`."""
    values = zip(*(getattr(repeat, name) for repeat in repeats), strict=True)
    return as_score(*values, num_samples=repeats[0].n)


def histogram_distance(repeats: list[Repeat]) -> dict[str, Any]:
    """How far the shares of the classes differ, and these."""
    shares = np.mean([repeat.counts for repeat in repeats], axis=0) / repeats[0].n
    named = dict(zip(("real", "generated"), shares.tolist(), strict=True))
    return {**trio(repeats, "distance"), "shares": named}


def dropped_score(
    repeats: list[Repeat], num_present: int, classes: Sequence[str]
) -> dict[str, Any]:
    """Share of the classes present that are dropped, which, and the warning."""
    found = np.concatenate([repeat.dropped_classes for repeat in repeats])
    index, times = np.unique(found, return_counts=True)
    dropped = index[times > len(repeats) / 2].tolist()
    score = {**trio(repeats, "dropped"), "classes": dropped}
    if dropped:
        names = ", ".join(classes[k] if classes else f"{k}" for k in dropped)
        score["warning"] = (
            f"{len(dropped)} of {num_present} classes have (nearly) no generated "
            f"series: {names}"
        )
    return score


def usefulness(repeats: list[Repeat]) -> dict[str, Any]:
    """Accuracy after learning from generated series, beside that from real ones."""
    score = trio(repeats, "accuracy")
    if score["mean"] is None:
        return {**score, "undefined": NO_TEST}
    of_real = [repeat.of_real for repeat in repeats]
    balanced = np.mean([repeat.balanced for repeat in repeats], axis=0).tolist()
    return {
        **score,
        "real": summary(of_real, num_samples=repeats[0].n),
        "balanced_accuracy": dict(zip(("mean", "real"), balanced, strict=True)),
    }


# --- one repeat -----------------------------------------------------------------------


def hold_out(rng: np.random.Generator, real: Labelled) -> tuple[Labelled, Labelled]:
    """All but a fifth of each class, rounded down, and that fifth."""
    order = rng.permutation(len(real.labels))
    held = np.zeros(len(order), bool)
    for label in np.unique(real.labels):
        rows = order[real.labels[order] == label]
        held[rows[: len(rows) // HELD_OUT]] = True
    return real.take(np.flatnonzero(~held)), real.take(np.flatnonzero(held))


def compare(
    rng: np.random.Generator,
    real: Labelled,
    test: Labelled,
    generated: Float[np.ndarray, "M F"],
    generated_labels: Int[np.ndarray, " M"] | None,
    num_classes: int,
) -> Repeat:
    """All three scores by one set of kernels."""
    n = min(len(real.labels), len(generated))
    order = rng.permutation(len(real.labels))
    one, other = real.take(order[: n // 2]), real.take(order[n // 2 : 2 * (n // 2)])
    part = rng.permutation(len(generated))[: n // 2]
    if generated_labels is None:
        judge, of_half = learn(rng, real), learn(rng, one)
        generated_labels = classify(judge, generated)
        floor, at_floor_size = (
            classify(of_half, x) for x in (other.features, generated[part])
        )
    else:
        floor, at_floor_size = other.labels, generated_labels[part]
    equal = real.take(order[:n])
    rows = rng.permutation(len(generated))[:n]
    made = Labelled(generated[rows], generated_labels[rows])
    pairs = [
        (count(a, num_classes), count(b, num_classes))
        for a, b in [
            (equal.labels, made.labels),
            (one.labels, floor),
            (one.labels, at_floor_size),
        ]
    ]
    dropped = [dropped_classes(*pair) for pair in pairs]
    num_present = (count(real.labels, num_classes) > 0).sum()
    learned = (
        made,
        equal,
        Labelled(other.features, floor),
        Labelled(generated[part], at_floor_size),
    )
    whole, of_real, *halves = (accuracies(learn(rng, x), test) for x in learned)
    return Repeat(
        n=n,
        counts=pairs[0],
        distance=Trio(*(total_variation(*pair) for pair in pairs)),
        dropped=Trio(*(float(len(found) / num_present) for found in dropped)),
        dropped_classes=dropped[0],
        accuracy=Trio(whole[0], *(plain for plain, _ in halves)),
        of_real=of_real[0],
        balanced=(whole[1], of_real[1]),
    )


def learn(rng: np.random.Generator, labelled: Labelled) -> Classifier:
    """A classifier of `MAX_SERIES` of them, at most."""
    chosen = labelled.take(rng.permutation(len(labelled.labels))[:MAX_SERIES])
    return train_classifier(chosen.features, chosen.labels)


def count(labels: Classes, num_classes: int) -> Int[np.ndarray, " K"]:
    """Series of each class."""
    return np.bincount(labels, minlength=num_classes)


def total_variation(
    real: Int[np.ndarray, " K"], generated: Int[np.ndarray, " K"]
) -> float:
    """sum |p - q| / 2 between shares of classes."""
    gaps = real / real.sum() - generated / generated.sum()
    return float(np.abs(gaps).sum() / 2)


def dropped_classes(
    real: Int[np.ndarray, " K"], generated: Int[np.ndarray, " K"]
) -> Int[np.ndarray, " dropped"]:
    """Classes with less than `DROPPED` of their real share, where it is significant.

    Fisher's exact test: the chance that of all series of a class, real and generated,
    no more than this fall to the generated, drawn without replacement.
    """
    from scipy import stats  # takes a second to import

    few = generated / generated.sum() < DROPPED * real / real.sum()
    total = real + generated
    chance = stats.hypergeom.cdf(generated, total.sum(), total, generated.sum())
    return np.flatnonzero(few & (chance < SIGNIFICANT))


def accuracies(classifier: Classifier, test: Labelled) -> tuple[float, float]:
    """Share of test series told right, and its mean over classes; NaN without any."""
    if not len(test.labels):
        return np.nan, np.nan
    right = classify(classifier, test.features) == test.labels
    by_class = [right[test.labels == label].mean() for label in np.unique(test.labels)]
    return float(right.mean()), float(np.mean(by_class))
