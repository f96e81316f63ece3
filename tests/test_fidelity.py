"""Fidelity and diversity of sets whose scores are known."""

import numpy as np
import pytest
from made import autoregressive, column, gaussians
from reports import judged

from l2d_jax.metrics import evaluate
from l2d_jax.metrics.catalog import SCORES, verdict
from l2d_jax.metrics.fidelity import (
    alpha_precision,
    authentic,
    authentic_among_others,
    beta_recall,
    coverage,
    fidelity,
    precision_and_density,
    recall,
)
from l2d_jax.report.scores import HOW_TO_READ

# --- by hand --------------------------------------------------------------------------

REAL = column(0.0, 1.0, 3.0, 10.0)  # balls [-1, 1], [0, 2], [1, 5], [3, 17] for k = 1


def test_precision_and_density_by_hand():
    generated = column(0.5, 4.0, -2.0, 18.0, 1.0)  # in 2, 2, 0, 0 and 3 balls
    scores = precision_and_density(REAL, generated, k=1)
    assert scores == {"precision": 3 / 5, "density": 7 / 5}


def test_recall_and_coverage_by_hand():
    generated = column(0.5, 0.75, 2.5)  # balls [.25, .75], [.5, 1], [.75, 4.25]
    assert recall(REAL, generated, k=1) == 2 / 4  # 1 (on a rim) and 3
    assert coverage(REAL, generated, k=1) == 3 / 4  # all but 10
    # As far from 3 as 1 is: on the rim of its ball, which belongs to it.
    assert coverage(column(0.0, 1.0, 3.0), column(5.0, 9.0), k=1) == 1 / 3


def test_beta_recall_by_hand():
    # The generated points lie 1, 1 and 2 from their mean 0. Of the real ones, 50 is
    # not covered; the nearest to the others are -1 (twice) and 2.
    real = column(-2.0, -1.0, 1.75, 3.0, 50.0)
    generated = column(-1.0, -1.0, 2.0)
    # R = 2 / 5 from the start and 4 / 5 at 1: 3 is nearest to 2 as well.
    # int |R - beta| = .4^2 / 2 + .6^2 / 2 for R = 2 / 5, the last level aside.
    expected = 1 - 2 * (0.08 + 0.18)
    assert beta_recall(real, generated, k=1) == pytest.approx(expected, abs=0.02)


def test_authenticity_by_hand():
    real = column(0.0, 1.0, 5.0)  # nearest others 1, 1 and 4 away
    generated = column(0.0, -0.9, -1.1, 8.0, 9.5)
    assert authentic(real, generated).tolist() == [False, False, True, False, True]


def test_authenticity_of_training_points_is_that_among_the_others():
    real = np.concatenate([gaussians(0, 40, 2), gaussians(0, 3, 2), gaussians(0, 3, 2)])
    rows = np.array([45, 3, 0, 1, 20])
    expected = [authentic(np.delete(real, i, 0), real[i : i + 1]).item() for i in rows]
    assert authentic_among_others(real, rows).tolist() == expected


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("count", [100, 600])
def test_copies_are_told_in_the_whole_training_set(count, held_out):
    """Few copies of many training series, and however many of these are compared."""
    train, fresh, test = gaussians(0, 3, 600, 6, 2)
    options = {"metrics": ["fidelity"], "num_series": 50}
    options["test"] = test if held_out else None
    copied = evaluate(train, train[:count], **options)["authenticity"]
    assert copied["mean"] == 0.0 and verdict(copied, SCORES["authenticity"]) == "lower"
    assert copied["floor"]["mean"] > 0.4
    other = evaluate(train, fresh[:count], **options)["authenticity"]
    assert other["mean"] == pytest.approx(other["floor"]["mean"], abs=0.15)
    assert other["shared"] == 0.0  # no point is in two parts
    assert other["at_floor_size"]["num_samples"] == other["floor"]["num_samples"]
    assert verdict(other, SCORES["authenticity"]) == "as real"


