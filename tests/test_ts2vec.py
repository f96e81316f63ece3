"""The network of Context-FID and its training: closed forms and the reference code."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from l2d_jax.metrics.context_fid import (
    ENCODER,
    MAX_TRAIN_LENGTH,
    OPTIMIZER,
    batch_rows,
    centred,
    contrastive_loss,
    encode,
    encode_crop,
    hierarchical_contrastive_loss,
    in_sections,
    mean_of_iterates,
    params_from_torch,
    random_crops,
    train_encoder,
    train_encoders,
    training_series,
)
from l2d_jax.models import TS2Vec

# The function has the name of its module.
context_fid_module = importlib.import_module("l2d_jax.metrics.context_fid")
NAN = float("nan")


# --- the encoder ----------------------------------------------------------------------


def torch_params(file):
    """The reference's parameters by our names, in our layout."""
    prefix = "param/"
    return params_from_torch(
        {name.removeprefix(prefix): file[name] for name in file if prefix in name}
    )


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("small", TS2Vec(features=16, width=8, depth=3)), ("default", ENCODER)],
)
def test_encoder_is_the_reference(reference_dir, name, encoder):
    with np.load(reference_dir / f"ts2vec_{name}.npz") as file:
        params, x, y, pooled = torch_params(file), file["x"], file["y"], file["pooled"]
    mine = jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, x)
    np.testing.assert_allclose(mine, y, atol=2e-6, rtol=1e-5)
    if encoder is ENCODER:
        one_repeat = jax.tree.map(lambda leaf: leaf[None], params)
        np.testing.assert_allclose(encode(one_repeat, x)[0], pooled, atol=2e-6)


# --- the loss -------------------------------------------------------------------------


loss_of = jax.jit(hierarchical_contrastive_loss)
loss_and_gradients_of = jax.jit(
    jax.value_and_grad(hierarchical_contrastive_loss, argnums=(0, 1))
)


def test_loss_is_the_reference(reference_dir):
    with np.load(reference_dir / "ts2vec_loss.npz") as file:
        z1, z2 = file["z1"], file["z2"]
        expected = float(file["hierarchical_contrastive"])
    assert float(loss_of(z1, z2, z1.shape[1])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("length", range(1, 14))
def test_loss_of_equal_encodings(length):
    # All likenesses equal, so every softmax is uniform: over 2 B - 1 crops, and over
    # 2 T - 1 steps.
    batch_size, steps, levels = 5, length, []
    while steps:
        temporal = math.log(2 * steps - 1)
        levels.append((math.log(2 * batch_size - 1) + temporal) / 2)
        steps //= 2
    z = jnp.ones((batch_size, 13, 7))
    assert float(loss_of(z, z, length)) == pytest.approx(np.mean(levels), rel=1e-5)


def test_loss_of_one_series_is_temporal_only():
    z = jnp.ones((1, 4, 3))
    expected = (math.log(7) + math.log(3) + 0.0) / 2 / 3
    assert float(loss_of(z, z, 4)) == pytest.approx(expected)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 12])
def test_loss_ignores_what_lies_beyond(length):
    z1, z2 = jax.random.normal(jax.random.key(0), (2, 5, 13, 7))
    garbage = jnp.where(jnp.arange(13) < length, 0.0, NAN)[None, :, None]
    exact, exact_gradients = loss_and_gradients_of(
        z1[:, :length], z2[:, :length], length
    )
    loss, gradients = loss_and_gradients_of(z1 + garbage, z2 + garbage, length)
    assert float(loss) == pytest.approx(float(exact), rel=1e-6)
    for mine, expected in zip(gradients, exact_gradients, strict=True):
        np.testing.assert_allclose(mine[:, :length], expected, atol=1e-6)
        assert not mine[:, length:].any()


# --- crops ----------------------------------------------------------------------------


def draw_crops(count, *, num_steps, length):
    keys = jax.random.split(jax.random.key(0), count)

    def draw(key):
        return random_crops(key, batch_size=4, num_steps=num_steps, length=length)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw))(keys))


@pytest.mark.parametrize(
    ("num_steps", "length"), [(2, 2), (3, 3), (24, 24), (40, 30), (4500, 3000)]
)
def test_crops_lie_inside_and_overlap(num_steps, length):
    c = draw_crops(2000, num_steps=num_steps, length=length)
    ends = c.first + c.first_length[:, None], c.second + c.second_length[:, None]
    assert (c.first >= 0).all() and (ends[1] <= num_steps).all()
    assert (c.first <= c.second).all() and (ends[0] <= ends[1]).all()
    np.testing.assert_array_equal(
        ends[0] - c.second, np.broadcast_to(c.overlap[:, None], c.second.shape)
    )
    assert (ends[1] - c.first <= length).all()
    # The pair is moved as one, and every overlap from 2 steps on turns up.
    assert (np.ptp(c.second - c.first, axis=1) == 0).all()
    assert c.overlap.min() >= 2 and c.overlap.max() <= length
    if length <= 30:
        assert set(c.overlap.tolist()) == set(range(2, length + 1))
        assert c.first.min() == 0 and ends[1].max() == num_steps


