"""TimeGAN: a generator in the latent space of an autoencoder, with a supervisor.

Yoon, Jarrett & van der Schaar, NeurIPS 2019, after the reference implementation
(jsyoon0823/TimeGAN). Five recurrent networks, all of GRU layers and a dense one:
embedder x -> h, recovery h -> x, generator z -> e, supervisor h_{l} -> h_{l+1}, and a
discriminator of latent sequences. z ~ U(0, 1)^C at each step; a series is
recovery(supervisor(generator(z))). Trained in three phases, each a stage:

embedding    embedder and recovery:  10 sqrt(MSE of x)
supervised   supervisor:             S = MSE of h_{l+1} (no gradient reaches generator)
joint        twice: generator, supervisor: U + U_e + 100 sqrt(S) + 100 V, and
             embedder, recovery: 10 sqrt(MSE) + .1 S; then the discriminator, if its
             loss is above .15

U, U_e: cross-entropies of passing for real, after the supervisor and before it; V: the
distance of means and standard deviations of the batch at each step. These are functions
of means over the batch, which is why the stages bring their own `Updater`; the means
are over all devices. A step of the joint phase takes three batches, which lie side by
side in one.

Series are scaled to [0, 1] by the range of each channel, as there. Where lengths
differ, the networks run over the padding too, beside a validity channel; the reference
stops at each series' end, and generates with the lengths of the data.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import parallel
from l2d_jax.layers import matmul
from l2d_jax.missing import fill_missing
from l2d_jax.stages import Stage, Updater, value_range
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

GAMMA = 1.0  # weight of the adversarial losses before the supervisor
GOOD_ENOUGH = 0.15  # loss below which the discriminator isn't trained
BATCHES = 3  # of a step of the joint phase

Sequence = Float[Array, "L features"]

# --- networks -------------------------------------------------------------------------


class Recurrent(nn.Module):
    """GRU layers of one width, then a dense layer, squashed to (0, 1) or not."""

    num_layers: int
    width: int
    features: int
    squashed: bool = True

    @nn.compact
    def __call__(self, x: Sequence) -> Float[Array, "L out"]:
        for i in range(self.num_layers):
            x = GRU(self.width, name=f"gru_{i}")(x)
        init = nn.initializers.glorot_uniform()
        x = nn.Dense(self.features, kernel_init=init, name="out")(x)
        return nn.sigmoid(x) if self.squashed else x


class GRU(nn.Module):
    """h' = u h + (1 - u) tanh(W [x, r h] + b), as TensorFlow 1 has it: from h = 0.

    Gates begin open: their bias is 1.
    """

    width: int

    @nn.compact
    def __call__(self, x: Sequence) -> Float[Array, "L width"]:
        inputs, width = x.shape[-1], self.width
        init = nn.initializers.glorot_uniform()
        gates = self.param("gates", init, (inputs + width, 2 * width))
        gates_bias = self.param("gates_bias", nn.initializers.ones, (2 * width,))
        new = self.param("new", init, (inputs + width, width))
        new_bias = self.param("new_bias", nn.initializers.zeros, (width,))
        # What depends on x alone is computed for all steps at once.
        x_gates = matmul(x, gates[:inputs], x.dtype) + gates_bias[None]
        x_new = matmul(x, new[:inputs], x.dtype) + new_bias[None]

        def step(h, row):
            for_gates, for_new = row
            r, u = jnp.split(nn.sigmoid(for_gates + h @ gates[inputs:]), 2)
            h = u * h + (1.0 - u) * jnp.tanh(for_new + (r * h) @ new[inputs:])
            return h, h

        return jax.lax.scan(step, jnp.zeros(width), (x_gates, x_new))[1]


class Networks(NamedTuple):
    """The five of them."""

    embedder: Recurrent
    recovery: Recurrent
    generator: Recurrent
    supervisor: Recurrent
    discriminator: Recurrent


def networks(config: ConfigDict | FrozenConfigDict, channels: int) -> Networks:
    """As `config.time_gan_embedding` says, for series of so many channels."""
    c = config.time_gan_embedding
    return Networks(
        embedder=Recurrent(c.num_layers, c.width, c.width),
        recovery=Recurrent(c.num_layers, c.width, channels),
        generator=Recurrent(c.num_layers, c.width, c.width),
        supervisor=Recurrent(max(c.num_layers - 1, 1), c.width, c.width),
        discriminator=Recurrent(c.num_layers, c.width, 1, squashed=False),
    )


# --- losses ---------------------------------------------------------------------------


class Turn(NamedTuple):
    """A loss, and the networks that it trains."""

    networks: tuple[str, ...]
    statistics: Callable[[Params, RandomKey, Series], Params]  # of one series
    loss: Callable[[Params], tuple[Scalar, Metrics]]  # of their means over the batch


def make_turns(nets: Networks) -> dict[str, Turn]:
    """All losses of the three phases."""

    def run(params, name, x):
        return getattr(nets, name).apply(params[name], x)

    def autoencoding(params, key, x):
        del key
        h = run(params, "embedder", x)
        x_hat = run(params, "recovery", h)
        return {"mse": jnp.mean(jnp.square(x - x_hat)), "s": supervised(params, h)}

    def supervised(params, h):
        return jnp.mean(jnp.square(h[1:] - run(params, "supervisor", h)[:-1]))

    def supervising(params, key, x):
        del key
        return {"s": supervised(params, run(params, "embedder", x))}

    def generated(params, key, x):
        e = run(params, "generator", jax.random.uniform(key, x.shape))
        return e, run(params, "supervisor", e)

    def generating(params, key, x):
        e, h = generated(params, key, x)
        x_hat = run(params, "recovery", h)
        return {
            "u": cross_entropy(run(params, "discriminator", h), real=True),
            "u_e": cross_entropy(run(params, "discriminator", e), real=True),
            "s": supervised(params, run(params, "embedder", x)),
            "fake": {"x": x_hat, "squares": jnp.square(x_hat)},
            "real": {"x": x, "squares": jnp.square(x)},
        }

    def discriminating(params, key, x):
        e, h = generated(params, key, x)
        h_real = run(params, "embedder", x)
        return {
            "real": cross_entropy(run(params, "discriminator", h_real), real=True),
            "fake": cross_entropy(run(params, "discriminator", h), real=False),
            "fake_e": cross_entropy(run(params, "discriminator", e), real=False),
        }

    autoencoder, generator = ("embedder", "recovery"), ("generator", "supervisor")
    return {
        "embedding": Turn(autoencoder, autoencoding, embedding_loss),
        "supervised": Turn(("supervisor",), supervising, supervised_loss),
        "generator": Turn(generator, generating, generator_loss),
        "autoencoder": Turn(autoencoder, autoencoding, autoencoder_loss),
        "discriminator": Turn(("discriminator",), discriminating, discriminator_loss),
    }


def cross_entropy(logits: Sequence, *, real: bool) -> Scalar:
    """-log sigmoid(y) where it should say real, -log(1 - sigmoid(y)) where fake."""
    return jnp.mean(jax.nn.softplus(-logits if real else logits))


def embedding_loss(m: Params) -> tuple[Scalar, Metrics]:
    """10 sqrt(MSE)."""
    return 10.0 * jnp.sqrt(m["mse"]), {"mse": m["mse"]}


def supervised_loss(m: Params) -> tuple[Scalar, Metrics]:
    """S."""
    return m["s"], {}


def generator_loss(m: Params) -> tuple[Scalar, Metrics]:
    """U + U_e + 100 sqrt(S) + 100 V."""
    v = moments_distance(m["fake"], m["real"])
    loss = m["u"] + GAMMA * m["u_e"] + 100.0 * jnp.sqrt(m["s"]) + 100.0 * v
    return loss, {"adversarial": m["u"], "supervised": m["s"], "moments": v}


def moments_distance(fake: Params, real: Params) -> Scalar:
    """Mean |difference of standard deviations| + |difference of means|."""

    def std(of):
        variance = jnp.maximum(of["squares"] - jnp.square(of["x"]), 0.0)
        return jnp.sqrt(variance + 1e-6)

    means = jnp.abs(fake["x"] - real["x"])
    return jnp.mean(jnp.abs(std(fake) - std(real))) + jnp.mean(means)


def autoencoder_loss(m: Params) -> tuple[Scalar, Metrics]:
    """10 sqrt(MSE) + .1 S."""
    return 10.0 * jnp.sqrt(m["mse"]) + 0.1 * m["s"], {"mse": m["mse"]}


def discriminator_loss(m: Params) -> tuple[Scalar, Metrics]:
    """Cross-entropies of real, generated, and generated without the supervisor."""
    return m["real"] + m["fake"] + GAMMA * m["fake_e"], {}


# --- training -------------------------------------------------------------------------


def gradient(
    turn: Turn, params: Params, keys: Array, x: Float[Array, "B L C"]
) -> tuple[Scalar, Metrics, Params]:
    """Loss, metrics and gradient of a turn over the batch of all devices.

    By hand, as no gradient may go through a mean over devices: the loss of the means,
    and the statistics of this device's series, each with its own derivative.
    """

    def means(trained: Params) -> Params:
        statistics = jax.vmap(turn.statistics, (None, 0, 0))
        return jax.tree.map(
            lambda values: values.mean(axis=0), statistics(params | trained, keys, x)
        )

    own, pull_back = jax.vjp(means, {name: params[name] for name in turn.networks})
    value_and_slopes = jax.value_and_grad(turn.loss, has_aux=True)
    (loss, metrics), slopes = value_and_slopes(parallel.pmean(own))
    return loss, metrics, parallel.pmean(pull_back(slopes)[0])


def make_updater(
    turns: dict[str, Turn],
    order: tuple[tuple[str, int], ...],
    tx: optax.GradientTransformationExtraArgs,
) -> Updater:
    """Takes the turns of `order`, (name, number of its batch), one after the other.

    Each has a state of the optimizer of its own. The loss that is logged is that of the
    first.
    """
    num_batches = 1 + max(batch for _, batch in order)

    def init(params: Params) -> Params:
        return {
            name: tx.init({net: params[net] for net in turns[name].networks})
            for name in dict.fromkeys(name for name, _ in order)
        }

    def update(params, state, key, batch):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            key, parallel.global_indices(batch.shape[0])
        )
        found: dict[str, Scalar] = {}
        square_norm = jnp.float32(0.0)
        for name, number in order:
            turn = turns[name]
            loss, metrics, grads = gradient(
                turn, params, keys[number::num_batches], batch[number::num_batches]
            )
            trained = {net: params[net] for net in turn.networks}
            updates, new = tx.update(grads, state[name], trained, value=loss)
            after = (optax.apply_updates(trained, updates), new)
            if name == "discriminator":
                after = jax.tree.map(
                    partial(jnp.where, loss > GOOD_ENOUGH),
                    after,
                    (trained, state[name]),
                )
            params, state = params | after[0], state | {name: after[1]}
            square_norm = square_norm + jnp.square(optax.tree.norm(grads))
            found |= {f"{name}_{what}": value for what, value in metrics.items()}
            found[f"{name}_loss"] = loss
        found["loss"] = found[f"{order[0][0]}_loss"]
        found["gradient_norm"] = jnp.sqrt(square_norm)
        return params, state, found

    return Updater(init, update, num_batches)


JOINT = (
    ("generator", 0),
    ("autoencoder", 0),
    ("generator", 1),
    ("autoencoder", 1),
    ("discriminator", 2),
)


def embedding_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """Phase 1: embedder and recovery."""
    return phase("embedding", (("embedding", 0),), config, shape)._replace(start=None)


def supervised_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """Phase 2: supervisor."""
    return phase("supervised", (("supervised", 0),), config, shape)


def joint_stage(config: ConfigDict, shape: tuple[int, int]) -> Stage:
    """Phase 3: all five."""
    return phase("joint", JOINT, config, shape)


def check_joint(c: ConfigDict) -> None:
    """Raises `InputError` for settings that phase 3 can't have: before phase 1."""
    parts = BATCHES * parallel.num_devices()
    if c.batch_size % parts:
        raise InputError(
            f"--config.time_gan_joint.batch_size={c.batch_size} can't be split into "
            f"{BATCHES} batches over {parallel.num_devices()} devices: use a multiple "
            f"of {parts}"
        )
    for field, value in {"decay": "constant", "warmup_steps": 0}.items():
        if c[field] != value:
            raise InputError(
                f"--config.time_gan_joint.{field}={c[field]}: networks that take two "
                f"turns in a step would be through with it at half: use {value}"
            )


