import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.layers import MLP, Residual, StepEmbedding, TimeMixing
from l2d_jax.models import (
    ConditionNetwork,
    Decoder,
    Encoder,
    LatentDenoiser,
    SeriesDenoiser,
    TS2Vec,
    from_patches,
    to_patches,
)


def test_patches_hold_consecutive_steps():
    x = jnp.arange(10.0).reshape(5, 2)
    tokens = to_patches(x, 2)
    assert tokens.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]
    np.testing.assert_array_equal(from_patches(tokens, 5, 2), x)


def test_a_crop_in_a_longer_array_is_encoded_as_if_alone():
    """`inside` stands for the padding beyond the ends, at every layer."""
    x = jax.random.normal(jax.random.key(0), (20, 3))
    model = TS2Vec(features=6, width=5, depth=3)
    params = model.init(jax.random.key(1), x)
    alone = model.apply(params, x[:13])
    inside = jnp.arange(20) < 13
    np.testing.assert_allclose(
        model.apply(params, x, inside=inside)[:13], alone, atol=1e-5
    )
    assert jnp.abs(model.apply(params, x)[:13] - alone).max() > 1e-3


def test_ts2vec_begins_as_that_of_pytorch():
    """Kernel and bias of its dense layers uniform up to 1 / sqrt(fan in)."""
    model = TS2Vec(features=300, width=400, depth=1)
    params = model.init(jax.random.key(0), jnp.zeros((2, 9)))["params"]
    for layer, fan_in in ((params["input"], 9), (params["block_1"]["projector"], 400)):
        for values in (layer["kernel"], layer["bias"]):
            assert 0.98 < jnp.abs(values).max() * np.sqrt(fan_in) <= 1.0


def test_a_step_with_nan_counts_as_hidden():
    x = jax.random.normal(jax.random.key(0), (12, 3))
    model = TS2Vec(features=6, width=5, depth=2)
    params = model.init(jax.random.key(1), x)
    visible = jnp.arange(12) != 4
    with_nan = x.at[4, 1].set(jnp.nan)
    np.testing.assert_array_equal(
        model.apply(params, with_nan), model.apply(params, x, visible)
    )


def test_encoder_is_a_head_on_the_maximum_over_time():
    x = jax.random.normal(jax.random.key(0), (12, 3))
    model = Encoder(latent_dim=4, width=5, features=6, depth=2)
    params = model.init(jax.random.key(1), x)
    trunk = TS2Vec(features=6, width=5, depth=2)
    pooled = trunk.apply({"params": params["params"]["ts2vec"]}, x).max(axis=0)
    head = params["params"]["head"]
    np.testing.assert_allclose(
        model.apply(params, x), pooled @ head["kernel"] + head["bias"], rtol=1e-5
    )


def test_denoisers_start_from_zero():
    """Zero-initialised heads: the first x_0 estimate is 0, the mean of the data."""
    x, t = jax.random.normal(jax.random.key(0), (9, 3)), jnp.int32(5)
    signal = jax.random.normal(jax.random.key(1), (5, 7))
    model = SeriesDenoiser(patch=2, width=8, num_blocks=1)
    params = model.init(jax.random.key(2), x, t, signal)
    assert jnp.abs(model.apply(params, x, t, signal)).max() == 0.0
    assert jnp.std(params["params"]["position"]) == pytest.approx(0.02, rel=0.5)
    latent = LatentDenoiser(width=8, num_blocks=1)
    params = latent.init(jax.random.key(2), x[:, 0], t)
    assert jnp.abs(latent.apply(params, x[:, 0], t)).max() == 0.0


