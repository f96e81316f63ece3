"""Building blocks: for one example each, batched by `vmap` at the border.

No convolution primitive is used: inside `lax.scan` it is some 30 times slower on CPU
than the same sum of shifted matrix products (`python benchmarks/conv_in_scan.py`).
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from l2d_jax.types import RandomKey, Step

NUM_HEADS = 4  # of attention

Heads = Float[Array, "L H e"]


def torch_uniform(fan_in: int | float) -> jax.nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default, which TS2Vec relies on."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def matmul(
    x: Float[Array, "*T K"], kernel: Float[Array, "K N"], dtype: DTypeLike
) -> Float[Array, "*T N"]:
    """x @ kernel, summed in float32; its factors, and those of gradients, as `dtype`.

    In bfloat16 differentiate a batch, `grad` of `vmap`: there is no gradient of a
    single example.
    """
    if jnp.dtype(dtype) != jnp.float32:
        return _matmul_in(jnp.dtype(dtype))(x, kernel)
    return _in_float32(x, kernel) if jax.default_backend() == "cpu" else x @ kernel


@jax.custom_jvp
def _in_float32(
    x: Float[Array, "*T K"], kernel: Float[Array, "K N"]
) -> Float[Array, "*T N"]:
    """x @ kernel, whose gradient by the kernel is g^T x, turned afterwards.

    XLA's CPU backend makes x^T g of it, and turns all of g first, which is larger, if
    nothing stands between.
    """
    return x @ kernel


@_in_float32.defjvp
def _in_float32_jvp(primals, tangents):
    (x, kernel), (dx, d_kernel) = primals, tangents
    transposed_kernel = jax.lax.optimization_barrier(d_kernel.T)
    rows = (((x.ndim - 1,), (1,)), ((), ()))
    by_kernel = jax.lax.dot_general(x, transposed_kernel, rows)
    return x @ kernel, dx @ kernel + by_kernel


@lru_cache
def _matmul_in(dtype: jnp.dtype) -> Callable:
    """Products in the one form that XLA's CPU backend hands to AMX as it is.

    That is [R, K] @ [K, N], both in `dtype`, with float32 out. Anything else (a
    contraction over rows, an output in `dtype`) is computed in float32 there, at an
    eighth of the rate. So `vmap` becomes more rows, and gradients turn a factor first.
    """

    def dot(a, b):
        return jax.lax.dot(a, b, preferred_element_type=jnp.float32)

    @jax.custom_vjp
    def rows(x, kernel):
        return dot(x.astype(dtype), kernel.astype(dtype))

    def forward(x, kernel):
        factors = x.astype(dtype), kernel.astype(dtype)
        return dot(*factors), factors

    def backward(factors, g):
        x, kernel = factors
        g = g.astype(dtype)
        if x.shape[1] <= g.shape[1]:  # the smaller of the two is turned
            return dot(g, transposed(kernel)), dot(transposed(x), g)
        return dot(g, transposed(kernel)), transposed(dot(transposed(g), x))

    rows.defvjp(forward, backward)

    def any_rank(x, kernel):
        y = rows(x.reshape(-1, x.shape[-1]), kernel)
        return y.reshape(*x.shape[:-1], -1)

    product = jax.custom_batching.custom_vmap(any_rank)

    @product.def_vmap
    def batched(axis_size, in_batched, x, kernel):
        del axis_size
        if not in_batched[1]:
            return any_rank(x, kernel), True
        axes = tuple(0 if is_batched else None for is_batched in in_batched)
        return jax.vmap(any_rank, axes)(x, kernel), True

    return product


def transposed(x: Float[Array, "R K"]) -> Float[Array, "K R"]:
    """x.T; on CPU in two parts, so that the compiler can't undo it."""
    if jax.default_backend() != "cpu":
        return x.T
    half = x.shape[1] // 2
    return jnp.concatenate([x[:, :half].T, x[:, half:].T])


def along_time(
    kernel: Float[Array, "T S"], x: Float[Array, "T width"]
) -> Float[Array, "S width"]:
    """kernel^T x; on CPU a product for each example, also under `vmap`.

    XLA would make one of all examples there, and turn every array around for it, which
    takes longer than what it saves. It can't where each has a kernel of its own.
    Which of the two is chosen where the program is compiled: it may be exported.
    """

    def of_each(kernel, x):
        return of_all(kernel + 0.0 * jax.lax.stop_gradient(x[0, 0]), x)

    def of_all(kernel, x):
        return kernel.T @ x

    return jax.lax.platform_dependent(kernel, x, cpu=of_each, default=of_all)


class Dense(nn.Module):
    """x kernel + bias along the last axis, or along the first: kernel^T x + bias."""

    features: int
    axis: int = -1
    kernel_init: jax.nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: jax.nn.initializers.Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        shape = (x.shape[self.axis], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, shape[1:])
        if self.axis == 0:  # too short to gain from `dtype`
            return along_time(kernel, x) + bias[:, None]
        bias = bias.reshape((1,) * (x.ndim - 1) + (-1,))
        return matmul(x, kernel, self.dtype) + bias


