"""Decimals, few values, order and repeats: found in the series, and kept in samples."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from made import tiny

import l2d_jax
from l2d_jax import configs, run
from l2d_jax.configs import base
from l2d_jax.data.order import in_order


def test_samples_have_the_decimals_of_the_table(tmp_path):
    """Two, none, any; as the model gives them, and as they are written."""
    path, workdir = tmp_path / "mine.csv", tmp_path / "w"
    rows = 100 * np.random.default_rng(0).standard_normal((80, 3))
    cells = (f"{a:.2f};{b:.0f}.0;{c:.9f}" for a, b, c in rows)
    path.write_text("\n".join(["a;b;c", *cells]) + "\n")
    config = tiny()
    config.data.update(name="file", path=str(path), window=8)
    config.sampling.num_samples = 40
    config.evaluation.metrics = ()
    run.run(config, workdir)
    model = l2d_jax.load(workdir)
    free = replace(model, layout=model.layout._replace(form=None))
    key = jax.random.key(0)
    x, exact = model.sample(key, 40), free.sample(key, 40).astype(np.float64)
    np.testing.assert_array_equal(x[..., 0], np.float32(np.round(exact[..., 0], 2)))
    np.testing.assert_array_equal(x[..., 1], np.rint(exact[..., 1]))
    np.testing.assert_array_equal(x[..., 2], exact[..., 2])
    lines = (workdir / "samples.csv").read_text().splitlines()
    written = [line.split(";")[1:] for line in lines[1:]]
    decimals = [[len(cell.partition(".")[2]) for cell in row] for row in written]
    assert np.max(decimals, axis=0)[:2].tolist() == [2, 0] and len(written) == 320


def test_samples_keep_to_few_values(tmp_path, capsys):
    """A switch, also one of missing values, beside a channel of any value.

    It is on as often as in training, a tenth of the steps.
    """
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(60, 24, 3)).astype(np.float32)
    series[..., 1] = np.where(series[..., 1] < 0.9, -1.5, 0.1)
    series[..., 2] = np.where(series[..., 2] < 0.5, 0.0, 6.25)
    series[:, 3, 2] = np.nan
    config = base.with_argument(configs.own.get_config(), "smoke")
    config.sampling.repeats_from = 1.0
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    said = capsys.readouterr().out
    assert "samples keep to, in 'channel_1' (-1.5, 0.1), 'channel_2' (0, 6.25)" in said
    key = jax.random.key(1)
    x = model.sample(key, 100)
    np.testing.assert_array_equal(np.unique(x[..., 1]), np.float32([-1.5, 0.1]))
    np.testing.assert_array_equal(np.unique(x[..., 2]), np.float32([0, 6.25]))
    assert len(np.unique(x[..., 0])) > 2_000
    for c, value in ((1, 0.1), (2, 0.0)):
        value, known = np.float32(value), ~np.isnan(series[..., c])
        share = (series[..., c] == value).sum() / known.sum()
        assert (x[..., c] == value).mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 100), x)
    config.sampling.few_values = 1
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    y = free.sample(key, 100)
    np.testing.assert_array_equal(y[..., 0], x[..., 0])
    cut = model.normalizer.cuts[1, 0]
    np.testing.assert_array_equal(y[..., 1] > cut, x[..., 1] == np.float32(0.1))
    assert len(np.unique(y[..., 1])) > 1_000


def test_samples_keep_the_order_of_channels(tmp_path, capsys):
    """Lowest and highest price, and one that stands twice; also in a workdir."""
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(60, 24, 4)).astype(np.float32)
    series[..., 1] = series[..., 0] + 0.01 * rng.integers(0, 3, (60, 24))
    series[..., 3] = series[..., 0]
    config = base.with_argument(configs.own.get_config(), "smoke")
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "in samples too, 'channel_0' = 'channel_3', 'channel_0' <= 'channel_1', "
        "'channel_3' <= 'channel_1': --config.sampling.keep_order" in said
    )
    key = jax.random.key(1)
    x = model.sample(key, 100)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 100), x)
    config.sampling.keep_order = False
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    # Of weights that know little of the order:
    weights = model.params["series_denoiser"]
    weights = jax.tree.map(lambda w: w + 0.1 * rng.normal(size=w.shape), weights)
    params = model.params | {"series_denoiser": weights}
    x, y = (replace(one, params=params).sample(key, 100) for one in (model, free))
    assert (y[..., 0] != y[..., 3]).any() and (y[..., 0] > y[..., 1]).any()
    np.testing.assert_array_equal(x[..., 0], x[..., 3])
    assert (x[..., 0] <= x[..., 1]).all() and (x[..., 2] > x[..., 1]).any()
    np.testing.assert_array_equal(in_order(y, model.normalizer.ordered), x)


def test_samples_repeat_the_value_before_as_often_as_the_series_do(tmp_path):
    """Through a workdir, where it can be switched off without training again."""
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(50, 24, 3)).astype(np.float32)
    for t in range(1, 24):
        same = rng.uniform(size=50) < 0.6
        series[same, t, 1] = series[same, t - 1, 1]
    share = (np.diff(series[:, :, 1], axis=1) == 0).mean()
    assert 0.55 < share < 0.65
    config = base.with_argument(configs.own.get_config(), "smoke")
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    key = jax.random.key(1)
    x = model.sample(key, 1_000)
    repeats = (np.diff(x, axis=1) == 0).mean(axis=(0, 1))
    np.testing.assert_allclose(repeats, [0, share, 0], atol=0.02)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 1_000), x)
    config.sampling.repeats_from = 0.7
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    y = free.sample(key, 1_000)
    assert not (np.diff(y, axis=1) == 0).any()
    np.testing.assert_array_equal(y[:, :, [0, 2]], x[:, :, [0, 2]])
    limit = model.normalizer.held_below[1]
    assert (np.abs(np.diff(y[:, :, 1], axis=1)) <= limit).mean() == repeats[1]
    jax.tree.map(np.testing.assert_array_equal, free.params, model.params)
