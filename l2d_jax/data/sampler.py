"""Which examples make up which batch: a function of (seed, step), without a state.

The permutations of all epochs, one after the other, form one endless stream; batch k
is its k-th piece. A batch may straddle epochs, so no example is ever left out.
"""

import functools
import math

import numpy as np
from jaxtyping import Int


def chunk_indices(
    seed: int, first_step: int, num_steps: int, *, num_examples: int, batch_size: int
) -> Int[np.ndarray, "num_steps B"]:
    """Batches first_step, ..., first_step + num_steps - 1, one a row.

    Of indices 0..num_examples-1; seed and first_step are 0 or more.
    """
    indices = permuted(
        seed,
        start=first_step * batch_size,
        size=num_steps * batch_size,
        num_examples=num_examples,
    )
    return indices.reshape(num_steps, batch_size)


def permuted(
    seed: int, *, start: int, size: int, num_examples: int
) -> Int[np.ndarray, " size"]:
    """Entries start, ..., start + size - 1 of the endless stream of permutations."""
    first_epoch, offset = divmod(start, num_examples)
    num_epochs = math.ceil((offset + size) / num_examples)
    epochs = range(first_epoch, first_epoch + num_epochs)
    permutations = [permutation(seed, epoch, num_examples) for epoch in epochs]
    return np.concatenate(permutations)[offset : offset + size]


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, num_examples: int) -> Int[np.ndarray, " N"]:
    """The order of one epoch, read-only.

    Ranks of raw random bits: unlike `Generator.permutation`, these are the same in
    every version of numpy, so that a run can be resumed after an upgrade.
    """
    bits = np.random.PCG64(np.random.SeedSequence([seed, epoch]))
    order = np.argsort(bits.random_raw(num_examples), kind="stable")
    order.setflags(write=False)
    return order
