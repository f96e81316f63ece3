"""Diffusion-TS: x_0 = trend + season, by an encoder-decoder transformer.

Yuan & Qiao, ICLR 2024; network, loss and posterior as the reference implementation has
them (Y-debug-sys/Diffusion-TS), to 1e-5.

Every block of the decoder gives a trend (a polynomial of degree 3 and its own mean) and
a season (its strongest frequencies); what it leaves goes on to the next one. The loss
is an L1 distance in time and of the spectra,

    w(t) mean(|x_0 - x_hat| + (sqrt(L) / 5) |F x_0 - F x_hat|),
    w(t) = sqrt(alpha_t (1 - ab_t)) / (100 beta_t).

Simplified in training: two accumulated batches are one of twice the size; weights are
averaged at every step, not at every tenth with .995, with a decay that grows as
(1 + s) / (10 + s) to .995^(1/10): over the last 1,100 of 10,000 steps, where the
reference averages over 2,000; warm-up begins at 0, not at 1e-5, and its steps count for
the plateau. Sampling is ancestral over all steps; with fewer, DDIM with an eta of 0,
whose steps end at 0; the reference's end one stride above: of 500, five are 499, 374,
250, 125, 0 here and 499, 399, 299, 199, 99 there.
"""

import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import diffusion, sampling, schedules
from l2d_jax.layers import Conv1D, Heads, attend, torch_dense, torch_uniform
from l2d_jax.missing import fill_missing
from l2d_jax.networks import dtype_of
from l2d_jax.schedules import NoiseSchedule
from l2d_jax.stages import Stage
from l2d_jax.types import (
    InputError,
    Latent,
    Metrics,
    Params,
    RandomKey,
    Scalar,
    Series,
    Step,
)

TREND_DEGREE = 3
MIN_WIDTH = 4  # sinusoids of the step need two rates

Tokens = Float[Array, "L width"]

# --- the network ----------------------------------------------------------------------


class DiffusionTS(nn.Module):
    """(x_t [L, C], t) -> trend [L, C], season [L, C], whose sum estimates x_0."""

    encoder_layers: int
    decoder_layers: int
    width: int
    num_heads: int
    expansion: int = 4
    kernel_size: int = 0  # of the season's last layer; 0: by the reference's rule
    dtype: DTypeLike = jnp.float32  # of products

    @nn.compact
    def __call__(self, x_t: Series, t: Step) -> tuple[Series, Series]:
        length, channels = x_t.shape
        block = (self.width, self.num_heads, self.expansion, self.dtype)
        embedded = Conv1D(self.width, name="embedding")(x_t)
        memory = embedded + self._position("encoder_position", length)
        for i in range(self.encoder_layers):
            memory = EncoderBlock(*block, name=f"encoder_{i}")(memory, t)
        x = embedded + self._position("decoder_position", length)
        trend, season, means = jnp.zeros(x_t.shape), jnp.zeros(x.shape), []
        for i in range(self.decoder_layers):
            x, mean, block_trend, block_season = DecoderBlock(
                *block, channels, name=f"decoder_{i}"
            )(x, memory, t)
            trend, season = trend + block_trend, season + block_season
            means.append(mean)
        rest = Conv1D(channels, name="rest")(x)
        rest_mean = rest.mean(axis=0, keepdims=True)
        weight = self.param(
            "combine_means", torch_uniform(self.decoder_layers), (self.decoder_layers,)
        )
        mean = weight[None] @ jnp.stack(means)
        kernel_size = self.kernel_size or (1 if channels < 32 and length < 64 else 5)
        season = CircularConv(channels, kernel_size, name="combine_season")(season)
        return mean + rest_mean + trend, season + rest - rest_mean

    def _position(self, name: str, length: int) -> Array:
        def init(key, shape):
            return jax.random.uniform(key, shape, minval=-0.02, maxval=0.02)

        return self.param(name, init, (length, self.width))


class EncoderBlock(nn.Module):
    """x + attention(AdaLN(x, t)), then x + MLP(LayerNorm(x))."""

    width: int
    num_heads: int
    expansion: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Tokens, t: Step) -> Tokens:
        normed = AdaLayerNorm(name="ln1")(x, t)
        x = x + Attention(self.num_heads, self.dtype, name="attn")(normed, normed)
        return x + mlp(self, x)


