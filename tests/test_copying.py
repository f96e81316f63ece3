"""Privacy as a run reports it: what held-out series may stand for, and the warning."""

import json

import numpy as np
import pytest

from l2d_jax.metrics import copying, evaluate
from l2d_jax.metrics.catalog import SCORES, verdict
from l2d_jax.metrics.copying import MAX_COMPARED, drift, privacy_scores, stand_ins

DIM = 6


def gaussians(seed, n, shift=0.0):
    return shift + np.random.default_rng(seed).standard_normal((n, DIM))


TRAIN, HELD_OUT, FRESH = (gaussians(seed, 400) for seed in range(3))


def test_fresh_samples_pass_with_held_out_ones_and_without():
    for held_out in (HELD_OUT, None):
        scores = privacy_scores(TRAIN, held_out, FRESH)
        assert set(scores) == {
            name for name, about in SCORES.items() if about.family == "privacy"
        }
        assert not [score for score in scores.values() if "warning" in score]
        json.dumps(scores, allow_nan=False)


@pytest.mark.parametrize("held_out", [HELD_OUT, None])
def test_copies_fail_loudly(held_out):
    scores = privacy_scores(TRAIN, held_out, TRAIN[::-1])
    assert scores["exact_copies"]["mean"] == 1.0
    assert scores["exact_copies"]["floor"]["mean"] == 0.0
    assert scores["distance_ratio"]["mean"] == scores["closest_record"]["mean"] == 0.0
    warning = scores["exact_copies"]["warning"]
    assert warning.startswith(
        "COPIES OF TRAINING DATA: 400 of 400 samples are training series; "
        "100.0% lie at one training series"
    )
    compared = "held-out series do" if held_out is not None else "among the others do"
    assert compared in warning
    assert ("AUC 1.000" in warning) == (held_out is not None)


def test_blurred_copies_fail_without_held_out_series():
    blurred = TRAIN + 1e-2 * gaussians(5, 400)
    scores = privacy_scores(TRAIN, None, blurred)
    assert scores["exact_copies"]["mean"] == 0.0
    assert "lie at one training series" in scores["exact_copies"]["warning"]


def test_what_needs_held_out_series_says_so():
    scores = privacy_scores(TRAIN, None, FRESH)
    for name in ("closer_to_train", "membership_inference", "privacy_loss"):
        assert scores[name]["mean"] is None
        assert "protocol=held_out" in scores[name]["undefined"]


def test_held_out_series_that_drifted_accuse_nobody():
    later = gaussians(3, 400, shift=3.0)
    scores = privacy_scores(TRAIN, later, FRESH)  # all closer to train than to later
    assert "warning" not in scores["exact_copies"]
    assert "a nearest neighbour tells" in scores["closer_to_train"]["undefined"]
    # A copy is still one.
    assert (
        "400 of 400" in privacy_scores(TRAIN, later, TRAIN)["exact_copies"]["warning"]
    )


@pytest.mark.parametrize(("count", "shift"), [(16, 3.0), (30, 1.0), (100, 0.6)])
def test_held_out_series_that_are_few_or_drifted_little_accuse_nobody(count, shift):
    """A drift is seen before it makes copies of what a perfect generator made."""
    found = [
        privacy_scores(
            gaussians((9, i), 300),
            gaussians((10, i), count, shift=shift),
            gaussians((11, i), 300),
        )
        for i in range(20)
    ]
    assert sum("warning" in scores["exact_copies"] for scores in found) <= 1


def test_no_drift_where_there_is_none():
    """At two standard deviations, in 1 of 100 pairs of sets."""
    found = [
        drift(gaussians((7, i), 100), gaussians((8, i), 100), seed=0)
        for i in range(200)
    ]
    assert sum(map(bool, found)) <= 5
    assert drift(gaussians(0, 100), gaussians(1, 100, shift=2.0), seed=0)


