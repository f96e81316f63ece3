"""Scores by random convolutions and principal components: known answers."""

import json

import numpy as np
import pytest
from made import gaussians
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from l2d_jax.metrics import representations
from l2d_jax.metrics.catalog import SCORES, verdict
from l2d_jax.metrics.frechet import frechet_distance
from l2d_jax.metrics.random_convolutions import fit_kernels, transform
from l2d_jax.metrics.representations import (
    MAX_SERIES,
    PENALTIES,
    Classifier,
    classify,
    pca_fid,
    principal_components,
    random_convolution_fid,
    train_classifier,
    two_sample_accuracy,
)

# --- hand-made sets -------------------------------------------------------------------


def planar(seed, n, length=12, num_channels=2):
    """Gaussian series within two directions of variance 4 and 1, and the directions."""
    plane = np.linalg.qr(gaussians(99, length * num_channels, 2))[0].T
    series = gaussians(seed, n, 2) * [2.0, 1.0] @ plane
    return series.reshape(n, length, num_channels), plane.reshape(
        2, length, num_channels
    )


def waves(seed, n, frequency):
    """Noisy sine waves of random phase within [0, 1], of 24 steps."""
    phase = np.random.default_rng(seed).uniform(0, 6, (n, 1, 1))
    x = np.sin(frequency * np.arange(24)[None, :, None] + phase)
    return (0.5 + 0.4 * x + 0.03 * gaussians((seed, 1), n, 24, 1)).astype("f4")


def halves_lie_apart(score):
    """Every value at the floor's size is above every one of the floor."""
    return min(score["at_floor_size"]["values"]) > max(score["floor"]["values"])


# --- principal components -------------------------------------------------------------


def test_pca_fid_of_a_shift_within_the_plane():
    real, plane = planar(0, 400)
    shift = 0.7 * plane[0] - 1.1 * plane[1]
    score = pca_fid(real, real + shift[None])
    assert score["values"] == pytest.approx([0.7**2 + 1.1**2], rel=1e-6)
    assert score["interval"] is None and score["num_samples"] == 400
    assert len(score["floor"]["values"]) == 5 and score["floor"]["num_samples"] == 200


def test_pca_fid_of_a_smaller_spread():
    real, _ = planar(0, 400)
    centre = real.mean(axis=0, keepdims=True)
    total = real.reshape(400, -1).var(axis=0, ddof=1).sum()
    score = pca_fid(real, centre + 0.25 * (real - centre))
    assert score["mean"] == pytest.approx(0.75**2 * total, rel=1e-6)


def test_pca_fid_is_blind_outside_the_components():
    real, plane = planar(0, 400)
    outside = gaussians(1, 24)
    for one in plane.reshape(2, -1):
        outside -= (outside @ one) * one
    score = pca_fid(real, real + outside.reshape(1, 12, 2))
    assert score["mean"] == pytest.approx(0.0, abs=1e-6)


def test_pca_fid_can_not_tell_two_samples_of_noise():
    """Nor flatters one: with components of all real series 15 of 15 seemed better."""
    for deal in range(15):
        real, generated = (
            gaussians(2 * deal, 150, 12, 4),
            gaussians(2 * deal + 1, 150, 12, 4),
        )
        score = pca_fid(real, generated, seed=deal)
        assert verdict(score, SCORES["pca_fid"]) == "as real"
        wider = pca_fid(real, 1.3 * generated, seed=deal)
        assert verdict(wider, SCORES["pca_fid"]) == "worse"


@pytest.mark.parametrize("n", [300, 15], ids=["more series", "more coordinates"])
def test_components_hold_99_percent(n):
    scale = np.array([10.0, 5.0, 1.0, 0.5, 0.1] + 35 * [0.01])
    points = gaussians(0, n, 40) * scale[None, :]
    centred = points - points.mean(axis=0, keepdims=True)
    found = principal_components(points)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    shares = np.cumsum(singular**2) / np.sum(singular**2)
    count = int(np.searchsorted(shares, 0.99)) + 1
    assert found.shape == (40, count) and 2 <= count <= 3
    np.testing.assert_allclose(
        np.abs(found.T @ axes[:count].T), np.eye(count), atol=1e-7
    )


