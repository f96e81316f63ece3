"""The sets that are compared: one scale, one shape, labels that fit."""

import numpy as np
import pandas as pd
import pytest

from l2d_jax.metrics.sets import rows_of, sets_of
from l2d_jax.types import InputError

SERIES = np.random.default_rng(0).uniform(-1, 3, (16, 4, 2))
NAMES = np.array(["b", "a"] * 8)


class DataFrame(list):
    """As pandas has it, but a sequence, as the tests check types."""

    columns = ("a", "b")


WIDE = SERIES.copy()
WIDE[3, 1, 0] = 1e39
FAR = SERIES.copy()
FAR[:2, 1, 1] = [-1.7e308, 1.7e308]


def test_all_are_scaled_by_all_real_series():
    real, test = SERIES.copy(), SERIES.copy()
    real[0, 0] = [-2.0, 4.0]
    test[0, 0] = [6.0, -4.0]
    sets = sets_of(real, SERIES + 100.0, test=test)
    low, high = np.array([-2.0, -4.0]), np.array([6.0, 4.0])
    low = np.minimum(low, SERIES[1:].min(axis=(0, 1)))
    high = np.maximum(high, SERIES[1:].max(axis=(0, 1)))
    for found, given in ((sets.train, real), (sets.test, test)):
        np.testing.assert_allclose(found, (given - low) / (high - low), atol=1e-6)
    expected = (SERIES + 100.0 - low) / (high - low)
    np.testing.assert_allclose(sets.generated, expected, rtol=1e-5)
    assert sets.real is sets.test and sets_of(real, SERIES).real is not None


def test_large_numbers_keep_their_differences():
    """Float32 has steps of 8 at 1e8: the range is taken off in float64."""
    series = 1e8 + SERIES
    np.testing.assert_allclose(
        sets_of(series, series).train, sets_of(SERIES, SERIES).train, atol=1e-6
    )


def test_labels_become_indices_of_the_classes_of_real_series():
    generated_labels = np.array(["a"] * 15 + ["b"])
    sets = sets_of(SERIES, SERIES, labels=NAMES, generated_labels=generated_labels)
    assert sets.classes == ("a", "b")
    assert sets.labels.tolist() == [1, 0] * 8
    assert sets.generated_labels.tolist() == [0] * 15 + [1]
    assert sets.test_labels is None


@pytest.mark.parametrize(
    "make", [pd.Series, lambda x: x.astype(object), lambda x: x.astype("S"), list]
)
def test_text_in_any_holder_is_a_label(make):
    sets = sets_of(SERIES, SERIES, labels=make(NAMES))
    assert sets.classes == ("a", "b") and sets.labels.tolist() == [1, 0] * 8


def test_some_are_compared_and_all_are_searched():
    train = np.arange(60.0).reshape(20, 3, 1)
    labels = np.arange(20) % 2
    sets = sets_of(
        train, SERIES[:, :3, :1], test=-train, labels=labels, num_series=16, seed=2
    )
    assert len(sets.train) == len(sets.test) == 16
    assert len(sets.all_train) == len(sets.all_test) == 20
    place = (
        (sets.train[:, None] == sets.all_train[None]).all(axis=(2, 3)).argmax(axis=1)
    )
    assert (np.diff(place) > 0).all()
    np.testing.assert_array_equal(labels[place], sets.labels)
    whole = sets_of(train, SERIES[:, :3, :1], num_series=20)
    assert len(whole.train) == 20


def test_what_is_compared_spans_0_to_1():
    """A real series beyond it, which is only searched for copies, lies outside."""
    rows = rows_of(20, 16, seed=2)
    left_out = np.setdiff1d(np.arange(20), rows)
    assert len(rows) == 16 and (np.diff(rows) > 0).all()
    assert rows.tolist() != rows_of(20, 16, seed=1).tolist()
    train = np.random.default_rng(1).uniform(size=(20, 3, 1))
    train[left_out[0]] = 5.0
    sets = sets_of(
        train,
        SERIES[:, :3, :1],
        test=train + 1.0,
        labels=np.arange(20) % 2,
        test_labels=(np.arange(20) + 1) % 2,
        num_series=16,
        seed=2,
    )
    assert sets.train.min() == 0.0 and sets.test.max() == 1.0
    assert sets.all_train[left_out[0]].min() > 2.0
    assert sets.test_labels.tolist() == ((rows + 1) % 2).tolist()


