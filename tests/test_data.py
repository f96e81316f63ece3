"""Windows, scaling, ragged lengths, batches: with answers known before."""

import sys
import zlib
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.data import (
    ModelSpace,
    Normalizer,
    chunk_indices,
    from_list,
    from_model_space,
    to_list,
    to_model_space,
    windows,
)
from l2d_jax.data.levels import cuts_of_shares, few_values, snap
from l2d_jax.data.order import NONE, in_order, ordered_channels
from l2d_jax.data.repeats import held_below, hold, repeat_shares
from l2d_jax.types import Examples, InputError, is_ragged

NAN = np.nan
normalizer_module = sys.modules["l2d_jax.data.normalizer"]
ragged_module = sys.modules["l2d_jax.data.ragged"]


def equal_length(series) -> Examples:
    """Examples that all fill their array."""
    series = np.asarray(series, dtype=np.float32)
    return Examples(series, np.full(len(series), series.shape[1]))


# Windows


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


# Normalizer


def test_min_max_by_hand():
    examples = equal_length([[[0, 10], [4, 20]], [[2, 30], [1, 10]]])
    normalizer = Normalizer.fit(examples, "min_max", ("a", "b"))
    np.testing.assert_array_equal(normalizer.shift, [2, 20])
    np.testing.assert_array_equal(normalizer.scale, [2, 10])
    z = normalizer.normalize(examples.series)
    np.testing.assert_array_equal(z, [[[-1, -1], [1, 0]], [[0, 1], [-0.5, -1]]])
    np.testing.assert_array_equal(normalizer.denormalize(z), examples.series)


def test_standard_by_hand():
    examples = equal_length([[[0, 1], [4, 5]], [[0, 1], [4, 1]]])
    normalizer = Normalizer.fit(examples, "standard")
    np.testing.assert_array_equal(normalizer.shift, [2, 2])
    np.testing.assert_allclose(normalizer.scale, [2, np.sqrt(3)], rtol=1e-7)
    z = normalizer.normalize(examples.series)
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0, atol=1e-7)
    np.testing.assert_allclose(z.var(axis=(0, 1)), 1, rtol=1e-6)


def test_equal_range_by_hand():
    """In halves of their ranges, 2 and 20, the variances are 1/2 and 1; mean 3/4."""
    x = np.array([[0, 0], [2, 0], [4, 40], [2, 40]], float)
    factor = np.sqrt(3 / 4)
    normalizer = Normalizer.fit(equal_length([x]), "equal_range")
    np.testing.assert_allclose(normalizer.shift, [2, 20], rtol=1e-6)
    np.testing.assert_allclose(normalizer.scale, [2 * factor, 20 * factor], rtol=1e-6)
    z = normalizer.normalize(x)
    assert np.mean(z.var(axis=0)) == pytest.approx(1.0)
    np.testing.assert_allclose(np.ptp(z, axis=0), 2 / factor, rtol=1e-6)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_padding_does_not_count(kind):
    short = [np.array([[0.0], [8.0]]), np.array([[2.0], [4.0], [6.0]])]
    ragged = Normalizer.fit(from_list(short), kind)
    flat = Normalizer.fit(equal_length([np.concatenate(short)]), kind)
    np.testing.assert_array_equal(ragged.shift, flat.shift)
    np.testing.assert_array_equal(ragged.scale, flat.scale)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_round_trip_of_large_offsets(kind):
    rng = np.random.default_rng(1)
    low, high = np.array([1e7, 1e3, -1e-6]), np.array([9e7, 2e3, 1e-6])
    examples = equal_length(rng.uniform(low, high, size=(50, 24, 3)))
    normalizer = Normalizer.fit(examples, kind)
    assert normalizer.shift.dtype == normalizer.scale.dtype == np.float32
    for x in (examples.series, jnp.asarray(examples.series)):
        back = normalizer.denormalize(normalizer.normalize(x))
        assert isinstance(back, type(x))
        assert (abs(np.asarray(back) - examples.series) < 1e-5 * (high - low)).all()


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_constant_channel_is_named(kind):
    series = np.random.default_rng(0).normal(size=(5, 4, 2))
    series[:, :, 1] = 0.1
    with pytest.raises(InputError, match=r"channel 'dull' is 0.1 at every step"):
        Normalizer.fit(equal_length(series), kind, ("lively", "dull"))
    with pytest.raises(InputError, match=r"channel '1' is 0.1"):
        Normalizer.fit(equal_length(series), kind)


