"""Series of different lengths, as arrays, in model space, and back."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import equal_length

from l2d_jax.data import (
    ModelSpace,
    Normalizer,
    from_list,
    from_model_space,
    to_list,
    to_model_space,
)
from l2d_jax.types import InputError, is_ragged

NAN = np.nan


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
    monkeypatch.setattr("l2d_jax.data.ragged.MAX_PADDED", 0)
    monkeypatch.setattr("l2d_jax.data.ragged.MAX_PADDING", 10)
    series = ramps([50, *[2] * (count - 1)])
    if refused:
        with pytest.raises(InputError, match=r"series 0 .* has 50 steps"):
            from_list(series)
    else:
        assert from_list(series).series.shape == (count, 50, 2)
    monkeypatch.setattr("l2d_jax.data.ragged.MAX_PADDED", count * 50 * 2)
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
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 2 * everything[0].size)
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
