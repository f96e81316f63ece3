"""The networks, for one example each: TS2Vec, encoder, decoder, F, r_phi, x_theta.

Linen appears only here and in layers.py; everything else sees `init` and `apply`.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from l2d_jax.layers import (
    MLP,
    Conv1D,
    Dense,
    Residual,
    SelfAttention,
    StepEmbedding,
    TimeMixing,
    torch_dense,
)
from l2d_jax.types import Latent, Series, Signal, Step

TimeMask = Bool[Array, " L"]


class TS2Vec(nn.Module):
    """TS2Vec's encoder (Yue et al. 2022): x [L, C] -> a vector per step [L, features].

    A projection of each step, `depth` residual blocks of dilated convolutions of
    `width`, the dilation doubling from 1, and a last block to `features`. Steps with
    a NaN count as hidden.
    """

    features: int = 320
    width: int = 64
    depth: int = 10
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Series,
        visible: TimeMask | None = None,
        inside: TimeMask | None = None,
    ) -> Float[Array, "L features"]:
        """`visible` [L]: hidden steps (False) are zeroed after the projection.

        `inside` [L]: steps outside (False) act as the zero padding beyond the ends,
        so that a crop of any length can be encoded in an array of fixed length.
        """
        observed = ~jnp.isnan(x).any(axis=-1)
        visible = observed if visible is None else visible & observed
        x = jnp.where(observed[:, None], x, 0.0)
        x = torch_dense(self.width, x.shape[-1], "input", self.dtype)(x)
        x = jnp.where(visible[:, None], x, 0.0)
        for i, features in enumerate([self.width] * self.depth + [self.features]):
            x = DilatedBlock(
                features,
                dilation=2**i,
                project=i == self.depth,
                dtype=self.dtype,
                name=f"block_{i}",
            )(x, inside)
        return x


class DilatedBlock(nn.Module):
    """x + conv(gelu(conv(gelu(x)))); x through a dense layer first if asked."""

    features: int
    dilation: int
    project: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "L C"], inside: TimeMask | None
    ) -> Float[Array, "L features"]:
        channels, residual = x.shape[-1], x
        if self.project or channels != self.features:
            projector = torch_dense(self.features, channels, "projector", self.dtype)
            residual = projector(x)
        for name in ("conv1", "conv2"):
            x = nn.gelu(x, approximate=False)
            if inside is not None:
                x = jnp.where(inside[:, None], x, 0.0)
            x = Conv1D(
                self.features, dilation=self.dilation, dtype=self.dtype, name=name
            )(x)
        return x + residual


class Encoder(nn.Module):
    """E: x [L, C] -> r [d]. TS2Vec's trunk, maximum over time, then to d dimensions."""

    latent_dim: int = 8
    width: int = 64
    features: int = 64
    depth: int = 10
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Series, visible: TimeMask | None = None) -> Latent:
        trunk = TS2Vec(self.features, self.width, self.depth, self.dtype, name="ts2vec")
        pooled = trunk(x, visible).max(axis=0)
        return Dense(self.latent_dim, name="head")(pooled)


class ConditionNetwork(nn.Module):
    """F: r [d] -> guidance signal along time [T, width], a CNN (of 5 layers).

    Or, by `kind`, as many layers of self-attention, or of an MLP that each token has
    for itself once r is spread over them.
    """

    num_tokens: int
    width: int = 64
    num_layers: int = 5
    dtype: DTypeLike = jnp.float32
    kind: str = "cnn"

    @nn.compact
    def __call__(self, r: Latent) -> Signal:
        x = Dense(self.num_tokens * self.width, dtype=self.dtype)(r)
        x = x.reshape(self.num_tokens, self.width)
        for _ in range(self.num_layers):
            layer = CONDITION_NETWORKS[self.kind](self.width, self.dtype)
            x = x + layer(nn.silu(x))
        return nn.LayerNorm()(x)


CONDITION_NETWORKS = {
    "cnn": lambda width, dtype: Conv1D(width, dtype=dtype),
    "mlp": lambda width, dtype: Dense(width, dtype=dtype),
    # Normalised: without it logits grow with the square of x, and trainings diverge.
    "attention": lambda width, dtype: nn.Sequential(
        [nn.LayerNorm(), SelfAttention(dtype=dtype)]
    ),
}


class Decoder(nn.Module):
    """D: r [d] -> x [L, C]. The same network as F, read out step by step."""

    length: int
    channels: int
    patch: int = 1
    width: int = 64
    num_layers: int = 5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, r: Latent) -> Series:
        tokens = num_tokens(self.length, self.patch)
        x = ConditionNetwork(tokens, self.width, self.num_layers, self.dtype)(r)
        x = Dense(self.patch * self.channels)(x)
        return from_patches(x, self.length, self.channels)


