"""What generated series are compared with."""

import numpy as np

from l2d_jax.configs import base
from l2d_jax.results import comparable, real_sets
from l2d_jax.types import Examples, Splits

NAN = np.nan


def splits(train, test=None):
    return Splits(train, test, ("a",))


def examples(count, first=0.0, length=5):
    series = first + np.arange(count, dtype=np.float32)[:, None, None]
    return Examples(np.tile(series, (1, length, 1)), np.full(count, length))


def config(num_series=0):
    c = base.get_config()
    c.evaluation.num_series = num_series
    return c


def test_held_out_series_come_along_where_there_are_any():
    train, test = examples(10), examples(4, first=100.0)
    assert real_sets(splits(train), config()) == (train, None)
    found = real_sets(splits(train, test), config())
    assert found[0] is train and found[1] is test


def test_some_are_drawn_without_replacement_by_the_seed():
    train = examples(100)
    drawn = [real_sets(splits(train), config(20))[0].series[:, 0, 0] for _ in range(2)]
    assert len(set(drawn[0].tolist())) == 20 and drawn[0].max() > 50
    np.testing.assert_array_equal(*drawn)


def test_missing_values_are_filled_before_they_are_scored():
    series = np.array([[0, NAN, 4, NAN, NAN], [1, 2, 3, NAN, 7]], np.float32)[..., None]
    real, _ = real_sets(splits(Examples(series, np.array([4, 5]))), config())
    expected = np.array([[0, 2, 4, 4, NAN], [1, 2, 3, 5, 7]], np.float32)[..., None]
    np.testing.assert_allclose(real.series, expected, rtol=1e-6)
    assert [len(one) for one in comparable(real)] == [4, 5]