class DecoderBlock(nn.Module):
    """(x, memory, t) -> x without its mean, that mean as values, a trend, a season."""

    width: int
    num_heads: int
    expansion: int
    dtype: DTypeLike
    channels: int

    @nn.compact
    def __call__(
        self, x: Tokens, memory: Tokens, t: Step
    ) -> tuple[Tokens, Float[Array, " C"], Series, Tokens]:
        normed = AdaLayerNorm(name="ln1")(x, t)
        x = x + Attention(self.num_heads, self.dtype, name="attn1")(normed, normed)
        normed = AdaLayerNorm(name="ln1_1")(x, t)
        x = x + Attention(self.num_heads, self.dtype, name="attn2")(normed, memory)
        both = torch_dense(2 * len(x), len(x), "proj")(x.T).T  # along time
        trend = Trend(self.channels, name="trend")(both[: len(x)])
        season = strongest_frequencies(both[len(x) :])
        x = x + mlp(self, x)
        mean = x.mean(axis=0)
        values = torch_dense(self.channels, self.width, "linear")(mean)
        return x - mean[None], values, trend, season


def mlp(block: nn.Module, x: Tokens) -> Tokens:
    """The second half of a block, whose parameters these are."""
    hidden, dtype = block.expansion * block.width, block.dtype
    y = nn.LayerNorm(epsilon=1e-5, name="ln2")(x)
    y = nn.gelu(torch_dense(hidden, block.width, "mlp_0", dtype)(y), approximate=False)
    return torch_dense(block.width, hidden, "mlp_2", dtype)(y)


class AdaLayerNorm(nn.Module):
    """(1 + scale) LayerNorm(x) + shift, both read off sinusoids of the step."""

    @nn.compact
    def __call__(self, x: Tokens, t: Step) -> Tokens:
        width = x.shape[-1]
        half = width // 2
        rates = jnp.exp(-math.log(10_000.0) / (half - 1) * jnp.arange(0.0, half))
        angles = t.astype(jnp.float32) * rates
        embedding = nn.silu(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)]))
        modulation = torch_dense(2 * width, width, "linear")(embedding)
        scale, shift = jnp.split(modulation[None], 2, axis=-1)
        normed = nn.LayerNorm(epsilon=1e-5, use_scale=False, use_bias=False)(x)
        return normed * (1.0 + scale) + shift


class Attention(nn.Module):
    """Multi-head attention of x to memory, which may be x itself."""

    num_heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Tokens, memory: Tokens) -> Tokens:
        width = x.shape[-1]

        def heads(name: str, tokens: Tokens) -> Heads:
            projected = torch_dense(width, width, name, self.dtype)(tokens)
            return projected.reshape(len(tokens), self.num_heads, -1)

        query, key = heads("query", x), heads("key", memory)
        y = attend(query, key, heads("value", memory))
        return torch_dense(width, width, "proj", self.dtype)(y.reshape(x.shape))


class Trend(nn.Module):
    """A polynomial in time without a constant: sum_p a_p (l / (L + 1))^p, p = 1 to 3.

    The coefficients come from a convolution along features, time being its channels,
    and one along the degree.
    """

    channels: int

    @nn.compact
    def __call__(self, x: Tokens) -> Series:
        length = x.shape[0]
        y = nn.gelu(Conv1D(TREND_DEGREE, name="first")(x.T), approximate=False)
        coefficients = Conv1D(self.channels, name="second")(y.T)  # [degree, C]
        time = np.arange(1, length + 1) / (length + 1)
        powers = np.stack([time**p for p in range(1, TREND_DEGREE + 1)], axis=1)
        return jnp.asarray(powers, jnp.float32) @ coefficients


def strongest_frequencies(x: Tokens) -> Tokens:
    """The int(log F) strongest of F frequencies of each feature, each times L.

    Neither the mean nor the fastest frequency of an even length is among the F.
    """
    length = x.shape[0]
    spectrum = jnp.fft.rfft(x, axis=0)
    inner = spectrum[1:-1] if length % 2 == 0 else spectrum[1:]
    count = int(math.log(max(len(inner), 1)))
    if not count:
        return jnp.zeros_like(x)
    strength = jax.lax.stop_gradient(jnp.abs(inner))  # [F, width]
    weakest = jnp.inf
    for _ in range(count):  # `top_k` is slow under vmap on CPU
        weaker = jnp.where(strength < weakest, strength, -jnp.inf)
        weakest = weaker.max(axis=0, keepdims=True)
    kept = jnp.where(strength >= weakest, inner, 0.0)
    ends = jnp.zeros_like(spectrum[:1])
    padded = [ends, kept, ends] if length % 2 == 0 else [ends, kept]
    return length * jnp.fft.irfft(jnp.concatenate(padded), n=length, axis=0)


