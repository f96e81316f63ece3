"""Windows, strides, splits and missing values: with answers known before."""

import re
import sys

import numpy as np
import pytest

from l2d_jax.configs import base
from l2d_jax.data import protocols, split, windows
from l2d_jax.data.windows import (
    autocorrelation,
    choose_stride,
    choose_window,
    find_period,
    observed_enough,
    share_steps,
)
from l2d_jax.types import Collection, Form, InputError

NAN = np.nan


def settings(**fields):
    config = base.get_config().data
    config.update(fields)
    return config


def recording(rows=100, channels=2):
    """Row t is (t, t + .5, ...): a value says where it comes from."""
    t = np.arange(rows, dtype=np.float32)[:, None]
    series = t + np.arange(channels, dtype=np.float32)[None] / channels
    return Collection("the recording", [series], tuple("abcdefgh"[:channels]))


def labelled(count=20, num_train=None):
    """Series i has 3 to 7 steps, all of them i."""
    series = [np.full((3 + i % 5, 1), i, np.float32) for i in range(count)]
    labels = np.arange(count) % 2
    return Collection("the set", series, ("a",), labels, ("x", "y"), num_train)


def steps_of(examples):
    return set(examples.series[:, :, 0].ravel().astype(int).tolist())


# --- windows --------------------------------------------------------------------------


def test_windows_by_hand():
    recording = np.array([[0, 10], [1, 11], [2, 12], [3, 13], [4, 14]], np.float32)
    cut = windows(recording, length=2, stride=2)
    np.testing.assert_array_equal(cut, [[[0, 10], [1, 11]], [[2, 12], [3, 13]]])
    np.testing.assert_array_equal(windows(recording, length=5)[0], recording)


