"""Scores beside their floors: what is drawn, and from what."""

import json
import math

import numpy as np
import pytest

from l2d_jax.metrics import METRICS, evaluate
from l2d_jax.metrics.catalog import SCORES
from l2d_jax.metrics.floors import choose, summary, with_floor, with_floors


def numbered(n, first=0.0):
    """Series i is i at each of 3 steps."""
    series = first + np.arange(n, dtype=np.float32)
    return np.tile(series[:, None, None], (1, 3, 1))


def test_halves_are_disjoint_and_the_whole_is_everything():
    calls = []

    def measure(real, generated):
        calls.append((set(real[:, 0, 0].tolist()), set(generated[:, 0, 0].tolist())))
        return float(generated.mean() - real.mean())

    scores = with_floor(measure)(
        numbered(20), numbered(20, first=100.0), num_repeats=3, seed=1
    )
    assert scores["values"] == [100.0] and scores["interval"] is None
    assert scores["num_samples"] == 20 and scores["floor"]["num_samples"] == 10
    (real, generated), *halves = calls
    assert real == {*range(20)} and generated == {*range(100, 120)}
    for (one, other), (again, part) in zip(halves[::2], halves[1::2], strict=True):
        assert len(one) == len(other) == 10 and not one & other
        assert one == again and part < generated and len(part) == 10
    assert len({frozenset(one) for one, _ in halves}) == 3, "the same half each time"
    parts = {frozenset(part) for _, part in halves[1::2]}
    assert len(parts) == 3, "the same generated ones each time"
    assert len(scores["floor"]["values"]) == 3
    assert abs(scores["at_floor_size"]["mean"] - 100.0) < 10.0


def test_the_larger_set_is_drawn_anew_in_each_repeat():
    sizes, seen = set(), []

    def measure(real, generated):
        sizes.add((len(real), len(generated)))
        seen.append(frozenset(real[:, 0, 0].tolist()))
        return 0.0

    scores = with_floor(measure)(numbered(30), numbered(8), num_repeats=4)
    assert sizes == {(8, 8), (4, 4)} and len(scores["values"]) == 4
    assert len({one for one in seen if len(one) == 8}) == 4


def test_of_very_many_series_so_many_are_drawn_anew_in_each_repeat():
    calls = []

    def measures(real, generated):
        calls.append((set(real[:, 0, 0].tolist()), set(generated[:, 0, 0].tolist())))
        return {"score": 0.0}

    metrics = with_floors(measures, max_series=12)
    score = metrics(numbered(30), numbered(40, first=100.0), num_repeats=3)["score"]
    assert score["num_samples"] == 12 and score["floor"]["num_samples"] == 6
    whole, halves = calls[::3], calls[1::3] + calls[2::3]
    assert {len(side) for call in whole for side in call} == {12}
    assert {len(side) for call in halves for side in call} == {6}
    for side in (0, 1):
        assert len({frozenset(call[side]) for call in whole}) == 3
    few = with_floors(measures, max_series=50)(numbered(30), numbered(40))["score"]
    assert few["num_samples"] == 30


def test_scores_depend_on_the_seed_alone():
    def measure(real, generated):
        return float(real[0, 0, 0] - generated[0, 0, 0])

    metric = with_floor(measure)
    one, other = (metric(numbered(30), numbered(20), seed=3) for _ in range(2))
    assert one == other != metric(numbered(30), numbered(20), seed=4)


def test_what_is_undefined_is_said_and_is_json():
    metric = with_floor(lambda real, x: float("nan") if np.ptp(x) == 0 else 1.0)
    flat = np.ones((20, 3, 1), np.float32)
    scores = metric(numbered(20), flat)
    assert scores["mean"] is None and "constant" in scores["undefined"]
    assert scores["floor"]["mean"] == 1.0
    json.dumps(scores, allow_nan=False)
    assert "undefined" not in metric(numbered(20), numbered(20))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mmd_series", "half of the pairs of real series are equal"),
        ("mmd_increments", "half of the pairs of real series have equal increments"),
    ],
)
def test_reasons_are_those_of_the_score(name, reason):
    series = np.random.default_rng(0).normal(size=(40, 3, 1))
    repeating = np.where(np.arange(40)[:, None, None] < 32, series[:1], series)
    score = evaluate(repeating, series, metrics=[name], num_repeats=2)[name]
    assert score["mean"] is None and score["undefined"] == reason


def test_every_metric_tells_waves_twice_as_loud_from_halves_of_real_ones():
    rng = np.random.default_rng(0)
    t = np.arange(12)[None, :, None]
    names = [name for name, about in SCORES.items() if about.family == "distribution"]
    assert set(names) <= set(METRICS)

    def waves(loudness):
        phase, level = rng.uniform(0, 6, (300, 1, 2)), rng.normal(size=(300, 1, 2))
        return (level + loudness * np.sin(t + phase)).astype(np.float32)

    scores = evaluate(waves(1.0), waves(2.0), metrics=names, num_repeats=3)
    assert set(scores) == set(names)
    json.dumps(scores, allow_nan=False)
    for name in set(names) - {"skewness_difference", "correlational_score"}:
        score = scores[name]
        told = score["at_floor_size"]["mean"] > max(score["floor"]["values"])
        assert told, f"{name} doesn't tell them: if it can't, leave it out above"
        assert score["num_samples"] == 300 and score["floor"]["num_samples"] == 150


@pytest.mark.parametrize(
    ("values", "t", "deviation"),
    [
        ([1.0, 2.0, 3.0], 4.302653, 1.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2.776445, math.sqrt(2.5)),
    ],
)
def test_interval_is_that_of_student(values, t, deviation):
    """t(.975) of n - 1 degrees of freedom, from a table, times the standard error."""
    score = summary(values, num_samples=7)
    mean, reach = values[len(values) // 2], t * deviation / math.sqrt(len(values))
    assert score["mean"] == mean and score["num_samples"] == 7
    assert score["interval"] == pytest.approx([mean - reach, mean + reach], rel=1e-6)
    assert summary([1.0], num_samples=7)["interval"] is None


def test_choose_keeps_the_order_of_all_and_never_repeats():
    rng = np.random.default_rng(0)
    series = numbered(9)
    assert choose(rng, series, 9) is series
    assert len(set(choose(rng, series, 5)[:, 0, 0].tolist())) == 5
