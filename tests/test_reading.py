"""Scores in words, and verdicts: sentences and closed forms by hand."""

import re

import numpy as np
import pytest
from reports import judged, paired, score

from l2d_jax.metrics.catalog import FAMILIES, SCORES, verdict
from l2d_jax.metrics.floors import summary
from l2d_jax.metrics.table import table
from l2d_jax.report.scores import reading, scores_body

# Verdicts


def differing(ratio: float, *, times: int = 1) -> dict:
    """Five pairs, some times over, whose differences have mean 1 and sd 1 / `ratio`."""
    spread = np.array([-1.0, -1.0, 0.0, 1.0, 1.0])  # sd 1
    floor = np.array([3.0, 9.0, 4.0, 7.0, 1.0])
    return paired([*(floor + 1.0 + spread / ratio)] * times, [*floor] * times)


@pytest.mark.parametrize(
    ("best", "expected"),
    [("low", "worse"), ("high", "better than real"), ("real", "higher")],
)
def test_verdict_is_a_paired_test_at_99_per_cent(best, expected):
    # Student's t, .995 and 4 degrees of freedom: 4.604 (any table), times the root of
    # 1 / 5 + 1 / 4: 3.0886.
    assert verdict(differing(3.09), judged(best)) == expected
    assert verdict(differing(3.08), judged(best)) == "as real"


def test_what_shares_nothing_is_tested_as_independent():
    """Student's t of 4 degrees of freedom, over the root of 5: 2.059."""
    for ratio, found in ((2.05, "as real"), (2.06, "worse")):
        assert verdict({**differing(ratio), "shared": 0.0}, judged("low")) == found
        assert verdict(differing(ratio), judged("low")) == "as real"


@pytest.mark.parametrize(
    ("name", "limit"), [("coverage", 3.09), ("precision", 4.49), ("density", 5.05)]
)
def test_means_over_points_share_more(name, limit):
    """4.604 times the root of 1/5 and 1/4, 3/4 or 1."""
    for ratio, differs in ((limit - 0.01, False), (limit, True)):
        assert (verdict(differing(ratio), SCORES[name]) != "as real") == differs


def test_repeating_what_was_found_four_times_is_no_proof():
    """20 values of which each is there four times say what the five say.

    Their sd is sqrt(16 / 19) of that of the five, and t(.995) of 19 degrees is 2.861:
    independent, they would reach .587, as repeats of the same series 1.438.
    """
    for ratio in (0.6, 1.43):
        assert verdict(differing(ratio), judged("low")) == "as real"
        assert verdict(differing(ratio, times=4), judged("low")) == "as real"
    assert verdict(differing(1.44, times=4), judged("low")) == "worse"


@pytest.mark.parametrize(
    ("best", "expected"),
    [("low", "better than real"), ("high", "worse"), ("real", "lower")],
)
def test_verdict_of_less(best, expected):
    more = differing(3.09)
    less = {"floor": more["at_floor_size"], "at_floor_size": more["floor"]}
    assert verdict(less, judged(best)) == expected


def test_verdict_of_differences_that_are_always_the_same():
    assert verdict(paired([0.0] * 3, [0.0] * 3), judged("low")) == "as real"
    assert verdict(paired([1.0] * 3, [0.0] * 3), judged("low")) == "worse"
    assert (
        verdict(paired([0.1 + 0.2] * 3, [0.3] * 3), judged("low")) == "as real"
    )  # rounding
    assert verdict(paired([-1e-9] * 3, [-3e-9] * 3), judged("low")) == "worse"


def test_verdict_is_unknown_without_pairs():
    whole = paired([1.0, 1.1, 1.2], [0.1, 0.2, 0.3])
    assert verdict(whole, judged("low")) == "worse"
    for percentile, expected in (
        (0.995, "worse"),
        (0.985, "as real"),
        (0.015, "as real"),
        (0.005, "better than real"),
    ):
        assert verdict({**whole, "percentile": percentile}, judged("low")) == expected
    for side in ("floor", "at_floor_size"):
        assert verdict({**whole, side: None}, judged("low")) == "unknown"
        none = {"mean": None, "values": [None] * 3}
        assert verdict({**whole, side: none}, judged("low")) == "unknown"
        assert verdict({**whole, side: {"mean": 0.5}}, judged("low")) == "unknown"
        two = summary([1.0, 2.0], num_samples=50)
        assert verdict({**whole, side: two}, judged("low")) == "unknown"
    assert verdict({"mean": 1.0}, judged("low")) == "unknown"
    assert verdict(paired([9.0, 9.0], [0.5, 0.5]), judged("low")) == "unknown"


def test_every_score_has_a_family_a_best_and_a_sentence():
    for name, words in SCORES.items():
        assert words.family in FAMILIES and words.best in ("low", "high", "real"), name
        assert re.match(r"(is|of|nats is) ", words.says) and words.says[-1] != ".", name


# Scores in words


def test_reading_compares_with_the_floor_at_its_size():
    score = paired([0.018, 0.019, 0.017], [0.010, 0.010, 0.010], mean=0.0102)
    assert reading("context_fid", score) == (
        "0.0102 is the distance between real and generated series as TS2Vec, a network "
        "trained on the real ones, sees them; at equal size it is 1.8 times what real "
        "series score against real ones. That is worse than real series score, beyond "
        "chance."
    )


def test_reading_of_a_score_whose_ideal_is_chance():
    """Noise is worse than real series, and no multiple of what chance gives."""
    score = paired([0.99, 1.0, 0.98], [0.5, 0.49, 0.51])
    text = reading("two_sample_accuracy", score)
    assert "; at equal size it is 99\u00a0%, and 50\u00a0% for real series. " in text
    assert text.endswith("That is worse than real series score, beyond chance.")