def test_held_out_series_that_drifted_make_no_copies():
    """The floor is then that without any, and it is said; a copy is still one."""
    train, fresh = gaussians(0, 2, 400, 3, 2)
    options = {"metrics": ["fidelity"], "num_repeats": 4}
    for generated, found in ((fresh, "as real"), (train, "lower")):
        alone = evaluate(train, generated, **options)["authenticity"]
        for shift in (0.0, 3.0):
            later = gaussians(1, 400, 3, 2) + shift
            score = evaluate(train, generated, test=later, **options)["authenticity"]
            assert verdict(score, SCORES["authenticity"]) == found
            mean = alone["floor"]["mean"]
            assert score["floor"]["mean"] == pytest.approx(mean, abs=0.1)
            assert ("a nearest neighbour tells" in score.get("note", "")) == (shift > 0)


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.9])
def test_alpha_precision_of_points_on_one_shell(q):
    real = gaussians(0, 2000, 3)
    real -= real.mean(axis=0, keepdims=True)
    radius = np.quantile(np.linalg.norm(real, axis=1), q + 1e-9)
    generated = np.tile([[0.0, radius, 0.0]], (50, 1))
    assert alpha_precision(real, generated) == pytest.approx(
        2 * q * (1 - q), abs=1.5e-2
    )


def test_alpha_precision_of_points_outside():
    assert alpha_precision(gaussians(0, 500, 3), gaussians(1, 50, 3) + 50.0) == 0.0


# --- the same distribution ------------------------------------------------------------


def expected_coverage(num_real, num_generated, k=5):
    """As the docstring of `coverage` has it, of one continuous distribution."""
    i = np.arange(1, k + 1)
    return 1.0 - np.prod((num_real - i) / (num_real + num_generated - i))


def test_coverage_of_equals_is_as_published():
    for num_real, num_generated, k in [(60, 60, 5), (60, 25, 3), (30, 70, 1)]:
        scores = [
            coverage(
                gaussians((0, i), num_real, 2), gaussians((1, i), num_generated, 2), k=k
            )
            for i in range(150)
        ]
        expected = expected_coverage(num_real, num_generated, k)
        assert np.mean(scores) == pytest.approx(expected, abs=0.012)
    assert expected_coverage(4, 4, 2) == pytest.approx(1 - (3 * 2) / (7 * 6))
    assert expected_coverage(10**6, 10**6) == pytest.approx(1 - 2.0**-5, rel=1e-4)


def test_density_of_equals_is_one():
    scores = [
        precision_and_density(gaussians((0, i), 60, 4), gaussians((1, i), 30, 4))
        for i in range(150)
    ]
    assert np.mean([s["density"] for s in scores]) == pytest.approx(1.0, abs=0.02)


def share_in_balls(seed, n, d, k):
    """Chance that a fresh Gaussian point is in a ball, from the definition alone."""
    centres, fresh = gaussians((seed, 0), n, d), gaussians((seed, 1), n, d)
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    radii = np.sort(gaps, axis=1)[:, k]  # the first is the point itself
    away = np.linalg.norm(fresh[:, None] - centres[None], axis=2)
    return (away <= radii[None]).any(axis=1).mean()


def test_precision_and_recall_of_equals():
    n, d, k = 300, 8, 5
    expected = np.mean([share_in_balls(seed, n, d, k) for seed in range(8)])
    assert 0.6 < expected < 0.95
    pairs = [(gaussians((8, i), n, d), gaussians((9, i), n, d)) for i in range(12)]
    precisions = [precision_and_density(*pair)["precision"] for pair in pairs]
    recalls = [recall(*pair) for pair in pairs]
    assert np.mean(precisions) == pytest.approx(expected, abs=0.02)
    assert np.mean(recalls) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("d", "precise", "recalled", "own"), [(2, 0.99, 0.97, 0.4), (64, 0.7, 0.4, 0.8)]
)
def test_scores_of_equals_depend_on_their_dimensions(d, precise, recalled, own):
    """As the docstrings say; but for density, coverage and alpha-precision."""
    real, fresh = gaussians(0, 2000, d), gaussians(1, 2000, d)
    scores = fidelity(real, fresh)
    for name in ("precision", "recall"):
        assert scores[name] == pytest.approx(precise, abs=0.03)
    assert scores["beta_recall"] == pytest.approx(recalled, abs=0.1)
    assert authentic(real, fresh).mean() == pytest.approx(own, abs=0.05)
    for name, expected in (("density", 1), ("coverage", 0.969), ("alpha_precision", 1)):
        assert scores[name] == pytest.approx(expected, abs=0.05)


