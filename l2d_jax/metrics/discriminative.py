"""TimeGAN's discriminative score (Yoon et al. 2019), and a repaired form of it."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from l2d_jax.metrics.floors import summary
from l2d_jax.metrics.recurrent import (
    Batch,
    BatchLengths,
    TrainTestRows,
    batches,
    dense,
    init_gru,
    last_state,
    shared,
    time_major,
    train_and_measure,
)
from l2d_jax.types import Params, RandomKey, Scalar, SeriesBatch

NUM_ITERATIONS = 2000
BATCH_SIZE = 128  # real ones, and as many generated ones
TRAIN_SHARE = 0.8
MIN_WIDTH = 16  # of the repaired form

NO_UNITS = "its GRU has half as many units as there are channels: none for one channel"
DIVERGED = "the values of the series are too large for the GRU to learn"

Pair = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]  # rows of the two sides


def discriminative_score(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """|accuracy - .5| of a GRU that tells real from generated series: 0 to .5, ideal 0.

    As published (Yoon et al. 2019, and in Diffusion-TS): a GRU of C // 2 units, its
    last state into one logit, 2,000 steps of Adam over batches of 128 real and 128
    generated series (all of a smaller training set). It learns from 80 % of each side,
    at random, and its accuracy is that on the other 20 %.

    Chance sets a floor: a generator as good as the data scores not 0 but "chance". Of
    few series, copies of real ones score more: what was learned of one side is told
    wrong on the other. Values far outside of [0, 1] saturate the GRU and may pass
    unseen. So narrow a network misses much, above all of few channels; of one it has
    no units, and the score is undefined where the published code says 0.
    `discriminative_score_repaired` mends that.

    Each repeat trains three networks on halves and splits of its own:

    - the score itself, of n real and n generated series, n the smaller of the two
      numbers, chosen at random of the larger set;
    - "floor": a random half of the real ones against the other half;
    - "at_floor_size": the same half against n // 2 generated ones.

    Series shorter than L end in NaN; the state after their true last step counts.

    Returns:
      What `about` says of a score, and beside it, for each of the three: "accuracy",
      the mean share told right of "real" and of "generated" ones (of "floor": of the
      one half and the other); "chance", the expected score of one who guesses.
    """
    return score(
        real,
        generated,
        width=real.shape[2] // 2,
        num_repeats=num_repeats,
        seed=seed,
    )


def discriminative_score_repaired(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """`discriminative_score` by a GRU of 16 units or more; defined for one channel."""
    return score(
        real,
        generated,
        width=max(MIN_WIDTH, real.shape[2] // 2),
        num_repeats=num_repeats,
        seed=seed,
    )


def score(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    width: int,
    num_repeats: int,
    seed: int,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Any]:
    """The score by GRUs of any width; 0: undefined."""
    n = min(len(real), len(generated))
    sizes = {"whole": n, "floor": n // 2, "at_floor_size": n // 2}
    logits = dict.fromkeys(sizes, np.full((num_repeats, 2), np.nan))
    if width > 0:
        repeats = [
            draw(
                np.random.default_rng((seed, repeat)),
                num_real=len(real),
                num_generated=len(generated),
                batch_size=batch_size,
            )
            for repeat in range(num_repeats)
        ]
        discriminator = Discriminator(real.shape[2], width)
        logits = train_and_measure(
            discriminator, repeats, shared(real, generated), seed=seed
        )
    parts = {name: described(logits[name], sizes[name]) for name in sizes}
    whole = parts.pop("whole")
    why = DIVERGED if width > 0 else NO_UNITS
    return {
        **whole,
        **({"undefined": why} if whole["mean"] is None else {}),
        **parts,
        "seed": seed,
        "num_repeats": num_repeats,
    }


def described(logits: Float[np.ndarray, "R tested"], n: int) -> dict[str, Any]:
    """The score of n series of each side, given the logits of those tested.

    As many of one side, then of the other. None where a logit isn't finite.
    """
    one, other = np.split(logits, 2, axis=1)
    shares = np.stack([(one > 0).mean(axis=1), (other <= 0).mean(axis=1)])
    of_real, of_generated = shares.mean(axis=1).tolist()
    accuracy = {"real": of_real, "generated": of_generated}
    values = np.abs(shares.mean(axis=0) - 0.5)
    finite = np.isfinite(logits).all(axis=1)
    return {
        **summary(np.where(finite, values, np.nan).tolist(), num_samples=n),
        "accuracy": accuracy if finite.all() else None,
        "chance": chance(n - num_train(n)),
    }


def chance(n: int) -> float:
    """E|accuracy - .5| of one who guesses on n series of each side.

    C(2 n, n) / 2^(2 n + 1): the mean absolute deviation of a binomial variable of 2 n
    draws, over 2 n.
    About 1 / sqrt(4 pi n): .0104 for the 733 of the Stock windows.
    """
    logarithm = math.lgamma(2 * n + 1) - 2 * math.lgamma(n + 1) - 2 * n * math.log(2)
    return math.exp(logarithm) / 2


# --- which series ---------------------------------------------------------------------


def draw(
    rng: np.random.Generator, *, num_real: int, num_generated: int, batch_size: int
) -> dict[str, TrainTestRows]:
    """One repeat's rows for each comparison. Generated rows come after the real."""
    n = min(num_real, num_generated)
    half = n // 2
    real = rng.permutation(num_real)[:n]
    generated = num_real + rng.permutation(num_generated)[:n]
    pairs = {
        "whole": (real, generated),
        "floor": (real[:half], real[half : 2 * half]),
        "at_floor_size": (real[:half], generated[:half]),
    }
    return {name: divide(rng, pair, batch_size) for name, pair in pairs.items()}


def divide(rng: np.random.Generator, pair: Pair, batch_size: int) -> TrainTestRows:
    """Batches of the one side and the other, and what is left for the test of both.

    The rows come in random order.
    """
    count = num_train(len(pair[0]))
    size = min(batch_size, count)
    train = [
        batches(rng, side[:count], size=size, num_iterations=NUM_ITERATIONS)
        for side in pair
    ]
    test = [side[count:] for side in pair]
    return TrainTestRows(np.concatenate(train, axis=1), np.concatenate(test))


def num_train(n: int) -> int:
    """How many of n series of one side are learned from."""
    return int(TRAIN_SHARE * n)


# --- the network ----------------------------------------------------------------------


class Discriminator(NamedTuple):
    """Says real (positive logit) or generated. Half of each batch is either."""

    num_channels: int
    width: int

    def init(self, key: RandomKey) -> Params:
        return init_gru(
            key, num_inputs=self.num_channels, width=self.width, num_outputs=1
        )

    def loss(self, params: Params, series: Batch, lengths: BatchLengths) -> Scalar:
        """Cross-entropy of the real ones plus that of the generated ones."""
        logits = self.measure(params, series, lengths)
        half = len(logits) // 2
        softplus = jax.nn.softplus
        return softplus(-logits[:half]).mean() + softplus(logits[half:]).mean()

    def measure(
        self, params: Params, series: Batch, lengths: BatchLengths
    ) -> Float[Array, " B"]:
        """One logit a series."""
        state = last_state(params, time_major(series), lengths)
        return dense(params, state[None])[0, 0]