def test_crops_are_drawn_as_published():
    # All draws of three steps, by hand: (first start, second start, first length,
    # second length, overlap) of one series, and their probabilities.
    expected = {}
    for overlap in (2, 3):
        for left in range(3 - overlap + 1):
            for outer_left in range(left + 1):
                for outer_right in range(left + overlap, 4):
                    moves = range(-outer_left, 3 - outer_right + 1)
                    for move in moves:
                        crop = (
                            outer_left + move,
                            left + move,
                            left + overlap - outer_left,
                            outer_right - left,
                            overlap,
                        )
                        p = 1 / 2 / (4 - overlap) / (left + 1)
                        p /= (4 - left - overlap) * len(moves)
                        expected[crop] = expected.get(crop, 0.0) + p
    assert sum(expected.values()) == pytest.approx(1.0)
    c = draw_crops(20_000, num_steps=3, length=3)
    drawn = np.stack(
        [c.first[:, 0], c.second[:, 0], c.first_length, c.second_length, c.overlap], 1
    )
    values, counts = np.unique(drawn, axis=0, return_counts=True)
    assert set(map(tuple, values.tolist())) == set(expected)
    for value, count in zip(values.tolist(), counts, strict=True):
        assert count / 20_000 == pytest.approx(expected[tuple(value)], abs=0.015)


def test_encoded_crop_is_that_of_the_exact_slice(monkeypatch):
    encoder = TS2Vec(features=5, width=4, depth=1)
    monkeypatch.setattr(context_fid_module, "ENCODER", encoder)
    x = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)
    params = jax.jit(encoder.init)(jax.random.key(2), x)
    visible = np.arange(12) % 3 != 1
    encode_padded, encode_exactly = jax.jit(encode_crop), jax.jit(encoder.apply)
    for start, length in [(0, 12), (11, 1), (3, 6)]:
        z = encode_padded(params, x, start, length, visible)
        exact = encode_exactly(params, x[start : start + length], visible[:length])
        np.testing.assert_allclose(z[:length], exact, atol=1e-6)


class Echo:
    """Says of each step what it is, and NaN where it is hidden or beyond the crop."""

    @staticmethod
    def apply(params, x, visible, inside):
        return jnp.where((visible & inside)[:, None], x, NAN)


def test_crops_are_compared_where_they_overlap(monkeypatch):
    """Nothing masked or dropped: a step of both crops against itself, times 1 / .9."""
    asked = []

    def all_kept(key, p, shape):
        asked.append((key, p, shape))
        return jnp.full(shape, True)

    monkeypatch.setattr(context_fid_module, "ENCODER", Echo)
    monkeypatch.setattr(jax.random, "bernoulli", all_kept)
    batch = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)

    @jax.jit
    def loss_and_crops(key, batch):
        crop_key, *_ = jax.random.split(key, 3)
        crops = random_crops(crop_key, batch_size=4, num_steps=6, length=6)
        return contrastive_loss({}, key, batch), crops.second, crops.overlap

    for seed in range(6):
        loss, starts, overlap = loss_and_crops(jax.random.key(seed), batch)
        pairs = zip(batch, starts.tolist(), strict=True)
        z = np.stack([np.roll(one, -start, axis=0) for one, start in pairs]) / 0.9
        expected = loss_of(z, z, overlap)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    # Half of the steps of 8 crops are shown, nine tenths of their encodings kept.
    (mask_key, *shown), (dropout_key, *kept) = asked
    assert (shown, kept) == ([0.5, (8, 6)], [0.9, (8, 6, 3)])
    assert mask_key is not dropout_key


# --- what is trained on ---------------------------------------------------------------


def test_batches_are_epochs_without_their_rest():
    rows = batch_rows(np.random.default_rng(0), 21, 7)
    assert rows.shape == (7, 8)
    for epoch in (rows[:2], rows[2:4], rows[4:6]):
        assert len(set(epoch.ravel().tolist())) == 16
        assert 0 <= epoch.min() and epoch.max() < 21
    assert rows[:2].tolist() != rows[2:4].tolist()
    assert batch_rows(np.random.default_rng(0), 5, 3).shape == (3, 5)


def test_short_series_are_moved_to_the_middle():
    series = np.array([[1, 2, 3, 4, 5], [1, 2, NAN, NAN, NAN], [NAN, NAN, NAN, 1, NAN]])
    expected = [[1, 2, 3, 4, 5], [NAN, 1, 2, NAN, NAN], [NAN, NAN, 1, NAN, NAN]]
    np.testing.assert_array_equal(centred(series[..., None])[..., 0], expected)


def test_series_without_values_are_left_out():
    series = np.ones((3, 4, 2))
    series[1] = NAN
    np.testing.assert_array_equal(training_series(series), np.ones((2, 4, 2)))