@pytest.mark.parametrize(("length", "stride"), [(2, 1), (3, 2), (7, 3), (20, 5)])
def test_windows_formula(length, stride):
    recording = np.random.default_rng(0).normal(size=(20, 3))
    cut = windows(recording, length=length, stride=stride)
    assert cut.shape == ((20 - length) // stride + 1, length, 3)
    for n, window in enumerate(cut):
        start = n * stride
        np.testing.assert_array_equal(window, recording[start : start + length])


# --- protocols ------------------------------------------------------------------------


def test_published_windows_are_all_windows():
    splits = split(recording(), settings(window=10))
    assert splits.test is None
    expected = np.arange(91)[:, None] + np.arange(10)[None]
    np.testing.assert_array_equal(splits.train.series[:, :, 0], expected)
    assert not splits.train.series.flags.owndata, "windows are copied"


@pytest.mark.parametrize(("rows", "window", "stride"), [(100, 10, 1), (100, 7, 3)])
def test_held_out_windows_share_no_step_with_training(rows, window, stride):
    given = settings(window=window, stride=stride, protocol="held_out")
    splits = split(recording(rows), given)
    trained, tested = steps_of(splits.train), steps_of(splits.test)
    assert min(trained) == 0 and max(trained) < 80
    assert min(tested) == 80 + window, "the gap isn't one window"
    assert max(tested) > rows - 1 - stride
    assert len(splits.train.series) == (80 - window) // stride + 1
    assert len(splits.test.series) == (20 - 2 * window) // stride + 1


@pytest.mark.parametrize(
    ("given", "fields", "overlapping"),
    [
        (recording(), {"window": 10, "stride": 9}, True),
        (recording(), {"window": 10, "stride": 10}, False),
        (recording(), {"window": 10}, True),
        (labelled(), {}, False),
        (labelled(), {"window": 3}, True),  # 3 a series
        (labelled(), {"window": 7}, False),  # one of each that is as long
    ],
)
def test_windows_overlap_if_the_stride_is_shorter(given, fields, overlapping):
    assert split(given, settings(**fields)).overlapping == overlapping


@pytest.mark.parametrize(
    ("length", "stride", "found"),
    [(24, 1, True), (24, 12, True), (24, 13, False), (16, 8, True), (9, 1, True)],
)
def test_windows_in_any_order_are_found_to_share_steps(length, stride, found):
    """Those that share half of their steps."""
    rng = np.random.default_rng(0)
    given = windows(rng.normal(size=(900, 2)), length=length, stride=stride)
    given = rng.permutation(given)
    assert share_steps(given) == found
    assert not share_steps(given[:, :, :1] * 0)  # flat


@pytest.mark.parametrize("gaps", [slice(0, None, 7), slice(20, 60)])
def test_windows_with_missing_values_share_steps(gaps):
    recording = np.random.default_rng(0).normal(size=(300, 2))
    recording[gaps, 1] = NAN
    assert share_steps(windows(recording, length=24))


def test_half_of_the_windows_share_steps():
    rng = np.random.default_rng(0)
    given = windows(rng.normal(size=(43, 1)), length=24)  # the last has no next one
    alone = rng.normal(size=(20, 24, 1))
    assert share_steps(np.concatenate([given[:20], alone[:18]]))
    assert not share_steps(np.concatenate([given[:20], alone]))


@pytest.mark.parametrize(
    "series",
    [
        np.random.default_rng(0).integers(10, size=(1_000, 6, 1)),
        np.random.default_rng(0).integers(10, size=(20_000, 12, 1)),
        np.random.default_rng(0).integers(2, size=(20_000, 24, 1)),
        np.random.default_rng(0).integers(2, size=(5_000, 50, 1)).cumsum(axis=1),
        np.random.default_rng(0).random((1_000, 100, 1)) < 0.02,
        np.tile(np.arange(8.0), 3)[None, :, None],  # its own start
        np.tile(np.random.default_rng(0).normal(size=(200, 8, 1)), (1, 3, 1)),
        np.zeros((0, 24, 1)),
    ],
)
def test_series_of_their_own_share_no_steps(series):
    assert not share_steps(series.astype(np.float32))


def test_overlapping_windows_that_are_given_as_series_are_named():
    given = [*windows(np.random.default_rng(0).normal(size=(60, 1)), length=24)]
    found = split(Collection("mine", given, ("a",)), settings())
    assert found.overlapping
    assert [one for one in found.notes if "share" in one] == [
        "many series share steps, as windows of a recording do, and held-out ones may "
        "share some with those trained on: give the recording itself"
    ]


def test_recordings_are_each_held_out_by_time():
    first, second = recording(50).series[0], 1000 + recording(100).series[0]
    both = Collection("both", [first, second], ("a", "b"))
    splits = split(both, settings(window=5, protocol="held_out"))
    assert max(s for s in steps_of(splits.train) if s < 1000) == 39
    assert min(s for s in steps_of(splits.test)) == 45
    assert max(steps_of(splits.train)) == 1079
    assert min(s for s in steps_of(splits.test) if s >= 1000) == 1085
    # No window straddles the two.
    width = np.ptp(splits.train.series[:, :, 0], axis=1)
    np.testing.assert_array_equal(width, np.full(len(width), 4))


def test_series_shorter_than_a_window_are_left_out():
    series = [recording(rows).series[0] for rows in (9, 10, 100)]
    splits = split(Collection("three", series, ("a", "b")), settings(window=10))
    left_out = "1 of 3 series are shorter than the window of 10 steps and left out"
    assert left_out in splits.notes
    assert len(splits.train.series) == 1 + 91


def test_windows_of_labelled_series_keep_their_labels():
    splits = split(labelled(10), settings(window=3))
    of_series = splits.train.series[:, 0, 0].astype(int)
    np.testing.assert_array_equal(splits.train.labels, of_series % 2)
    # Series of 3, 4, 5, 6 and 7 steps make 1 to 5 windows, twice.
    assert len(of_series) == 30


def test_official_split_is_kept():
    splits = split(labelled(20, num_train=12), settings(protocol="held_out"))
    assert steps_of_first(splits.train) == [*range(12)]
    assert steps_of_first(splits.test) == [*range(12, 20)]
    np.testing.assert_array_equal(splits.test.labels, np.arange(12, 20) % 2)
    published = split(labelled(20, num_train=12), settings())
    assert steps_of_first(published.train) == [*range(20)] and published.test is None


@pytest.mark.parametrize("labels", [np.array([0, 1, 1, 0]), None])
def test_windows_keep_the_official_split(labels):
    """Step t of series i is 100 i + t."""
    series = [100.0 * i + np.arange(40.0)[:, None] for i in range(4)]
    classes = () if labels is None else ("x", "y")
    given = Collection("the set", series, ("a",), labels, classes, num_train=2)
    splits = split(given, settings(window=4, stride=1, protocol="held_out"))
    for part, of_series in ((splits.train, [0, 1]), (splits.test, [2, 3])):
        starts = [100 * i + t for i in of_series for t in range(37)]
        assert steps_of_first(part) == starts
        if labels is not None:
            np.testing.assert_array_equal(part.labels, np.repeat(labels[of_series], 37))
    published = split(given, settings(window=4, stride=1))
    assert len(published.train.series) == 4 * 37 and published.test is None


def steps_of_first(examples):
    return examples.series[:, 0, 0].astype(int).tolist()


def test_a_fifth_of_the_series_is_held_out_where_no_split_is_official():
    splits = split(labelled(50), settings(protocol="held_out"))
    trained, tested = steps_of_first(splits.train), steps_of_first(splits.test)
    assert len(tested) == 10 and sorted(trained + tested) == [*range(50)]
    assert trained == sorted(trained) and tested == sorted(tested)
    assert tested != [*range(40, 50)], "not the last ones"
    again = split(labelled(50), settings(protocol="held_out"))
    assert steps_of_first(again.test) == tested
    official = split(labelled(50, num_train=12), settings(protocol="random_fifth"))
    assert steps_of_first(official.test) == tested
    assert steps_of_first(official.train) == trained


@pytest.mark.parametrize(
    ("given", "fields", "says"),
    [
        (recording(), {"protocol": "heldout"}, "data.protocol='heldout': use one of"),
        (recording(), {"window": 1}, "a window of 1 is too short"),
        (recording(), {"stride": -1}, "a stride of -1 leads nowhere"),
        (recording(), {"length": 9}, "length=9 is of .* the recording is cut into"),
        (labelled(), {"window": 2, "length": 9}, "length=9 is of .* the set is cut"),
        (labelled(), {"stride": 2}, "stride=2 is of windows, .* the set are .* whole"),
        (recording(), {"window": 101}, "has 100 of the 101 rows.*lower"),
        (recording(), {"window": 30, "protocol": "held_out"}, "no held-out example"),
        (recording(1), {}, "has 1 row, and a window takes 2 or more: add rows"),
        (recording(), {"channels": "a,z"}, "no channel 'z'.*some of a, b"),
        (recording(), {"channels": "a,a"}, "channel 'a' is asked for twice: name it"),
        (labelled(3), {"protocol": "held_out"}, "no held-out example: add series, or"),
        (labelled(), {"length": 1}, "a length of 1 is too short"),
        (recording(), {"protocol": "random_fifth"}, "is of whole series.*=held_out"),
    ],
)
def test_splits_that_can_not_be_are_named(given, fields, says):
    with pytest.raises(InputError, match=says) as error:
        split(given, settings(**{"window": 0, **fields}))
    assert "\n" not in str(error.value)


def test_channels_in_the_order_given():
    form = Form(
        ".csv", ("int64", "float64"), ("t", "a", "b"), time_column="t", decimals=(0, 2)
    )
    given = recording()._replace(form=form)
    splits = split(given, settings(window=10, channels="b, a"))
    assert splits.channels == ("b", "a")
    np.testing.assert_array_equal(splits.train.series[0, 0], [0.5, 0.0])
    assert splits.form.dtypes == ("float64", "int64")
    assert splits.form.decimals == (2, 0) and splits.form.places == (2, 0)
    assert split(given, settings(window=10, channels="b,")).form.columns == ("t", "b")
    unknown = given._replace(form=form._replace(decimals=()))
    assert split(unknown, settings(window=10, channels="b")).form.decimals == ()


# --- missing values -------------------------------------------------------------------


def test_missing_values_are_counted_by_channel():
    given = recording()
    given.series[0][3:6, 1] = NAN
    splits = split(given, settings(window=10))
    (note,) = [note for note in splits.notes if "missing" in note]
    assert note.endswith("loss: b 3 (3.0%)")
    assert np.isnan(splits.train.series).any()


@pytest.mark.parametrize("what", ["channel", "series", "steps"])
def test_what_has_no_value_at_all_is_refused(what):
    series = [np.ones((4, 2), np.float32) for _ in range(3)]
    if what == "steps":
        series[2] = series[2][:0]
    for i, one in enumerate(series):
        if what == "channel":
            one[:, 1] = NAN
        elif i == 2:
            one[:] = NAN
    says = "channel 'b' has no value" if what == "channel" else "series 2 .*no value"
    with pytest.raises(InputError, match=says):
        split(Collection("mine", series, ("a", "b")), settings())


def test_windows_of_which_half_is_known():
    """Of four values each, with 3, 2 and 1 that are known."""
    rows = np.array([[1.0, 5], [2, NAN], [3, NAN], [NAN, NAN]])
    for stride, enough in ((1, [True, True, False]), (2, [True, False])):
        assert observed_enough(rows, length=2, stride=stride).tolist() == enough


def test_windows_in_a_long_gap_are_left_out():
    given = recording(60, channels=1)
    given.series[0][20:40] = NAN
    splits = split(given, settings(window=10))
    starts = np.nanmin(splits.train.series[:, :, 0], axis=1)
    # Of the windows at 11..39, those at 16..34 have fewer than 5 of 10 values.
    assert len(starts) == 51 - 19
    known = (~np.isnan(splits.train.series)).sum(axis=(1, 2))
    assert known.min() == 5
    assert any(note.startswith("19 windows have fewer") for note in splits.notes)
    twice = split(given._replace(series=2 * given.series), settings(window=10))
    assert any(note.startswith("38 windows have fewer") for note in twice.notes)
    # Held out are the windows at 170..190; those at 176..184 have fewer than 5.
    given = recording(200, channels=1)
    given.series[0][20:40] = given.series[0][180:190] = NAN
    splits = split(given, settings(window=10, protocol="held_out"))
    assert len(splits.test.series) == 21 - 9
    assert any(note.startswith("28 windows have fewer") for note in splits.notes)


@pytest.mark.parametrize(
    ("protocol", "first", "says"),
    [
        (
            "published",
            0,
            "each of the 91 training windows has fewer than half .*: fill",
        ),
        ("held_out", 80, "each of the 1 held-out windows has fewer than half .*: fill"),
    ],
)
def test_a_recording_of_gaps_is_named(protocol, first, says):
    given = recording(100, channels=1)
    given.series[0][first:][np.arange(100 - first) % 3 > 0] = NAN
    with pytest.raises(InputError, match=says):
        split(given, settings(window=10, protocol=protocol))


# --- chosen from the data -------------------------------------------------------------


def test_period_of_a_noisy_wave():
    t = np.arange(3_000)
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * t / 48)[:, None] + 0.3 * rng.normal(size=(3_000, 2))
    assert find_period(wave) in (47, 48, 49)
    wave[rng.uniform(size=wave.shape) < 0.1] = NAN
    assert find_period(wave) in (47, 48, 49)
    length, why = choose_window(wave)
    assert length == find_period(wave) and "repeats after" in why


