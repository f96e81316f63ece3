"""Scores that don't rest on TS2Vec, which is also the encoder of the model.

Random convolutions (MiniRocket) learn nothing; principal components see second moments
only; a classifier of random-convolution features finds what tells the two sets apart.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.metrics.floors import NOT_FINITE, as_score, choose, with_floor
from l2d_jax.metrics.frechet import frechet_distance, halves_and_whole
from l2d_jax.metrics.random_convolutions import fit_kernels, transform
from l2d_jax.types import SeriesBatch

FID_FEATURES = 252  # 3 a kernel: few enough for the covariance of 500 series
FEATURES = 1008  # 12 a kernel, for classifiers
MAX_SERIES = 4000  # of a set, that components or classifiers are fitted to
EXPLAINED, MAX_COMPONENTS = 0.99, 64  # share of the variance; components at most
PENALTIES = np.logspace(0.0, 5.0, 11)  # of standardised features

Features = Float[np.ndarray, "N F"]
Classes = Int[np.ndarray, " N"]


# --- Frechet distances ----------------------------------------------------------------


def random_convolution_fid(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Frechet distance between random-convolution features of real and generated.

    Of 252 features, shares of steps from 0 to 1. 0 and up; 0: the same mean and
    covariance of features. Each repeat draws new kernels, whose biases are fitted to
    all real series. The shape of series counts, in single channels and in sums of some,
    at several scales of time; levels count at the two ends only.

    As that of Context-FID, its bias is about 1 / n. The score, "floor" and
    "at_floor_size" are made and given just as there.
    """
    n = min(len(real), len(generated))
    values = []
    for repeat in range(num_repeats):
        rng = np.random.default_rng((seed, repeat))
        kernels = fit_kernels(real, seed=(seed, repeat, 1), num_features=FID_FEATURES)
        x = transform(kernels, choose(rng, real, n))
        y = transform(kernels, choose(rng, generated, n))
        values.append(halves_and_whole(rng, x, y))
    return of_repeats(values, num_samples=n, seed=seed)