def test_at_most_64_components():
    found = principal_components(gaussians(0, 500, 100))
    np.testing.assert_allclose(found.T @ found, np.eye(64), atol=1e-9)
    variances = np.linalg.eigvalsh(np.cov(gaussians(0, 500, 100).T))
    held = np.cov(gaussians(0, 500, 100) @ found, rowvar=False).trace()
    assert held == pytest.approx(variances[-64:].sum())


def test_pca_fid_sees_lengths():
    real = np.full((200, 10, 1), 0.5, np.float32)
    generated = real.copy()
    real[:100, 5:] = np.nan
    # half of the real ones end after 5 steps: .5 less and 1 less valid at 5 steps each
    score = pca_fid(real, generated)
    shift = np.concatenate([np.full(5, 0.25), np.full(5, 0.5)])
    variance = 5 * (0.25**2 + 0.5**2) * 200 / 199
    assert score["mean"] == pytest.approx(shift @ shift + variance, rel=1e-5)


# --- random convolutions --------------------------------------------------------------


def test_random_convolution_fid_is_a_frechet_distance_of_features():
    real, generated = waves(0, 60, 0.5), waves(1, 60, 0.6)
    score = random_convolution_fid(real, generated, num_repeats=2, seed=3)
    kernels = fit_kernels(real, seed=(3, 1, 1), num_features=252)
    expected = frechet_distance(transform(kernels, real), transform(kernels, generated))
    assert score["values"][1] == pytest.approx(expected, rel=1e-9)
    one = random_convolution_fid(real, generated, num_repeats=1, seed=3)
    assert one["values"] == score["values"][:1]
    other = random_convolution_fid(real, generated, num_repeats=1, seed=4)
    assert one["values"] != other["values"]
    json.dumps(score, allow_nan=False)


@pytest.mark.parametrize("metric", [random_convolution_fid, two_sample_accuracy])
def test_rhythm_is_seen_and_a_fresh_sample_is_not(metric):
    real = waves(0, 200, 0.5)
    assert halves_lie_apart(metric(real, waves(1, 150, 0.7), num_repeats=3))
    score = metric(real, waves(2, 150, 0.5), num_repeats=3)
    assert not halves_lie_apart(score)
    assert score["num_samples"] == 150
    for part in (score["floor"], score["at_floor_size"]):
        assert part["num_samples"] == 75 and len(part["values"]) == 3


def test_lengths_are_seen():
    real = waves(0, 120, 0.5)
    real[:60, 15:] = np.nan
    generated = waves(1, 120, 0.5)
    generated[:60, 10:] = np.nan
    for metric in (random_convolution_fid, pca_fid, two_sample_accuracy):
        assert halves_lie_apart(metric(real, generated, num_repeats=2))
        json.dumps(metric(real, waves(1, 30, 0.5), num_repeats=1), allow_nan=False)


# --- the two-sample test --------------------------------------------------------------


def test_copies_can_not_be_told():
    real = waves(0, 150, 0.5)
    score = two_sample_accuracy(real, real.copy(), num_repeats=2)
    assert abs(score["mean"] - 0.5) < 4 * 0.5 / np.sqrt(2 * 150)


def test_which_series_are_told_apart(monkeypatch):
    """Of 40 real and 30 generated ones 20, as if that were all that are looked at."""
    seeds, told = [], []

    def fit(series, *, seed, num_features):
        seeds.append(seed)
        return fit_kernels(series, seed=seed, num_features=84)

    def accuracy(rng, a, b):
        told.append((set(a[:, 0].tolist()), set(b[:, 0].tolist())))
        return 0.5

    monkeypatch.setattr(representations, "MAX_SERIES", 20)
    monkeypatch.setattr(representations, "fit_kernels", fit)
    monkeypatch.setattr(representations, "transform", lambda _, series: series[:, 0])
    monkeypatch.setattr(representations, "accuracy", accuracy)
    x, y = (np.arange(n, dtype=np.float32)[:, None, None] for n in (40, 130))
    x, y = (np.tile(series, (1, 9, 1)) for series in (x, y[100:]))
    score = two_sample_accuracy(x, y, num_repeats=3, seed=7)
    assert score["num_samples"] == 20 and score["floor"]["num_samples"] == 10
    assert len(set(seeds)) == 3 and len({seed[0] for seed in seeds}) == 1
    whole, floor, at_floor_size = told[::3], told[1::3], told[2::3]
    for (real, generated), (one, other), (again, part) in zip(
        whole, floor, at_floor_size, strict=True
    ):
        assert len(real) == len(generated) == 20
        assert one | other == real and len(one) == len(other) == 10
        assert again == one and part < generated and len(part) == 10
    assert len({frozenset(real) for real, _ in whole}) == 3


