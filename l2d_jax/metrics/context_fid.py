"""Context-FID (Jeha et al. 2022), by the protocol published with Diffusion-TS.

A TS2Vec encoder (Yue et al. 2022) is trained on the real series. The score is the
Frechet distance between what it makes of the real and of the generated series.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import unflatten_dict
from jaxtyping import Array, Bool, Float, Int

from l2d_jax.metrics.disk_cache import cached, in_full_float32
from l2d_jax.metrics.floors import MIN_REPEATS, NOT_FINITE, as_score, choose
from l2d_jax.metrics.frechet import frechet_distance, halves_and_whole
from l2d_jax.metrics.sets import lengthened
from l2d_jax.models import TS2Vec
from l2d_jax.parallel import map_all
from l2d_jax.types import Params, RandomKey, Scalar, Series, SeriesBatch

ENCODER = TS2Vec(features=320, width=64, depth=10)
OPTIMIZER = optax.adamw(1e-3, weight_decay=0.01)
BATCH_SIZE = 8
SHOWN = 0.5  # probability that a step of a crop isn't masked in training
DROPOUT = 0.1
MAX_TRAIN_LENGTH = 3000  # steps; what is longer is cut for training
ENCODE_BATCH_SIZE = 64  # times the number of repeats
NUM_EXCHANGES = 100  # of the permutation test, all encoders together

Representations = Float[np.ndarray, "N d"]
CropEncodings = Float[Array, "B T d"]  # one vector per step of each crop
Count = Int[Array, ""]


def context_fid(
    real: SeriesBatch,
    generated: Float[np.ndarray, "M L C"],
    *,
    encoder_series: Float[np.ndarray, "E L C"] | None = None,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Distance of `generated` from `real`, and the floor that it can reach.

    Both are scaled to [0, 1] by the caller, by the range of the real series, with NaN
    outside of series shorter than L. Each repeat trains an encoder of its own, on
    `encoder_series`: as published, all of `real`; where `real` is held out, the
    training series, so that the encoder has seen neither side.

    The distance falls with the number of series: its bias is about 1 / n, so that even
    two samples of one distribution score above 0, and only scores at equal n compare.
    Hence three scores by the same encoders, at a stated n:

    - the score itself, of n real and n generated series, n the smaller of the two
      numbers, chosen at random of the larger set;
    - "floor": two random halves of the real ones, n // 2 each, against one another;
    - "at_floor_size": one of these halves against n // 2 generated ones. A generator
      as good as the data scores here as the floor does.

    A few extreme series can make most of the distance, and halves of one sample don't
    tell how much they differ from sample to sample. So the verdict is that of a
    permutation test: "percentile" is the share of random exchanges between real and
    generated series that bring the two closer than they are.

    Returns:
      "mean", "interval", "values" (one a repeat) and "num_samples"; the same four
      under "floor" and "at_floor_size"; "percentile", 0 to 1, with three repeats or
      more; "seed" and "num_repeats". "interval" is the 95 % interval of the mean by
      Student's t, None for a single repeat. It covers the choice of the encoder, and
      for the two scores at half size that of the halves, not the making of `generated`.
    """
    trained_on = real if encoder_series is None else encoder_series
    encoders = train_encoders(trained_on, num_repeats=num_repeats, seed=seed)
    n = min(len(real), len(generated))
    rng = np.random.default_rng((seed, 1))
    pairs = list(
        zip(
            encode(encoders, choose(rng, real, n)),
            encode(encoders, choose(rng, generated, n)),
            strict=True,
        )
    )
    whole, *halves = zip(*(halves_and_whole(rng, *pair) for pair in pairs), strict=True)
    tested = num_repeats >= MIN_REPEATS and np.isfinite(whole).all()
    return {
        **as_score(whole, *halves, num_samples=n, undefined=NOT_FINITE),
        **({"percentile": percentile(rng, pairs, whole)} if tested else {}),
        "seed": seed,
        "num_repeats": num_repeats,
    }


