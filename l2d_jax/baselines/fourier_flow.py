"""FourierFlow: a normalising flow of the spectrum of a series.

Alaa, Chan & van der Schaar, ICLR 2021, after the reference implementation
(ahmedmalaa/Fourier-flows). Real and imaginary parts of the spectrum are two views,
standardised over the training set; affine couplings transform one given the other, in
turn,

    y = x exp(s(other)) + m(other),

with s and m of two hidden sigmoid layers, and the likelihood is exact.

Multivariate: theirs is for one channel. Here the channels lie side by side in each
view, so that all of one view decides about all of the other; how others extended it is
not public. Without the 0 that is put before a series there, for an odd length: real and
imaginary parts without those that are always 0 are as many as the values of the series,
for any length. And batches, of the same number of steps, where they take all series at
once.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax.baselines.fourier_diffusion import (
    from_spectrum,
    standard_spectra,
)
from l2d_jax.layers import torch_uniform
from l2d_jax.stages import Stage
from l2d_jax.types import Latent, Metrics, Params, RandomKey, Scalar, Series

Spectrum = Float[Array, "L C"]
View = Float[Array, " _"]  # of all channels


class Coupling(nn.Module):
    """other -> (s, m) of the view that is transformed."""

    hidden: int
    features: int

    @nn.compact
    def __call__(self, other: View) -> tuple[View, View]:
        return self._net("scale", other), self._net("shift", other)

    def _net(self, name: str, x: View) -> View:
        x = x if len(x) else jnp.zeros(1)  # no weight without an entry: none is saved
        for i, features in enumerate((self.hidden, self.hidden, self.features)):
            init = torch_uniform(len(x))
            x = nn.Dense(
                features, kernel_init=init, bias_init=init, name=f"{name}_{i}"
            )(x if i == 0 else nn.sigmoid(x))
        return x


class Flow(nn.Module):
    """Standardised spectrum [L, C] <-> z [L, C]; the first coupling gives new imags."""

    num_flows: int
    hidden: int

    @nn.compact
    def __call__(self, x: Spectrum, inverse: bool = False) -> tuple[Spectrum, Scalar]:
        """(z, log |dz/dx|), or from z back to x, and log |dx/dz|."""
        num_real = len(x) // 2 + 1
        views = [x[:num_real].reshape(-1), x[num_real:].reshape(-1)]
        log_det = jnp.float32(0.0)
        order = range(self.num_flows)
        for i in reversed(order) if inverse else order:
            changed = 1 - i % 2
            if not views[changed].size:  # of two steps all coefficients are real
                continue
            coupling = Coupling(self.hidden, views[changed].size, name=f"coupling_{i}")
            scale, shift = coupling(views[1 - changed])
            if inverse:
                views[changed] = (views[changed] - shift) * jnp.exp(-scale)
                log_det = log_det - scale.sum()
            else:
                views[changed] = views[changed] * jnp.exp(scale) + shift
                log_det = log_det + scale.sum()
        channels = x.shape[1]
        return jnp.concatenate([v.reshape(-1, channels) for v in views]), log_det


def network(config: ConfigDict | FrozenConfigDict) -> Flow:
    """As `config.fourier_flow` says."""
    c = config.fourier_flow
    return Flow(c.num_flows, c.hidden)


def log_prior(z: Spectrum) -> Scalar:
    """log N(z; 0, I)."""
    return -0.5 * jnp.sum(jnp.square(z)) - 0.5 * z.size * jnp.log(2.0 * jnp.pi)


def stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """By maximum likelihood of the standardised spectra, in nats per series."""
    model = network(config)

    def init(key: RandomKey) -> Params:
        return model.init(key, jnp.zeros(shape))

    def loss(params: Params, key: RandomKey, x: Spectrum) -> tuple[Scalar, Metrics]:
        del key
        z, log_det = model.apply(params, x)
        return -log_prior(z) - log_det, {}

    return Stage(
        "fourier_flow",
        init,
        standard_spectra,
        loss,
        lambda params, _: {"fourier_flow": params},
    )


def decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """z ~ N(0, I), backwards through the flow, and back to time."""
    model = network(config)

    def run(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0
        z = jax.random.normal(key, shape)
        x, _ = model.apply(params["fourier_flow"], z, inverse=True)
        return from_spectrum(x * params["std"] + params["mean"])

    return run
