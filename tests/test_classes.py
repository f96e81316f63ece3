"""Scores by class, of sets whose classes are clear."""

import json

import numpy as np
import pytest

from l2d_jax.data.public import synthetic
from l2d_jax.metrics import classes, evaluate
from l2d_jax.metrics.catalog import SCORES, verdict
from l2d_jax.metrics.classes import (
    Labelled,
    Repeat,
    Trio,
    accuracies,
    class_scores,
    compare,
    dropped_classes,
    dropped_score,
    hold_out,
    learn,
    total_variation,
)
from l2d_jax.metrics.representations import Classifier, train_classifier

# --- hand-made sets: class k has k + 1 waves, of random phase -------------------------


def waves(seed, *counts):
    """Series and labels, so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (len(labels), 1))
    angle = 2 * np.pi * np.arange(24)[None, :] / 24 * (labels[:, None] + 1)
    x = 0.5 + 0.4 * np.sin(angle + phase) + 0.01 * rng.standard_normal(angle.shape)
    return x[:, :, None].astype(np.float32), labels


REAL, LABELS = waves(0, 100, 60, 40)
TEST, TEST_LABELS = waves(1, 20, 20, 20)


def scores_of(generated, **settings):
    given = {"test": TEST, "test_labels": TEST_LABELS, "num_repeats": 2}
    return class_scores(REAL, generated, LABELS, num_classes=3, **given | settings)


def test_shares_and_a_dropped_class():
    generated, _ = waves(2, 120, 80, 0)
    assert "series: 2" in scores_of(generated)["dropped_classes"]["warning"]
    scores = scores_of(generated, classes=("one", "two", "three"))
    assert all(SCORES[name].family == "classes" for name in scores)
    assert len(scores) == 3
    json.dumps(scores, allow_nan=False)

    distance = scores["class_histogram_distance"]  # .5, .3, .2 against .6, .4, 0
    assert distance["values"] == pytest.approx([0.2, 0.2])
    assert distance["shares"]["real"] == pytest.approx([0.5, 0.3, 0.2])
    assert distance["shares"]["generated"] == pytest.approx([0.6, 0.4, 0.0])
    assert distance["num_samples"] == 200 and distance["floor"]["num_samples"] == 100
    assert distance["floor"]["mean"] < 0.12
    assert distance["at_floor_size"]["mean"] == pytest.approx(0.2, abs=0.08)

    dropped = scores["dropped_classes"]
    assert dropped["values"] == pytest.approx([1 / 3, 1 / 3])
    assert dropped["classes"] == [2] and dropped["floor"]["mean"] == 0.0
    assert dropped["at_floor_size"]["mean"] == pytest.approx(1 / 3)
    warning = "1 of 3 classes have (nearly) no generated series: three"
    assert dropped["warning"] == warning

    useful = scores["train_synthetic_test_real"]  # the third of three is never told
    assert useful["values"] == pytest.approx([2 / 3, 2 / 3])
    assert useful["floor"]["mean"] == 1.0
    assert useful["real"]["mean"] == 1.0
    assert useful["at_floor_size"]["values"] == pytest.approx([2 / 3, 2 / 3])
    assert useful["balanced_accuracy"]["mean"] == pytest.approx(2 / 3)
    assert useful["balanced_accuracy"]["real"] == 1.0
    assert useful["num_samples"] == useful["real"]["num_samples"] == 200
    assert useful["floor"]["num_samples"] == 100


def test_equal_shares():
    generated, _ = waves(2, 100, 60, 40)
    scores = scores_of(generated)
    assert scores["class_histogram_distance"]["values"] == [0.0, 0.0]
    assert scores["dropped_classes"]["mean"] == 0.0
    assert scores["dropped_classes"]["classes"] == []
    assert "warning" not in scores["dropped_classes"]
    assert scores["train_synthetic_test_real"]["mean"] == 1.0


def test_given_labels_are_believed():
    generated, labels = waves(2, 100, 100)
    real, real_labels = waves(0, 100, 100)
    test, test_labels = waves(1, 20, 20)
    for given, accuracy in ((labels, 1.0), (1 - labels, 0.0)):
        scores = class_scores(
            real,
            generated,
            real_labels,
            num_classes=2,
            test=test,
            test_labels=test_labels,
            generated_labels=given,
            num_repeats=1,
        )
        assert scores["train_synthetic_test_real"]["mean"] == accuracy
        assert scores["train_synthetic_test_real"]["floor"]["mean"] == 1.0
        assert scores["class_histogram_distance"]["mean"] == 0.0
    scores = class_scores(
        real,
        generated,
        real_labels,
        num_classes=2,
        generated_labels=np.zeros(200, int),
        num_repeats=1,
    )
    assert scores["class_histogram_distance"]["mean"] == pytest.approx(0.5, abs=0.1)
    assert scores["dropped_classes"]["classes"] == [1]


def test_more_generated_series_than_real_ones_are_drawn_at_random():
    """Of 400 in the order of their classes; the first 100 are of one alone."""
    real, real_labels = waves(0, 50, 50)
    generated, labels = waves(2, 200, 200)
    found = class_scores(
        real, generated, real_labels, num_classes=2, generated_labels=labels
    )["class_histogram_distance"]
    # Of 80, as a fifth is held out: .05 on average, .5 of the first ones.
    assert found["num_samples"] == 80 and max(found["values"]) < 0.2


def test_a_mixture_without_some_of_its_modes():
    made = synthetic.mixture()
    series, labels = np.stack(made.series), made.labels
    rng = np.random.default_rng(0)
    order = rng.permutation(4000)
    real, rest = order[:800], order[800:]
    rare = int(np.argmin(synthetic.MIXTURE_WEIGHTS))
    frequent = int(np.argmax(synthetic.MIXTURE_WEIGHTS))
    generated = rest[(labels[rest] != rare) & (labels[rest] != frequent)][:800]
    shares = np.bincount(labels[real], minlength=8) / 800
    found = class_scores(
        series[real],
        series[generated],
        labels[real],
        num_classes=8,
        classes=made.classes,
        num_repeats=1,
    )
    dropped = found["dropped_classes"]
    assert dropped["classes"] == sorted([rare, frequent])
    assert dropped["warning"].endswith(
        ", ".join(made.classes[k] for k in sorted([rare, frequent]))
    )
    assert dropped["floor"]["mean"] == 0.0
    distance = found["class_histogram_distance"]
    expected = np.bincount(labels[generated], minlength=8) / len(generated)
    expected = np.abs(shares - expected).sum() / 2
    assert distance["mean"] == pytest.approx(expected, abs=0.03)
    useful = found["train_synthetic_test_real"]
    lost = shares[[rare, frequent]].sum()
    assert useful["mean"] == pytest.approx(1 - lost, abs=0.02)
    assert useful["floor"]["mean"] > 0.98
    assert useful["balanced_accuracy"]["mean"] == pytest.approx(6 / 8, abs=0.02)


def noisy_waves(seed, n):
    """n series of 10 rhythms, whose class a classifier often mistakes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    cycles = np.linspace(2.0, 8.0, 10)[labels, None] * np.arange(24) / 24
    wave = np.sin(2 * np.pi * (cycles + rng.random((n, 1))))
    series = (wave + rng.standard_normal((n, 24)) + 6.0) / 12.0
    return series[:, :, None].astype(np.float32), labels