def test_reading_of_a_share_and_of_what_can_not_be_told_from_real():
    score = paired([0.91, 0.95, 0.93], [0.93, 0.92, 0.94])
    assert reading("precision", score) == (
        "93\u00a0% of the generated series lie where real ones do; at equal size it is "
        "93\u00a0%, and 93\u00a0% for real series. The difference is no larger than "
        "chance explains."
    )


def test_reading_of_a_score_without_better_or_worse():
    score = paired([0.208, 0.205, 0.208], [0.25, 0.25, 0.25])
    text = reading("predictive_score", score)
    assert (
        "; at equal size it is 0.207, and 0.25 for real series. That is lower" in text
    )


@pytest.mark.parametrize("floor", [[-2e-5] * 3, [0.0] * 3, [1e-5, -3e-5, 5e-5]])
def test_no_ratio_to_a_floor_that_is_not_above_zero(floor):
    text = reading("mmd_series", paired([3e-3] * 3, floor))
    assert "times" not in text and "at equal size it is 0.003, and" in text


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(1.02, "1.02 times"), (1.3, "1.3 times"), (0.052, "0.052 times"), (712.0, "712 ")],
)
def test_ratios_have_the_digits_that_matter(ratio, words):
    assert f"it is {words}" in reading("pca_fid", paired([ratio] * 2, [1.0] * 2))


def test_reading_says_where_the_numbers_of_series_differ():
    floor = summary([0.5, 0.5], num_samples=50)
    score = {**summary([1.0, 1.0], num_samples=99), "floor": floor}
    assert "at another number of series it is 2.0 times" in reading("pca_fid", score)
    assert "too few repeats" in reading("pca_fid", score)
    score["num_samples"] = 50
    assert "at equal size it is 2.0 times" in reading("pca_fid", score)
    floor = summary([1.57], num_samples=640)
    score = {**summary([1.6], num_samples=64), "floor": floor}
    text = "; at another number of series, real ones have 1.57. "
    assert text in reading("closest_record", score)


def test_reading_of_privacy_has_no_repeats_and_a_note():
    score = {**summary([0.0], num_samples=9), "floor": summary([0.0], num_samples=9)}
    text = reading("exact_copies", {**score, "note": "Searched are 5 of 7"})
    assert text.endswith(
        "It has no repeats: copying is judged by all privacy scores together, and what "
        "is found is said above. Searched are 5 of 7."
    )
    score["floor"]["chance_sd"] = 0.1
    assert "no larger than chance" in reading("closer_to_train", score)
    assert "NOTE: Searched are 5 of 7" in table(
        {"exact_copies": {**score, "note": "Searched are 5 of 7"}}
    )


def test_reading_says_where_halves_of_generated_series_have_no_value():
    score = paired([np.nan, 1.0, 1.0], [0.5, 0.6, 0.5], mean=3.0)
    text = reading("kurtosis_difference", score)
    assert "It has no value for as few generated series" in text
    assert "too few repeats" not in text


def test_reading_without_floor_or_value():
    assert reading("x_y", {"mean": 1234.5}) == (
        "1,234 was measured. There is no score of real series to compare it with."
    )
    why = {"mean": None, "undefined": "all <series> are flat"}
    assert reading("pca_fid", why) == "Undefined, because all <series> are flat."
    assert reading("pca_fid", {"mean": None}) == "Undefined, because it has no value."


def test_the_headline_is_the_first_score_that_is_defined():
    undefined = {"mean": None, "undefined": "there is one channel"}
    scores = {"predictive_score": undefined, "pca_fid": score(0.5, 0.4, 0.6, 30)}
    assert scores_body(scores).startswith('<p class="reading">PCA-FID: 0.5 is')
    body = scores_body({"predictive_score": undefined})
    assert body.startswith('<p class="reading">Predictive score: Undefined')


def test_that_no_copies_were_found_is_said_where_they_were_looked_for():
    few = "only 30 series of each set"  # of all scores: the first has it
    body = scores_body({"exact_copies": score(0.0, 0.0, 0.0, 30, warning=few)})
    assert "No copies of training series were found." in body
    assert "own_data.md" not in body  # nothing is to be mended
    repeated = score(0.1, 0.1, 0.1, 300, floor=score(0.1, 0.1, 0.1, 300))
    body = scores_body({"exact_copies": repeated})
    assert "No copies" not in body and "no more of them than chance explains" in body
    undefined = {"mean": None, "undefined": "so it is"}
    for scores in ({"pca_fid": score(1.0, 0.0, 2.0, 3)}, {"exact_copies": undefined}):
        assert "No copies" not in scores_body(scores)


@pytest.mark.parametrize(
    ("share", "nearer"), [([0.2, 0.21, 0.22], True), ([0.5, 0.52, 0.54], False)]
)
def test_that_samples_are_too_near_is_said_beside_no_copies(share, nearer):
    authenticity = paired(share, [0.51, 0.52, 0.53], shared=0.0)
    none = {"exact_copies": score(0.0, 0.0, 0.0, 30), "authenticity": authenticity}
    body = scores_body(none)
    assert "No copies of training series were found." in body
    assert ("nearer to a training series than any" in body) == nearer
    assert ("own_data.md" in body) == nearer


def test_the_interval_of_a_share_ends_at_0_and_100_per_cent():
    body = scores_body({"precision": score(0.98, 0.94, 1.03, 30)})
    assert "<small>94 to 100\u00a0%</small>" in body
