"""Building blocks: for one example each, batched by `vmap` at the border.

No convolution primitive is used: inside `lax.scan` it is some 30 times slower on CPU
than the same sum of shifted matrix products (see benchmarks/).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from l2d_jax.types import Step


def torch_uniform(fan_in: int) -> jax.nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default, which TS2Vec relies on."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv1D(nn.Module):
    """Convolution along time with zero padding: [L, C] -> [L, features].

    y[l] = bias + sum_k x[l + (k - kernel_size // 2) * dilation] kernel[k], as
    `lax.conv_general_dilated` with padding SAME, for odd kernel sizes. Taps that
    only ever see padding (|offset| >= L) are left out.
    """

    features: int
    kernel_size: int = 3
    dilation: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "L C"]) -> Float[Array, "L features"]:
        length, channels = x.shape
        shape = (self.kernel_size, channels, self.features)
        init = torch_uniform(self.kernel_size * channels)
        kernel = self.param("kernel", init, shape).astype(self.dtype)
        bias = self.param("bias", init, (self.features,)).astype(self.dtype)
        offsets = [
            (tap - self.kernel_size // 2) * self.dilation
            for tap in range(self.kernel_size)
        ]
        seen = [tap for tap, offset in enumerate(offsets) if abs(offset) < length]
        shifted = [shift(x.astype(self.dtype), offsets[tap]) for tap in seen]
        kernel = jnp.concatenate([kernel[tap] for tap in seen], axis=0)
        return jnp.concatenate(shifted, axis=-1) @ kernel + bias[None]


def shift(x: Float[Array, "L C"], offset: int) -> Float[Array, "L C"]:
    """y[l] = x[l + offset], zero outside."""
    length = x.shape[0]
    if offset >= 0:
        return jnp.pad(x[offset:], ((0, offset), (0, 0)))
    return jnp.pad(x[: length + offset], ((-offset, 0), (0, 0)))


class StepEmbedding(nn.Module):
    """Sinusoids of the step index, then two dense layers: t -> [features]."""

    features: int
    num_sinusoids: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, t: Step) -> Float[Array, " features"]:
        half = self.num_sinusoids // 2
        frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(half) / half)
        angles = t.astype(jnp.float32) * frequencies
        x = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)]).astype(self.dtype)
        x = nn.silu(nn.Dense(self.features, dtype=self.dtype)(x))
        return nn.silu(nn.Dense(self.features, dtype=self.dtype)(x))


class Residual(nn.Module):
    """x + gate * f((1 + scale) * LayerNorm(x) + shift), the three read off the step.

    AdaLN-zero (Peebles & Xie 2023): `gate` starts at 0, so a new block is the identity.
    """

    inner: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*T width"], step: Float[Array, " e"]
    ) -> Float[Array, "*T width"]:
        width = x.shape[-1]
        modulation = nn.Dense(
            3 * width, kernel_init=nn.initializers.zeros, dtype=self.dtype
        )(step)
        # One row for all tokens; [1, width] where x is [T, width].
        modulation = modulation.reshape((1,) * (x.ndim - 1) + (3 * width,))
        scale, offset, gate = jnp.split(modulation, 3, axis=-1)
        normed = nn.LayerNorm(use_scale=False, use_bias=False, dtype=self.dtype)(x)
        return x + gate * self.inner(normed * (1.0 + scale) + offset)


class MLP(nn.Module):
    """Two dense layers over the last axis, hidden width `expansion` times as wide."""

    expansion: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*T width"]) -> Float[Array, "*T width"]:
        width = x.shape[-1]
        x = nn.gelu(nn.Dense(self.expansion * width, dtype=self.dtype)(x))
        return nn.Dense(width, dtype=self.dtype)(x)


class TimeMixing(nn.Module):
    """An MLP along time, the same for every feature (Tolstikhin et al. 2021)."""

    expansion: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "T width"]) -> Float[Array, "T width"]:
        return MLP(self.expansion, self.dtype)(x.T).T


class SelfAttention(nn.Module):
    """Full multi-head self-attention along time."""

    num_heads: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "T width"]) -> Float[Array, "T width"]:
        return nn.MultiHeadDotProductAttention(self.num_heads, dtype=self.dtype)(x)