class CircularConv(nn.Module):
    """A convolution along time that goes around the ends, without a bias."""

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: Tokens) -> Series:
        width = x.shape[-1]
        init = torch_uniform(self.kernel_size * width)
        kernel = self.param("kernel", init, (self.kernel_size, width, self.features))
        taps = range(self.kernel_size)
        shifted = [jnp.roll(x, self.kernel_size // 2 - tap, axis=0) for tap in taps]
        return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, self.features)


def params_from_torch(state: Mapping[str, np.ndarray]) -> Params:
    """Parameters of `DiffusionTS` from those of the reference implementation.

    `state`: its `state_dict()` as arrays, names such as "encoder.blocks.0.ln1.linear.
    weight".
    """
    names = {"emb.sequential.1": "embedding", "inverse.sequential.1": "rest"}
    params: dict[str, np.ndarray] = {}
    for name, value in state.items():
        path, _, kind = name.rpartition(".")
        if name in ("pos_enc.pe", "pos_dec.pe"):
            side = "encoder" if "enc" in name else "decoder"
            params[f"{side}_position"] = value[0]
            continue
        if path == "combine_m":
            params["combine_means"] = value[0, :, 0]
            continue
        path = names.get(path, path).replace("combine_s", "combine_season")
        path = path.replace(".blocks.", "_").replace("mlp.", "mlp_")
        path = path.replace("trend.trend.0", "trend.first")
        path = path.replace("trend.trend.3", "trend.second")
        if kind == "weight" and value.ndim == 3:
            value = value.transpose(2, 1, 0)  # [out, in, k] -> [k, in, out]
            value = value[0] if path.endswith("proj") else value
        elif kind == "weight" and value.ndim == 2:
            value = value.T
        if path.endswith("ln2") and kind == "weight":
            kind = "scale"
        params[f"{path}.{'kernel' if kind == 'weight' else kind}"] = value
    return {"params": unflatten_dict(params, sep=".")}


# --- training -------------------------------------------------------------------------


def network(config: ConfigDict | FrozenConfigDict) -> DiffusionTS:
    """As `config.diffusion_ts` says."""
    c = config.diffusion_ts
    if c.width % (2 * c.num_heads) or c.width < MIN_WIDTH:
        raise InputError(
            f"--config.diffusion_ts.width={c.width}: use a multiple of "
            f"{2 * c.num_heads}, twice its heads, and {MIN_WIDTH} or more"
        )
    return DiffusionTS(
        c.encoder_layers,
        c.decoder_layers,
        c.width,
        c.num_heads,
        c.expansion,
        c.kernel_size,
        dtype_of(config),
    )


def noise_schedule(config: ConfigDict | FrozenConfigDict) -> NoiseSchedule:
    """Cosine."""
    return schedules.cosine(config.diffusion_ts.num_diffusion_steps)


def loss_weights(schedule: NoiseSchedule) -> Float[np.ndarray, " K"]:
    """w(t), in float64."""
    alpha_bar = np.asarray(schedule.alpha_bar, np.float64)
    alpha = alpha_bar / np.append(1.0, alpha_bar[:-1])
    return np.sqrt(alpha * (1.0 - alpha_bar)) / (1.0 - alpha) / 100.0


def distance(x_hat: Series, x_0: Series) -> tuple[Scalar, Scalar]:
    """Mean L1 distances in time, and of real and imaginary parts of the spectra / L."""
    spectra = jnp.fft.fft(x_hat - x_0, axis=0, norm="forward")
    in_frequency = jnp.abs(spectra.real) + jnp.abs(spectra.imag)
    return jnp.abs(x_hat - x_0).mean(), in_frequency.mean()


def stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """The network, which estimates x_0 = trend + season."""
    model, schedule = network(config), noise_schedule(config)
    weights = loss_weights(schedule).astype(np.float32)
    in_frequency = math.sqrt(shape[0]) / 5.0

    def init(key: RandomKey) -> Params:
        return model.init(key, jnp.zeros(shape), jnp.int32(0))

    def loss(params: Params, key: RandomKey, x: Series) -> tuple[Scalar, Metrics]:
        key_t, key_eps = jax.random.split(key)
        x_0, _ = fill_missing(x)
        t = jax.random.randint(key_t, (), 0, schedule.num_steps)
        eps = jax.random.normal(key_eps, shape)
        x_t = diffusion.q_sample(schedule, x_0=x_0, t=t, eps=eps)
        trend, season = model.apply(params, x_t, t)
        time, frequency = distance(trend + season, x_0)
        value = jnp.asarray(weights)[t] * (time + in_frequency * frequency)
        return value, {"l1": time, "l1_of_spectra": frequency}

    return Stage(
        "diffusion_ts",
        init,
        lambda _, series: series,
        loss,
        lambda params, _: {"diffusion_ts": params},
    )


# --- sampling -------------------------------------------------------------------------


def decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """The chain, from noise; each estimate of x_0 is clipped to the range of the data.

    Solver and steps as the cascade's data chain has them.
    """
    model, schedule, s = network(config), noise_schedule(config), config.sampling

    def run(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0

        def denoise(x_t, t):
            trend, season = model.apply(params["diffusion_ts"], x_t, t)
            return trend + season

        return sampling.sample(
            denoise,
            schedule,
            key,
            shape,
            solver=s.solver,
            num_steps=s.num_steps or None,
            eta=s.eta,
            within=(params["low"][None], params["high"][None]),
        )

    return run
