"""Copies are found, and fresh samples aren't taken for copies."""

import json
from itertools import combinations

import numpy as np
import pytest
from made import column

from l2d_jax.metrics.neighbours import nearest
from l2d_jax.metrics.privacy import (
    adversarial_accuracy,
    closer_to_train,
    closest_record,
    copies,
    distance_ratio,
    exact_copies,
    membership_inference,
    more_than_chance,
    more_than_repeats,
    ratios_of,
)


def gaussians(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def three_sets(seed, n=400, d=6):
    """Train, held-out and fresh points of one distribution."""
    train, held_out, fresh = gaussians(seed, 3, n, d)
    return train, held_out, fresh


def scored(train, held_out, generated, *, seed=0):
    """All scores of the file, by the names that `copies` reads."""
    near, fresh = (nearest(x, train, 2).distances for x in (generated, held_out))
    sets = (train, held_out, generated)
    return {
        "exact_copies": exact_copies(train, fresh, near),
        "closest_record": closest_record(fresh, near),
        "distance_ratio": distance_ratio(fresh, near),
        "closer_to_train": closer_to_train(*sets, seed=seed),
        "adversarial_accuracy": adversarial_accuracy(*sets, seed=seed),
        "membership_inference": membership_inference(*sets, seed=seed),
    }


# --- by hand --------------------------------------------------------------------------


def test_ratios_by_hand():
    distances = np.array([[0.0, 2.0], [1.0, 4.0], [3.0, 3.0], [0.0, 0.0]])
    assert ratios_of(distances).tolist() == [0.0, 0.25, 1.0, 0.0]
    assert distance_ratio(distances[2:3], distances) == {
        "median": 0.125,
        "count": 3,
        "num_samples": 4,
        "held_out": {"median": 1.0, "count": 0, "num_samples": 1},
    }


def test_closest_record_by_hand():
    distances = np.array([[0.0, 9.0], [1.0, 9.0], [2.0, 9.0], [4.0, 9.0], [8.0, 9.0]])
    scores = closest_record(distances + 1.0, distances)
    assert scores["generated"]["0.5"] == 2.0
    assert scores["generated"]["0.25"] == 1.0
    assert scores["held_out"]["0.5"] == 3.0


def test_levels_of_the_closest_record():
    distances = np.arange(201.0)[:, None] * [0.5, 1.0]
    expected = {"0.01": 1.0, "0.05": 5.0, "0.25": 25.0, "0.5": 50.0}
    scores = closest_record(2.0 * distances, distances)
    assert scores["generated"] == pytest.approx(expected)
    twice = {level: 2 * distance for level, distance in expected.items()}
    assert scores["held_out"] == pytest.approx(twice)


def test_close_is_less_than_half_as_far():
    distances = np.array([[0.98, 2.0], [1.0, 2.0], [1.02, 2.0]])
    assert distance_ratio(distances, distances)["count"] == 1


@pytest.mark.parametrize("sds", [3.9, 4.1])
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "closer_to_train",
            "share",
            "{:.1%} are closer to training than to held-out series "
            "(chance: 50% +- 4.0%)",
        ),
        (
            "membership_inference",
            "auc",
            "training series can be told from held-out ones, AUC {:.3f} "
            "(chance: 0.5 +- 0.040)",
        ),
    ],
)
def test_the_verdict_begins_at_four_standard_deviations(name, value, says, sds):
    none = {"count": 0, "num_samples": 100}
    counts = {**none, "held_out": none}
    found = {value: 0.5 + sds * 0.02, "chance_sd": 0.02}
    verdict = copies({"exact_copies": counts, "distance_ratio": counts, name: found})
    said = f"COPIES OF TRAINING DATA: {says.format(found[value])}"
    assert verdict == (said if sds > 4 else None)