def test_noise_in_another_channel_leaves_the_period_as_it_is():
    t = np.arange(600)
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=600)
        wave = np.sin(2 * np.pi * t / 24) + 0.1 * np.roll(noise, 1)
        assert find_period(np.stack([wave, noise], axis=1)) == 24


def test_autocorrelation_by_hand():
    """Sums over the pairs there are, not around the ends; NaN counts as the mean."""
    rows = np.random.default_rng(0).normal(size=(40, 2)).cumsum(axis=0)
    rows[[3, 17], 1] = NAN
    x = np.nan_to_num(rows - np.nanmean(rows, axis=0)[None])
    sums = np.stack([(x[: 40 - lag] * x[lag:]).sum(axis=0) for lag in range(21)])
    expected = (sums / sums[:1]).mean(axis=1)
    np.testing.assert_allclose(autocorrelation(rows, max_lag=20), expected, atol=1e-12)
    rows[:, 1] = NAN  # without a warning
    half = (sums[:, 0] / sums[0, 0]) / 2
    np.testing.assert_allclose(autocorrelation(rows, max_lag=20), half, atol=1e-12)


def test_the_period_is_no_ripple_and_no_multiple():
    """Peaks before the first zero crossing, or at two periods, are none."""
    t = np.arange(4_800)
    wave = np.sin(2 * np.pi * t / 100) + 0.2 * np.sin(2 * np.pi * t / 5)
    assert 90 <= find_period(wave[:, None]) <= 110
    climbing = (np.sin(2 * np.pi * t / 16) + 0.01 * t)[:320, None]
    correlation = autocorrelation(climbing, max_lag=160)
    assert find_period(climbing) > np.flatnonzero(correlation <= 0)[0] > 64
    loudness = np.where(t // 24 % 2, 0.8, 1.0)  # repeats exactly after 48
    assert find_period((loudness * np.sin(2 * np.pi * t / 24))[:, None]) == 24


@pytest.mark.parametrize(
    ("period", "found"), [(2, 4), (3, 6), (4, 4), (256, 256), (300, 0)]
)
def test_the_shortest_and_the_longest_period(period, found):
    t = np.arange(256 * 300)
    assert find_period(np.sin(2 * np.pi * t / period + 0.5)[:, None]) == found


def test_a_period_is_seen_twice():
    t = np.arange(100)
    found = [find_period(np.sin(2 * np.pi * t / p)[:, None]) for p in (45, 60)]
    assert found == [44, 0]


@pytest.mark.parametrize(("noise", "period"), [(0.7, 32), (1.4, 0)])
def test_a_period_takes_a_correlation_of_three_tenths(noise, period):
    """A wave of variance 1/2 in noise of .49 and of 1.96: correlations .51 and .20."""
    t = np.arange(100_000)
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * t / 32) + noise * rng.normal(size=100_000)
    found = find_period(wave[:, None])
    assert abs(found - period) <= (2 if period else 0)


