"""Scores as a table, and the words for each."""

import re

from l2d_jax.metrics import GROUPS, METRICS
from l2d_jax.metrics.catalog import SCORES
from l2d_jax.metrics.table import table


def test_scores_without_words_have_a_heading_of_their_own():
    lines = table({"mine": {"mean": 0.25, "values": [0.25], "interval": None}})
    assert [line.split() for line in lines.splitlines()[1:]] == [
        ["Other", "scores"],
        ["Mine", "0.25"],
    ]
    without = table({"mine": {"mean": None, "values": [None]}})
    assert without.endswith("undefined: it has no value")


def test_a_table_by_hand():
    scores = {
        "pca_fid": {
            "mean": 0.123456,
            "interval": [0.1, 0.15],
            "values": [0.12],
            "at_floor_size": {"mean": 0.3, "values": [0.3]},
            "floor": {"mean": 0.0000441, "values": [0.0000441]},
            "note": "so it is",
            "warning": "beware",
        },
        "mine": {"mean": None, "undefined": "no reason", "note": "so it is"},
    }
    header, *lines = table(scores).splitlines()
    assert [line.split() for line in lines] == [
        ["Other", "judges"],
        ["PCA-FID", "0.1235", "0.1", "to", "0.15", "0.3", "4.41e-05"],
        ["Other", "scores"],
        ["Mine", "-", "undefined:", "no", "reason"],
        ["NOTE:", "so", "it", "is"],
        ["WARNING:", "beware"],
    ]
    # Each cell stands below the name of its column.
    columns = re.split(r"\s{2,}", header.strip())
    assert columns == ["value", "95 % interval", "at floor's size", "floor"]
    for name, cell in zip(columns, ("0.1235", "0.1 to", "0.3", "4.41"), strict=True):
        assert header.rindex(name) == lines[1].rindex(cell)


def test_a_score_without_words_is_higher_or_lower_not_better_or_worse():
    """Nobody said which is better; the report says the same."""
    high, low = ({"mean": x, "values": [x] * 3} for x in (2.0, 1.0))
    more = {"mean": 2.0, "at_floor_size": high, "floor": low}
    assert table({"mine": more}).splitlines()[-1].split()[-1] == "higher"
    assert table({"pca_fid": more}).splitlines()[-1].split()[-1] == "worse"


def test_the_interval_of_a_share_ends_at_0_and_1():
    """What lies beyond isn't possible; of a distance, which is no share, it may be."""
    score = {"mean": 0.5, "interval": [-0.25, 1.25]}
    assert "  0 to 1" in table({"precision": score})
    assert "-0.25 to 1.25" in table({"alpha_precision": score})
    far = {"mean": 5.0, "interval": [4.5, 5.5]}  # of the range of real values
    assert "4.5 to 5.5" in table({"value_distribution_distance": far})


def test_every_metric_has_words():
    families = {name: about.family for name, about in SCORES.items()}
    assert set(GROUPS) < set(families.values())
    assert [*METRICS] == [name for name in SCORES if families[name] not in GROUPS]