def test_labels_that_a_classifier_told_make_no_perfect_generator_worse():
    """Their errors cost the floor as much: beside true labels they look like a fault.

    Fresh series of the same source, of which more than a third are told wrong.
    """
    (real, labels), (generated, _), (test, test_labels) = (
        noisy_waves(seed, 400) for seed in (20, 21, 22)
    )
    found = class_scores(
        real,
        generated,
        labels,
        num_classes=10,
        test=test,
        test_labels=test_labels,
        num_repeats=5,
    )["train_synthetic_test_real"]
    assert found["real"]["mean"] - found["mean"] > 0.05
    assert found["floor"]["mean"] == pytest.approx(
        found["at_floor_size"]["mean"], abs=0.04
    )
    words = SCORES["train_synthetic_test_real"]
    assert verdict(found, words) == "as real"
    beside_true = {**found, "at_floor_size": {"values": found["values"]}}
    assert verdict({**beside_true, "floor": found["real"]}, words) == "worse"


def test_a_repeat_does_not_depend_on_how_many_there_are():
    generated, _ = waves(5, 50, 30, 30)
    generated += 0.1 * np.random.default_rng(0).standard_normal(generated.shape)
    generated = generated.astype(np.float32)
    few = scores_of(generated, test=None, test_labels=None, num_repeats=1)
    many = scores_of(generated, test=None, test_labels=None, num_repeats=2)
    for name, score in few.items():
        assert score["values"] == many[name]["values"][:1]
        assert score["at_floor_size"]["num_samples"] in (55, 110)


