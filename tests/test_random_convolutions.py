"""Features of series whose convolutions are known, and those of sktime."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.metrics.random_convolutions import (
    KERNELS,
    Kernels,
    convolutions_of,
    dilations_of,
    filled,
    fit_kernels,
    transform,
)


def walks(seed, *shape):
    """Random walks within [0, 1], on the grid."""
    x = np.random.default_rng(seed).normal(size=shape).cumsum(axis=1)
    x = (x - x.min()) / np.ptp(x)
    return filled(x.astype(np.float32), with_validity=False)


def kernels_of(dilations, channels, *biases):
    """Each bias for kernel 0, of weights 2 2 2 -1 -1 -1 -1 -1 -1, and for kernel 83."""
    shape = (len(dilations), 84, len(channels))
    places = [84 * i + k for i in range(len(dilations)) for k in (0, 83)]
    return Kernels(
        dilations=jnp.array(dilations),
        channels=jnp.broadcast_to(jnp.array(channels, jnp.float32), shape),
        convolution=jnp.repeat(jnp.array(places), len(biases)),
        biases=jnp.tile(jnp.array(biases, jnp.float32), len(places)),
    )


# --- by hand --------------------------------------------------------------------------


def test_kernels():
    assert KERNELS[0].tolist() == [2, 2, 2, -1, -1, -1, -1, -1, -1]
    assert KERNELS[83].tolist() == [-1, -1, -1, -1, -1, -1, 2, 2, 2]
    assert len({tuple(kernel) for kernel in KERNELS.tolist()}) == 84
    assert (KERNELS.sum(axis=1) == 0).all()


def test_an_impulse_by_hand():
    # 1 at step 5 of 12. Centred on step t, a kernel meets it with its weight 9 - t. So
    # kernel 0 sums to 2 at steps 7, 8 and 9 and to -1 at 1 to 6; all steps count.
    # Kernel 83 sums to -1 at 4 to 9, and counts at 4 to 7.
    x = np.zeros((1, 12, 1), np.float32)
    x[0, 5] = 1.0
    kernels = kernels_of([1], [1.0], -1.5, -0.5, 0.0, 1.5)
    found = transform(kernels, x)[0] * [12, 12, 12, 12, 4, 4, 4, 4]
    np.testing.assert_allclose(found, [12, 6, 3, 3, 4, 0, 0, 0], rtol=1e-6)


def test_a_dilation_by_hand():
    # Spread by 2, kernel 83 has weight 2 at offsets 4, 6 and 8, and -1 at -8, -6 .. 2.
    # Centred on t, it meets the 1 at step 10 with 2 for t = 6, 4 and 2, and with -1 for
    # t = 8, 10 .. 18. Within 20 steps it lies for t = 8 .. 11.
    x = np.zeros((1, 20, 1), np.float32)
    x[0, 10] = 1.0
    kernels = kernels_of([2], [1.0], -0.5, 1.5)
    found = transform(kernels, x)[0]
    # kernel 0, all steps: 2 for t = 18, 16, 14; -1 for t = 12, 10 .. 2
    np.testing.assert_allclose(found, [14 / 20, 3 / 20, 2 / 4, 0], rtol=1e-6)


def test_channels_are_summed():
    one, other = walks(0, 7, 16, 1), walks(1, 7, 16, 1)
    both = np.concatenate([one, other, walks(2, 7, 16, 1)], axis=2)
    biases = (-0.5, -0.1, 0.2)
    found = transform(kernels_of([1], [1.0, 1.0, 0.0], *biases), both)
    np.testing.assert_array_equal(
        found, transform(kernels_of([1], [1.0], *biases), one + other)
    )
    assert found.std() > 0.05


def test_levels_are_seen_at_the_ends_only():
    x = filled(walks(0, 5, 30, 1) / 2, with_validity=False)
    found, raised = (
        transform(kernels_of([1, 2], [1.0], -0.2, 0.1), x + level)
        for level in (0.0, 0.5)
    )
    inside = np.array([0, 0, 1, 1, 1, 1, 0, 0], bool)  # in turns
    np.testing.assert_array_equal(found[:, inside], raised[:, inside])
    assert (found[:, ~inside] != raised[:, ~inside]).mean() > 0.25


def test_a_constant_is_never_above_zero_inside():
    x = np.random.default_rng(0).random((40, 1, 3), np.float32) + np.zeros((1, 24, 1))
    found = transform(kernels_of([1], [1.0, 1.0, 1.0], 0.0, -1e-6), x.astype("f4"))
    assert (found[:, 2] == 0).all() and (found[:, 3] == 1).all()


def test_biases_are_quantiles_of_one_series():
    x = walks(3, 1, 24, 2)
    kernels = fit_kernels(x, seed=5, num_features=252)
    rows = np.repeat(x, kernels.channels[..., 0].size, axis=0)
    sums = convolutions_of(rows, kernels.dilations, kernels.channels)
    golden = np.arange(1, 253) * (1 + 5**0.5) / 2 % 1
    for i in (0, 100, 251):
        sum_of = np.asarray(sums[kernels.convolution[i]])
        assert kernels.biases[i] == pytest.approx(
            np.quantile(sum_of, golden[i]), abs=1e-6
        )
    # Where all steps count, the share above the q-quantile is 1 - q, to one step.
    all_steps = (kernels.convolution // 84 + kernels.convolution % 84) % 2 == 0
    gaps = transform(kernels, x)[0] - (1 - golden)
    assert np.abs(gaps[np.asarray(all_steps)]).max() <= 1 / 24 + 1e-6


# --- what is drawn, and what isn't ----------------------------------------------------


def test_series_by_series_whatever_the_batch():
    x = walks(0, 300, 24, 3)
    kernels = fit_kernels(x, seed=0)
    found = transform(kernels, x)
    assert found.shape == (300, 1008) and found.dtype == np.float32
    order = np.random.default_rng(1).permutation(300)
    np.testing.assert_array_equal(transform(kernels, x[order]), found[order])
    np.testing.assert_array_equal(transform(kernels, x[:3]), found[:3])
    assert len(np.unique(found, axis=0)) == 300


def test_kernels_follow_from_the_seed():
    x = walks(0, 30, 24, 4)
    one, again, other = (fit_kernels(x, seed=seed) for seed in (1, 1, (1, 0, 2)))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, one, again)))
    assert not np.array_equal(one.channels, other.channels)
    assert not np.array_equal(one.biases, other.biases)


def test_numbers_of_channels():
    """2^u of uniform u < log2(C + 1): one of four channels with chance 1 / log2(5)."""
    kernels = fit_kernels(walks(0, 30, 100, 4), seed=0, num_features=2016)
    summed = np.asarray(kernels.channels.sum(axis=2)).ravel()
    assert set(summed.tolist()) == {1, 2, 3, 4}
    expected = 1 / np.log2(5)
    error = np.sqrt(expected * (1 - expected) / len(summed))
    assert abs((summed == 1).mean() - expected) < 4 * error
    assert np.ptp(kernels.channels.sum(axis=(0, 1))) < 0.2 * len(summed)
    many = fit_kernels(walks(0, 30, 9, 20), seed=0, num_features=84)
    assert many.channels.sum(axis=2).max() == 9


@pytest.mark.parametrize(
    ("length", "num_features", "dilations", "counts"),
    [
        (9, 84, [1], [1]),
        (9, 1008, [1], [12]),
        (24, 1008, [1, 2], [8, 4]),
        (24, 10, [1], [1]),
        (17, 252, [1, 2], [2, 1]),
    ],
)
def test_dilations(length, num_features, dilations, counts):
    found = dilations_of(length, num_features)
    assert found[0].tolist() == dilations and found[1].tolist() == counts


@pytest.mark.parametrize("length", range(7, 201, 27))
def test_kernels_span_the_series_at_most(length):
    for num_features in (84, 252, 1008, 5040):
        dilations, counts = dilations_of(max(length, 9), num_features)
        assert dilations[0] == 1 and (np.diff(dilations) > 0).all()
        assert 8 * dilations[-1] <= max(length, 9) - 1
        assert counts.sum() == num_features // 84 and counts.min() >= 1


# --- lengths --------------------------------------------------------------------------


def test_short_series_go_on_at_their_last_value():
    x = walks(0, 20, 7, 2)[:, :7]
    longer = np.concatenate([x, x[:, -1:], x[:, -1:]], axis=1)
    kernels = fit_kernels(x, seed=0)
    np.testing.assert_array_equal(transform(kernels, x), transform(kernels, longer))
    assert transform(kernels, x).std(axis=0).mean() > 0.03


def test_where_a_series_ends_is_seen():
    x = np.full((40, 20, 1), 0.5, np.float32)
    x[:20, 12:] = np.nan
    kernels = fit_kernels(x, seed=0)
    assert kernels.channels.shape[2] == 2
    found = transform(kernels, x)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[-1]).max() > 0.1
    np.testing.assert_array_equal(found[0], found[19])


def test_filled_by_hand():
    x = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [np.nan, np.nan]]], "f4")
    found = filled(x, with_validity=True)
    assert found.shape == (2, 9, 3)
    assert found[0].tolist() == [[1, 2, 1]] + 8 * [[3, 4, 1]]
    assert found[1].tolist() == [[5, 6, 1]] + 8 * [[5, 6, 0]]


# --- a library ------------------------------------------------------------------------


@pytest.mark.extra
@pytest.mark.parametrize(
    ("length", "num_channels", "num_features"),
    [(9, 1, 84), (24, 6, 1008), (50, 3, 840), (130, 12, 1008)],
)
def test_features_are_those_of_sktime(length, num_channels, num_features):
    """To the rounding of the share: on the grid, no sum ties with a bias by chance."""
    pytest.importorskip("numba")
    from sktime.transformations.rocket import MiniRocketMultivariate

    x = walks(0, 25, length, num_channels)
    theirs = MiniRocketMultivariate(num_features, random_state=0)
    expected = theirs.fit_transform(x.transpose(0, 2, 1)).to_numpy()
    sizes, indices, dilations, counts, biases = theirs.parameters
    channels = np.zeros((len(sizes), num_channels), np.float32)
    channels[np.repeat(np.arange(len(sizes)), sizes), indices] = 1.0
    kernels = Kernels(
        dilations=jnp.asarray(dilations),
        channels=jnp.asarray(channels.reshape(len(dilations), 84, -1)),
        convolution=jnp.repeat(jnp.arange(len(sizes)), np.repeat(counts, 84)),
        biases=jnp.asarray(biases),
    )
    np.testing.assert_allclose(transform(kernels, x), expected, atol=1e-6)
    assert expected.std() > 0.1

    ours = dilations_of(length, num_features)
    np.testing.assert_array_equal(ours[0], dilations)
    np.testing.assert_array_equal(ours[1], counts)