def test_exact_copies_by_hand():
    train = np.array([[0.0, 0.0, 0.0, 0.0], [10.0, 0.0, 0.0, 0.0]])
    # The range is 10, so rows are the same up to 1e-4 a value, 2e-4 in all.
    generated = np.array([[0.0, 1.0], [1.9e-4, 1.0], [2.1e-4, 1.0]])
    assert exact_copies(train, np.ones((5, 2)), generated) == {
        "count": 2,
        "num_samples": 3,
        "held_out": {"count": 0, "num_samples": 5},
        "train": {"count": 0, "num_samples": 2},
    }
    train = np.repeat(train, [2, 1], axis=0)  # the first row is there twice
    counts = exact_copies(train, np.ones((5, 2)), generated)
    assert counts["train"] == {"count": 2, "num_samples": 3}
    assert "train" not in exact_copies(train, np.zeros((5, 2)), generated)


def test_closer_to_train_by_hand():
    train, held_out = column(0.0, 10.0), column(2.0, 20.0)
    generated = column(-1.0, 0.5, 1.0, 1.5)  # nearer: train, train, neither, held-out
    scores = closer_to_train(train, held_out, generated)
    assert scores["share"] == 2.5 / 4
    # Records weigh 2/4, 0, 1/4 and 0. The share is 1/8 of the tie and two of these.
    weights = np.array([0.5, 0.0, 0.25, 0.0])
    pairs = [weights[i] + weights[j] for i in range(4) for j in range(i)]
    assert scores["chance_sd"] == pytest.approx(np.std(pairs))
    assert scores["num_records"] == 2


@pytest.mark.parametrize("flat", [0, 5])
def test_chance_of_being_closer_to_train_is_that_of_all_deals(flat):
    """All 252 ways to deal ten records into halves, of which some may be the same."""
    records = gaussians(3, 10, 2)
    records[:flat] = 1.0
    generated = np.concatenate([gaussians(4, 30, 2), np.ones((2 * flat, 2))])
    deals = [[*deal] for deal in combinations(range(10), 5)]
    found = [
        closer_to_train(records[deal], np.delete(records, deal, axis=0), generated)
        for deal in deals
    ]
    shares = [one["share"] for one in found]
    assert np.mean(shares) == pytest.approx(0.5)
    chance = np.mean([one["chance_sd"] for one in found])
    assert chance == pytest.approx(np.std(shares), rel=0.1 if flat else 1e-6)


def test_adversarial_accuracy_by_hand():
    train, held_out = column(0.0, 1.0), column(0.0, 50.0)
    generated = column(0.25, 5.0)
    # train: 0 has 0.25 nearer than 1, 1 has 0.25 nearer than 0; 0.25 has 0 nearer than
    # 5, and 5 has 1 nearer than 0.25. held_out: 50 has 5 nearer; 5 has 0.25 nearer.
    scores = adversarial_accuracy(train, held_out, generated)
    assert scores == {
        "train": 0.0,
        "held_out": 0.25,
        "privacy_loss": 0.25,
        "num_records": 2,
    }


def test_membership_inference_by_hand():
    generated = column(0.0)
    train, held_out = column(1.0, 2.0, 3.0), column(2.0, -4.0, 5.0)
    # Of 9 pairs, the member is nearer in 3 + 2 + 2 and as near in 1.
    scores = membership_inference(train, held_out, generated)
    assert scores["auc"] == pytest.approx(7.5 / 9)
    assert scores["chance_sd"] == pytest.approx(np.sqrt(7 / 108))


def test_more_than_chance_is_fishers_test():
    def counts(count, num, held_out, num_held_out):
        other = {"count": held_out, "num_samples": num_held_out}
        return {"count": count, "num_samples": num, "held_out": other}

    # 15 hits all in one of two equal halves: 2^-15 = 3.05e-5, and less as they deplete.
    assert more_than_chance(counts(16, 1000, 0, 1000))
    assert not more_than_chance(counts(14, 1000, 0, 1000))
    assert not more_than_chance(counts(0, 1000, 0, 1000))
    assert not more_than_chance(counts(100, 1000, 90, 1000))
    assert not more_than_chance(counts(1, 10, 0, 10_000))  # one hit in a small set


# --- fresh samples --------------------------------------------------------------------