def test_a_mixture_is_told_by_its_share():
    """A quarter of the generated series are flat: the others can't be told by anyone.

    The best accuracy is .5 + .25 / 2.
    """
    real, generated = waves(0, 600, 0.5), waves(1, 600, 0.5)
    generated[::4] = 0.5
    score = two_sample_accuracy(real, generated, num_repeats=2)
    assert score["mean"] == pytest.approx(0.625, abs=0.05)


@pytest.mark.parametrize(("n", "num_features"), [(200, 30), (40, 90)])
def test_the_classifier_is_that_of_sklearn(n, num_features):
    rng = np.random.default_rng(0)
    for num_classes in (2, 4):
        labels = rng.integers(num_classes, size=n) * 3
        centres = 0.5 * rng.normal(size=(10, num_features))
        x = (centres[labels] + rng.normal(size=(n, num_features))) * 7 + 2
        x[:, 5] = 1.0
        fresh = 7 * (centres[rng.choice(labels, 500)]) + 2
        fresh += 7 * rng.normal(size=fresh.shape)
        library = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
        expected = library.fit(x, labels).decision_function(fresh)
        ours = train_classifier(x, labels)
        scores = fresh @ ours.weights + ours.bias[None, :]
        if num_classes == 2:
            np.testing.assert_allclose(scores[:, 0], -scores[:, 1], atol=1e-9)
            scores = scores[:, 1]
        np.testing.assert_allclose(scores, expected, atol=1e-8)
        assert 1 < library[-1].alpha_ < 1e5
        found = classify(ours, fresh)
        np.testing.assert_array_equal(found, library.predict(fresh))


def test_a_single_class_is_always_told():
    classifier = train_classifier(gaussians(0, 20, 5), np.full(20, 7))
    assert (classify(classifier, gaussians(1, 9, 5)) == 7).all()


def test_the_classes_of_several_blocks():
    """more rows than are classified at once -> the class of each, in their order"""
    classifier = Classifier(np.array([3, 5]), np.array([[-1.0, 1.0]]), np.zeros(2))
    x = gaussians(0, 2 * MAX_SERIES + 1, 1)
    np.testing.assert_array_equal(classify(classifier, x), np.where(x[:, 0] > 0, 5, 3))


# --- real windows ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def stock(reference_dir):
    with np.load(reference_dir / "cfid_cases.npz") as file:
        return {name: file[name].astype(np.float32) for name in file}


@pytest.mark.parametrize(
    ("name", "least"),
    [("time_reversed", 0.75), ("noise_0.02", 0.95), ("channel_means", 0.95)],
)
def test_stock_is_told_from_what_it_is_not(stock, name, least):
    """Reversed time, little noise, and flat lines."""
    score = two_sample_accuracy(stock["real"], stock[name], num_repeats=1)
    assert score["mean"] > score["at_floor_size"]["mean"] - 0.05 > least - 0.05
    assert score["at_floor_size"]["mean"] > score["floor"]["mean"] + 0.2
    score = random_convolution_fid(stock["real"], stock[name], num_repeats=2)
    assert min(score["at_floor_size"]["values"]) > 4 * score["floor"]["mean"]


def test_stock_is_not_told_from_its_other_half(stock):
    """Their windows overlap, which is no help: near ones are in both sets."""
    real, other = stock["real"], stock["other_half"]
    score = two_sample_accuracy(real, other, num_repeats=1)
    assert abs(score["mean"] - 0.5) < 4 * 0.5 / np.sqrt(1500)
    assert abs(score["floor"]["mean"] - 0.5) < 4 * 0.5 / np.sqrt(750)
    score = random_convolution_fid(real, other, num_repeats=2)
    assert score["at_floor_size"]["mean"] < 1.3 * score["floor"]["mean"]
