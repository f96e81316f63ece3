from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.layers import (
    MLP,
    Conv1D,
    Dense,
    Residual,
    SelfAttention,
    StepEmbedding,
    TimeMixing,
    along_time,
    attend,
    dropout,
    matmul,
    shift,
    transposed,
)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 4, 16])
def test_conv_equals_the_primitive(kernel_size, dilation):
    x = jax.random.normal(jax.random.key(0), (9, 3))
    layer = Conv1D(4, kernel_size=kernel_size, dilation=dilation)
    params = layer.init(jax.random.key(1), x)
    expected = jax.lax.conv_general_dilated(
        x[None],
        params["params"]["kernel"],
        window_strides=(1,),
        padding="SAME",
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )[0]
    expected = expected + params["params"]["bias"][None]
    np.testing.assert_allclose(layer.apply(params, x), expected, atol=1e-5)


def test_shift_moves_and_fills_with_zeros():
    x = jnp.arange(1.0, 5.0)[:, None]
    assert shift(x, 1)[:, 0].tolist() == [2, 3, 4, 0]
    assert shift(x, -2)[:, 0].tolist() == [0, 0, 1, 2]
    assert shift(x, 0)[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 6, 5)])
def test_dense_is_that_of_flax(shape):
    """The same parameters, initial values and numbers."""
    x = jax.random.normal(jax.random.key(0), shape)
    params = Dense(4).init(jax.random.key(1), x)
    expected = nn.Dense(4).init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    params["params"]["bias"] = jnp.arange(4.0)
    np.testing.assert_allclose(
        Dense(4).apply(params, x), nn.Dense(4).apply(params, x), atol=1e-6
    )


def test_time_mixing_is_an_mlp_of_the_transpose():
    x = jax.random.normal(jax.random.key(0), (6, 5))
    layer, mlp = TimeMixing(), MLP(2)
    params = layer.init(jax.random.key(1), x)
    inner = jax.tree.map(
        lambda p: (
            p + 0.1 * jnp.arange(1.0, 1 + p.shape[-1]).reshape(p[:1].shape)
            if p.ndim == 2
            else p + jnp.arange(1.0, 1 + p.shape[0])
        ),
        params["params"]["MLP_0"],
    )
    np.testing.assert_allclose(
        layer.apply({"params": {"MLP_0": inner}}, x),
        mlp.apply({"params": inner}, x.T).T,
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5)])
def test_a_float32_product_has_the_derivatives_of_a_product(shape):
    """Forward and in reverse, of a single example, of each of a batch, and of both."""
    keys = jax.random.split(jax.random.key(0), 4)
    x, dx = (jax.random.normal(key, shape) for key in keys[:2])
    kernel, d_kernel = (jax.random.normal(key, (5, 7)) for key in keys[2:])

    def ours(x, kernel):
        return matmul(x, kernel, jnp.float32)

    y, dy = jax.jvp(ours, (x, kernel), (dx, d_kernel))
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(y, np.asarray(x) @ np.asarray(kernel))
    close(dy, np.asarray(dx) @ kernel + np.asarray(x) @ d_kernel)
    g = np.cos(y)  # the slope of sin

    def total(x, kernel):
        return jnp.sin(ours(x, kernel)).sum()

    def rows(a):
        return np.asarray(a).reshape(-1, a.shape[-1])

    by_x, by_kernel = jax.grad(total, (0, 1))(x, kernel)
    close(by_x, g @ kernel.T)
    close(by_kernel, rows(x).T @ rows(g))
    if x.ndim > 1:
        by_x, each = jax.vmap(jax.grad(total, (0, 1)), (0, None))(x, kernel)
        close(by_x, g @ kernel.T)
        close(each.sum(axis=0), rows(x).T @ rows(g))
        of_all = jax.grad(lambda k: jax.vmap(total, (0, None))(x, k).sum())(kernel)
        close(of_all, rows(x).T @ rows(g))