def test_short_periods_are_repeated_to_24_steps():
    t = np.arange(1_000.0)[:, None]
    assert choose_window(np.sin(2 * np.pi * t / 7))[0] == 28


def test_no_period_in_a_random_walk_or_noise():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2_000, 3))
    assert find_period(noise) == 0
    for few in (noise, noise[:240]):
        assert choose_window(few) == (24, "no period found")
    assert choose_window(noise[:239]) == (23, "the recording is short")
    assert choose_window(np.cumsum(noise, axis=0)[:, :1])[0] == 24
    assert choose_window(noise[:60])[0] == 6


def test_stride_grows_with_the_number_of_windows(monkeypatch):
    assert choose_stride([1_000_023], 24) == 1
    assert choose_stride([10_000_000], 24) == 10
    assert choose_stride([500_023, 1_500_023], 24) == 2
    # 1,000,001 windows: series that are too short for one don't count.
    assert choose_stride([1_000_024, *[1] * 10], 24) == 2
    monkeypatch.setattr(sys.modules["l2d_jax.data.windows"], "MAX_WINDOWS", 10)
    twice = Collection("both", 2 * recording(100).series, ("a", "b"))
    splits = split(twice, settings(window=10))
    assert any(re.match(r"stride \d+: --config", note) for note in splits.notes)
    assert len(splits.train.series) <= 10


