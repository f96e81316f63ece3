"""TimeGAN's predictive score (Yoon et al. 2019), and a repaired form of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from l2d_jax.metrics.floors import summary
from l2d_jax.metrics.recurrent import (
    Batch,
    BatchLengths,
    TrainTestRows,
    all_states,
    batches,
    dense,
    init_gru,
    shared,
    time_major,
    train_and_measure,
)
from l2d_jax.types import Params, RandomKey, Scalar, SeriesBatch

NUM_ITERATIONS = 5000
BATCH_SIZE = 128
MIN_WIDTH = 16  # of the repaired form

NO_INPUT = "it predicts the last channel from the others: one channel has none"
NO_TARGET = "it predicts the next step: too few series have two steps"
DIVERGED = "the values of the series are too large for the GRU to learn"


def predictive_score(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Error on real series of a GRU that learned from generated ones to predict them.

    As published (Yoon et al. 2019, and in Diffusion-TS): a GRU of C // 2 units reads
    the first C - 1 channels up to a step and says the last channel at the next step,
    through a sigmoid. 5,000 steps of Adam on the mean absolute error, over batches of
    128 generated series (all of a smaller set). The score is the mean over all real
    series of their mean absolute errors, of values scaled to [0, 1]: 0 or more. Best is
    not 0 but what real series score in the place of generated ones, "floor".

    It doesn't see the last channel, so that most of its error often can't be helped,
    and all generators score alike: compare with "floor" and "ceiling". What a generator
    makes outside of [0, 1] stays as it is, and a sigmoid can't reach it. Undefined for
    one channel. `predictive_score_repaired` mends all three.

    Each repeat trains three networks:

    - the score itself, from n generated series, n the smaller of the two numbers,
      chosen at random of the larger set;
    - "floor": from a random half of n real ones, its error on the other half;
    - "at_floor_size": from n // 2 generated ones, its error on the same other half.

    Series shorter than L end in NaN. Their missing steps count neither in the error nor
    in training, where the published code, which knows no missing steps, would take
    zeros for them. A series of one step is left out.

    Returns:
      What `about` says of a score, and "ceiling": the error of one who always says the
      median of the real values.
    """
    return score(
        real,
        generated,
        Predictor(real.shape[2], real.shape[2] // 2, published=True),
        num_repeats=num_repeats,
        seed=seed,
    )


def predictive_score_repaired(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """`predictive_score` by a GRU of 16 units or more, from all channels to all.

    Without sigmoid: it can say what lies outside of [0, 1]. The error is the mean over
    channels; "ceiling" has a median for each. Defined for one channel.
    """
    width = max(MIN_WIDTH, real.shape[2] // 2)
    return score(
        real,
        generated,
        Predictor(real.shape[2], width, published=False),
        num_repeats=num_repeats,
        seed=seed,
    )


def score(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    predictor: "Predictor",
    *,
    num_repeats: int,
    seed: int,
) -> dict[str, Any]:
    """The score by any predictor."""
    data = shared(real, generated)
    usable = np.asarray(data.lengths) >= 2
    of_real = np.flatnonzero(usable[: len(real)])
    of_generated = len(real) + np.flatnonzero(usable[len(real) :])
    n = min(len(of_real), len(of_generated))
    sizes = {"whole": n, "floor": n // 2, "at_floor_size": n // 2}
    why = reason_undefined(predictor, n)
    errors = dict.fromkeys(sizes, np.full((num_repeats, 1), np.nan))
    if why is None:
        repeats = [
            draw(
                np.random.default_rng((seed, repeat)),
                of_real=of_real,
                of_generated=of_generated,
            )
            for repeat in range(num_repeats)
        ]
        errors = train_and_measure(predictor, repeats, data, seed=seed)
    parts = {
        name: summary(
            errors[name].mean(axis=1, dtype=np.float64).tolist(), num_samples=size
        )
        for name, size in sizes.items()
    }
    whole = parts.pop("whole")
    return {
        **whole,
        **({"undefined": why or DIVERGED} if whole["mean"] is None else {}),
        **parts,
        "ceiling": None if why else ceiling(predictor.targets(real[of_real])),
        "seed": seed,
        "num_repeats": num_repeats,
    }


def reason_undefined(predictor: "Predictor", n: int) -> str | None:
    """Why n series of each side can't be scored; None: they can."""
    if predictor.num_inputs == 0:
        return NO_INPUT
    return NO_TARGET if n < 2 else None


def ceiling(targets: Float[np.ndarray, "N T O"]) -> float:
    """Error of the best constant of each channel, its median, as the score has it.

    Mean over the series of their mean absolute errors; NaN doesn't count.
    """
    median = np.nanmedian(targets, axis=(0, 1), keepdims=True)
    errors = np.nanmean(np.abs(targets - median), axis=(1, 2), dtype=np.float64)
    return float(errors.mean())


# --- which series ---------------------------------------------------------------------


def draw(
    rng: np.random.Generator,
    *,
    of_real: Int[np.ndarray, " N"],
    of_generated: Int[np.ndarray, " M"],
) -> dict[str, TrainTestRows]:
    """One repeat's rows for each score, from those of either."""
    n = min(len(of_real), len(of_generated))
    half = n // 2
    real, generated = rng.permutation(of_real), rng.permutation(of_generated)
    one, other = real[:half], real[half : 2 * half]
    rows = {
        "whole": (generated[:n], of_real),
        "floor": (one, other),
        "at_floor_size": (generated[:half], other),
    }
    return {
        name: TrainTestRows(draw_batches(rng, train), test)
        for name, (train, test) in rows.items()
    }


def draw_batches(
    rng: np.random.Generator, rows: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "I B"]:
    """A batch for each iteration."""
    size = min(BATCH_SIZE, len(rows))
    return batches(rng, rows, size=size, num_iterations=NUM_ITERATIONS)


# --- the network ----------------------------------------------------------------------


class Predictor(NamedTuple):
    """Says the next step."""

    num_channels: int
    width: int
    published: bool  # the last channel, in [0, 1], from the others; else all from all

    @property
    def num_inputs(self) -> int:
        return self.num_channels - 1 if self.published else self.num_channels

    def targets(self, series: Float[Any, "N L C"]) -> Float[Any, "N T O"]:
        """What is to be said at all but the last step: T = L - 1."""
        return series[:, 1:, -1:] if self.published else series[:, 1:]

    def init(self, key: RandomKey) -> Params:
        num_outputs = 1 if self.published else self.num_channels
        return init_gru(
            key, num_inputs=self.num_inputs, width=self.width, num_outputs=num_outputs
        )

    def loss(self, params: Params, series: Batch, lengths: BatchLengths) -> Scalar:
        """Mean absolute error of all steps of the batch."""
        present = has_next(series, lengths)
        errors = self.errors(params, series)
        return jnp.where(present, errors, 0.0).sum() / present.sum()

    def measure(
        self, params: Params, series: Batch, lengths: BatchLengths
    ) -> Float[Array, " B"]:
        """Mean absolute error of the steps of each series, 2 or more."""
        present = has_next(series, lengths)
        errors = jnp.where(present, self.errors(params, series), 0.0)
        return errors.sum(axis=0) / present.sum(axis=0)

    def errors(self, params: Params, series: Batch) -> Float[Array, "T B"]:
        """Absolute error of each step, the mean over channels."""
        x = time_major(series[:, :-1, : self.num_inputs])
        said = dense(params, all_states(params, x))
        if self.published:
            said = jax.nn.sigmoid(said)
        return jnp.abs(said - time_major(self.targets(series))).mean(axis=1)


def has_next(series: Batch, lengths: BatchLengths) -> Bool[Array, "T B"]:
    """Whether a step, all but the last of the array, has one after it."""
    t = jnp.arange(series.shape[1] - 1)
    return t[:, None] + 1 < lengths[None, :]
