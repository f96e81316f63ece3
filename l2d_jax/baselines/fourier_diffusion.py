"""FourierDiffusion: a score-based diffusion of the spectrum of a series.

Crabbe et al., ICML 2024, after the reference implementation
(JonathanCrabbe/FourierDiffusion); transform, noise and reverse step agree with it to
1e-5.

A series becomes its L real Fourier coefficients, each standardised over the training
set. The noise of the variance-preserving SDE is scaled by G, so that it is white in
time:

    x(t) = m(t) x + sqrt(1 - m(t)^2) G z,
    m(t) = exp(-t^2 (b_1 - b_0) / 4 - t b_0 / 2),

and the network learns the score, -G^-1 z / sqrt(1 - m^2), with the weight
1 / sum_l (1 - m^2)^-1 G_l^-2. Sampling is Euler-Maruyama from t = 1 to 1e-5.

As there: a transformer encoder (post-norm, ReLU, dropout), learned positions whose norm
is at most sqrt(width), random Fourier features of t that are not trained. Those are the
same in every run, not drawn with the weights; layers begin with weights of their own,
where the reference's are copies of one. Sampled are the last weights, not those with
the least loss on held-out series.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import parallel
from l2d_jax.layers import attend, dropout, torch_dense, torch_uniform
from l2d_jax.missing import fill_missing
from l2d_jax.networks import dtype_of
from l2d_jax.stages import Stage
from l2d_jax.types import (
    InputError,
    Latent,
    Metrics,
    Params,
    RandomKey,
    Rows,
    Scalar,
    Series,
)

BETA_FIRST, BETA_LAST = 0.1, 20.0
FIRST_TIME = 1e-5  # below it, no score is learned
TIME_SCALE = 30.0  # standard deviation of the frequencies of the features of t
MIN_STD = 1e-6  # of a coefficient, that one which never changes isn't blown up

Spectrum = Float[Array, "L C"]
PerStep = Float[Array, " L"]

# --- the transform --------------------------------------------------------------------


def to_spectrum(x: Series) -> Spectrum:
    """Real parts 0..L/2, then imaginary parts without those that are always 0.

    Orthonormal but for the factor sqrt(2) of all that stand for two conjugate ones.
    """
    spectrum = jnp.fft.rfft(x, axis=0, norm="ortho")
    return jnp.concatenate([spectrum.real, spectrum.imag[1 : (len(x) + 1) // 2]])


def from_spectrum(coefficients: Spectrum) -> Series:
    """The inverse of `to_spectrum`."""
    length = len(coefficients)
    real, inner = coefficients[: length // 2 + 1], coefficients[length // 2 + 1 :]
    end = jnp.zeros_like(coefficients[:1])
    imag = jnp.concatenate([end, inner, end] if length % 2 == 0 else [end, inner])
    return jnp.fft.irfft(jax.lax.complex(real, imag), n=length, axis=0, norm="ortho")


def noise_scale(length: int) -> Float[np.ndarray, " L"]:
    """G: 1 for what has no conjugate (mean, and fastest of an even L), else 1/sqrt(2).

    The spectrum of white noise of variance 1 is G z, z ~ N(0, I).
    """
    scale = np.full(length, math.sqrt(0.5), np.float32)
    scale[0] = 1.0
    if length % 2 == 0:
        scale[length // 2] = 1.0
    return scale


# --- the SDE --------------------------------------------------------------------------


def marginal(x: Spectrum, t: Scalar) -> tuple[Spectrum, PerStep]:
    """Mean [L, C] and standard deviation [L] of x(t), given x(0) = x."""
    log_mean = -0.25 * t**2 * (BETA_LAST - BETA_FIRST) - 0.5 * t * BETA_FIRST
    std = jnp.sqrt(-jnp.expm1(2.0 * log_mean))
    return jnp.exp(log_mean) * x, std * noise_scale(len(x))


def reverse_step(
    x_t: Spectrum, t: Scalar, *, score: Spectrum, z: Spectrum, step_size: float
) -> Spectrum:
    """x(t - step_size): one Euler-Maruyama step of the reverse SDE."""
    beta = BETA_FIRST + t * (BETA_LAST - BETA_FIRST)
    scale = jnp.asarray(noise_scale(len(x_t)))[:, None]
    drift = 0.5 * beta * x_t + beta * scale**2 * score
    return x_t + step_size * drift + jnp.sqrt(step_size * beta) * scale * z


def times(num_steps: int) -> tuple[Float[np.ndarray, " S"], float]:
    """1 down to 1e-5, evenly spaced, and the step between them (for one: nearly 1)."""
    if num_steps == 1:
        return np.ones(1, np.float32), 1.0 - FIRST_TIME
    step_size = (1.0 - FIRST_TIME) / (num_steps - 1)
    return np.linspace(1.0, FIRST_TIME, num_steps, dtype=np.float32), step_size


# --- the network ----------------------------------------------------------------------


class ScoreNetwork(nn.Module):
    """(x(t) [L, C], t in [0, 1]) -> score [L, C]."""

    width: int
    num_layers: int
    num_heads: int
    hidden: int
    dropout: float
    dtype: DTypeLike = jnp.float32  # of the MLPs' products

    @nn.compact
    def __call__(self, x: Spectrum, t: Scalar, training: bool = False) -> Spectrum:
        channels = x.shape[1]
        x = torch_dense(self.width, channels, "embedder")(x)
        position = self.param("position", nn.initializers.normal(1.0), x.shape)
        norms = jnp.linalg.norm(position, axis=-1, keepdims=True)
        shrink = jnp.minimum(1.0, math.sqrt(self.width) / norms)
        x = x + position * jax.lax.stop_gradient(shrink)
        features = time_features(t, self.width)
        time = torch_dense(self.width, self.width, "time")(features)
        x = x + time[None]
        layer = (self.num_heads, self.hidden, self.dropout, self.dtype)
        for i in range(self.num_layers):
            x = Layer(*layer, name=f"layer_{i}")(x, training)
        return torch_dense(channels, self.width, "unembedder")(x)


def time_features(t: Scalar, width: int) -> Float[Array, " width"]:
    """Sine and cosine of 2 pi w t for random w, which are the same in every run."""
    key = jax.random.key(0, impl="threefry2x32")
    with jax.threefry_partitionable(True):  # whatever the user has set
        rates = TIME_SCALE * jax.random.normal(key, ((width + 1) // 2,), jnp.float32)
    angles = 2.0 * math.pi * t * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])[:width]


class Layer(nn.Module):
    """LayerNorm(x + attention(x)), then LayerNorm(x + MLP(x)), with dropout."""

    num_heads: int
    hidden: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "L width"], training: bool
    ) -> Float[Array, "L width"]:
        width, fixed = x.shape[-1], not training

        def drop(y):
            return y if fixed else dropout(self.make_rng("dropout"), self.dropout, y)

        y = nn.MultiHeadDotProductAttention(
            self.num_heads,
            dropout_rate=self.dropout,
            broadcast_dropout=False,
            kernel_init=torch_uniform(4 * width / 6),  # Xavier's, of [width, 3 width]
            out_kernel_init=torch_uniform(width),
            attention_fn=attend,
        )(x, deterministic=fixed)
        y = drop(y)
        x = nn.LayerNorm(epsilon=1e-5)(x + y)
        y = nn.relu(torch_dense(self.hidden, width, "hidden", self.dtype)(x))
        y = drop(y)
        y = torch_dense(width, self.hidden, "back", self.dtype)(y)
        y = drop(y)
        return nn.LayerNorm(epsilon=1e-5)(x + y)


# --- training -------------------------------------------------------------------------


def network(config: ConfigDict | FrozenConfigDict) -> ScoreNetwork:
    """As `config.fourier_diffusion` says."""
    c = config.fourier_diffusion
    if c.width % c.num_heads:
        raise InputError(
            f"--config.fourier_diffusion.width={c.width}: use a multiple of "
            f"{c.num_heads}, its heads"
        )
    return ScoreNetwork(
        c.width, c.num_layers, c.num_heads, c.hidden, c.dropout, dtype_of(config)
    )


def spectra(series: Rows) -> Float[np.ndarray, "N L C"]:
    """Of all series, missing values interpolated."""
    return parallel.map_all(_spectrum_of, (), series)


def _spectrum_of(_: tuple[()], x: Series) -> Spectrum:
    return to_spectrum(fill_missing(x)[0])


def extras(config: ConfigDict, params: Params, series: Rows) -> Params:
    """Mean and standard deviation of each coefficient over the training set."""
    del config, params
    return moments(spectra(series))


def moments(coefficients: Float[np.ndarray, "N L C"]) -> dict[str, np.ndarray]:
    """Mean and standard deviation (that of N - 1, if there are more) over N."""
    ddof = min(1, len(coefficients) - 1)
    std = coefficients.std(axis=0, ddof=ddof, dtype=np.float64).astype(np.float32)
    mean = coefficients.mean(axis=0, dtype=np.float64).astype(np.float32)
    return {"mean": mean, "std": np.maximum(std, MIN_STD)}


def standard_spectra(upstream: Params, series: Rows) -> Float[np.ndarray, "N L C"]:
    """The spectra, each coefficient with mean 0 and deviation 1 over the series."""
    del upstream
    x = spectra(series)
    found = moments(x)
    return (x - found["mean"][None]) / found["std"][None]


def score_loss(
    score_of: Callable[[Spectrum, Scalar], Spectrum],
    x: Spectrum,
    *,
    t: Scalar,
    z: Spectrum,
) -> Scalar:
    """mean(|score + std^-1 z|^2) / sum_l std_l^-2, at one t and one noise z."""
    mean, std = marginal(x, t)
    score = score_of(mean + std[:, None] * z, t)
    weight = 1.0 / jnp.sum(1.0 / std**2)
    return weight * jnp.mean(jnp.square(score + z / std[:, None]))


def stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """The score of the standardised spectrum."""
    model = network(config)

    def init(key: RandomKey) -> Params:
        return model.init(key, jnp.zeros(shape), jnp.float32(0.0))

    def loss(params: Params, key: RandomKey, x: Spectrum) -> tuple[Scalar, Metrics]:
        key_t, key_z, key_dropout = jax.random.split(key, 3)
        t = jax.random.uniform(key_t, minval=FIRST_TIME, maxval=1.0)
        value = score_loss(
            lambda x_t, t: model.apply(
                params, x_t, t, training=True, rngs={"dropout": key_dropout}
            ),
            x,
            t=t,
            z=jax.random.normal(key_z, shape),
        )
        return value, {}

    return Stage(
        "fourier_diffusion",
        init,
        standard_spectra,
        loss,
        lambda params, _: {"fourier_diffusion": params},
    )


# --- sampling -------------------------------------------------------------------------


def decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """The reverse SDE, then back to time."""
    model = network(config)
    num_steps = config.sampling.num_steps or (
        config.fourier_diffusion.num_diffusion_steps
    )
    at, step_size = times(num_steps)
    scale = noise_scale(shape[0])[:, None]

    def run(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0

        def body(x_t, row):
            t, step_key = row
            score = model.apply(params["fourier_diffusion"], x_t, t)
            z = jax.random.normal(step_key, shape)
            x = reverse_step(x_t, t, score=score, z=z, step_size=step_size)
            return x, None

        indices = jnp.arange(1, num_steps + 1)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, indices)
        start = jax.random.normal(jax.random.fold_in(key, 0), shape) * scale
        x, _ = jax.lax.scan(body, start, (jnp.asarray(at), keys))
        return from_spectrum(x * params["std"] + params["mean"])

    return run