def test_supports_of_equals():
    real, generated = gaussians(0, 2000, 2), gaussians(1, 2000, 2)
    assert alpha_precision(real, generated) > 0.96
    assert beta_recall(real, generated) == pytest.approx(1 - 2.0**-5, abs=0.03)
    assert beta_recall(real, generated, k=1) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("d", "mutual"), [(1, 2 / 3), (2, 0.6215), (3, 16 / 27)])
def test_authenticity_of_equals(d, mutual):
    # Two points of a Poisson process are mutually nearest with the ratio of the volume
    # of a ball to that of two whose centres are on each other's rims.
    real = np.random.default_rng(0).random((4000, d))
    fresh = np.random.default_rng(1).random((4000, d))
    for found in (
        authentic(real, fresh),
        authentic_among_others(real, np.arange(4000)),
    ):
        assert found.mean() == pytest.approx(1 - mutual, abs=0.025)


def test_fresh_series_do_not_reach_the_floor_of_overlapping_windows():
    """As the report says: its halves are neighbours in time."""
    recording = autoregressive(0, 1, 1000)[0]
    windows = np.lib.stride_tricks.sliding_window_view(recording, 24)[:, :, None]
    fresh = autoregressive(1, len(windows), 24)[:, :, None]
    scores = evaluate(windows, fresh, metrics=["fidelity"])
    for name, sign in (("precision", 1), ("coverage", 1), ("authenticity", -1)):
        score = scores[name]
        gap = score["floor"]["mean"] - score["at_floor_size"]["mean"]
        assert sign * gap > 0.05
    assert verdict(scores["precision"], SCORES["precision"]) == "worse"
    assert verdict(scores["authenticity"], SCORES["authenticity"]) == "higher"
    assert any("overlapping windows" in text for text in HOW_TO_READ)


@pytest.mark.parametrize("seed", [20, 21])  # too dense, too sparse
def test_density_of_halves_varies_as_that_of_samples(seed):
    """Fresh points that seem to differ were density tested as other scores are.

    Of the first 200 seeds 19 would, none does.
    """
    one, other = gaussians(seed, 2, 100, 4)[:, :, :, None]
    scores = evaluate(one, other, metrics=["fidelity"], num_repeats=20, seed=seed)
    density = scores["density"]
    assert verdict(density, SCORES["density"]) == "as real"
    assert verdict(density, judged("real")) != "as real"


# --- what generators do wrong ---------------------------------------------------------