def pca_fid(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Frechet distance between the principal components of real and generated.

    Components of the real series as points of L C coordinates: those that hold 99 % of
    the variance, at most 64. They are those of the first of the two sets compared, so
    that the second, be it real or generated, has no part in the choice. NaN counts as
    0; where a real series is shorter than L, each step has a coordinate more, 1 up to
    the end of a series and 0 after.

    Units: squares of those of the series. 0 and up; 0: the same mean and covariance
    within these components. What lies outside goes unseen. A mean shift by v within
    them scores |v|^2, and shrinking to a share s of the spread (1 - s)^2 times the
    variance. Halves, and what is drawn of the larger set, vary with the repeat:
    `floors.with_floor`. Of more than 4,000 real series, components are of so many.
    """
    with_validity = bool(np.isnan(real).any())
    points, others = (
        as_points(series, with_validity=with_validity)[:, None]
        for series in (real, generated)
    )
    metric = with_floor(distance_in_components, undefined=NOT_FINITE)
    return metric(points, others, num_repeats=num_repeats, seed=seed)


def distance_in_components(
    x: Float[np.ndarray, "N 1 d"], y: Float[np.ndarray, "M 1 d"]
) -> float:
    """Frechet distance within the principal components of x."""
    x, y = x[:, 0], y[:, 0]
    fitted = choose(np.random.default_rng(0), x, MAX_SERIES)
    components = principal_components(fitted)
    return frechet_distance(x @ components, y @ components)


def as_points(series: SeriesBatch, *, with_validity: bool) -> Float[np.ndarray, "N d"]:
    """Each series as a row; see `pca_fid`."""
    points = np.nan_to_num(series, nan=0.0).reshape(len(series), -1)
    if not with_validity:
        return points
    valid = ~np.isnan(series[:, :, 0])
    return np.concatenate([points, valid.astype(points.dtype)], axis=1)


def principal_components(
    points: Float[np.ndarray, "N d"],
) -> Float[np.ndarray, "d components"]:
    """Orthonormal: the first that hold `EXPLAINED` of the variance.

    By the smaller of the two products of the centred points with themselves.
    """
    from scipy import linalg  # takes a while to import

    centred = (points - points.mean(axis=0, keepdims=True)).astype(np.float64)
    by_row = len(points) < points.shape[1]
    product = centred @ centred.T if by_row else centred.T @ centred
    last = len(product) - 1
    span = (max(last - MAX_COMPONENTS + 1, 0), last)
    variances, vectors = linalg.eigh(product, subset_by_index=span)
    variances, vectors = np.flip(variances), np.flip(vectors, axis=1)
    enough = np.cumsum(variances) >= EXPLAINED * np.trace(product)
    count = int(enough.argmax()) + 1 if enough.any() else len(variances)
    components = vectors[:, :count]
    if by_row:
        components = centred.T @ components / np.sqrt(variances[:count])[None, :]
    return components.astype(points.dtype)


# --- the classifier two-sample test ---------------------------------------------------


def two_sample_accuracy(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of unseen series that a classifier tells right, real or generated.

    The classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017), by a linear
    classifier of 1,008 random-convolution features. It learns from half of the n real
    and half of the n generated series, and is asked about the other halves. 0.5, to
    within 0.5 / sqrt(n) and its like: it can't tell; 1: it always can. Below 0.5 there
    is chance, or copies: it learned some of the unseen generated ones as real, and some
    of the unseen real ones as generated.

    Each repeat draws kernels and halves anew, and, where there are more, which n real
    and n generated series: n is the smaller of the two numbers, 4,000 at most. "floor"
    is the same of two random halves of the real ones, as n // 2 real and n // 2
    generated, "at_floor_size" of one of them and n // 2 generated. Fewer series train a
    poorer classifier, so that only scores at equal numbers compare.
    """
    n = min(len(real), len(generated), MAX_SERIES)
    half = n // 2
    values = []
    for repeat in range(num_repeats):
        rng = np.random.default_rng((seed, repeat))
        kernels = fit_kernels(real, seed=(seed, repeat, 1), num_features=FEATURES)
        x = transform(kernels, choose(rng, real, n))
        y = transform(kernels, choose(rng, generated, n))
        order = rng.permutation(n)
        one, other = x[order[:half]], x[order[half : 2 * half]]
        part = y[rng.permutation(n)[:half]]
        values.append(
            (accuracy(rng, x, y), accuracy(rng, one, other), accuracy(rng, one, part))
        )
    return of_repeats(values, num_samples=n, seed=seed)


def accuracy(rng: np.random.Generator, a: Features, b: Features) -> float:
    """Of telling half of the rows of a from half of those of b, by the other halves."""
    a, b = a[rng.permutation(len(a))], b[rng.permutation(len(b))]
    half = len(a) // 2
    seen, unseen = np.concatenate([a[:half], b[:half]]), [a[half:], b[half:]]
    classifier = train_classifier(seen, np.repeat([0, 1], half))
    right = [np.mean(classify(classifier, x) == k) for k, x in enumerate(unseen)]
    return float(np.mean(right))


# --- the classifier -------------------------------------------------------------------


class Classifier(NamedTuple):
    """A score for each class, linear in the features; the highest one is told."""

    classes: Int[np.ndarray, " K"]
    weights: Float[np.ndarray, "F K"]
    bias: Float[np.ndarray, " K"]


def train_classifier(features: Features, labels: Classes) -> Classifier:
    """Ridge regression of 1 for its class and -1 for the others, of standard features.

    Exactly sklearn's RidgeClassifierCV after its StandardScaler, but faster:
    the penalty of `PENALTIES` is taken whose squared error, leaving one out, is least,
    summed over all series and classes. A single class is always told.
    """
    classes = np.unique(labels)
    targets = np.where(labels[:, None] == classes[None, :], 1.0, -1.0)
    centre = targets.mean(axis=0, keepdims=True)
    mean = features.mean(axis=0, dtype=np.float64, keepdims=True)
    spread = features.std(axis=0, dtype=np.float64, keepdims=True)
    scale = 1.0 / np.where(spread > 0, spread, 1.0)
    x = (features - mean) * scale
    by_row = len(x) < x.shape[1]
    powers, axes = np.linalg.eigh(x @ x.T if by_row else x.T @ x)
    powers = powers.clip(min=0.0)
    rotated = axes * np.sqrt(powers)[None, :] if by_row else x @ axes
    along = rotated.T @ (targets - centre)

    def left_out_error(penalty):
        shrunk = 1.0 / (powers + penalty)
        errors = targets - centre - rotated @ (shrunk[:, None] * along)
        leverage = 1.0 / len(x) + rotated**2 @ shrunk
        return np.square(errors / (1.0 - leverage)[:, None]).sum()

    penalty = min(PENALTIES, key=left_out_error)
    shrunk = 1.0 / (powers + penalty)
    if by_row:
        weights = x.T @ (axes @ (shrunk[:, None] * (axes.T @ (targets - centre))))
    else:
        weights = axes @ (shrunk[:, None] * along)
    weights = scale.T * weights
    return Classifier(classes, weights, bias=(centre - mean @ weights)[0])


def classify(classifier: Classifier, features: Features) -> Classes:
    """The class of each row, some rows at a time."""
    blocks = np.array_split(features, len(features) // MAX_SERIES + 1)
    scores = (x @ classifier.weights + classifier.bias[None, :] for x in blocks)
    return classifier.classes[np.concatenate([one.argmax(axis=1) for one in scores])]


# --- the score ------------------------------------------------------------------------


def of_repeats(
    values: list[tuple[float, float, float]], *, num_samples: int, seed: int
) -> dict[str, Any]:
    """As a score: in each repeat the whole, its floor, and at the floor's size."""
    parts = zip(*values, strict=True)
    found = as_score(*parts, num_samples=num_samples, undefined=NOT_FINITE)
    return {**found, "seed": seed, "num_repeats": len(values)}