def test_waves_of_the_latent_have_its_period():
    """With the rows of r_t itself zero, a shift by 2 pi changes nothing, by 1 it does.

    Inputs in order: r_t, then all sines, then all cosines, each by octave.
    """
    r, t = jax.random.normal(jax.random.key(0), (3,)), jnp.int32(5)
    model = LatentDenoiser(width=8, num_blocks=1, num_octaves=3)
    params = perturbed(model.init(jax.random.key(2), r, t))
    kernel = params["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (3 + 2 * 3 * 3, 8)
    params["params"]["Dense_0"]["kernel"] = kernel.at[:3].set(0.0)
    y = model.apply(params, r, t)
    np.testing.assert_allclose(model.apply(params, r + 2 * np.pi, t), y, atol=1e-4)
    assert jnp.abs(model.apply(params, r + 1.0, t) - y).max() > 1e-2


def perturbed(params, seed=7):
    leaves, treedef = jax.tree.flatten(params)
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(len(leaves))]
    noisy = [
        leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(treedef, noisy)


@pytest.mark.parametrize("condition", ["add", "concat", "film"])
@pytest.mark.parametrize("mixing", ["mlp", "attention"])
@pytest.mark.parametrize("patch", [1, 4])
def test_every_output_depends_on_every_step_on_t_and_on_the_signal(
    condition, mixing, patch
):
    x = jax.random.normal(jax.random.key(0), (9, 2))
    num_tokens = -(-9 // patch)
    signal = jax.random.normal(jax.random.key(1), (num_tokens, 6))
    model = SeriesDenoiser(patch, 8, 1, mixing, condition)
    params = perturbed(model.init(jax.random.key(2), x, jnp.int32(5), signal))
    jacobian = jax.jacobian(lambda x: model.apply(params, x, jnp.int32(5), signal))(x)
    assert jnp.abs(jacobian).min() > 0
    by_signal = jax.jacobian(lambda s: model.apply(params, x, jnp.int32(5), s))(signal)
    assert (jnp.abs(by_signal).max(axis=(2, 3)) > 0).all()
    other = model.apply(params, x, jnp.int32(6), signal)
    assert jnp.abs(other - model.apply(params, x, jnp.int32(5), signal)).max() > 1e-3


def test_condition_network_and_decoder_depend_on_all_of_r():
    r = jax.random.normal(jax.random.key(0), (4,))
    for model in (ConditionNetwork(5, 6, 5), Decoder(5, 2, 2, 6, 5)):
        params = model.init(jax.random.key(1), r)
        jacobian = jax.jacobian(lambda r, m=model, p=params: m.apply(p, r))(r)
        assert (jnp.abs(jacobian).max(axis=(0, 1)) > 0).all()


# --- in the order of their parts, by their formulas -----------------------------------


def dense(params, name, x):
    return x @ params[name]["kernel"] + params[name]["bias"][None]


def layer_norm(params, x):
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    if params is None:
        return x
    return x * params["scale"][None] + params["bias"][None]


def silu(x):
    return x / (1 + np.exp(-x))


def test_condition_network_by_hand():
    """Tokens of r, then x + layer(silu(x)) as often as there are layers."""
    r = jax.random.normal(jax.random.key(0), (4,))
    model = ConditionNetwork(5, 6, num_layers=3, kind="mlp")
    params = perturbed(model.init(jax.random.key(1), r))
    p = params["params"]
    x = dense(p, "Dense_0", r[None]).reshape(5, 6)
    for i in range(1, 4):
        x = x + dense(p, f"Dense_{i}", silu(x))
    expected = layer_norm(p["LayerNorm_0"], x)
    np.testing.assert_allclose(model.apply(params, r), expected, atol=1e-5)


def test_decoder_reads_the_tokens_out_step_by_step():
    r = jax.random.normal(jax.random.key(0), (4,))
    model = Decoder(length=5, channels=2, patch=3, width=6, num_layers=2)
    params = perturbed(model.init(jax.random.key(1), r))
    tokens = ConditionNetwork(2, 6, 2).apply(
        {"params": params["params"]["ConditionNetwork_0"]}, r
    )
    out = np.asarray(dense(params["params"], "Dense_0", tokens))
    expected = out.reshape(2 * 3, 2)[:5]  # 3 steps a token, the last one cut off
    np.testing.assert_allclose(model.apply(params, r), expected, atol=1e-5)


def test_latent_denoiser_by_hand():
    """Waves of 1 and 2 radians a unit, blocks modulated by t, silu, the way back."""
    r, t = jax.random.normal(jax.random.key(0), (3,)), jnp.int32(5)
    model = LatentDenoiser(width=8, num_blocks=2, num_octaves=2)
    params = perturbed(model.init(jax.random.key(2), r, t))
    p = params["params"]
    step = StepEmbedding(8).apply({"params": p["StepEmbedding_0"]}, t)
    waves = [np.sin(r), np.sin(2 * r), np.cos(r), np.cos(2 * r)]
    x = dense(p, "Dense_0", np.concatenate([r, *waves])[None])[0]
    for i in range(2):
        block = {"params": p[f"Residual_{i}"] | {"inner": p[f"MLP_{i}"]}}
        x = Residual(MLP(2)).apply(block, x, step)
    x = silu(layer_norm(p["LayerNorm_0"], x[None]))
    expected = dense(p, "Dense_1", x)[0]
    np.testing.assert_allclose(model.apply(params, r, t), expected, rtol=1e-3)


@pytest.mark.parametrize("condition", ["add", "concat", "film", ""])
def test_series_denoiser_by_hand(condition):
    """F(r) once at the start, or as scale and shift before each block; "": without."""
    x_t, t = jax.random.normal(jax.random.key(0), (5, 2)), jnp.int32(5)
    signal = jax.random.normal(jax.random.key(1), (3, 6)) if condition else None
    model = SeriesDenoiser(2, 8, 2, "mlp", condition or "film")
    params = perturbed(model.init(jax.random.key(2), x_t, t, signal))
    p = params["params"]
    step = StepEmbedding(8).apply({"params": p["StepEmbedding_0"]}, t)
    x = dense(p, "Dense_0", to_patches(x_t, 2)) + p["position"]
    number = 1  # of the next dense layer
    if condition == "add":
        x = x + dense(p, "Dense_1", signal)
    if condition == "concat":
        x = dense(p, "Dense_1", np.concatenate([x, signal], axis=1))
    number += condition in ("add", "concat")
    for i in range(2):
        if condition == "film":
            scale, shift = np.split(dense(p, f"Dense_{number}", signal), 2, axis=1)
            x, number = x * (1 + scale) + shift, number + 1
        for k, part in enumerate((TimeMixing(), MLP(4))):
            name = f"{type(part).__name__}_{i}"
            block = {"params": p[f"Residual_{2 * i + k}"] | {"inner": p[name]}}
            x = Residual(part).apply(block, x, step)
    out = dense(p, f"Dense_{number}", layer_norm(p["LayerNorm_0"], x))
    expected = from_patches(out, 5, 2)
    found = model.apply(params, x_t, t, signal)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_bfloat16_stays_close_and_gives_float32():
    x, t = jax.random.normal(jax.random.key(0), (9, 3)), jnp.int32(5)
    model = SeriesDenoiser(width=8, num_blocks=2)
    params = perturbed(model.init(jax.random.key(2), x, t))
    half = SeriesDenoiser(width=8, num_blocks=2, dtype=jnp.bfloat16)
    y, y_half = model.apply(params, x, t), half.apply(params, x, t)
    assert y_half.dtype == jnp.float32
    assert jnp.abs(y - y_half).max() < 0.1 * jnp.abs(y).max()
    assert jnp.abs(y - y_half).max() > 0
