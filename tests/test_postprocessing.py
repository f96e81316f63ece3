"""Decimals, few values, order and repeats: found in the series, and kept in samples."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from made import tiny

import l2d_jax
from l2d_jax import configs, run
from l2d_jax.configs import base
from l2d_jax.data import Normalizer, from_list, from_model_space
from l2d_jax.data.channel_order import (
    NONE,
    enforce_order,
    not_by_chance,
    ordered_channels,
)
from l2d_jax.data.discrete_values import few_values, fit_cuts, snap
from l2d_jax.data.held_values import held_below, hold, repeat_shares
from l2d_jax.task import kinds_of_values
from l2d_jax.types import Examples, Form

NAN = np.nan


def test_share_of_steps_that_repeat_the_value_before():
    """Of two series, one with a gap, one with an early end: 2 of 5 pairs, 2 of 3.

    The third never repeats, the fourth has no two values in a row.
    """
    first = [[1.0, 1, 0, 4], [1, 1, 1, NAN], [2, NAN, 2, 4], [2, 1, 3, NAN]]
    second = [[3.0, 5, 0, NAN], [4, 5, 1, 4], [5, 6, 2, NAN], [5, 6, 2, 4]]
    examples = Examples(np.array([first, second]), np.array([4, 3]))
    np.testing.assert_allclose(repeat_shares(examples), [2 / 5, 2 / 3, 0, 0])


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

    limits = held_below(walk, np.array([share]), after=rounded)
    found = repeats(rounded(hold(walk, limits)))
    alone = repeats(rounded(walk))
    assert 0.53 < alone < 0.55
    assert (limits[0] == 0) == (share < alone)
    assert found == pytest.approx(max(share, alone), abs=0.01)
    assert held_below(walk, np.array([alone]), after=rounded)[0] == 0
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
    same = np.full((1, 999, 1), 0.1, np.float32)  # whose sum in float32 is 7e-6 off
    np.testing.assert_array_equal(hold(same, np.float32([1])), same)


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
        if i:  # in the first piece only
            x[x[:, 1] == -1, 1] = 3.0
    examples = from_list([*series, np.full((5, 3), 0.5)])
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 120)
    expected = [[-1, 0.5, 3, NAN], [-1, 0.5, 3, 7], [NAN] * 4]
    np.testing.assert_array_equal(few_values(examples, 4), np.float32(expected))
    for most, shape in ((3, (3, 3)), (2, (3, 1)), (0, (3, 1))):
        found = few_values(examples, most)
        assert found.shape == shape and np.isnan(found[1:]).all()
        assert np.isnan(found[0]).all() == (most < 3)


def test_values_that_hardly_occur_twice_are_not_all_there_are():
    series = np.tile(np.arange(5.0), 20)[:, None]
    assert few_values(from_list([series]), 32).tolist() == [[0, 1, 2, 3, 4]]
    series[99] = NAN
    assert np.isnan(few_values(from_list([series]), 32)).all()
    series[:] = NAN
    assert few_values(from_list([series]), 32).shape == (1, 1)


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
    series[:10, :, 0] = -1.0  # a piece without the others
    series[:, 15:] = 10.0
    examples = Examples(series.astype(np.float32), np.full(90, 15))
    levels = np.array([[-1, 0, 10], [NAN] * 3], np.float32)
    generated = rng.gamma(2.0, size=(500, 20, 2)).astype(np.float32)
    generated[:100, 10:] = NAN
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 400)
    cuts = fit_cuts(generated, levels, examples)
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
    series[:4, :, 5] = NAN  # 100 steps are left
    series[..., 6] = np.where(np.arange(180).reshape(9, 20) < 99, series[..., 0], NAN)
    behind_an_end = np.full((1, 20, 7), np.arange(7.0, 0, -1))
    lengths = np.append(np.full(9, 20), 0)
    examples = Examples(np.concatenate([series, behind_an_end]), lengths)
    normalizer = Normalizer.fit(examples)
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 280)
    monkeypatch.setattr("l2d_jax.data.channel_order.LOOKED_AT_FIRST", (3, 9))
    kinds = [0] * 7
    found = ordered_channels(examples, normalizer, kinds).tolist()
    below = {0: [1, 2], 4: [1, 2], 5: [0, 1, 2, 4]}
    expected = {(i, j) for i, js in below.items() for j in js} | {(1, 2), (2, 1)}
    assert sorted(map(tuple, found)) == sorted(expected)
    one = Examples(examples.series[:, :, 3:4], examples.lengths)
    assert ordered_channels(one, Normalizer.fit(one), [0]) is NONE
    kinds = [0, 1, 0, 0, 1, 0, 0]
    found = ordered_channels(examples, normalizer, kinds)
    assert found.tolist() == [[0, 2], [4, 1], [5, 0], [5, 2]]


def test_channels_that_are_in_order_by_chance_or_by_their_units():
    """Only two of five pairs say more than their values do, and a third follows."""
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(20, 24, 5))
    series[..., 1] += series[..., 0]
    series[..., 2] = rng.normal(20, 1.5, (20, 24))
    series[..., 3] = rng.normal(27, 1.5, (20, 24))
    series[..., 4] = series[..., 1] + np.where(series[..., 1] > 1.4, 0, 1)
    examples = Examples(series, np.full(20, 24))
    pairs = np.array([[0, 1], [0, 2], [0, 4], [1, 4], [2, 3]])
    assert (series[..., pairs[:, 0]] <= series[..., pairs[:, 1]]).all()
    by_chance = {
        (i, j): (series[..., i].reshape(-1, 1) > series[..., j].reshape(1, -1)).mean()
        for i, j in pairs.tolist()
    }
    assert by_chance[0, 4] < 0.05 < min(by_chance[0, 1], by_chance[1, 4])
    assert 0 < by_chance[2, 3] < 0.05 and by_chance[0, 2] == 0
    found = not_by_chance(pairs, examples)
    assert found.tolist() == [[0, 1], [0, 4], [1, 4]]  # as 0 <= 1 <= 4
    assert not_by_chance(pairs[[1, 4]], examples) is NONE
    assert not_by_chance(NONE, examples) is NONE
    none = Examples(np.full_like(series, NAN), examples.lengths)
    assert not_by_chance(pairs, none) is NONE
    equal = np.array([[0, 1], [1, 0]])
    twice = Examples(series[..., [0, 0]], examples.lengths)
    assert not_by_chance(equal, twice).tolist() == equal.tolist()


@pytest.mark.parametrize(("missing", "kept"), [(4, True), (40, False)])
def test_order_is_not_said_of_where_a_channel_is_missing(missing, kept):
    """The first is below the second, but in the lowest series not known; mirrored."""
    series = np.arange(100.0)[:, None, None] + [[[0.0, 0.1], [5.0, 5.1]]]
    series[:missing] -= 100.0
    series[:missing, :, 0] = NAN
    lengths = np.full(100, 2)
    for sign, pair in ((1, [0, 1]), (-1, [1, 0])):
        found = not_by_chance(np.array([pair]), Examples(sign * series, lengths))
        assert found.tolist() == ([pair] if kept else NONE.tolist())


@pytest.mark.parametrize(("ones", "kept"), [(4, False), (5, True)])
def test_equal_values_are_in_order_by_chance(ones, kept):
    """Of 20 zeros and ones, and 20 of which 4 are 0: 1 beside 0 by .04 and .05."""
    both = np.arange(20)[:, None] >= np.array([[20 - ones, 4]])
    pairs = np.array([[0, 1]])
    found = not_by_chance(pairs, from_list([both.astype(float)]))
    assert (found is not NONE) == kept


def test_only_channels_whose_values_can_be_swapped():
    """As many decimals, or the same few values."""
    levels = np.array([[0, 1], [0, 1], [0, 2], [NAN, NAN], [NAN, NAN], [NAN, NAN]])
    form = Form(".csv", ("float64",) * 6, decimals=(0, 0, 0, 2, 2, 1))
    kinds = kinds_of_values(levels, form)
    alike = {(i, j) for i in range(6) for j in range(i) if kinds[i] == kinds[j]}
    assert alike == {(1, 0), (4, 3)}
    kinds = kinds_of_values(levels, None)
    assert kinds[3] == kinds[4] == kinds[5] != kinds[0]
    whole = Form(".npy", (*["float64"] * 5, "int64"))
    kinds = kinds_of_values(levels, whole)
    assert kinds[3] == kinds[4] != kinds[5]


def test_values_that_are_out_of_order_are_swapped():
    """a <= b <= c, d = e. Those that are in order stay, and so do those of no pair."""
    pairs = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [4, 3]])
    x = [
        [1, 2, 3, 7, 9, 0],
        [3, 2, 4, 7, 7, 1],
        [3, 2, 1, 5, 6, 2],
        [4, 9, 5, 0, 0, NAN],
    ]
    expected = [
        [1, 2, 3, 7, 7, 0],
        [2, 3, 4, 7, 7, 1],
        [1, 2, 3, 5, 5, 2],
        [4, 5, 9, 0, 0, NAN],
    ]
    found = enforce_order(np.array([x], np.float32), pairs)
    np.testing.assert_array_equal(found, np.float32([expected]))
    assert found.dtype == np.float32
    rows = np.float32([x])
    assert enforce_order(rows, NONE) is rows


@pytest.mark.parametrize("seed", range(20))
def test_any_order_holds_after_one_round_of_swaps(seed):
    """Of random partial orders of eight channels, two of which are equal."""
    rng = np.random.default_rng(seed)
    ranks, channels = rng.permutation(8), range(8)
    ranks[5] = ranks[2]
    below = {(i, j) for i in channels for j in channels if ranks[i] < ranks[j]}
    below = {pair for pair in below if rng.uniform() < 0.3} | {(2, 5), (5, 2)}
    for k in channels:
        through = {(i, j) for i, m in below for n, j in below if m == n == k}
        below |= {(i, j) for i, j in through if i != j}
    pairs = np.array(sorted(below))
    series = rng.normal(size=(30, 4, 8))
    found = enforce_order(series, pairs)
    for i, j in below:
        assert (found[..., i] <= found[..., j]).all()
    np.testing.assert_array_equal(enforce_order(found, pairs), found)
    alone = [c for c in channels if c not in pairs]
    np.testing.assert_array_equal(found[..., alone], series[..., alone])
    one_each = [np.sort(np.delete(x, 5, axis=2), axis=2) for x in (series, found)]
    np.testing.assert_array_equal(*one_each)


def test_generated_channels_are_in_order_whatever_else_is_kept():
    """Two that stand still, two of few values with unlike cuts."""
    normalizer = Normalizer(
        *(np.full(4, x, np.float32) for x in (0, 1, -9, 9)),
        held_below=np.float32([1.5, 0, 0, 0]),
        levels=np.array([[NAN, NAN], [NAN, NAN], [1, 3], [1, 3]], np.float32),
        cuts=np.array([[NAN, NAN], [NAN, NAN], [1.5, NAN], [2.5, NAN]], np.float32),
        ordered=np.array([[0, 1], [2, 3]]),
    )
    z = np.array([[[1, 1.5, 2, 2], [2, 4, 1, 1], [3, 3.5, 2, 3]]], np.float32)
    series, _ = from_model_space(z, normalizer, ragged=False)
    expected = [[1.5, 2, 1, 3], [2, 4, 1, 1], [2, 3.5, 3, 3]]
    np.testing.assert_array_equal(series, [expected])


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
    np.testing.assert_array_equal(enforce_order(y, model.normalizer.ordered), x)


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
    assert (np.diff(y, axis=1) == 0).mean() < 1e-4  # some, of 69,000, by rounding
    np.testing.assert_array_equal(y[:, :, [0, 2]], x[:, :, [0, 2]])
    limit = model.normalizer.held_below[1]
    assert (np.abs(np.diff(y[:, :, 1], axis=1)) <= limit).mean() == repeats[1]
    jax.tree.map(np.testing.assert_array_equal, free.params, model.params)