@pytest.mark.parametrize("kind", ["equal_range", "standard", "min_max"])
def test_missing_values_do_not_count(kind):
    rng = np.random.default_rng(0)
    series = rng.normal(3.0, 2.0, size=(30, 10, 2)).astype(np.float32)
    series[rng.uniform(size=series.shape) < 0.3] = NAN
    found = Normalizer.fit(equal_length(series), kind)
    values = [series[:, :, c].astype(np.float64) for c in range(2)]
    known = [x[~np.isnan(x)] for x in values]
    half = np.array([np.ptp(x) / 2 for x in known])
    mean, std = (np.array([f(x) for x in known]) for f in (np.mean, np.std))
    shift, scale = {
        "equal_range": (mean, half * np.sqrt(np.mean((std / half) ** 2))),
        "standard": (mean, std),
        "min_max": (np.array([x.min() for x in known]) + half, half),
    }[kind]
    np.testing.assert_allclose(found.shift, shift, rtol=1e-6)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-6)


def test_moments_piece_by_piece_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    series = 1e4 + rng.normal(size=(101, 7, 3))
    series[:40, :, 1] += 5.0  # so that the pieces differ
    series[rng.uniform(size=series.shape) < 0.2] = NAN
    series[:20, :, 2] = NAN  # pieces without a value
    examples = equal_length(series)
    whole = normalizer_module.moments(examples)
    monkeypatch.setattr(normalizer_module, "CHUNK", 7 * 3 * 4)
    for one, other in zip(whole, normalizer_module.moments(examples), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    flat = examples.series.astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(whole.std, np.nanstd(flat, axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "says"), [(np.inf, "'b' has inf"), (NAN, "'b' has no value")]
)
def test_channels_that_can_not_be_scaled_are_named(value, says):
    series = np.arange(8.0).reshape(2, 2, 2)
    series[:, :, 1] = value
    with pytest.raises(InputError, match=says):
        Normalizer.fit(equal_length(series), "min_max", ("a", "b"))


def test_unknown_scaler():
    with pytest.raises(InputError, match=r"'minmax': use one of equal_range, standard"):
        Normalizer.fit(equal_length([[[0], [1]]]), "minmax")


def test_normalizer_is_a_pytree():
    normalizer = Normalizer.fit(equal_length([[[0, 1], [4, 2]]]))
    assert jax.tree.map(np.shape, normalizer).shift == (2,)
    x = jnp.ones((3, 5, 2))
    compiled = jax.jit(lambda n, x: n.denormalize(n.normalize(x)))
    np.testing.assert_allclose(compiled(normalizer, x), x, rtol=1e-6)
    over_steps = jax.vmap(normalizer.normalize)(x[0])
    np.testing.assert_allclose(over_steps, normalizer.normalize(x[0]), rtol=1e-6)
    abstract = jax.eval_shape(lambda n: n, normalizer)
    assert abstract.scale.shape == (2,)


# Ragged lengths


def ramps(lengths: list[int]) -> list[np.ndarray]:
    """Series 0, 1, 2, ... with a second channel ten times the first."""
    return [np.arange(n)[:, None] * np.array([1.0, 10.0]) for n in lengths]


def test_list_there_and_back():
    examples = from_list(ramps([3, 1, 2]), labels=np.array([2, 0, 1]))
    assert examples.series.shape == (3, 3, 2)
    assert examples.series.dtype == np.float32
    assert examples.lengths.tolist() == [3, 1, 2]
    assert examples.labels.tolist() == [2, 0, 1]
    assert np.isnan(examples.series).sum() == 6
    for one, original in zip(to_list(*examples[:2]), ramps([3, 1, 2]), strict=True):
        np.testing.assert_array_equal(one, original)


@pytest.mark.parametrize(("length", "expected"), [(2, [2, 1, 2]), (5, [3, 1, 2])])
def test_list_brought_to_a_length(length, expected):
    examples = from_list(ramps([3, 1, 2]), length=length)
    assert examples.series.shape == (3, length, 2)
    assert examples.lengths.tolist() == expected


@pytest.mark.parametrize("length", [1, -1])
def test_length_that_is_too_short(length):
    with pytest.raises(InputError, match=r"--config.data.length to 2 or more, or to 0"):
        from_list(ramps([3]), length=length)
    with pytest.raises(InputError, match="one step each: give 2 or more"):
        from_list(ramps([1, 1]))


def test_a_series_far_longer_than_the_others_is_refused_before_memory_is_taken():
    long = np.broadcast_to(np.float32(0.0), (2**24, 1))
    with pytest.raises(
        InputError, match=r"series 2 .* 16,777,216 steps, .* 3 .* 16.2 G"
    ):
        from_list([*ramps([3, 3]), long, *ramps([3] * 127)])


@pytest.mark.parametrize(("count", "refused"), [(16, False), (17, True)])
def test_padding_may_take_some_times_as_much(monkeypatch, count, refused):
    """One of 50 steps, the rest of 2: 50 N, and 10 times 48 + 2 N; 800 both for 16."""
    monkeypatch.setattr(ragged_module, "MAX_PADDED", 0)
    monkeypatch.setattr(ragged_module, "MAX_PADDING", 10)
    series = ramps([50, *[2] * (count - 1)])
    if refused:
        with pytest.raises(InputError, match=r"series 0 .* has 50 steps"):
            from_list(series)
    else:
        assert from_list(series).series.shape == (count, 50, 2)
    monkeypatch.setattr(ragged_module, "MAX_PADDED", count * 50 * 2)
    from_list(series)


def test_model_space_by_hand():
    examples = from_list(ramps([3, 2]))
    normalizer = Normalizer.fit(examples, "min_max")
    z = to_model_space(examples, normalizer, ragged=True)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z[0], [[-1, -1, 1], [0, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(z[1], [[-1, -1, 1], [0, 0, 1], [0, 0, -1]])


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_model_space_there_and_back(array):
    lengths = list(range(7, 30))
    examples = from_list(ramps(lengths))
    normalizer = jax.tree.map(array, Normalizer.fit(examples))
    z = to_model_space(examples, normalizer, ragged=True)
    assert isinstance(z, np.ndarray)
    series, found = from_model_space(array(z), normalizer, ragged=True, min_length=7)
    assert found.tolist() == lengths
    assert series.dtype == np.float32
    np.testing.assert_allclose(series, examples.series, rtol=1e-5, atol=1e-5)


def test_model_space_of_missing_values_by_hand():
    """NaN stays NaN; a step without any value has no validity either."""
    series = [np.array([[0.0, 0], [NAN, 2], [4, 4]]), np.array([[4.0, 0], [NAN, NAN]])]
    examples = from_list(series)
    z = to_model_space(examples, Normalizer.fit(examples, "min_max"), ragged=True)
    np.testing.assert_array_equal(z[0], [[-1, -1, 1], [NAN, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(z[1], [[1, -1, 1], [NAN, NAN, NAN], [NAN, NAN, -1]])


@pytest.mark.parametrize("ragged", [False, True])
def test_model_space_row_by_row_is_that_of_all(ragged):
    examples = from_list(ramps([5, 3, 4, 5] if ragged else [5] * 4))
    normalizer = Normalizer.fit(examples)
    rows = ModelSpace(examples, normalizer, ragged)
    everything = to_model_space(examples, normalizer, ragged)
    assert rows.shape == everything.shape
    np.testing.assert_array_equal(rows[1:3], everything[1:3])
    index = np.array([[3, 0, 1], [2, 2, 1]])
    np.testing.assert_array_equal(rows[index], everything[index])
    np.testing.assert_array_equal(rows[:], everything)


def test_digest_is_that_of_all_rows_at_once(monkeypatch):
    examples = from_list(ramps([5, 3, 4, 5, 2]))
    normalizer = Normalizer.fit(examples)
    everything = to_model_space(examples, normalizer, True)
    monkeypatch.setattr(ragged_module, "DIGEST_ROWS", 2)
    found = ModelSpace(examples, normalizer, True).digest()
    assert found == zlib.crc32(everything.tobytes())


@pytest.mark.parametrize("ragged", [False, True])
def test_what_leaves_the_range_is_clipped_where_asked(ragged):
    """Channels span 0 to 4 and 0 to 40; in model space -1 to 1, and 2 is beyond."""
    normalizer = Normalizer.fit(equal_length(ramps([5, 5])), "min_max")
    z = np.array([[[-2.0, 0.5], [2.0, 3.0], [0.5, -1.5]]], np.float32)
    end = np.array([[[1.0], [1.0], [-1.0]]], np.float32)
    z = np.concatenate([z, end], axis=2) if ragged else z
    whole, _ = from_model_space(z, normalizer, ragged)
    series, _ = from_model_space(z, normalizer, ragged, clip=True)
    last = [NAN, NAN] if ragged else [3, -10]
    np.testing.assert_array_equal(whole[0], [[-2, 30], [6, 80], last])
    last = [NAN, NAN] if ragged else [3, 0]
    np.testing.assert_array_equal(series[0], [[0, 30], [4, 40], last])


def test_fixed_length_there_and_back():
    examples = equal_length(ramps([4, 4]))
    assert not is_ragged(examples)
    normalizer = Normalizer.fit(examples)
    z = to_model_space(examples, normalizer, ragged=False)
    assert z.shape == (2, 4, 2)
    series, lengths = from_model_space(z, normalizer, ragged=False, min_length=2)
    assert lengths.tolist() == [4, 4]
    np.testing.assert_allclose(series, examples.series, atol=1e-5)


# Values that are held


def test_share_of_steps_that_repeat_the_value_before():
    """Of two series, one with a gap, one with an early end: 2 of 5 pairs, 3 of 4."""
    first = np.array([[1.0, 1, 0], [1, 1, 1], [2, 1, 2], [2, NAN, 3]])
    second = np.array([[3.0, 5, 0], [4, 5, 1], [5, 6, 2]])
    shares = repeat_shares(from_list([first, second]))
    np.testing.assert_allclose(shares, [2 / 5, 3 / 4, 0])


def test_the_smallest_differences_are_as_many_as_there_are_repeats():
    """Of 4 + 2 differences, 1 to 6 in some order, two sizes; the third has no share."""
    first = np.cumsum([0.0, 3, -1, 4, -6])
    second = np.array([7.0, 2, 0, NAN, NAN])
    series = np.stack([first, second])[:, :, None] * [[[1.0, -10, 5]]]
    limits = held_below(series.astype(np.float32), np.array([0.4, 1.0, 0.0]))
    np.testing.assert_allclose(limits, [3, 60, 0])
    found = hold(series, limits)
    same = np.diff(found[:, :, 0], axis=1) == 0
    np.testing.assert_array_equal(
        same, [[True, True, False, False], [False, True, False, False]]
    )


@pytest.mark.parametrize("share", [0.3, 0.62, 0.9])
def test_rounded_steps_count_among_those_that_stand_still(share):
    """Of a random walk, rounded to .5 after it is held; 0: rounding alone does."""
    walk = np.random.default_rng(0).normal(0, 0.3, (200, 40, 1)).cumsum(axis=1)
    walk = walk.astype(np.float32)

    def rounded(series):
        return np.round(2 * series) / 2

    def repeats(series):
        return (np.diff(series, axis=1) == 0).mean()

    limits = held_below(walk, np.array([share]), rounded=rounded)
    found = repeats(rounded(hold(walk, limits)))
    alone = repeats(rounded(walk))
    assert 0.53 < alone < 0.55
    assert (limits[0] == 0) == (share < alone)
    assert found == pytest.approx(max(share, alone), abs=0.01)
    assert held_below(walk, np.array([alone]), rounded=rounded)[0] == 0
    exact = held_below(walk, np.array([share]))
    assert limits[0] < exact[0]
    assert repeats(hold(walk, exact)) == pytest.approx(share, abs=0.001)


def test_held_values_by_hand():
    """Means of runs, in each series and channel alone; a step that just fits is in."""
    first = np.array([[1.0, 10], [2, 20], [6, 40], [8, 85]])
    second = np.array([[8.0, -85], [6, -40], [6, -20], [NAN, NAN]])
    series = np.stack([first, second]).astype(np.float32)
    found = hold(series, np.array([2.0, 20.0], np.float32))
    expected = [
        [[1.5, 70 / 3], [1.5, 70 / 3], [7, 70 / 3], [7, 85]],
        [[20 / 3, -85], [20 / 3, -30], [20 / 3, -30], [NAN, NAN]],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    one = hold(series, np.array([0.0, 20.0], np.float32))
    np.testing.assert_array_equal(one[:, :, 0], series[:, :, 0])
    np.testing.assert_array_equal(one[:, :, 1], found[:, :, 1])


def test_generated_series_stand_still_up_to_their_end():
    """Data units: the second channel is held up to 1.5, and clipped before."""
    normalizer = Normalizer(
        *(np.array(x, np.float32) for x in ([0, 1], [1, 2], [-9, -9], [9, 6])),
        held_below=np.array([0, 1.5], np.float32),
    )
    z = np.array([[0, 0, 1], [0.1, 0.5, 1], [0.2, 3.0, 1], [0.3, 2.2, 1], [0, 9, -1]])
    series, lengths = from_model_space(z[None], normalizer, ragged=True, clip=True)
    assert lengths.tolist() == [4]
    np.testing.assert_allclose(series[0, :4, 0], [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(series[0, :4, 1], [1.5, 1.5, 5.7, 5.7], rtol=1e-6)
    assert series[0, 2, 1] == series[0, 3, 1] and np.isnan(series[0, 4]).all()


def test_channels_of_few_values(monkeypatch):
    """In order, over all pieces; a series' end and missing values count for nothing."""
    rng = np.random.default_rng(0)
    series = [rng.choice([3.0, -1, 0.5], (20, 3)) for _ in range(9)]
    series = [np.where(rng.uniform(size=x.shape) < 0.1, NAN, x) for x in series]
    series[8][4, 1] = 7.0  # in the last piece only
    for i, x in enumerate(series):
        x[:, 2] = np.arange(20) + 20 * i
    examples = from_list([*series, np.full((5, 3), 0.5)])
    monkeypatch.setattr(normalizer_module, "CHUNK", 120)
    expected = [[-1, 0.5, 3, NAN], [-1, 0.5, 3, 7], [NAN] * 4]
    np.testing.assert_array_equal(few_values(examples, 4), np.float32(expected))
    for most, shape in ((3, (3, 3)), (2, (3, 1)), (0, (3, 1))):
        found = few_values(examples, most)
        assert found.shape == shape and np.isnan(found[1:]).all()
        assert np.isnan(found[0]).all() == (most < 3)


def test_values_that_hardly_occur_twice_are_not_all_there_are():
    series = np.tile(np.arange(5.0), 20)[:, None]
    assert few_values(from_list([series]), 32).tolist() == [[0, 1, 2, 3, 4]]
    assert np.isnan(few_values(from_list([series[:-1]]), 32)).all()


def test_the_nearest_of_few_values():
    levels = np.array([[-1, 0, 10], [NAN, NAN, NAN], [2, NAN, NAN]], np.float32)
    x = np.array([-9, -0.51, -0.49, 4.9, 5.1, 99, NAN], np.float32)
    series = np.repeat(x[None, :, None], 3, axis=2)
    cuts = np.full_like(levels, NAN)
    found = snap(series, levels, cuts)
    np.testing.assert_array_equal(found[0, :, 0], [-1, -1, 0, 0, 10, 10, NAN])
    np.testing.assert_array_equal(found[0, :, 1], x)
    np.testing.assert_array_equal(found[0, :, 2], [2, 2, 2, 2, 2, 2, NAN])
    assert found.dtype == np.float32
    cuts[0, :2] = -0.5, 99
    found = snap(series, levels, cuts)[0, :, 0]
    np.testing.assert_array_equal(found, [-1, -1, 0, 0, 0, 0, NAN])


def test_few_values_are_as_frequent_as_in_training(monkeypatch):
    """Whatever the values that are made; a missing value and what follows an end don't
    count, and pieces are added up."""
    rng = np.random.default_rng(0)
    series = rng.choice([-1.0, 0, 10], (90, 20, 2), p=[0.7, 0.1, 0.2])
    series[..., 1] = rng.normal(size=(90, 20))
    series[:30, 0, 0] = NAN
    series[:, 15:] = 10.0
    examples = Examples(series.astype(np.float32), np.full(90, 15))
    levels = np.array([[-1, 0, 10], [NAN] * 3], np.float32)
    generated = rng.gamma(2.0, size=(500, 20, 2)).astype(np.float32)
    generated[:100, 10:] = NAN
    monkeypatch.setattr(normalizer_module, "CHUNK", 400)
    cuts = cuts_of_shares(generated, levels, examples)
    assert np.isnan(cuts[1]).all() and np.isnan(cuts[0, 2])
    found = snap(generated, levels, cuts)[..., 0]
    trained = series[:, :15, 0]
    for value in (-1, 0, 10):
        share = (trained == value).sum() / (~np.isnan(trained)).sum()
        assert (found == value).sum() / 9000 == pytest.approx(share, abs=2e-4)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(generated[..., 0]))


def test_generated_series_take_few_values_up_to_their_end():
    """After they were held: 2.2 and 1.0 make 1.6, which is nearer to 1 than to 3."""
    normalizer = Normalizer(
        *(np.array(x, np.float32) for x in ([0, 0], [1, 1], [-9, -9], [9, 9])),
        held_below=np.array([0, 1.5], np.float32),
        levels=np.array([[NAN, NAN], [1, 3]], np.float32),
    )
    z = np.array([[0.5, 2.2, 1], [0.6, 1.0, 1], [0.7, 9, 1], [0, 9, -1]])
    series, _ = from_model_space(z[None], normalizer, ragged=True)
    np.testing.assert_allclose(series[0, :3], [[0.5, 1], [0.6, 1], [0.7, 3]])
    assert np.isnan(series[0, 3]).all()


def test_channels_of_which_one_is_never_above_another(monkeypatch):
    """In all pieces, up to a series' end, where neither is missing.

    The first is below the second, which equals the third; the fourth's range lies above
    all, the fifth is below the first but for one step, the sixth for one that is
    missing, the seventh has too few steps.
    """
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(9, 20, 7))
    series[..., 1] += series[..., 0]
    series[..., 2] = series[..., 1]
    series[..., 3] += 5.0
    series[..., 4:6] = 0.5 * series[..., :1]
    series[8, 19, 4] = series[8, 19, 0] + 0.01
    series[8, 18, 5] = NAN
    series[..., 6] = np.where(np.arange(180).reshape(9, 20) < 99, series[..., 0], NAN)
    behind_an_end = np.full((1, 20, 7), np.arange(7.0, 0, -1))
    lengths = np.append(np.full(9, 20), 0)
    examples = Examples(np.concatenate([series, behind_an_end]), lengths)
    normalizer = Normalizer.fit(examples)
    monkeypatch.setattr(normalizer_module, "CHUNK", 280)
    found = ordered_channels(examples, normalizer).tolist()
    below = {0: [1, 2], 4: [1, 2], 5: [0, 1, 2, 4]}
    expected = {(i, j) for i, js in below.items() for j in js} | {(1, 2), (2, 1)}
    assert sorted(map(tuple, found)) == sorted(expected)
    one = Examples(examples.series[:, :, 3:4], examples.lengths)
    assert ordered_channels(one, Normalizer.fit(one)) is NONE


def test_values_that_are_out_of_order_meet_between():
    """a <= b <= c, d = e. Those that are in order stay, and so do those of no pair."""
    pairs = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [4, 3]])
    x = [
        [1, 2, 3, 7, 9, 0],
        [3, 2, 4, 7, 7, 1],
        [3, 2, 1, 5, 6, 2],
        [4, 9, 5, 0, 0, NAN],
    ]
    expected = [
        [1, 2, 3, 8, 8, 0],
        [2.5, 2.5, 4, 7, 7, 1],
        [2, 2, 2, 5.5, 5.5, 2],
        [4, 7, 7, 0, 0, NAN],
    ]
    found = in_order(np.array([x], np.float32), pairs)
    np.testing.assert_array_equal(found, np.float32([expected]))
    assert found.dtype == np.float32
    rows = np.float32([x])
    assert in_order(rows, NONE) is rows
    walks = np.random.default_rng(0).normal(size=(50, 24, 3)).astype(np.float32)
    walks = in_order(walks, pairs[:3])
    assert (np.diff(walks, axis=2) >= 0).all()
    np.testing.assert_array_equal(in_order(walks, pairs[:3]), walks)


def test_generated_channels_are_in_order_before_they_are_rounded():
    """1.2 and 2.9 lie at 1 and 3; what is between them, 2.05, at 3."""
    normalizer = Normalizer(
        *(np.array(x, np.float32) for x in ([0, 0], [1, 1], [-9, -9], [9, 9])),
        levels=np.array([[1, 3], [1, 3]], np.float32),
        ordered=np.array([[1, 0]]),
    )
    z = np.array([[[1.2, 2.9], [0.9, 0.8]]])
    series, _ = from_model_space(z, normalizer, ragged=False)
    np.testing.assert_array_equal(series, [[[3, 3], [1, 1]]])


def test_model_of_fixed_length_refuses_ragged_series():
    examples = from_list(ramps([3, 2]))
    with pytest.raises(InputError, match="series of 2 to 3 steps"):
        to_model_space(examples, Normalizer.fit(examples), ragged=False)


def lengths_from_validity(validity, min_length: int) -> np.ndarray:
    """As `from_model_space` finds them, for series of one channel of zeros."""
    validity = np.asarray(validity, dtype=np.float32)
    z = np.stack([np.zeros_like(validity), validity], axis=-1)
    zeros, ones = np.zeros(1, np.float32), np.ones(1, np.float32)
    normalizer = Normalizer(zeros, ones, -ones, ones)
    return from_model_space(z, normalizer, ragged=True, min_length=min_length)[1]


@pytest.mark.parametrize(
    ("validity", "min_length", "expected"),
    [
        ([1, 1, 1, 1], 1, 4),
        ([1, 1, -1, -1], 1, 2),
        ([1, -0.1, 1, -1], 1, 3),  # one doubtful step isn't the end
        ([1, 1, -1, 0.1], 1, 2),  # nor does one after the end go on
        ([-1, -1, -1, -1], 1, 1),
        ([-1, -1, -1, -1], 3, 3),
        ([1, -1, -1, -1], 2, 2),
        ([-1, -1, -1, -1], 4, 4),
    ],
)
def test_likeliest_length_by_hand(validity, min_length, expected):
    assert lengths_from_validity([validity], min_length).tolist() == [expected]


def test_likeliest_length_is_the_least_squares_step():
    rng = np.random.default_rng(0)
    validity = rng.normal(size=(200, 9)).astype(np.float32)
    steps = np.where(np.arange(9) < np.arange(3, 10)[:, None], 1.0, -1.0)  # l = 3..9
    errors = ((validity[:, None, :] - steps[None]) ** 2).sum(axis=2)
    expected = 3 + errors.argmin(axis=1)
    np.testing.assert_array_equal(lengths_from_validity(validity, 3), expected)


def test_lengths_survive_noise():
    """Of std .3: an error needs 3.3 standard deviations, next to the end."""
    rng = np.random.default_rng(0)
    lengths = np.tile(np.arange(7, 30), 9)
    validity = np.where(np.arange(29) < lengths[:, None], 1.0, -1.0)
    noise = rng.normal(scale=0.3, size=validity.shape)
    np.testing.assert_array_equal(lengths_from_validity(validity + noise, 7), lengths)
    # Many more: Phi(-1 / .3) = .0004 on either side of the end.
    validity, lengths = np.tile(validity, (50, 1)), np.tile(lengths, 50)
    noise = rng.normal(scale=0.3, size=validity.shape)
    error = np.abs(lengths_from_validity(validity + noise, 7) - lengths)
    assert (error > 0).mean() < 0.002
    assert error.max() == 1


# Batches


def batch_indices(seed: int, step: int, **sizes) -> np.ndarray:
    return chunk_indices(seed, step, 1, **sizes)[0]


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(10, 10), (10, 4), (7, 3), (5, 12), (1, 3), (3, 1)]
)
def test_each_epoch_has_each_example_once(num_examples, batch_size):
    sizes = {"num_examples": num_examples, "batch_size": batch_size}
    batches = [batch_indices(3, step, **sizes) for step in range(4 * num_examples)]
    assert all(batch.shape == (batch_size,) for batch in batches)
    epochs = np.concatenate(batches).reshape(-1, num_examples)
    assert len(epochs) == 4 * batch_size
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(num_examples))


def test_batches_depend_on_the_step_alone():
    sizes = {"num_examples": 23, "batch_size": 9}
    forwards = [batch_indices(0, step, **sizes).tolist() for step in range(40)]
    backwards = [batch_indices(0, step, **sizes).tolist() for step in range(39, -1, -1)]
    assert forwards == backwards[::-1]
    for first, number in [(0, 40), (7, 5), (39, 1), (12, 28)]:
        chunk = chunk_indices(0, first, number, **sizes)
        assert chunk.tolist() == forwards[first : first + number]


def test_epochs_and_seeds_differ():
    def order(seed: int, epoch: int) -> list[int]:
        return batch_indices(seed, epoch, num_examples=50, batch_size=50).tolist()

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(one) for one in orders}) == 9
    assert list(range(50)) not in orders


def test_orders_are_uniform():
    """Each of the 6 orders of 3 examples: 1,000 times in 6,000, give or take 29."""
    epochs = chunk_indices(0, 0, 6_000, num_examples=3, batch_size=3)
    counts = Counter(map(tuple, epochs.tolist()))
    assert len(counts) == 6
    assert max(abs(count - 1_000) for count in counts.values()) < 150


def test_order_is_the_same_for_ever():
    batch = batch_indices(42, 0, num_examples=8, batch_size=8)
    assert batch.tolist() == [4, 1, 3, 6, 0, 7, 2, 5]


def test_the_caller_may_write_into_a_batch():
    sizes = {"num_examples": 6, "batch_size": 6}
    batch = batch_indices(0, 0, **sizes)
    before = batch.tolist()
    batch[:] = 0
    assert batch_indices(0, 0, **sizes).tolist() == before