def test_fresh_samples_score_as_chance_has_it():
    zs = {"share": [], "auc": []}
    losses = []
    for seed in range(60):
        train, held_out, fresh = three_sets(seed, n=120)
        scores = scored(train, held_out, fresh)
        assert copies(scores) is None
        share, attack = scores["closer_to_train"], scores["membership_inference"]
        zs["share"].append((share["share"] - 0.5) / share["chance_sd"])
        zs["auc"].append((attack["auc"] - 0.5) / attack["chance_sd"])
        losses.append(scores["adversarial_accuracy"]["privacy_loss"])
    for z in zs.values():
        assert abs(np.mean(z)) < 3 / np.sqrt(60)
        assert 0.75 < np.std(z) < 1.25
        assert np.abs(z).max() < 4.0
    assert abs(np.mean(losses)) < 3 * np.std(losses) / np.sqrt(60)


def test_adversarial_accuracy_of_equals():
    n = 20  # few, so that (n - 1) / (2 n - 1) is not .5
    scores = [adversarial_accuracy(*three_sets(seed, n=n)) for seed in range(120)]
    for name in ("train", "held_out"):
        mean = np.mean([s[name] for s in scores])
        assert mean == pytest.approx((n - 1) / (2 * n - 1), abs=0.02)


def test_fresh_samples():
    train, held_out, fresh = three_sets(1)
    scores = scored(train, held_out, fresh, seed=3)
    share = scores["closer_to_train"]
    assert abs(share["share"] - 0.5) < 1.96 * share["chance_sd"]
    attack = scores["membership_inference"]
    assert abs(attack["auc"] - 0.5) < 1.96 * attack["chance_sd"]
    assert scores["exact_copies"]["count"] == 0
    ratio = scores["distance_ratio"]
    assert ratio["median"] == pytest.approx(ratio["held_out"]["median"], abs=0.02)
    closest = scores["closest_record"]
    for level, distance in closest["generated"].items():
        assert distance == pytest.approx(closest["held_out"][level], rel=0.2)
    assert copies(scores) is None


@pytest.mark.parametrize("kind", ["collapsed", "typical", "noise"])
def test_bad_samples_are_no_copies(kind):
    train, held_out, fresh = three_sets(2)
    generated = {
        "collapsed": np.tile(fresh[:1], (400, 1)),  # all near the same few records
        "typical": 0.3 * fresh,
        "noise": 30.0 * fresh,
    }[kind]
    assert copies(scored(train, held_out, generated)) is None


# --- copies ---------------------------------------------------------------------------


def test_training_rows_are_found():
    train, held_out, _ = three_sets(3, d=144)
    generated = train[np.random.default_rng(0).permutation(400)]
    scores = scored(train, held_out, generated)
    assert scores["exact_copies"]["count"] == 400
    assert scores["exact_copies"]["held_out"]["count"] == 0
    assert scores["closer_to_train"]["share"] == 1.0
    assert scores["distance_ratio"]["median"] == 0.0
    assert set(scores["closest_record"]["generated"].values()) == {0.0}
    assert scores["adversarial_accuracy"]["train"] == 0.0
    assert scores["adversarial_accuracy"]["privacy_loss"] > 0.3
    assert scores["membership_inference"]["auc"] == 1.0
    verdict = copies(scores)
    assert verdict is not None and "\n" not in verdict
    assert verdict.startswith(
        "COPIES OF TRAINING DATA: 400 of 400 samples are training series; "
    )
    assert "100.0% are closer to training than to held-out series" in verdict
    assert "AUC 1.000 (chance: 0.5 +- 0.041)" in verdict


@pytest.mark.parametrize("noise", [1e-3, 0.05, 0.3])
def test_blurred_training_rows_are_found(noise):
    rng = np.random.default_rng(0)
    train, held_out, _ = three_sets(4)
    rows = rng.integers(400, size=400)  # a bootstrap: some rows often, some never
    generated = train[rows] + noise * rng.standard_normal((400, 6))
    scores = scored(train, held_out, generated)
    assert scores["exact_copies"]["count"] == 0
    verdict = copies(scores)
    assert verdict is not None
    for part in ("lie at one training series", "closer to training", "AUC"):
        assert part in verdict


