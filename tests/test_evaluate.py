"""What `evaluate` makes of series, names and numbers before a metric gets them."""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pandas import DataFrame

from l2d_jax.metrics import (
    GROUPS,
    METRICS,
    check_names,
    check_whole,
    evaluate,
    warn_of_few,
)
from l2d_jax.metrics.context_fid import encode
from l2d_jax.types import InputError

NAN = float("nan")


@pytest.fixture
def echo(monkeypatch):
    """A metric that returns what it is given."""

    def echo(real, generated, *, num_repeats, seed):
        return {"real": real, "generated": generated, "rest": (num_repeats, seed)}

    monkeypatch.setitem(METRICS, "echo", echo)


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize("make", [np.asarray, jnp.asarray])
def test_both_are_scaled_by_the_range_of_the_real(make):
    real = np.zeros((16, 2, 2))
    real[:, :, 0] = np.linspace(-5, 5, 16)[:, None]
    real[:, :, 1] = np.linspace(100, 300, 16)[:, None]
    generated = np.stack([np.full((17, 2), 10.0), np.full((17, 2), 150.0)], axis=-1)
    scores = evaluate(
        make(real), make(generated), metrics=["echo"], num_repeats=3, seed=4
    )
    assert list(scores) == ["echo"]
    echo = scores["echo"]
    expected = np.linspace(0, 1, 16)[:, None, None] * np.ones((1, 2, 2))
    np.testing.assert_allclose(echo["real"], expected, atol=1e-6)
    expected = np.broadcast_to([1.5, 0.25], (17, 2, 2))
    np.testing.assert_allclose(echo["generated"], expected, atol=1e-6)
    assert echo["rest"] == (3, 4)
    assert 0 <= echo["seconds"] < 60


@pytest.mark.usefixtures("echo")
def test_ragged_series_are_filled_up():
    real = [np.arange(2.0 + i)[:, None] for i in range(16)]  # 2 to 17 steps: 0 to 16
    generated = [np.full((20, 1), 8.0)] * 16
    echo = evaluate(real, generated, metrics=["echo"])["echo"]
    assert echo["real"].shape == echo["generated"].shape == (16, 20, 1)
    for i, one in enumerate(echo["real"]):
        np.testing.assert_allclose(one[: 2 + i, 0], np.arange(2 + i) / 16, atol=1e-6)
        assert np.isnan(one[2 + i :]).all()
    np.testing.assert_allclose(echo["generated"], 0.5)
    # An array may stand beside a list.
    echo = evaluate(real, np.full((16, 20, 1), 8.0), metrics=["echo"])["echo"]
    np.testing.assert_allclose(echo["generated"], 0.5)


GOOD = np.random.default_rng(0).standard_normal((16, 5, 2))


def spoilt(value, *index):
    series = GOOD.copy()
    series[index] = value
    return series


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(
    ("real", "generated", "options", "words"),
    [
        (GOOD[0], GOOD, {}, ["real", "(5, 2)", "[series, steps, channels]"]),
        (GOOD, GOOD[..., 0], {}, ["generated", "(16, 5)"]),
        (GOOD, GOOD[..., :1], {}, ["real has 2 channels", "generated 1"]),
        (GOOD, GOOD[:, :4], {}, ["5 steps", "4", "list"]),
        (GOOD[:, :1], GOOD[:, :1], {}, ["1 step", "2 or more"]),
        (GOOD[:15], GOOD, {}, ["real has 15 series", "16"]),
        (GOOD, list(GOOD[:3]), {}, ["generated has 3 series", "16"]),
        (spoilt(NAN, 3, 4, 1), GOOD, {}, ["real[3]", "nan at step 4, channel 1"]),
        (GOOD, spoilt(np.inf, 2, 0, 0), {}, ["generated[2]", "inf at step 0"]),
        (GOOD, [*GOOD, GOOD[0, :, :1]], {}, ["generated[16]", "1 channels", "2"]),
        (GOOD, [*GOOD, GOOD[0, :0]], {}, ["generated[16]", "(0, 2)", "1 or more"]),
        (GOOD, [*GOOD, GOOD[0, 0]], {}, ["generated[16]", "(2,)"]),
        (spoilt(7.0, ..., 1), GOOD, {}, ["channel 1 of real is 7", "leave"]),
        (GOOD, GOOD, {"metrics": ["context-fid"]}, ["did you mean 'context_fid'?"]),
        (GOOD, GOOD, {"metrics": ["zzz"]}, ["'zzz'", "use all or", "context_fid"]),
        (GOOD, GOOD, {"num_repeats": 0}, ["num_repeats=0", "1 or more"]),
        (GOOD, GOOD, {"num_series": -1}, ["num_series=-1", "0 or more"]),
        (GOOD, GOOD, {"seed": -1}, ["seed=-1", "0 or more"]),
        (GOOD, GOOD, {"metrics": "echos"}, ["did you mean 'echo'?"]),
        (GOOD, [DataFrame(one) for one in GOOD], {}, ["generated[0] is a DataFrame"]),
    ],
)
def test_bad_input_is_named_in_one_line(real, generated, options, words):
    with pytest.raises(InputError) as error:
        evaluate(real, generated, **{"metrics": ["echo"], **options})
    message = str(error.value)
    assert "\n" not in message
    assert not [word for word in words if word not in message], message