def percentile(
    rng: np.random.Generator,
    pairs: Sequence[tuple[Representations, Representations]],
    observed: Sequence[float],
) -> float:
    """Share of `NUM_EXCHANGES` whose distance is below the observed one, over encoders.

    An exchange deals the real and the generated series anew into two sets; one at the
    observed distance itself, as there are where series repeat, counts half. For two
    samples of one distribution, each of independent series, every share is as likely as
    any other where all encoders agree and were trained on neither. Where they don't
    agree, shares near 0 and 1 are rarer, so that a test by these has fewer false alarms
    than it claims. Trained on the real ones, they have no more (docs/scores.md).

    Overlapping windows of one recording aren't independent: there are fewer of them
    than they seem, as it were, and fresh series differ from them by more than exchanges
    make. The test then asks whether generated series could be windows of this
    recording, not of another one by the same source.
    """
    from threadpoolctl import threadpool_limits

    each, below = math.ceil(NUM_EXCHANGES / len(pairs)), 0.0
    with threadpool_limits(1):  # small matrices: threads wait on cores that are busy
        for (real, generated), distance in zip(pairs, observed, strict=True):
            pooled = np.concatenate([real, generated])
            for _ in range(each):
                order = rng.permutation(len(pooled))
                one, other = pooled[order[: len(real)]], pooled[order[len(real) :]]
                below += np.heaviside(distance - frechet_distance(one, other), 0.5)
    return float((below + 0.5) / (each * len(pairs) + 1))


# --- the encoders ---------------------------------------------------------------------


@in_full_float32
def train_encoders(real: SeriesBatch, *, num_repeats: int, seed: int) -> Params:
    """Parameters of `ENCODER`, one row a repeat: 200 iterations, 600 for large sets.

    Which series make a batch is drawn from (seed, repeat) on the host; all else from
    keys folded with the repeat and the iteration. A repeat doesn't depend on how many
    there are.
    """
    num_iterations = 200 if real.size <= 100_000 else 600
    series = training_series(real)
    repeats = range(num_repeats)
    rows = [
        batch_rows(
            np.random.default_rng((seed, 0, repeat)), len(series), num_iterations
        )
        for repeat in repeats
    ]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.key(seed), jnp.asarray(repeats)
    )
    return cached(train_together, keys, np.stack(rows), series)


@in_full_float32
def encode(encoders: Params, series: SeriesBatch) -> Float[np.ndarray, "R N d"]:
    """Maximum over time of what each of R encoders makes of each series."""
    rows = series.astype(np.float32, copy=False)
    encoded = map_all(encode_one, encoders, rows, batch_size=ENCODE_BATCH_SIZE)
    return encoded.swapaxes(0, 1)


def encode_one(encoders: Params, x: Series) -> Float[Array, "R d"]:
    """One series by all encoders; nothing is masked but missing steps."""
    return jax.vmap(lambda params: ENCODER.apply(params, x).max(axis=0))(encoders)


def params_from_torch(state: Mapping[str, np.ndarray]) -> Params:
    """Parameters of `TS2Vec` from those of the reference implementation.

    `state`: its `state_dict()` as arrays, names such as "input_fc.weight" and
    "feature_extractor.net.0.conv1.conv.weight".
    """
    params: dict[tuple[str, ...], np.ndarray] = {}
    for name, value in state.items():
        *path, kind = name.split(".")
        if path == ["input_fc"]:
            path, value = ["input"], value.T
        else:  # feature_extractor.net.<i>.conv1.conv, or ....projector
            path = [f"block_{path[2]}", path[3]]
            if kind == "weight":
                value = value.transpose(2, 1, 0)  # [out, in, k] -> [k, in, out]
                value = value[0] if path[1] == "projector" else value
        params[*path, "kernel" if kind == "weight" else "bias"] = value
    return {"params": unflatten_dict(params)}


def training_series(real: SeriesBatch) -> Float[np.ndarray, "M T C"]:
    """What the encoders train on: cut, centred, and without series that are all NaN."""
    series = centred(in_sections(real.astype(np.float32, copy=False)))
    return series[~np.isnan(series).all(axis=(1, 2))]