def test_what_was_chosen_is_said():
    notes = split(recording(), settings()).notes
    assert "window of 10 steps (the recording is short): --config.data.window" in notes
    assert "91 training examples of 10 steps x 2 channels; held out: none" in notes
    series = [np.ones((steps, 1)) for steps in (3, 3, 4)]
    for some, steps in ((series, "3 to 4"), (series[:2], "3")):  # padded to 5
        notes = split(Collection("some", some, ("a",)), settings(length=5)).notes
        assert f"examples of {steps} steps x 1 channels; held" in notes[-1]


# --- on disk --------------------------------------------------------------------------


def test_a_recording_on_disk_stays_there(tmp_path):
    values = np.random.default_rng(0).normal(size=(5_000, 2)).astype(np.float32)
    np.save(tmp_path / "big.npy", values)
    mapped = np.load(tmp_path / "big.npy", mmap_mode="r")
    splits = split(Collection("big.npy", [mapped], ("a", "b")), settings(window=24))
    assert np.shares_memory(splits.train.series, mapped)
    np.testing.assert_array_equal(splits.train.series[4_000], values[4_000:4_024])


def test_counts_of_missing_values_piece_by_piece(monkeypatch):
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 7 * 3)
    series = np.zeros((50, 3))
    series[::3, 1] = NAN
    assert protocols.count_missing(series).tolist() == [0, 17, 0]