@pytest.mark.parametrize("told", [60, 62])
def test_drift_begins_at_two_standard_deviations(told):
    """At .5 + 2 * .5 / sqrt(100) = .6 of all points nearest to one of their own set."""
    own, others, shared = np.split(10.0 * np.arange(100), [told // 2, told])
    one = np.concatenate([own, own + 1.0, shared])[:, None]
    other = np.concatenate([others, others + 1.0, shared + 1.0])[:, None]
    assert len(one) == len(other) == 100
    found = drift(one, other, seed=0)
    assert ("tells 62% of them apart" in found) == bool(found) == (told == 62)


def test_drift_is_looked_for_among_some(monkeypatch):
    """Of 4 points no share is too large: .5 + 2 * .5 / sqrt(4) = 1."""
    sets = gaussians(0, 100), gaussians(1, 100, shift=9.0)
    assert drift(*sets, seed=0)
    monkeypatch.setattr(copying, "MAX_COMPARED", 4)
    assert not drift(*sets, seed=0)


def test_a_stand_in_is_not_its_own_neighbour():
    points = np.array([[0.0], [1.0], [3.0], [3.0]])
    assert stand_ins(points, seed=0).tolist() == [[1, 3], [1, 2], [0, 2], [0, 2]]
    many = np.arange(MAX_COMPARED + 10.0)[:, None]
    assert len(stand_ins(many, seed=0)) == MAX_COMPARED


def test_scores_by_hand():
    train = np.array([[0.0], [1.0], [10.0], [12.0], [30.0]])
    generated = np.array([[0.0], [0.25], [11.0], [11.5], [20.0]])
    scores = privacy_scores(train, None, generated)
    # Distances to the nearest two: 0 1, .25 .75, 1 1, .5 1.5, 8 10.
    assert scores["exact_copies"]["mean"] == 1 / 5
    assert scores["closest_record"]["mean"] == 0.5
    assert scores["distance_ratio"]["mean"] == pytest.approx(1 / 3)
    # Of training points among the others: 1 10, 1 9, 2 9, 2 11, 18 20.
    assert scores["closest_record"]["floor"]["mean"] == 2.0
    assert scores["distance_ratio"]["floor"]["mean"] == pytest.approx(2 / 11)


def test_privacy_loss_is_what_training_series_score_less():
    """Beside copies these score 0, and others are told from them."""
    loss = privacy_scores(TRAIN, HELD_OUT, TRAIN)["privacy_loss"]
    assert loss["parts"]["train"] == 0.0
    assert loss["mean"] == loss["parts"]["held_out"] > 0.3
    assert loss["floor"]["mean"] == 0.0


def test_sets_of_unequal_size():
    scores, again, other = (
        privacy_scores(TRAIN, HELD_OUT[:250], FRESH[:90], seed=seed)
        for seed in (1, 1, 2)
    )
    for name in ("exact_copies", "closest_record", "distance_ratio"):
        assert scores[name]["num_samples"] == 90
        assert scores[name]["floor"]["num_samples"] == 250
    assert scores == again
    for name, n in (
        ("closer_to_train", 250),
        ("membership_inference", 250),
        ("privacy_loss", 90),
    ):
        assert scores[name]["num_samples"] == scores[name]["floor"]["num_samples"] == n
        assert scores[name]["mean"] != other[name]["mean"], "other series are drawn"


@pytest.mark.parametrize(
    ("generated", "expected"), [(FRESH, "as real"), (TRAIN[:200], "worse")]
)
def test_shares_are_judged_by_what_chance_gives(generated, expected):
    scores = privacy_scores(TRAIN, HELD_OUT, generated)
    for name in ("closer_to_train", "membership_inference"):
        score = scores[name]
        assert verdict(score, SCORES[name]) == expected
        # 95 % of a Gaussian lie within 1.96.
        reach = 1.96 * score["floor"]["chance_sd"]
        expected_interval = pytest.approx([0.5 - reach, 0.5 + reach], rel=1e-4)
        assert score["floor"]["interval"] == expected_interval
        # 99 % of a Gaussian lie within 2.5758 standard deviations.
        for sds, found in ((2.57, "as real"), (2.58, "worse"), (-2.58, "lower")):
            at = {**score, "mean": 0.5 + sds * score["floor"]["chance_sd"]}
            assert verdict(at, SCORES[name]) == found


def test_evaluate_tells_copies_by_what_was_trained_on():
    """Compared with held-out series, and privacy with training series."""
    shape = (400, 3, 2)
    sets = [points.reshape(shape) for points in (TRAIN, HELD_OUT, FRESH)]
    train, test, fresh = sets
    settings = {"test": test, "metrics": ["privacy", "spectral_distance"]}
    for generated, copied in ((fresh, False), (train, True)):
        scores = evaluate(train, generated, **settings)
        assert ("warning" in scores["exact_copies"]) == copied
        assert scores["spectral_distance"]["mean"] > 0.0
    assert evaluate(train, test, **settings)["spectral_distance"]["mean"] == 0.0