def modes(seed, n, dropped=0):
    """Points of 5 far Gaussians, n / 5 of each, without the first `dropped`."""
    centres = 100.0 * np.repeat(np.arange(5), n // 5)
    return (gaussians(seed, n, 2) + centres[:, None])[dropped * (n // 5) :]


def test_dropped_modes_lower_diversity_by_their_share():
    real = modes(0, 1000)
    whole = fidelity(real, modes(1, 1000))
    partial = {
        **precision_and_density(real, modes(1, 1000, dropped=2)),
        "recall": recall(real, modes(1, 1000, dropped=2)),
        "coverage": coverage(real, modes(1, 1000, dropped=2)),
    }
    for name in ("recall", "coverage"):
        assert partial[name] == pytest.approx(0.6 * whole[name], abs=0.02)
    for name in ("precision", "density"):
        assert partial[name] == pytest.approx(whole[name], abs=0.05)


def test_outliers_lower_precision_by_their_share():
    real, generated = gaussians(0, 800, 2), gaussians(1, 800, 2)
    whole = fidelity(real, generated)
    far = generated.copy()
    far[:200] += 1e3
    scores = fidelity(real, far)
    inside = fidelity(real, generated[200:])["precision"]
    assert scores["precision"] == pytest.approx(0.75 * inside, abs=0.02)
    assert scores["density"] == pytest.approx(0.75 * whole["density"], abs=0.05)
    assert scores["alpha_precision"] < 0.8 < whole["alpha_precision"]


def test_a_collapsed_generator():
    real = gaussians(0, 1000, 4)
    centre = real.mean(axis=0, keepdims=True)
    scores = fidelity(real, np.repeat(centre, 1000, axis=0))
    assert scores["precision"] == 1.0  # blind to it
    assert scores["alpha_precision"] == pytest.approx(0.0, abs=0.02)
    assert scores["recall"] == 0.0
    assert scores["coverage"] < 0.1
    assert scores["beta_recall"] < 0.2


def test_a_copying_generator():
    real = gaussians(0, 500, 144).astype(np.float32)
    scores = fidelity(real, real.copy())
    for name in ("precision", "recall", "coverage"):
        assert scores[name] == 1.0
    assert scores["density"] == 6 / 5  # each point counts in its own ball as well
    assert scores["alpha_precision"] == pytest.approx(1.0, abs=0.01)
    assert scores["beta_recall"] == pytest.approx(1.0, abs=0.01)
    assert not authentic(real, real.copy()).any()


@pytest.mark.parametrize("size", [1e6, 1e8, 1e10, 1e12])
def test_one_far_outlier_hardly_changes_recall(size):
    real, generated = gaussians(0, 600, 9), gaussians(1, 600, 9)
    far = generated.copy()
    far[3] = size
    without = recall(real, np.delete(generated, 3, axis=0))
    assert recall(real, far) == pytest.approx(without, abs=0.01) and without < 0.95


def test_real_windows(reference_dir):
    with np.load(reference_dir / "cfid_cases.npz") as file:
        sets = {name: file[name].reshape(1500, -1)[:500] for name in file}
    real = sets["real"]
    good = fidelity(real, sets["other_half"])
    noisy = fidelity(real, sets["noise_0.1"])
    narrow = fidelity(real, sets["first_half_of_range"])
    smooth = fidelity(real, sets["channel_means"])
    assert good["precision"] > 0.8 and good["recall"] > 0.8 and good["coverage"] > 0.9
    assert noisy["precision"] < 0.1 and noisy["coverage"] < 0.1
    assert narrow["recall"] < 0.7 < 0.8 < narrow["precision"]
    assert smooth["recall"] < 0.1 and smooth["density"] > 2.0


# --- sizes and errors -----------------------------------------------------------------


def test_each_score_is_that_of_its_function():
    """Of points and others, half as wide: no score is the same the other way round."""
    real, generated = gaussians(0, 200, 2), 0.5 + 0.5 * gaussians(1, 200, 2)
    expected = {
        **precision_and_density(real, generated, k=3),
        "recall": recall(real, generated, k=3),
        "coverage": coverage(real, generated, k=3),
        "alpha_precision": alpha_precision(real, generated),
        "beta_recall": beta_recall(real, generated, k=3),
    }
    assert fidelity(real, generated, k=3) == expected
    swapped = fidelity(generated, real, k=3)
    assert all(abs(swapped[name] - score) > 0.01 for name, score in expected.items())


def test_sets_are_cut_to_one_size_at_random():
    real, generated = gaussians(0, 300, 2), gaussians(1, 60, 2)
    one = fidelity(real, generated)
    assert one == fidelity(real, generated, seed=0)
    assert one != fidelity(real, generated, seed=1)
    assert one["coverage"] == pytest.approx(expected_coverage(60, 60), abs=0.1)
    assert set(one) == {
        "precision",
        "density",
        "recall",
        "coverage",
        "alpha_precision",
        "beta_recall",
    }
    assert all(type(score) is float for score in one.values())