def test_very_long_series_are_cut():
    x = np.arange(2.0 * 6001).reshape(2, 6001, 1)
    first, second = x[:, :3001], x[:, 3001:]
    second = np.pad(second, ((0, 0), (0, 1), (0, 0)), constant_values=NAN)
    np.testing.assert_array_equal(in_sections(x), np.concatenate([first, second]))
    x = x[:, : 2 * MAX_TRAIN_LENGTH - 1]
    np.testing.assert_array_equal(in_sections(x), x)


@pytest.mark.parametrize(("num_series", "num_iterations"), [(1000, 200), (1001, 600)])
def test_length_of_training(monkeypatch, num_series, num_iterations):
    monkeypatch.setattr(
        context_fid_module, "cached", lambda _, keys, rows, series: (keys, rows)
    )
    keys, rows = train_encoders(np.zeros((num_series, 50, 2)), num_repeats=3, seed=0)
    assert rows.shape == (3, num_iterations, 8)
    data = [*map(bytes, rows), *map(bytes, np.asarray(jax.random.key_data(keys)))]
    assert len(set(data)) == 6, "repeats share their randomness"
    other_keys, other_rows = train_encoders(
        np.zeros((num_series, 50, 2)), num_repeats=3, seed=1
    )
    assert (rows != other_rows).any()
    assert (jax.random.key_data(keys) != jax.random.key_data(other_keys)).all()
    fewer, _ = train_encoders(np.zeros((num_series, 50, 2)), num_repeats=2, seed=0)
    assert (jax.random.key_data(fewer) == jax.random.key_data(keys)[:2]).all()


# --- training -------------------------------------------------------------------------


def test_mean_of_iterates_of_a_geometric_series():
    # Gradient descent on x^2 / 2 + x * 0: x_k = x_0 (1 - lr)^k.
    lr, num_steps, start = 0.1, 30, jnp.asarray([2.0, -1.0])
    mean = mean_of_iterates(
        lambda params, x: (params["x"] ** 2).sum() / 2 + x * 0.0,
        {"x": start},
        jnp.zeros(num_steps),
        optax.sgd(lr),
    )
    factor = (1 - (1 - lr) ** (num_steps + 1)) / lr / (num_steps + 1)
    np.testing.assert_allclose(mean["x"], start * factor, rtol=1e-5)


def test_mean_of_iterates_takes_the_inputs_in_order():
    # Steps to each input in turn (lr 1 on half the squared distance).
    mean = mean_of_iterates(
        lambda x, target: (x - target) ** 2 / 2,
        jnp.asarray(4.0),
        jnp.asarray([1.0, 10.0]),
        optax.sgd(1.0),
    )
    assert float(mean) == pytest.approx((4 + 1 + 10) / 3)


def test_each_iteration_has_a_batch_and_randomness_of_its_own(monkeypatch):
    encoder = TS2Vec(features=2, width=2, depth=1)
    monkeypatch.setattr(context_fid_module, "ENCODER", encoder)
    monkeypatch.setattr(
        context_fid_module,
        "contrastive_loss",
        lambda params, key, batch: (jax.random.key_data(key), batch),
    )
    monkeypatch.setattr(
        context_fid_module,
        "mean_of_iterates",
        lambda loss, params, inputs, _: jax.vmap(lambda x: loss(params, x))(inputs),
    )
    rows = jnp.array([[0, 1], [3, 2], [3, 2]])
    series = jax.random.normal(jax.random.key(1), (4, 5, 1))
    keys, batches = train_encoder(jax.random.key(0), rows, series)
    assert len(np.unique(keys, axis=0)) == 3
    np.testing.assert_array_equal(batches, series[rows])


def test_optimizer_is_that_of_pytorch():
    # AdamW's first step: p (1 - lr * decay) - lr * sign(g).
    params, grads = jnp.asarray([2.0, -3.0]), jnp.asarray([0.5, 1e-3])
    updates, _ = OPTIMIZER.update(grads, OPTIMIZER.init(params), params)
    expected = params * (1 - 1e-3 * 0.01) - 1e-3
    np.testing.assert_allclose(params + updates, expected, rtol=1e-6)


def test_training_lowers_the_loss_of_ragged_series(monkeypatch):
    encoder = TS2Vec(features=8, width=8, depth=1)
    monkeypatch.setattr(context_fid_module, "ENCODER", encoder)
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (64, 1)) + np.arange(12)[None] * rng.uniform(
        0, 2, (64, 1)
    )
    series = np.stack([np.sin(phase), np.cos(phase)], axis=-1)
    for one, length in zip(series, rng.integers(2, 13, 64), strict=True):
        one[length:] = NAN
    series = training_series(series)
    params = jax.jit(encoder.init)(jax.random.key(1), series[0])
    state, losses = OPTIMIZER.init(params), []

    @jax.jit
    def step(params, state, key, batch):
        loss, gradient = jax.value_and_grad(contrastive_loss)(params, key, batch)
        updates, state = OPTIMIZER.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    keys = jax.random.split(jax.random.key(0), 400)
    for key, rows in zip(keys, batch_rows(rng, 64, 400), strict=True):
        params, state, loss = step(params, state, key, series[rows])
        losses.append(float(loss))
    assert np.mean(losses[-100:]) < np.mean(losses[:100]) - 0.1