# --- the parts, by hand ---------------------------------------------------------------


def test_total_variation_by_hand():
    assert total_variation(np.array([5, 3, 2]), np.array([12, 8, 0])) == (
        pytest.approx(0.2)
    )
    assert total_variation(np.array([4, 0]), np.array([0, 9])) == 1.0


@pytest.mark.parametrize(
    ("real", "generated", "dropped"),
    [
        ([500, 500], [999, 1], [1]),
        ([500, 500], [1000, 0], [1]),
        ([500, 500], [940, 60], []),  # .06 of .5 is more than a tenth
        ([500, 500], [950, 50], []),  # a tenth of .5 isn't less
        ([500, 500], [960, 40], [1]),
        ([990, 10], [1000, 0], [1]),  # chance about 2^-10
        ([991, 9], [1000, 0], []),  # 2^-9
        ([991, 9], [10000, 0], [1]),  # 11^-9: among ten times as many
        ([5, 5], [10, 0], []),
        ([1000, 0], [0, 1000], [0]),  # what isn't real can't be dropped
    ],
)
def test_dropped_classes(real, generated, dropped):
    assert dropped_classes(np.array(real), np.array(generated)).tolist() == dropped


def test_a_fifth_of_each_class_is_held_out():
    labels = np.array([0] * 50 + [1] * 9 + [2] * 4 + [3])
    real = Labelled(np.arange(64.0)[:, None].astype("f4"), labels)
    kept, held = hold_out(np.random.default_rng(0), real)
    assert np.bincount(held.labels, minlength=4).tolist() == [10, 1, 0, 0]
    assert np.bincount(kept.labels).tolist() == [40, 8, 4, 1]
    rows = np.concatenate([kept.features, held.features])[:, 0]
    assert sorted(rows.tolist()) == [*range(64)]
    for part in (kept, held):
        np.testing.assert_array_equal(labels[part.features[:, 0].astype(int)], part[1])


def test_accuracies_by_hand():
    x = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    classifier = train_classifier(x, np.array([0, 0, 1, 1]))
    test = Labelled(
        np.array([[-2.0], [-3.0], [-4.0], [5.0], [-5.0]]), np.array([0, 0, 0, 1, 1])
    )
    plain, balanced = accuracies(classifier, test)
    assert plain == 4 / 5 and balanced == (1 + 1 / 2) / 2


def numbered_classifier(number):
    """One that tells nothing but a class of this number."""
    return Classifier(np.array([number]), np.zeros((1, 1)), np.zeros(1))


def test_who_learns_from_what(monkeypatch):
    """Of 30 real and 20 generated series, told by the only feature that they have."""
    learned, asked = [], []

    def learn(rng, labelled):
        learned.append(set(labelled.features[:, 0].tolist()))
        return numbered_classifier(len(learned) - 1)

    def classify(classifier, features):
        asked.append((classifier.classes.item(), set(features[:, 0].tolist())))
        return np.zeros(len(features), int)

    monkeypatch.setattr(classes, "learn", learn)
    monkeypatch.setattr(classes, "classify", classify)
    real = Labelled(np.arange(30.0)[:, None], np.arange(30) % 2)
    test = Labelled(np.arange(100.0, 105.0)[:, None], np.zeros(5, int))
    generated = np.arange(200.0, 220.0)[:, None]
    compare(np.random.default_rng(0), real, test, generated, None, 2)
    everything, half, made, equal, other, part = learned
    assert everything == {*range(30)} and made == {*range(200, 220)}
    assert len(equal) == 20 and len(half) == 10 and half < equal < everything
    assert asked[0] == (0, made)
    assert [number for number, _ in asked] == [0, 1, 1, 2, 3, 4, 5]
    assert [rows for _, rows in asked[1:3]] == [other, part]
    assert len(other) == 10 and other < everything and not other & half
    assert len(part) == 10 and part < made
    assert [rows for _, rows in asked[3:]] == [{*range(100, 105)}] * 4