class LatentDenoiser(nn.Module):
    """r_phi: (r_t [d], t) -> [d], a residual MLP modulated by the step.

    After RCG's RDM (Li et al. 2024), which adds the step's embedding instead.

    With `num_octaves`, sines and cosines of r_t with so many frequencies, 1, 2, 4, ...
    radians a unit, are inputs as well: latents of overlapping windows lie along thin
    curves, which an MLP of r_t alone smooths away (Tancik et al. 2020).
    """

    width: int = 256
    num_blocks: int = 4
    num_octaves: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, r_t: Latent, t: Step) -> Latent:
        step = StepEmbedding(self.width, dtype=self.dtype)(t)
        angles = [r_t * 2.0**octave for octave in range(self.num_octaves)]
        waves = [wave(angle) for wave in (jnp.sin, jnp.cos) for angle in angles]
        inputs = jnp.concatenate([r_t, *waves])
        x = Dense(self.width, dtype=self.dtype)(inputs)
        for _ in range(self.num_blocks):
            x = Residual(MLP(2, dtype=self.dtype), self.dtype)(x, step)
        x = nn.silu(nn.LayerNorm()(x))
        return Dense(r_t.shape[-1], kernel_init=nn.initializers.zeros)(x)


class SeriesDenoiser(nn.Module):
    """x_theta: (x_t [L, C], t, F(r) [T, width]) -> [L, C], T = ceil(L / patch) tokens.

    Blocks of mixing along time and an MLP along features, both modulated by the step.
    `condition` says how F(r) enters: added to the tokens, concatenated with them, or
    as scale and shift before every block (FiLM). Without a signal the model is
    unconditional.
    """

    patch: int = 1
    width: int = 64
    num_blocks: int = 4
    mixing: str = "mlp"
    condition: str = "film"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x_t: Series, t: Step, signal: Signal | None = None) -> Series:
        length, channels = x_t.shape
        step = StepEmbedding(self.width, dtype=self.dtype)(t)
        tokens = to_patches(x_t, self.patch)
        x = Dense(self.width, dtype=self.dtype)(tokens)
        position = nn.initializers.normal(0.02)
        x = x + self.param("position", position, x.shape)
        enter = CONDITIONS[self.condition]
        if signal is not None and enter not in BEFORE_EACH_BLOCK:
            x = enter(x, signal, self.dtype)
        for _ in range(self.num_blocks):
            if signal is not None and enter in BEFORE_EACH_BLOCK:
                x = enter(x, signal, self.dtype)
            x = Residual(MIXERS[self.mixing](dtype=self.dtype), self.dtype)(x, step)
            x = Residual(MLP(4, dtype=self.dtype), self.dtype)(x, step)
        x = nn.LayerNorm()(x)
        x = Dense(self.patch * channels, kernel_init=nn.initializers.zeros)(x)
        return from_patches(x, length, channels)


MIXERS = {"mlp": TimeMixing, "attention": SelfAttention}

Tokens = Float[Array, "T features"]


def added(x: Tokens, signal: Signal, dtype: DTypeLike) -> Tokens:
    """F(r), through a dense layer, added to the tokens."""
    return x + Dense(x.shape[-1], dtype=dtype)(signal)


def concatenated(x: Tokens, signal: Signal, dtype: DTypeLike) -> Tokens:
    """A dense layer of tokens and F(r) side by side."""
    return Dense(x.shape[-1], dtype=dtype)(jnp.concatenate([x, signal], axis=-1))


def modulated(x: Tokens, signal: Signal, dtype: DTypeLike) -> Tokens:
    """Scale and shift of the tokens, read off F(r) (FiLM, Perez et al. 2018)."""
    film = Dense(2 * x.shape[-1], dtype=dtype)(signal)
    scale, offset = jnp.split(film, 2, axis=-1)
    return x * (1.0 + scale) + offset


# (tokens, F(r), dtype) -> tokens, inside the denoiser, whose the layers are.
CONDITIONS: dict[str, Callable[[Tokens, Signal, DTypeLike], Tokens]] = {
    "add": added,
    "concat": concatenated,
    "film": modulated,
}
BEFORE_EACH_BLOCK = (modulated,)  # the others enter once, before the first


def num_tokens(length: int, patch: int) -> int:
    """T of a series of L steps."""
    return math.ceil(length / patch)


def to_patches(x: Float[Array, "L C"], patch: int) -> Float[Array, "T features"]:
    """Consecutive groups of `patch` steps as one token each; the last padded with 0."""
    length, channels = x.shape
    tokens = num_tokens(length, patch)
    x = jnp.pad(x, ((0, tokens * patch - length), (0, 0)))
    return x.reshape(tokens, patch * channels)


def from_patches(
    tokens: Float[Array, "T features"], length: int, channels: int
) -> Float[Array, "L C"]:
    """The inverse of `to_patches`."""
    return tokens.reshape(-1, channels)[:length]