def in_sections(series: SeriesBatch) -> Float[np.ndarray, "M T C"]:
    """Series of 6,000 steps and more as several of 3,000 or more, NaN at their ends."""
    num_sections = max(series.shape[1] // MAX_TRAIN_LENGTH, 1)
    sections = np.array_split(series, num_sections, axis=1)
    longest = sections[0].shape[1]
    return np.concatenate([lengthened(section, longest) for section in sections])


def centred(series: SeriesBatch) -> SeriesBatch:
    """Moves each series so that as many missing steps lie before as after it."""
    length = series.shape[1]
    missing = np.isnan(series).all(axis=-1)
    before, after = missing.argmin(axis=1), np.flip(missing, 1).argmin(axis=1)
    move = (before + after) // 2 - before
    source = (np.arange(length)[None, :] - move[:, None]) % length
    return np.take_along_axis(series, source[:, :, None], axis=1)


def batch_rows(
    rng: np.random.Generator, num_series: int, num_iterations: int
) -> Int[np.ndarray, "I B"]:
    """Series of each batch: epochs in random order, without incomplete last batches."""
    size = min(BATCH_SIZE, num_series)
    per_epoch = num_series // size
    num_epochs = math.ceil(num_iterations / per_epoch)
    orders = [rng.permutation(num_series) for _ in range(num_epochs)]
    epochs = [order[: per_epoch * size].reshape(-1, size) for order in orders]
    return np.concatenate(epochs)[:num_iterations].astype(np.int32)


# --- training -------------------------------------------------------------------------


def train_encoder(
    key: RandomKey, rows: Int[Array, "I B"], series: Float[Array, "M T C"]
) -> Params:
    """One encoder: AdamW over the batches, then the mean of all parameters met."""
    init_key, train_key = jax.random.split(key)

    def loss(params, inputs):
        iteration, rows = inputs
        key = jax.random.fold_in(train_key, iteration)
        return contrastive_loss(params, key, series[rows])

    params = ENCODER.init(init_key, series[0])
    inputs = (jnp.arange(len(rows)), rows)
    return mean_of_iterates(loss, params, inputs, OPTIMIZER)


# All repeats at once. On two CPU cores, five of 600 iterations on series of 24 steps
# take 37 s so, and 64 s one after the other: one alone can't keep the cores busy.
train_together = jax.jit(jax.vmap(train_encoder, in_axes=(0, 0, None)))


def mean_of_iterates(
    loss: Callable[[Params, Any], Scalar],
    params: Params,
    inputs: Any,
    optimizer: optax.GradientTransformation,
) -> Params:
    """Mean of the parameters before the first step and after every step.

    A step goes down the gradient of loss(params, x), x one row of `inputs` after the
    other: stochastic weight averaging over all of training (Izmailov et al. 2018).
    """

    def step(carry, x):
        params, state, total = carry
        updates, state = optimizer.update(jax.grad(loss)(params, x), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state, jax.tree.map(jnp.add, total, params)), None

    start = (params, optimizer.init(params), params)
    (_, _, total), _ = jax.lax.scan(step, start, inputs)
    num_steps = len(jax.tree.leaves(inputs)[0])
    return jax.tree.map(lambda x: x / (num_steps + 1), total)


def contrastive_loss(
    params: Params, key: RandomKey, batch: Float[Array, "B T C"]
) -> Scalar:
    """TS2Vec's loss of two random crops of each series, where the crops overlap."""
    crop_key, mask_key, dropout_key = jax.random.split(key, 3)
    batch_size, num_steps, _ = batch.shape
    length = min(num_steps, MAX_TRAIN_LENGTH)
    crops = random_crops(
        crop_key, batch_size=batch_size, num_steps=num_steps, length=length
    )
    both = jnp.concatenate([batch, batch])
    starts = jnp.concatenate([crops.first, crops.second])
    lengths = jnp.stack([crops.first_length, crops.second_length])
    lengths = jnp.repeat(lengths, batch_size)
    visible = jax.random.bernoulli(mask_key, SHOWN, (2 * batch_size, length))
    encode_crops = jax.vmap(encode_crop, (None, 0, 0, 0, 0))
    z = encode_crops(params, both, starts, lengths, visible)
    kept = jax.random.bernoulli(dropout_key, 1.0 - DROPOUT, z.shape)
    z = jnp.where(kept, z / (1.0 - DROPOUT), 0.0)
    z1, z2 = jnp.split(z, 2)
    z1 = jnp.roll(z1, crops.first[0] - crops.second[0], axis=1)  # to start as z2 does
    return hierarchical_contrastive_loss(z1, z2, crops.overlap)


def encode_crop(
    params: Params,
    x: Series,
    start: Count,
    length: Count,
    visible: Bool[Array, " T"],
) -> Float[Array, "T d"]:
    """Encodes x[start : start + length] in an array of T steps; the rest is garbage."""
    steps = jnp.arange(len(visible))
    crop = x.at[start + steps].get(mode="clip")
    return ENCODER.apply(params, crop, visible, steps < length)


class Crops(NamedTuple):
    """Two crops of each series; their lengths are the same for the whole batch."""

    first: Int[Array, " B"]  # where the first crop of each series starts
    second: Int[Array, " B"]  # where the second starts: not before the first
    first_length: Count  # the first crop ends with the overlap
    second_length: Count  # the second ends there or later
    overlap: Count  # steps from the second's start to the first's end


def random_crops(
    key: RandomKey, *, batch_size: int, num_steps: int, length: int
) -> Crops:
    """Overlapping crops inside a window of `length` steps, which is random itself.

    Drawn one after the other, each uniform in what is left: the overlap's length, 2 or
    more; its place in the window; how far the first crop begins before it and the
    second ends after it; how far the pair is moved, for each series.
    """
    u = jax.random.uniform(key, (5 + batch_size,))
    overlap = integer(u[0], 2, length + 1)
    left = integer(u[1], 0, length - overlap + 1)
    right = left + overlap
    outer_left = integer(u[2], 0, left + 1)
    outer_right = integer(u[3], right, length + 1)
    window = integer(u[4], 0, num_steps - length + 1)
    move = window + integer(u[5:], -outer_left, length - outer_right + 1)
    return Crops(
        first=move + outer_left,
        second=move + left,
        first_length=right - outer_left,
        second_length=outer_right - left,
        overlap=overlap,
    )


def integer(
    u: Float[Array, "*shape"], low: Count | int, high: Count | int
) -> Int[Array, "*shape"]:
    """Integers low..high-1, equally likely for u uniform in [0, 1)."""
    return low + jnp.floor(u * (high - low)).astype(jnp.int32)


# --- the loss -------------------------------------------------------------------------


def hierarchical_contrastive_loss(
    z1: CropEncodings, z2: CropEncodings, length: Count | int
) -> Scalar:
    """TS2Vec's loss of the first `length` steps (Yue et al. 2022, eqs. 1-3).

    The mean over levels of (instance loss + temporal loss) / 2, where a level has the
    pairwise maxima of the one before: length, length // 2, ..., 1 steps. What lies
    beyond `length` has no influence, be it NaN.
    """
    counts = (jnp.arange(z1.shape[1]) < length)[None, :, None]
    z1, z2 = jnp.where(counts, z1, 0.0), jnp.where(counts, z2, 0.0)
    levels = jnp.arange(z1.shape[1].bit_length())
    total = jnp.zeros(())
    for level in range(len(levels)):
        steps = length >> level
        total += (instance_loss(z1, z2, steps) + temporal_loss(z1, z2, steps)) / 2
        z1, z2 = halved(z1), halved(z2)
    return total / jnp.sum(length >> levels > 0)


def halved(z: CropEncodings) -> Float[Array, "B half d"]:
    """The maxima of pairs of steps; a last single step is left out."""
    batch_size, length, features = z.shape
    pairs = z[:, : length // 2 * 2].reshape(batch_size, length // 2, 2, features)
    return pairs.max(axis=2)


def instance_loss(z1: CropEncodings, z2: CropEncodings, steps: Count | int) -> Scalar:
    """At each step: finds a series' other crop among the crops of the batch."""
    if len(z1) == 1:
        return jnp.zeros(())
    crops = jnp.concatenate([z1, z2]).swapaxes(0, 1)
    losses = pair_losses(crops, jnp.full(crops.shape[1], True)).mean(axis=1)
    return mean_of_first(losses, steps)


def temporal_loss(z1: CropEncodings, z2: CropEncodings, steps: Count | int) -> Scalar:
    """In each series: finds a step's other encoding among all steps of both crops."""
    counts = jnp.arange(z1.shape[1]) < steps
    both = jnp.concatenate([z1, z2], axis=1)
    losses = pair_losses(both, jnp.concatenate([counts, counts])).mean(axis=0)
    loss = mean_of_first(jnp.stack(jnp.split(losses, 2)).mean(axis=0), steps)
    return jnp.where(steps > 1, loss, 0.0)


def pair_losses(
    z: Float[Array, "G items d"], counts: Bool[Array, " items"]
) -> Float[Array, "G items"]:
    """-log softmax of each item's likeness to its partner, among all that count.

    In each of G groups. Likeness: inner product. Partners: half the items apart.
    """
    num_items = z.shape[1]
    partners = jnp.roll(z, num_items // 2, axis=1)
    others = counts[None, :] & ~jnp.eye(num_items, dtype=bool)
    likeness = jnp.einsum("gid,gjd->gij", z, z)
    likeness = jnp.where(others[None], likeness, jnp.finfo(z.dtype).min)
    return jax.nn.logsumexp(likeness, axis=-1) - (z * partners).sum(axis=-1)


def mean_of_first(x: Float[Array, " n"], count: Count | int) -> Scalar:
    """Mean of x[:count], 0 where there are none."""
    counts = jnp.arange(len(x)) < count
    return jnp.where(counts, x, 0.0).sum() / jnp.maximum(count, 1)
