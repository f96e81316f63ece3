"""Blocked nearest neighbours against the whole matrix of differences."""

import tracemalloc

import numpy as np
import pytest

from l2d_jax.metrics.neighbours import (
    blocks,
    count_balls,
    nearest,
    squared_distances,
)
from l2d_jax.types import InputError


def points(seed, n, d, dtype=np.float32):
    return np.random.default_rng(seed).random((n, d)).astype(dtype)


def naive(a, b):
    """All distances, from differences in float64."""
    gaps = a.astype(np.float64)[:, None] - b.astype(np.float64)[None]
    return np.sqrt(np.square(gaps).sum(axis=2))


@pytest.mark.parametrize("block_size", [1, 7, 32, 1000])
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_is_the_naive_one(k, block_size):
    a, b = points(0, 61, 9), points(1, 83, 9)
    distances = naive(a, b)
    found = nearest(a, b, k, block_size=block_size)
    np.testing.assert_array_equal(found.indices, distances.argsort(axis=1)[:, :k])
    np.testing.assert_allclose(
        found.distances, np.sort(distances, axis=1)[:, :k], rtol=1e-14
    )


@pytest.mark.parametrize("block_size", [1, 10, 64])
def test_self_is_excluded(block_size):
    a = points(0, 33, 4)
    a[20] = a[3]  # a copy elsewhere does count
    found = nearest(a, a, 2, exclude_self=True, block_size=block_size)
    distances = naive(a, a)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(
        found.distances, np.sort(distances, axis=1)[:, :2], rtol=1e-14
    )
    assert (found.indices != np.arange(33)[:, None]).all()
    assert (found.indices[3, 0], found.indices[20, 0]) == (20, 3)


def test_all_neighbours_there_are():
    a = points(0, 6, 3)
    found = nearest(a, a, 5, exclude_self=True, block_size=4)
    for i, row in enumerate(found.indices):
        assert sorted([i, *row]) == list(range(6))


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_copies_lie_at_distance_zero(offset):
    b = points(0, 500, 672) + np.float32(offset)
    found = nearest(b[100:140], b, block_size=128)
    np.testing.assert_array_equal(found.distances, 0.0)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(100, 140))


def test_copy_is_told_from_what_the_matrix_product_takes_for_one():
    b = 1.0 + points(0, 50, 300, np.float64)
    b[1:4] = b[0] + 1e-12  # |gap|^2 = 3e-22 is nothing beside |x|^2 = 25
    for row in range(4):
        found = nearest(b[row : row + 1], b)
        assert found.distances[0, 0] == 0.0


def test_many_duplicates():
    b = np.concatenate([np.full((40, 3), 0.3), points(0, 10, 3, np.float64)])
    found = nearest(b, b, 5, exclude_self=True, block_size=8)
    np.testing.assert_array_equal(found.distances[:40], 0.0)
    assert (found.distances[40:] > 0.0).all()


@pytest.mark.parametrize("block_size", [1, 6, 50])
def test_balls_are_the_naive_ones(block_size):
    a, b = points(0, 40, 3), points(1, 27, 3)
    radii = np.random.default_rng(2).random(27)
    counts = count_balls(a, b, radii, block_size=block_size)
    np.testing.assert_array_equal(counts, (naive(a, b) <= radii[None]).sum(axis=1))


def test_rims_belong_to_the_balls():
    b = points(0, 200, 144)
    radii = nearest(b, b, 5, exclude_self=True).distances[:, -1]
    # Every ball holds its centre and five neighbours, the fifth right on its rim.
    assert count_balls(b, b, radii, block_size=64).sum() == 6 * 200
    assert count_balls(b, b, np.zeros(200)).tolist() == [1] * 200


@pytest.mark.parametrize("size", [1e8, 1e12])
def test_a_far_outlier_leaves_balls_and_neighbours_as_they_are(size):
    a, b = points(0, 300, 5, np.float64), points(1, 280, 5, np.float64)
    b[7] = size
    distances = naive(a, b)
    radii = nearest(b, b, 3, exclude_self=True).distances[:, -1]
    counts = count_balls(a, b, radii, block_size=64)
    np.testing.assert_array_equal(counts, (distances <= radii[None]).sum(axis=1))
    found = nearest(a, b, block_size=64)
    np.testing.assert_allclose(found.distances[:, 0], distances.min(1), rtol=1e-12)


def test_blocks_cover_all_and_are_no_larger_than_asked():
    assert [(s.start, s.stop) for s in blocks(7, 3)] == [(0, 3), (3, 6), (6, 7)]
    seen = np.zeros((20, 17), int)
    for rows, columns, squared, _ in squared_distances(
        points(0, 20, 2), points(1, 17, 2), block_size=8
    ):
        assert max(squared.shape) <= 8
        seen[rows, columns] += 1
    assert (seen == 1).all()


def test_memory_does_not_grow_with_the_number_of_points():
    def peak(n):
        a = points(0, n, 3)
        tracemalloc.start()
        nearest(a, a, 5, exclude_self=True, block_size=200)
        count_balls(a, a, np.zeros(n), block_size=200)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # A block takes 0.3 MB, the candidates and what is returned some 300 bytes a point;
    # all distances of 2,000 points are 32 MB.
    assert peak(2000) - peak(500) < 1500 * 500
    assert peak(2000) < 3e6


def test_k_must_be_there():
    a = points(0, 4, 2)
    with pytest.raises(InputError, match="k=4 neighbours of 3 points: use 1 to 3"):
        nearest(a, a, 4, exclude_self=True)
    with pytest.raises(InputError, match="k=0"):
        nearest(a, a, 0)
