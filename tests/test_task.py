"""What is said of the series before a model is trained on them."""

import numpy as np
import pytest
from made import tiny

from l2d_jax import run, task
from l2d_jax.configs import resolve
from l2d_jax.data import Normalizer
from l2d_jax.data.channel_order import NONE
from l2d_jax.data.discrete_values import few_values
from l2d_jax.types import Examples, InputError, Splits, inside


def splits_of(series):
    lengths = np.full(len(series), series.shape[1])
    channels = tuple("abcdefgh"[: series.shape[2]])
    return Splits(Examples(series, lengths), None, channels)


def notes_on(series):
    """Of channels that are unlike what can be learnt."""
    splits = splits_of(np.asarray(series, np.float32))
    normalizer = Normalizer.fit(splits.train, "min_max", splits.channels)
    levels = few_values(splits.train, 32)
    return task.unlike(splits.train, splits.channels, normalizer, levels)


def test_what_a_task_holds():
    """Of 5 or 9 steps: noise, a switch, one that stands still, one above the first."""
    rng = np.random.default_rng(0)
    series = rng.normal(size=(40, 9, 4)).astype(np.float32)
    series[..., 1] = series[..., 1] > 1
    series[..., 2] += 5.0  # above the first by chance
    series[:, 1::2, 2] = series[:, :-1:2, 2]  # 4 of 8 steps, of 5 the second and fourth
    series[..., 3] = series[..., 0] + 0.5 * rng.uniform(size=(40, 9))
    lengths = 5 + np.arange(40) % 2 * 4
    series[~inside(lengths, 9)] = np.nan
    assert not (series[..., 0] > series[..., 2]).any()
    splits = Splits(Examples(series, lengths), None, ("a", "b", "c", "d"))
    config = resolve(tiny())
    found = task.prepare(config, splits)
    np.testing.assert_allclose(found.held_shares, [0, 0, 0.5, 0])
    np.testing.assert_array_equal(found.levels[1], [0, 1])
    assert np.isnan(found.levels[[0, 2, 3]]).all()
    assert found.ordered.tolist() == [[0, 3]]
    assert found.layout.shape == found.series.shape[1:] == (9, 5)
    assert found.layout[3:5] == (5, 40)  # the shortest length, the number of series
    np.testing.assert_array_equal(found.normalizer.low, np.nanmin(series, axis=(0, 1)))
    config.sampling.keep_order = False
    assert task.prepare(config, splits).ordered is NONE


def test_windows_that_overlap_are_gone_through_more_often():
    """512 series: 100 times in batches of 8 are 6,400 steps, 500 times 10,000."""
    splits = splits_of(np.random.default_rng(0).normal(size=(512, 8, 1)))
    config = tiny()
    config.data_stage.update(num_steps=0, batch_size=8)
    for overlapping, steps in ((False, 6_400), (True, 10_000)):
        found = task.prepare(resolve(config), splits._replace(overlapping=overlapping))
        assert found.config.data_stage.num_steps == steps


def test_some_of_many_series():
    """Always the same ones, in order, each with its length."""
    series = np.arange(3_000.0)[:, None, None]
    examples = Examples(series, np.arange(3_000), np.zeros(3_000, int))
    some, again, others = (task.few_examples(examples, n) for n in (20, 20, 5_000))
    index = some.series.ravel()
    assert len(index) == 20 and (np.diff(index) > 0).all() and index[-1] > 2_000
    np.testing.assert_array_equal(some.lengths, index)
    np.testing.assert_array_equal(again.series, some.series)
    np.testing.assert_array_equal(others.series, series)


def test_outliers_are_noted():
    series = np.random.default_rng(0).uniform(size=(50, 24, 2)).astype(np.float32)
    for value, words in (
        (1.9, ""),
        (90.0, ": 0.083 % of its values are 90, far from all others, 0.000"),
        (-9999.0, ": 99 % of its values lie between 0.00"),  # times 1 / 100: the limit
    ):
        series[3, 4, 1] = value
        found = notes_on(series)
        assert len(found) == bool(words)
        assert not words or found[0].startswith(f"channel 'b'{words}")
    assert "all between -9999 and 0.99" in found[0]