def phase(
    name: str,
    order: tuple[tuple[str, int], ...],
    config: ConfigDict,
    shape: tuple[int, int],
) -> Stage:
    """A phase as a stage, that goes on with the networks of the one before."""
    check_joint(config.time_gan_joint)
    length, channels = shape
    nets = networks(config, channels)
    turns = make_turns(nets)

    def init(key: RandomKey) -> Params:
        inputs = {"embedder": channels, "generator": channels}
        keys = jax.random.split(key, len(nets))
        return {
            network: module.init(
                one, jnp.zeros((length, inputs.get(network, module.width)))
            )
            for network, module, one in zip(nets._fields, nets, keys, strict=True)
        }

    def prepare(upstream: Params, series: Rows) -> Float[np.ndarray, "N L C"]:
        del upstream
        ends = value_range(config, {}, series)
        return parallel.map_all(_scaled, ends, series)

    def loss(params: Params, key: RandomKey, x: Series) -> tuple[Scalar, Metrics]:
        """Of one series alone; training uses the updater."""
        turn = turns[order[0][0]]
        return turn.loss(turn.statistics(params, key, x))

    return Stage(
        f"time_gan_{name}",
        init,
        prepare,
        loss,
        lambda params, _: {"time_gan": params},
        updater=lambda tx: make_updater(turns, order, tx),
        start=lambda upstream: upstream["time_gan"],
    )


def _scaled(ends: Params, x: Series) -> Series:
    low, high = ends["low"][None], ends["high"][None]
    return (fill_missing(x)[0] - low) / (high - low + 1e-7)


# --- sampling -------------------------------------------------------------------------


def decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """recovery(supervisor(generator(z))), in the range of the training series."""
    nets = networks(config, shape[1])

    def run(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        del r_0
        trained = params["time_gan"]
        x = jax.random.uniform(key, shape)
        for name in ("generator", "supervisor", "recovery"):
            x = getattr(nets, name).apply(trained[name], x)
        low, high = (jnp.asarray(params[name])[None] for name in ("low", "high"))
        return low + x * (high - low)

    return run
