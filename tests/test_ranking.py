"""Ranks of methods on data sets: against hand-made tables, scipy and other people's."""

import math

import numpy as np
import pytest
from scipy import stats

from l2d_jax.metrics import ranking
from l2d_jax.types import InputError

# 4 sets, 3 methods. Ranks: 1 2 3, 1 2 3, 1 3 2, 2 1 3; sums 5, 8, 11.
BY_HAND = np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 5.0], [0.0, 9.0, 8.0], [3.0, 1.0, 4.0]])
PERFECT = np.tile(np.arange(4.0), (5, 1)) * np.arange(1.0, 6.0)[:, None]


def random_scores(sets, methods, *, seed=0, ties=False):
    """The later a method stands, the worse it is."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(sets, methods)) + 0.6 * np.arange(methods)
    return np.round(scores) if ties else scores


# --- ranks ----------------------------------------------------------------------------


def test_ranks_by_hand():
    np.testing.assert_array_equal(ranking.average_ranks(BY_HAND), [1.25, 2.0, 2.75])
    high = ranking.average_ranks(BY_HAND, best="high")
    np.testing.assert_array_equal(high, [2.75, 2.0, 1.25])


def test_ties_share_their_ranks():
    scores = np.array([[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    np.testing.assert_array_equal(ranking.average_ranks(scores), [1.75, 1.75, 2.5])
    high = ranking.average_ranks(scores, best="high")
    np.testing.assert_array_equal(high, [2.25, 2.25, 1.5])


# --- Friedman -------------------------------------------------------------------------


def test_friedman_by_hand():
    found = ranking.friedman(BY_HAND)
    # 12 / (4 3 4) (25 + 64 + 121) - 3 4 4 = 4.5; F = 3 4.5 / (4 2 - 4.5)
    assert found.statistic == pytest.approx(4.5)
    assert found.p_value == pytest.approx(math.exp(-4.5 / 2))  # chi-square of 2
    assert found.f_statistic == pytest.approx(13.5 / 3.5)
    # of 2 and 6 degrees of freedom: (1 + 2 F / 6)^-3
    assert found.f_p_value == pytest.approx((1 + 13.5 / 3.5 / 3) ** -3)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_scipys(ties):
    scores = random_scores(9, 5, seed=1, ties=ties)
    expected = stats.friedmanchisquare(*scores.T)
    found = ranking.friedman(scores)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_agreement_is_the_largest_statistic():
    found = ranking.friedman(PERFECT)
    assert found.statistic == pytest.approx(5 * (4 - 1))
    assert found.f_statistic == math.inf and found.f_p_value == 0.0


def test_equal_methods_do_not_differ():
    equal = np.tile(np.arange(3.0)[:, None], (1, 4))
    assert ranking.friedman(equal) == (0.0, 1.0, 0.0, 1.0)
    np.testing.assert_array_equal(ranking.conover(equal), np.ones((4, 4)))
    assert ranking.groups(equal) == [(0, 1, 2, 3)]


def test_tests_do_not_mind_the_direction():
    scores = random_scores(6, 4, ties=True)
    assert ranking.friedman(scores) == pytest.approx(ranking.friedman(-scores))
    np.testing.assert_allclose(ranking.conover(scores), ranking.conover(-scores))


# --- Conover --------------------------------------------------------------------------


def test_conover_by_hand():
    # A = 4 14 = 56, sum R^2 = 210: scale sqrt(2 (4 56 - 210) / (3 2)) = sqrt(14 / 3)
    near, far = 3 / math.sqrt(14 / 3), 6 / math.sqrt(14 / 3)
    p_near, p_far = 2 * stats.t.sf([near, far], 6)
    plain = ranking.conover(BY_HAND, adjust="none")
    np.testing.assert_allclose(
        plain, [[1, p_near, p_far], [p_near, 1, p_near], [p_far, p_near, 1]]
    )
    adjusted = ranking.conover(BY_HAND)  # Holm: 3 times, then 2 times, then no less
    assert adjusted[0, 2] == adjusted[2, 0] == pytest.approx(3 * p_far)
    assert adjusted[0, 1] == adjusted[1, 2] == pytest.approx(2 * p_near)


@pytest.mark.extra
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("adjust", ["holm", "none"])
@pytest.mark.parametrize("shape", [(2, 3), (6, 6), (11, 4)])
def test_conover_is_that_of_scikit_posthocs(shape, adjust, ties):
    posthocs = pytest.importorskip("scikit_posthocs")
    scores = random_scores(*shape, seed=2, ties=ties)
    expected = posthocs.posthoc_conover_friedman(
        scores, p_adjust=None if adjust == "none" else adjust
    )
    found = ranking.conover(scores, adjust=adjust)
    np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-9)


def test_where_all_sets_agree_conover_is_sure():
    np.testing.assert_array_equal(ranking.conover(PERFECT), np.eye(4))


@pytest.mark.parametrize(("methods", "share"), [(3, 0.1175), (5, 0.3225), (10, 0.335)])
def test_conover_holds_where_all_are_equal_alone(methods, share):
    """As the docstring says: two equal ones beside clearly worse ones are told apart.

    400 tables of 10 sets, so that shares vary by .025 at most, and .05 by .011.
    """
    rng, gap = np.random.default_rng(1), 100.0 * (np.arange(methods) - 1.0).clip(0.0)
    tables = rng.standard_normal((400, 10, methods))
    equal = [
        ranking.friedman(scores).f_p_value < 0.05
        and ranking.conover(scores).min() < 0.05
        for scores in tables
    ]
    beside = [ranking.conover(scores + gap)[0, 1] < 0.05 for scores in tables]
    assert np.mean(equal) < 0.085
    assert np.mean(beside) == pytest.approx(share, abs=0.075)


def test_holm_by_hand():
    p = np.array([0.04, 0.01, 0.9, 0.011])
    np.testing.assert_allclose(ranking.holm(p), [0.08, 0.04, 0.9, 0.04])
    np.testing.assert_allclose(ranking.holm(np.array([0.6, 0.7])), [1.0, 1.0])


# --- groups ---------------------------------------------------------------------------


def test_groups_of_methods_that_swap():
    """Two pairs that swap places from set to set; the pairs never do."""
    better, worse = [[0.0, 1.0], [1.0, 0.0]] * 5, [[6.0, 5.0], [5.0, 6.0]] * 5
    scores = np.hstack([worse, better])
    assert ranking.groups(scores) == [(2, 3), (0, 1)]
    assert ranking.groups(scores, best="high") == [(0, 1), (2, 3)]
    assert ranking.groups(scores, alpha=1e-30) == [(2, 3, 0, 1)]


def test_groups_overlap_and_hold_no_smaller_ones():
    """Average ranks 4/3, 2, 8/3, 4: p .21 at a distance of 2/3, .014 at one of 4/3."""
    scores = np.array([[1, 2, 3, 9], [1, 3, 2, 9], [2, 1, 3, 9]] * 2, float)
    assert ranking.groups(scores) == [(0, 1), (1, 2)]
    assert ranking.groups(scores, alpha=0.01) == [(0, 1, 2), (2, 3)]


def test_all_are_one_group_where_friedman_finds_nothing():
    assert ranking.friedman(BY_HAND).f_p_value > 0.05
    assert ranking.groups(BY_HAND) == [(0, 1, 2)]
    assert ranking.groups(BY_HAND, best="high") == [(2, 1, 0)]
    scores = np.array(  # p .058 by F, while one pair alone has .042 by Conover's test
        [
            [0, 1, -1, 1, -1, 1],
            [0, -1, 2, 0, 0, 1],
            [-1, 0, 0, 1, 0, 2],
            [-1, 1, 0, -1, 0, 0],
            [-2, 0, 1, 0, 0, 1],
            [0, 2, 0, 2, 1, 1],
        ],
        float,
    )
    assert ranking.conover(scores).min() < 0.05
    assert [len(group) for group in ranking.groups(scores)] == [6]


def test_where_all_differ_there_is_no_group():
    assert ranking.groups(PERFECT) == []


# --- what can't be used ---------------------------------------------------------------


def test_missing_scores_are_named():
    scores = BY_HAND.copy()
    scores[1, 2] = np.nan
    complete = ranking.is_complete(scores)
    assert complete.tolist() == [True, False, True, True]
    for function in (ranking.average_ranks, ranking.friedman, ranking.conover):
        with pytest.raises(InputError, match=r"sets \[1\].*is_complete"):
            function(scores)
        function(scores[complete])


@pytest.mark.parametrize("shape", [(5, 2), (1, 3), (0, 3)])
@pytest.mark.parametrize("name", ["friedman", "conover", "groups"])
def test_too_few(name, shape):
    message = f"methods: {shape[1]}, sets: {shape[0]}.*3 methods and 2 sets"
    with pytest.raises(InputError, match=message):
        getattr(ranking, name)(np.zeros(shape))


def test_wrong_settings():
    with pytest.raises(InputError, match="between 0 and 1"):
        ranking.groups(BY_HAND, alpha=5.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        ranking.groups(BY_HAND, alpha=0.0)