@pytest.mark.parametrize("mark", [-999.0, 0.0, 9999.0])
@pytest.mark.parametrize(("share", "noted"), [(0.01, True), (0.4, True), (0.6, False)])
def test_marks_of_missing_values_are_noted(mark, share, noted):
    rng = np.random.default_rng(0)
    series = 1013 + np.clip(40 * rng.normal(size=(50, 24, 1)), -100, 100)
    series[rng.uniform(size=series.shape) < share] = mark
    found = notes_on(series)
    assert len(found) == noted
    if noted:
        assert f" of its values are {mark:g}, far from all others, 9" in found[0]


def test_values_next_to_a_mark_or_few_are_none():
    """A rest of 0 beside 57 to 116, a valve that is 0 or 95 to 100."""
    rng = np.random.default_rng(0)
    series = np.stack(
        [rng.integers(57, 117, (50, 24)), rng.integers(95, 101, (50, 24))], axis=-1
    )
    series[rng.uniform(size=series.shape) < 0.2] = 0
    assert notes_on(series) == []
    assert task.sentinel(np.repeat([0.0, 1.0], [3, 9])) == ""


def test_values_of_several_magnitudes_are_noted():
    walks = np.random.default_rng(0).normal(size=(50, 24, 1))
    assert notes_on(walks) == notes_on(np.exp(walks)) == []
    many_alike = np.where(np.abs(walks) < 1, 0, walks**9)
    assert task.uneven(many_alike.ravel()) == ""
    (note,) = notes_on(np.exp(3 * walks))
    assert "half of its values lie between 0.1" in note and "logarithm" in note


def test_running_totals_are_noted():
    steps = np.random.default_rng(0).exponential(size=(50, 24, 1))
    steps[::2, ::2] = 0.0
    totals = steps.cumsum(axis=1)
    (note,) = notes_on(totals)
    assert note.startswith("channel 'a' hardly ever falls")
    totals[7, 10:] -= totals[7, 10:11]  # the meter is replaced
    assert notes_on(totals) == [note]
    totals[:, 12:] -= totals[:, 12:13]  # each day from 0
    assert notes_on(totals) == []
    still = np.repeat(np.arange(50.0)[:, None, None], 24, axis=1)  # one in each series
    assert notes_on(still) == []


def test_which_channels_stand_still():
    series = np.zeros((4, 5, 4), np.float32)
    series[:, ::2] = 1.0
    series[:, 1:4, 1:] = 7.0  # at 2 of 4 steps
    series[..., 3] = np.arange(4)[:, None]  # always
    splits = splits_of(series)
    for least, expected in (
        (0.5, [0, 0.5, 0.5, 1]),
        (0.51, [0, 0, 0, 1]),
        (1.0, [0, 0, 0, 0]),
    ):
        found = task.held_shares(splits.train, least)
        np.testing.assert_array_equal(found, expected)
    (note,) = task.standing(("a", "b", "c"), np.array([0, 0.5, 0]))
    assert note.startswith("steps that repeat the value before") and "'b' (50%)" in note
    assert "'a'" not in note and "'c'" not in note


@pytest.mark.parametrize(("steps", "channels"), [(4, 8), (3, 8)])
def test_axes_that_may_be_the_wrong_way_round_are_noted(steps, channels):
    found = task.unlikely_shapes(splits_of(np.zeros((2, steps, channels))))
    assert len(found) == (steps == 3)
    assert all("more channels (8) than steps (3)" in note for note in found)


def test_long_series_may_be_cut(tmp_path):
    config = tiny()
    with pytest.raises(InputError, match="there are 2 training series") as error:
        run.check_scorable(resolve(config), splits_of(np.zeros((2, 300, 2))))
    assert "window" not in str(error.value)  # of a known set
    config.data.name = "file"
    with pytest.raises(InputError, match=r"cut them into .*window=24, add some, or"):
        run.check_scorable(resolve(config), splits_of(np.zeros((2, 300, 2))))
