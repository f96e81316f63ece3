import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.layers import MLP, Conv1D, Residual, StepEmbedding, TimeMixing, shift


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