def torch_dense(
    features: int, fan_in: int, name: str, dtype: DTypeLike = jnp.float32
) -> Dense:
    """A dense layer that begins as PyTorch's do, with factors in `dtype`."""
    init = torch_uniform(fan_in)
    return Dense(features, kernel_init=init, bias_init=init, dtype=dtype, name=name)


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
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", init, (self.features,))
        offsets = [
            (tap - self.kernel_size // 2) * self.dilation
            for tap in range(self.kernel_size)
        ]
        seen = [tap for tap, offset in enumerate(offsets) if abs(offset) < length]
        shifted = [shift(x, offsets[tap]) for tap in seen]
        kernel = jnp.concatenate([kernel[tap] for tap in seen], axis=0)
        x = jnp.concatenate(shifted, axis=-1)
        return matmul(x, kernel, self.dtype) + bias[None]


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
        frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(0.0, half) / half)
        angles = t.astype(jnp.float32) * frequencies
        x = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
        x = nn.silu(Dense(self.features, dtype=self.dtype)(x))
        return nn.silu(Dense(self.features, dtype=self.dtype)(x))


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
        modulation = Dense(
            3 * width, kernel_init=nn.initializers.zeros, dtype=self.dtype
        )(step)
        # One row for all tokens; [1, width] where x is [T, width].
        modulation = modulation.reshape((1,) * (x.ndim - 1) + (3 * width,))
        scale, offset, gate = jnp.split(modulation, 3, axis=-1)
        normed = nn.LayerNorm(use_scale=False, use_bias=False)(x)
        return x + gate * self.inner(normed * (1.0 + scale) + offset)


class MLP(nn.Module):
    """Two dense layers along an axis, hidden width `expansion` times as wide."""

    expansion: int = 4
    axis: int = -1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*T width"]) -> Float[Array, "*T width"]:
        width = x.shape[self.axis]
        x = Dense(self.expansion * width, self.axis, dtype=self.dtype)(x)
        return Dense(width, self.axis, dtype=self.dtype)(nn.gelu(x))


class TimeMixing(nn.Module):
    """An MLP along time, the same for every feature (Tolstikhin et al. 2021)."""

    expansion: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "T width"]) -> Float[Array, "T width"]:
        return MLP(self.expansion, axis=0, dtype=self.dtype)(x)


def attend(
    query: Heads,
    key: Float[Array, "M H e"],
    value: Float[Array, "M H e"],
    dropout_rng: RandomKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = True,
) -> Heads:
    """softmax(q k^T / sqrt(e)) v for each head: an `attention_fn` of Flax.

    Heads come first in its products: under `vmap` on CPU Flax's own, with the heads
    between, is slower. In float32, whatever it is given.
    """
    query, key, value = (
        x.swapaxes(0, 1).astype(jnp.float32) for x in (query, key, value)
    )
    scaled = query / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.einsum("hle,hme->hlm", scaled, key))
    if dropout_rate and not deterministic:
        assert dropout_rng is not None
        weights = dropout(dropout_rng, dropout_rate, weights)
    return jnp.einsum("hlm,hme->hle", weights, value).swapaxes(0, 1)


def dropout(
    key: RandomKey, rate: float, x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """0 with probability `rate`, rounded to 1 / 65,536, else x / (1 - rate).

    By 16 random bits each: `nn.Dropout`, with more, takes longer on CPU.
    """
    words = jax.random.bits(key, ((x.size + 1) // 2,), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)
    kept = halves[: x.size].reshape(x.shape).astype(jnp.uint32) >= round(rate * 2**16)
    return jnp.where(kept, x / (1.0 - rate), 0.0)


def dot_general(
    x: Float[Array, "T *K"],
    kernel: Float[Array, "*K_and_N"],
    dimensions: tuple,
    precision: None = None,
    *,
    dtype: DTypeLike,
) -> Float[Array, "T *N"]:
    """`matmul` as a `dot_general` of Flax: the last axes of x, the first of kernel."""
    del precision
    count = len(dimensions[0][0])
    inner, outer = kernel.shape[:count], kernel.shape[count:]
    rows = x.reshape(*x.shape[: x.ndim - count], math.prod(inner))
    y = matmul(rows, kernel.reshape(math.prod(inner), -1), dtype)
    return y.reshape(*rows.shape[:-1], *outer)


class SelfAttention(nn.Module):
    """Full multi-head self-attention along time."""

    num_heads: int = NUM_HEADS
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "T width"]) -> Float[Array, "T width"]:
        dot = partial(dot_general, dtype=self.dtype)
        return nn.MultiHeadDotProductAttention(
            self.num_heads,
            attention_fn=attend,
            qkv_dot_general=dot,
            out_dot_general=dot,
        )(x)