@pytest.mark.parametrize("number", [2.0, "2", None])
def test_numbers_of_repeats_are_whole(number):
    with pytest.raises(InputError, match=r"num_repeats=.*: use a whole number, 1 or"):
        check_whole(number, "num_repeats", least=1)
    check_whole(np.int64(2), "num_repeats", least=1)


def test_every_metric_is_computed_by_default(monkeypatch):
    def named(name):
        return {"mean": 0.5, "values": [0.5], "num_samples": 16, "name": name}

    for name in METRICS:
        monkeypatch.setitem(METRICS, name, lambda *_, name=name, **__: named(name))
    for name in GROUPS:
        monkeypatch.setitem(
            GROUPS,
            name,
            lambda *_, name=name, **__: {f"{name}_{i}": named(name) for i in (0, 1)},
        )
    labels = np.arange(len(GOOD)) % 2
    scores = evaluate(GOOD, GOOD, labels=labels)
    assert {name: score["name"] for name, score in scores.items()} == {
        **{name: name for name in METRICS},
        **{f"{name}_{i}": name for name in GROUPS for i in (0, 1)},
    }
    assert "only 16 series" in scores["context_fid"]["warning"]
    assert "takes 321 or more" in scores["context_fid"]["warning"]
    # From one look at the clock to the next it is 6 s; two of a group took half each.
    told, clock = [], itertools.count(0.0, 6.0)
    monkeypatch.setattr("l2d_jax.metrics.time.perf_counter", clock.__next__)
    names = ["pca_fid", "classes", "privacy"]  # without labels there are no classes
    found = evaluate(GOOD, GOOD, metrics=names, announce=told.append)
    assert told == ["pca_fid, 1 of 2", "privacy, 2 of 2"]
    assert [score["seconds"] for score in found.values()] == [6.0, 3.0, 3.0]
    assert [*evaluate(GOOD, GOOD, metrics=["pca_fid", "classes"], labels=labels)] == [
        *("pca_fid", "classes_0", "classes_1")
    ]


def test_names_are_taken_once():
    assert check_names(["pca_fid", "privacy", "pca_fid"]) == ["pca_fid", "privacy"]
    assert check_names(["privacy", "all"]) == [
        "privacy",
        *METRICS,
        *(name for name in GROUPS if name != "privacy"),
    ]


@pytest.mark.parametrize(
    ("num_series", "few", "little"),
    [(99, True, True), (100, False, True), (320, False, True), (321, False, False)],
)
def test_few_series_are_warned_of(num_series, few, little):
    """Below 100 the first score, and Context-FID up to its 320 features."""
    scores = {"pca_fid": {"warning": "copies"}, "context_fid": {}}
    warn_of_few(scores, num_series)
    first = scores["pca_fid"]["warning"]
    assert first.endswith("copies") and ("every score says little" in first) == few
    assert ("takes 321 or more" in scores["context_fid"].get("warning", "")) == little


class Lowered(Exception):
    """A program, as JAX lowers it."""


@pytest.mark.parametrize(
    "module, metric",
    [
        ("context_fid", "context_fid"),
        ("recurrent", "discriminative_score_repaired"),
        ("recurrent", "predictive_score"),
    ],
)
def test_float64_of_other_code_changes_no_score(module, metric, monkeypatch):
    """The program that trains its networks is the same with jax_enable_x64.

    Its products are in float32 on every device, not in TF32 or bfloat16.
    """

    def lower(program, *args, used=None):
        del used
        raise Lowered(program.lower(*args).as_text())

    module = importlib.import_module(f"l2d_jax.metrics.{module}")
    monkeypatch.setattr(module, "cached", lower)
    series, programs = np.random.default_rng(0).uniform(size=(16, 8, 2)), []
    for enabled in (False, True):
        jax.config.update("jax_enable_x64", enabled)
        try:
            with pytest.raises(Lowered) as lowered:
                METRICS[metric](series, series[::-1], num_repeats=1)
        finally:
            jax.config.update("jax_enable_x64", False)
        programs.append(str(lowered.value))
    assert programs[0] == programs[1]
    assert "HIGHEST" in programs[0] and "DEFAULT" not in programs[0]


def test_series_are_encoded_in_float32_on_every_device(monkeypatch):
    def lower(function, encoders, rows, *, batch_size):
        del batch_size
        raise Lowered(
            jax.jit(jax.vmap(function, (None, 0))).lower(encoders, rows).as_text()
        )

    module = importlib.import_module("l2d_jax.metrics.context_fid")
    monkeypatch.setattr(module, "map_all", lower)
    series = np.zeros((2, 8, 2), np.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    encoders = jax.vmap(module.ENCODER.init, (0, None))(keys, jnp.asarray(series[0]))
    with pytest.raises(Lowered) as lowered:
        encode(encoders, series)
    assert "HIGHEST" in str(lowered.value) and "DEFAULT" not in str(lowered.value)
