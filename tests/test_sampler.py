"""Batches: which examples each step takes."""

from collections import Counter

import numpy as np
import pytest

from l2d_jax.data import chunk_indices


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