@pytest.mark.parametrize(("k", "n"), [(3, 7), (7, 3), (1, 1)])
def test_a_bfloat16_product_rounds_factors_only(k, n):
    """So do its gradients: of a batch, with the kernel shared by all examples."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (4, 5, k))
    g = jax.random.normal(keys[1], (4, 5, n))
    kernel = jax.random.normal(keys[2], (k, n))

    def total(x, kernel):
        y = jax.vmap(lambda x: matmul(x, kernel, jnp.bfloat16))(x)
        assert y.dtype == jnp.float32
        return (y * g).sum(), y

    (_, y), gradients = jax.value_and_grad(total, (0, 1), has_aux=True)(x, kernel)
    x, g, kernel = (
        np.asarray(a.astype(jnp.bfloat16), np.float64) for a in (x, g, kernel)
    )
    np.testing.assert_allclose(y, x @ kernel, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradients[0], g @ kernel.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        gradients[1], np.einsum("btk,btn->kn", x, g), rtol=1e-5, atol=1e-5
    )


def test_a_bfloat16_product_of_a_batch_of_kernels():
    keys = jax.random.split(jax.random.key(0), 2)
    x, kernel = (
        jax.random.normal(keys[0], (4, 5)),
        jax.random.normal(keys[1], (4, 5, 3)),
    )
    y = jax.vmap(lambda x, kernel: matmul(x, kernel, jnp.bfloat16))(x, kernel)
    np.testing.assert_allclose(y, jnp.einsum("bk,bkn->bn", x, kernel), atol=0.1)


def test_a_bfloat16_product_in_a_loop_of_each_example():
    """As sampling has it: `vmap` outside, `scan` inside."""
    x = jax.random.normal(jax.random.key(0), (4, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3)) / 2

    def loop(x):
        body = lambda x, _: (matmul(x, kernel, jnp.bfloat16), None)  # noqa: E731
        return jax.lax.scan(body, x, None, length=2)[0]

    y = jax.jit(jax.vmap(loop))(x)
    np.testing.assert_allclose(y, x @ kernel @ kernel, atol=0.05)


def test_transposed_is_the_transpose():
    x = jnp.arange(15.0).reshape(3, 5)
    np.testing.assert_array_equal(transposed(x), x.T)
    np.testing.assert_array_equal(transposed(x[:, :1]), x[:, :1].T)


def test_a_product_along_time_of_a_batch():
    """Values and both gradients, of a batch and of one example."""
    kernel = jax.random.normal(jax.random.key(0), (5, 7))
    x = jax.random.normal(jax.random.key(1), (3, 5, 2))
    weights = jax.random.normal(jax.random.key(2), (3, 7, 2))

    def batch(kernel, x):
        return (jax.vmap(along_time, (None, 0))(kernel, x) * weights).sum()

    for_kernel, for_x = jax.grad(batch, (0, 1))(kernel, x)
    y = jax.vmap(along_time, (None, 0))(kernel, x)
    near = partial(np.testing.assert_allclose, atol=1e-5)
    near(y, np.einsum("ts,btw->bsw", kernel, x))
    near(for_kernel, np.einsum("btw,bsw->ts", x, weights))
    near(for_x, np.einsum("ts,bsw->btw", kernel, weights))
    one = jax.grad(lambda k: (along_time(k, x[0]) * weights[0]).sum())(kernel)
    near(one, np.einsum("tw,sw->ts", x[0], weights[0]))


def test_time_mixing_treats_features_alike():
    """Features are exchanged by permuting them; steps are mixed."""
    x = jax.random.normal(jax.random.key(0), (6, 5))
    layer = TimeMixing()
    params = layer.init(jax.random.key(1), x)
    order = jnp.array([3, 1, 4, 0, 2])
    y = layer.apply(params, x)
    np.testing.assert_allclose(layer.apply(params, x[:, order]), y[:, order], atol=1e-6)
    jacobian = jax.jacobian(lambda x: layer.apply(params, x))(x)
    across_features = jacobian * (1 - jnp.eye(5))[None, :, None, :]
    assert jnp.abs(across_features).max() == 0
    assert jnp.abs(jacobian[0, 0, 5, 0]) > 0


def test_mlp_treats_tokens_alike():
    x = jax.random.normal(jax.random.key(0), (6, 5))
    layer = MLP()
    params = layer.init(jax.random.key(1), x)
    np.testing.assert_allclose(
        layer.apply(params, x)[2], layer.apply(params, x[2:3])[0], atol=1e-6
    )


def test_mlp_by_hand():
    """gelu by the tanh formula, between layers of 3 times and of the width."""
    x = jax.random.normal(jax.random.key(0), (6, 5))
    layer = MLP(3)
    params = layer.init(jax.random.key(1), x)
    params = jax.tree.map(lambda p: p + 0.1, params)
    one, other = (params["params"][f"Dense_{i}"] for i in range(2))
    assert one["kernel"].shape == (5, 15)
    h = np.asarray(x @ one["kernel"] + one["bias"][None])
    h = h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    expected = h @ other["kernel"] + other["bias"][None]
    np.testing.assert_allclose(layer.apply(params, x), expected, atol=1e-5)


@pytest.mark.parametrize("fan_in", [4, 100])
def test_layers_begin_as_those_of_pytorch(fan_in):
    """Kernel and bias uniform up to 1 / sqrt(fan in), taps times channels."""
    x = jnp.zeros((7, fan_in // 4))
    params = Conv1D(2_000, kernel_size=4).init(jax.random.key(0), x)["params"]
    for values in (params["kernel"], params["bias"]):
        assert 0.99 < jnp.abs(values).max() * np.sqrt(fan_in) <= 1.0
        assert jnp.std(values) * np.sqrt(3 * fan_in) == pytest.approx(1.0, rel=0.05)


class Tanh(nn.Module):
    def __call__(self, x):
        return jnp.tanh(x)


def test_residual_is_the_identity_before_training_and_the_formula_after():
    x = jax.random.normal(jax.random.key(0), (6, 5))
    step = jax.random.normal(jax.random.key(1), (7,))
    layer = Residual(Tanh())
    params = layer.init(jax.random.key(2), x, step)
    np.testing.assert_array_equal(layer.apply(params, x, step), x)

    kernel = jax.random.normal(jax.random.key(3), (7, 15))
    params["params"]["Dense_0"]["kernel"] = kernel
    scale, offset, gate = np.split(np.asarray(step @ kernel), 3)
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    expected = x + gate[None] * np.tanh(normed * (1 + scale[None]) + offset[None])
    np.testing.assert_allclose(layer.apply(params, x, step), expected, atol=1e-5)


def test_every_step_has_its_own_embedding():
    layer = StepEmbedding(32)
    params = layer.init(jax.random.key(0), jnp.int32(0))
    rows = jax.vmap(lambda t: layer.apply(params, t))(jnp.arange(100))
    distances = jnp.linalg.norm(rows[:, None] - rows[None], axis=-1)
    assert (distances + jnp.eye(100)).min() > 1e-3


def test_step_embedding_by_hand():
    """Sines, then cosines, of t 10000^(-2 i / n); two dense layers, silu after each."""
    layer = StepEmbedding(3, num_sinusoids=4)
    params = layer.init(jax.random.key(0), jnp.int32(0))
    params = jax.tree.map(lambda p: p + 0.1, params)
    angles = 37 * np.array([1.0, 0.01])
    x = np.concatenate([np.sin(angles), np.cos(angles)])
    for i in range(2):
        dense = params["params"][f"Dense_{i}"]
        x = x @ dense["kernel"] + dense["bias"]
        x = x / (1 + np.exp(-x))
    np.testing.assert_allclose(layer.apply(params, jnp.int32(37)), x, rtol=1e-4)


def test_attention_is_that_of_flax():
    query, key, value = (
        jax.random.normal(jax.random.key(i), (length, 3, 4))
        for i, length in enumerate((5, 7, 7))
    )
    found = attend(query, key, value)
    expected = nn.dot_product_attention(query, key, value)
    np.testing.assert_allclose(found, expected, atol=1e-6)

    rng = jax.random.key(3)
    of = {"dropout_rng": rng, "dropout_rate": 0.5}
    np.testing.assert_array_equal(attend(query, key, value, **of), found)
    logits = np.einsum("lhe,mhe->hlm", query, key) / 2
    weights = dropout(rng, 0.5, jax.nn.softmax(logits))
    np.testing.assert_allclose(
        attend(query, key, value, **of, deterministic=False),
        np.einsum("hlm,mhe->lhe", weights, value),
        atol=1e-6,
    )


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.75])
def test_dropout_keeps_each_value_or_makes_it_0(rate):
    """Of neighbours, which share a random number, each by its own half of it."""
    x = jnp.full((3, 50_001), 2.0)  # odd
    y = np.asarray(dropout(jax.random.key(0), rate, x))
    kept = y != 0.0
    np.testing.assert_allclose(y[kept], 2.0 / (1.0 - rate), rtol=1e-6)
    deviation = np.sqrt(rate * (1.0 - rate) / x.size)
    assert abs(kept.mean() - (1.0 - rate)) <= 4.0 * deviation
    both = kept.reshape(-1)[:-1].reshape(-1, 2).all(axis=1).mean()
    assert abs(both - (1.0 - rate) ** 2) <= 4.0 * np.sqrt(2.0) * deviation
    other = np.asarray(dropout(jax.random.key(1), rate, x))
    assert (other == y).all() == (rate == 0.0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_self_attention_rounds_factors_only(dtype):
    """Its four products as those of dense layers; all else is float32."""
    x = jax.random.normal(jax.random.key(0), (5, 8))
    layer = SelfAttention(num_heads=2, dtype=dtype)
    params = layer.init(jax.random.key(1), x)
    (p,) = params["params"].values()
    query, key, value = (
        matmul(x, p[name]["kernel"].reshape(8, 8), dtype).reshape(5, 2, 4)
        for name in ("query", "key", "value")
    )
    seen = attend(query, key, value).reshape(5, 8)
    expected = matmul(seen, p["out"]["kernel"].reshape(8, 8), dtype)
    found = layer.apply(params, x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_attention_of_bfloat16_factors_is_in_float32():
    """Of rounded factors that of just these values: nothing else is rounded."""
    rounded = [
        jax.random.normal(jax.random.key(i), (6, 2, 4)).astype(jnp.bfloat16)
        for i in range(3)
    ]
    found = attend(*rounded)
    exact = attend(*(x.astype(jnp.float32) for x in rounded))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, exact)