def test_few_copies_among_many_samples_are_found():
    train, held_out, fresh = three_sets(5, n=1000, d=20)
    fresh[:50] = train[:50] + 0.1 * gaussians(105, 50, 20)
    scores = scored(train, held_out, fresh)
    assert scores["closer_to_train"]["share"] < 0.6
    assert "5.0% lie at one training series" in str(copies(scores))


def test_one_exact_copy_is_one_too_many():
    train, held_out, fresh = three_sets(7)
    fresh[5] = train[17]
    assert copies(scored(train, held_out, fresh)) == (
        "COPIES OF TRAINING DATA: 1 of 400 samples are training series"
    )


def test_rows_that_the_data_itself_repeats_are_no_copies():
    sets = three_sets(8)
    for points in sets:
        points[:40] = 0.0  # flat series
    scores = scored(*sets)
    assert scores["exact_copies"]["count"] == 40
    assert scores["exact_copies"]["held_out"]["count"] == 40
    assert copies(scores) is None
    sets[2][40:140] = sets[0][40:140]
    assert "140 of 400 samples are training series" in str(copies(scored(*sets)))


def test_rows_that_only_training_rows_repeat_are_no_copies():
    """Flat series so rare that no held-out one is flat, but some training ones are."""
    train, held_out, fresh = three_sets(8)
    train[:3], fresh[:4] = 0.0, 0.0
    scores = scored(train, held_out, fresh)
    assert scores["exact_copies"]["train"] == {"count": 3, "num_samples": 400}
    assert copies(scores) is None
    bootstrap = train[np.random.default_rng(0).integers(400, size=400)]
    assert "400 of 400 samples" in str(copies(scored(train, held_out, bootstrap)))


def test_exact_copies_are_compared_with_what_repeats():
    """By Fisher's test of the held-out rows that repeat, else of the training rows."""
    counts = {"count": 20, "num_samples": 1000}
    rare, none = ({"count": k, "num_samples": 1000} for k in (2, 0))
    for held_out, train, found in (
        (none, none, True),  # nothing repeats: any copy is one
        (none, rare, False),  # at most 2 of 22 in one half: 254 2^-22 = 6.1e-5
        (rare, none, False),
    ):
        exact = {**counts, "held_out": held_out, "train": train}
        assert more_than_repeats(exact) == found
    more = {"count": 22, "num_samples": 1000, "held_out": none, "train": rare}
    assert more_than_repeats(more)  # at most 2 of 24: 301 2^-24 = 1.8e-5
    assert not more_than_repeats({**more, "count": 0})


def test_real_windows(reference_dir):
    with np.load(reference_dir / "cfid_cases.npz") as file:
        windows, fresh = (
            file[name].reshape(1500, -1) for name in ("real", "other_half")
        )
    windows = windows[np.random.default_rng(0).permutation(1500)]
    train, held_out = windows[:500], windows[500:1000]
    assert copies(scored(train, held_out, fresh[::3])) is None
    rounded = np.round(train, 3)
    assert copies(scored(train, held_out, rounded)) is not None


# --- sizes, seeds and errors ----------------------------------------------------------


def test_sets_of_unequal_size():
    train, held_out, fresh = three_sets(9)
    scores = scored(train, held_out[:100], fresh[:300])
    assert scores["closer_to_train"]["num_records"] == 100
    assert scores["membership_inference"]["num_records"] == 100
    assert scores["adversarial_accuracy"]["num_records"] == 100
    assert scores["exact_copies"]["num_samples"] == 300
    assert scores["exact_copies"]["held_out"]["num_samples"] == 100
    assert scores == scored(train, held_out[:100], fresh[:300], seed=0)
    assert scores != scored(train, held_out[:100], fresh[:300], seed=1)
    assert json.loads(json.dumps(scores)) == scores