def test_a_classifier_learns_from_some_of_very_many(monkeypatch):
    learned = []

    def train_classifier(features, labels):
        learned.append((features[:, 0].tolist(), labels.tolist()))
        return numbered_classifier(0)

    monkeypatch.setattr(classes, "train_classifier", train_classifier)
    monkeypatch.setattr(classes, "MAX_SERIES", 8)
    real = Labelled(np.arange(30.0)[:, None], 100 + np.arange(30))
    learn(np.random.default_rng(0), real)
    ((rows, labels),) = learned
    assert len(set(rows)) == 8 and max(rows) > 8
    assert labels == [100 + row for row in rows]


def test_classes_are_dropped_where_more_than_half_of_the_repeats_say_so():
    ones = Trio(1.0, 1.0, 1.0)
    repeats = [
        Repeat(
            n=10,
            counts=(np.ones(3, int),) * 2,
            distance=ones,
            dropped=ones,
            dropped_classes=np.array(found),
            accuracy=ones,
            of_real=1.0,
            balanced=(1.0, 1.0),
        )
        for found in ([0, 1], [0, 1], [1], [2])
    ]
    score = dropped_score(repeats, 3, ("x", "y", "z"))
    assert score["classes"] == [1]
    assert score["warning"].startswith("1 of 3 classes")
    assert score["warning"].endswith(": y")


def test_evaluate_takes_the_labels_of_generated_series():
    """All of the first class, of shares .5, .3 and .2, whatever they look like."""
    generated, _ = waves(2, 100, 60, 40)
    names = np.array(["one", "three", "two"])
    options = {"metrics": ["classes"], "num_repeats": 1, "labels": names[LABELS]}
    found = evaluate(REAL, generated, generated_labels=["one"] * 200, **options)
    # A fifth of each real class is held out.
    distance = found["class_histogram_distance"]
    assert distance["shares"]["generated"] == [1.0, 0.0, 0.0]
    assert distance["mean"] == pytest.approx(0.5, abs=0.01)
    assert found["dropped_classes"]["warning"].endswith(": three, two")
    told = evaluate(REAL, generated, **options)["class_histogram_distance"]
    assert told["mean"] < 0.1


# --- what is undefined, and errors ----------------------------------------------------


def test_a_single_class_has_no_scores():
    generated, _ = waves(2, 20, 20)
    found = evaluate(REAL, generated, labels=["one"] * 200, metrics=["classes"])
    assert len(found) == 3
    for score in found.values():
        assert score["mean"] is None and "of one class" in score["undefined"]
    json.dumps(found, allow_nan=False)


def test_nothing_to_hold_out():
    real, labels = waves(0, *(4 * [4]))
    generated, _ = waves(1, *(4 * [4]))
    found = class_scores(real, generated, labels, num_classes=4, num_repeats=2)
    useful = found["train_synthetic_test_real"]
    assert useful["mean"] is None and "give a test set" in useful["undefined"]
    assert found["class_histogram_distance"]["mean"] is not None
    json.dumps(found, allow_nan=False)


def test_classes_of_a_single_series_and_missing_ones():
    real, labels = waves(0, 60, 1, 0, 60)
    generated, _ = waves(1, 60, 0, 0, 60)
    found = class_scores(real, generated, labels, num_classes=5, num_repeats=2)
    assert found["dropped_classes"]["classes"] == []
    assert found["class_histogram_distance"]["mean"] < 0.05
    assert found["train_synthetic_test_real"]["mean"] == 1.0
    generated, _ = waves(1, 100)
    found = class_scores(real, generated, labels, num_classes=5, num_repeats=1)
    assert found["dropped_classes"]["classes"] == [3]
    assert found["dropped_classes"]["mean"] == pytest.approx(1 / 3)
    assert found["train_synthetic_test_real"]["mean"] == pytest.approx(1 / 2)