def test_an_alarm_that_is_off_in_all_that_is_compared():
    train = np.random.default_rng(1).uniform(size=(20, 3, 2))
    train[..., 1] = 7.0
    train[np.setdiff1d(np.arange(20), rows_of(20, 16, seed=2))[0], 1, 1] = 9.0
    sets = sets_of(train, train, num_series=16, seed=2)
    assert not sets.train[..., 1].any()
    assert sets.all_train[..., 1].max() == sets.generated[..., 1].max() == 1.0


def test_indices_keep_their_names():
    for names in (("x", "y", "z"), np.array(["x", "y", "z"])):
        sets = sets_of(SERIES, SERIES, labels=[0, 2] * 8, classes=names)
        assert sets.classes == ("x", "y", "z") and sets.labels.tolist() == [0, 2] * 8
    assert sets_of(SERIES, SERIES, labels=[5, 7] * 8).classes == ("5", "7")


def test_sums_that_overflow_are_nobodys_concern():
    """Where values are finite, nothing is said; else the value alone is named."""
    series = (SERIES * 1e37).astype(np.float32)
    scaled = sets_of(series, series).train
    np.testing.assert_allclose(scaled, sets_of(SERIES, SERIES).train, atol=1e-6)
    bad = SERIES.copy()
    bad[3, :2, 1] = [np.inf, -np.inf]
    with pytest.raises(InputError, match=r"real\[3\] is inf at step 0, channel 1"):
        sets_of(bad, SERIES)


@pytest.mark.parametrize("text", [str, bytes])
def test_text_is_no_number_however_many_classes_there_are(text):
    """Neither the digits of one: sorted as text, "10" comes before "2"."""
    series = np.tile(SERIES, (10, 1, 1))
    labels = np.repeat(np.arange(40), 4)
    digits = labels.astype(text)
    for pair in ((labels, digits), (digits, labels)):
        with pytest.raises(InputError, match=r"generated_labels\[0\] is .*0"):
            sets_of(series, series, labels=pair[0], generated_labels=pair[1])
    names = tuple(f"class {i}" for i in range(40))
    with pytest.raises(InputError, match=r"labels\[0\] is b?'0'"):
        sets_of(series, series, labels=digits, classes=names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": NAMES[:3]}, ["labels", "(3,)", "16 series", "one a series"]),
        ({"labels": np.ones(16)}, ["labels", "float64", "integers or text"]),
        ({"generated_labels": NAMES}, ["generated_labels without labels"]),
        (
            {"labels": NAMES, "generated_labels": ["c", *NAMES[1:]]},
            ["generated_labels[0] is", "'c'", "'a', 'b'"],
        ),
        ({"labels": [0, 3] * 8, "classes": "ab"}, ["labels[1] is", "3", "0, 1"]),
        ({"test": SERIES[:3]}, ["test has 3 series"]),
        ({"labels": np.array(["a", None] * 8)}, ["labels", "object"]),
        ({"num_series": 3}, ["num_series=3", "16 or more, or 0"]),
        ({"generated": WIDE}, ["generated[3] is 1e+39 at step 1, channel 0", "drop"]),
        ({"generated": -WIDE}, ["generated[3] is -1e+39 at step 1, channel 0", "drop"]),
        ({"generated": SERIES[:, :0]}, ["generated[0] has shape (0, 2)", "1 or more"]),
        ({"real": SERIES[..., :0]}, ["real[0] has shape (4, 0)", "1 or more"]),
        ({"generated": "g.npy"}, ["generated is a path", "np.load('g.npy')"]),
        ({"real": DataFrame(SERIES)}, ["real is a DataFrame", "to_numpy()"]),
        ({"real": np.ma.masked_less(SERIES, 0.0)}, ["real has masked values"]),
        (
            {"test": [*SERIES[1:], np.ma.masked_less(SERIES[0], 0.0)]},
            ["test[", "masked"],
        ),
        ({"real": SERIES + 1j}, ["real is complex", "two channels"]),
        ({"test": [*(SERIES + 0j)]}, ["test[0] is complex", "two channels"]),
        ({"real": FAR}, ["channel 1 of real spans -1.7e+308 to 1.7e+308", "divide"]),
        ({"real": [["a"]] * 16}, ["real[0] isn't an array of numbers"]),
        ({"test": SERIES[..., :1]}, ["real has 2 channels and test 1"]),
        ({"test": SERIES, "test_labels": NAMES}, ["test_labels without labels"]),
    ],
)
def test_what_does_not_fit_is_named(options, words):
    with pytest.raises(InputError) as error:
        sets_of(**{"real": SERIES, "generated": SERIES, **options})
    message = str(error.value)
    assert "\n" not in message
    assert not [word for word in words if word not in message], message
