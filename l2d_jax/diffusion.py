"""The Gaussian diffusion process, for one example of any shape.

(1) forward     q(x_t | x_0) = N(sqrt(ab_t) x_0, (1 - ab_t) I)
(2) posterior   q(x_s | x_t, x_0) = N(a x_t + b x_0, c^2 I) for s < t, with
                alpha = ab_t / ab_s:
                a = sqrt(alpha) (1 - ab_s) / (1 - ab_t)
                b = sqrt(ab_s) (1 - alpha) / (1 - ab_t)
                c^2 = (1 - ab_s) (1 - alpha) / (1 - ab_t)
(3) targets     x_0; eps; v = sqrt(ab_t) eps - sqrt(1 - ab_t) x_0
(4) loss        w(t) || target - prediction ||^2, t uniform over 0..K-1

ab is alpha_bar; ab_{-1} = 1 stands for clean data. Ho et al. 2020 for (1), (2) and
(4), Salimans & Ho 2022 for v, Hang et al. 2023 for min-SNR weights. Broadcasting is
always of a scalar: batches are made by `vmap`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from l2d_jax.schedules import NoiseSchedule
from l2d_jax.types import Metrics, RandomKey, Scalar, Step

Data = Float[Array, "..."]
MIN_SNR_GAMMA = 5.0
SIGMOID_BIAS = 2.0


def q_sample(schedule: NoiseSchedule, *, x_0: Data, t: Step, eps: Data) -> Data:
    """x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps, eq. (1). At t = -1 it is x_0."""
    return jnp.sqrt(schedule.at(t)) * x_0 + jnp.sqrt(schedule.noise(t)) * eps


def q_posterior(
    schedule: NoiseSchedule, *, x_0: Data, x_t: Data, t: Step, t_prev: Step
) -> tuple[Data, Scalar]:
    """Mean and variance of q(x_{t_prev} | x_t, x_0), eq. (2); 0 at t_prev = -1.

    >>> schedule = NoiseSchedule(jnp.array([0.75, 0.25]))
    >>> x_0, x_t, t, t_prev = map(jnp.array, (4.0, 2.0, 1, 0))
    >>> mean, variance = q_posterior(schedule, x_0=x_0, x_t=x_t, t=t, t_prev=t_prev)
    >>> f"{mean:.4f} {variance:.4f}"  # 2 sqrt(3) and 2 / 9
    '3.4641 0.2222'
    """
    ab_t, ab_prev = schedule.at(t), schedule.at(t_prev)
    noise_t, noise_prev = schedule.noise(t), schedule.noise(t_prev)
    alpha = ab_t / ab_prev
    # 1 - alpha: of two ways the one that loses fewer digits in float32.
    beta = jnp.where(noise_t < ab_prev, (noise_t - noise_prev) / ab_prev, 1.0 - alpha)
    from_x_t = jnp.sqrt(alpha) * noise_prev / noise_t
    from_x_0 = jnp.sqrt(ab_prev) * beta / noise_t
    variance = noise_prev * beta / noise_t
    return from_x_t * x_t + from_x_0 * x_0, variance


class Prediction(NamedTuple):
    """What a network can give; signal and noise: sqrt(ab_t) and sqrt(1 - ab_t)."""

    target: Callable[[Scalar, Scalar, Data, Data], Data]  # (.., x_0, eps), eq. (3)
    x_0: Callable[[Scalar, Scalar, Data, Data], Data]  # (.., output, x_t): its inverse
    in_x_0_errors: Callable[[Scalar], Scalar]  # SNR -> its squared error over x_0's


PREDICTIONS: dict[str, Prediction] = {
    "x_0": Prediction(
        target=lambda signal, noise, x_0, eps: x_0,
        x_0=lambda signal, noise, output, x_t: output,
        in_x_0_errors=jnp.ones_like,
    ),
    "eps": Prediction(
        target=lambda signal, noise, x_0, eps: eps,
        x_0=lambda signal, noise, output, x_t: (x_t - noise * output) / signal,
        in_x_0_errors=lambda snr: snr,
    ),
    "v": Prediction(
        target=lambda signal, noise, x_0, eps: signal * eps - noise * x_0,
        x_0=lambda signal, noise, output, x_t: signal * x_t - noise * output,
        in_x_0_errors=lambda snr: snr + 1.0,
    ),
}


def training_target(
    prediction: str, schedule: NoiseSchedule, *, x_0: Data, t: Step, eps: Data
) -> Data:
    """What a network that predicts x_0, eps or v must give, eq. (3)."""
    signal, noise = jnp.sqrt(schedule.at(t)), jnp.sqrt(schedule.noise(t))
    return PREDICTIONS[prediction].target(signal, noise, x_0, eps)


def predict_x_0(
    prediction: str, schedule: NoiseSchedule, *, output: Data, x_t: Data, t: Step
) -> Data:
    """x_0 from a network's output at x_t: the inverse of `training_target`.

    >>> schedule = NoiseSchedule(jnp.array([0.75, 0.25]))
    >>> x_0, eps, t = map(jnp.array, (4.0, 1.0, 1))
    >>> x_t = q_sample(schedule, x_0=x_0, t=t, eps=eps)
    >>> for name in PREDICTIONS:
    ...     output = training_target(name, schedule, x_0=x_0, t=t, eps=eps)
    ...     found = predict_x_0(name, schedule, output=output, x_t=x_t, t=t)
    ...     print(f"{name}: {output:.4f}, so x_0 is {found:.4f}")
    x_0: 4.0000, so x_0 is 4.0000
    eps: 1.0000, so x_0 is 4.0000
    v: -2.9641, so x_0 is 4.0000
    """
    signal, noise = jnp.sqrt(schedule.at(t)), jnp.sqrt(schedule.noise(t))
    return PREDICTIONS[prediction].x_0(signal, noise, output, x_t)


def uniform_weight(prediction: str, snr: Scalar) -> Scalar:
    """w = 1, as in the paper's losses."""
    del prediction
    return jnp.ones_like(snr)


def min_snr_weight(prediction: str, snr: Scalar) -> Scalar:
    """w = min(SNR, 5) in units of the x_0 error, whichever the prediction."""
    return jnp.minimum(snr, MIN_SNR_GAMMA) / PREDICTIONS[prediction].in_x_0_errors(snr)


def sigmoid_weight(prediction: str, snr: Scalar) -> Scalar:
    """w = SNR / (1 + SNR e^-2) in units of the x_0 error: soft min-SNR, limit e^2.

    sigmoid(2 - log SNR) on the eps error (Kingma & Gao 2023; Hoogeboom et al. 2024).
    """
    soft = 1.0 / (1.0 / snr + jnp.exp(-SIGMOID_BIAS))  # finite for any SNR above 0
    return soft / PREDICTIONS[prediction].in_x_0_errors(snr)


WEIGHTINGS: dict[str, Callable[[str, Scalar], Scalar]] = {
    "uniform": uniform_weight,
    "min_snr": min_snr_weight,
    "sigmoid": sigmoid_weight,
}


def diffusion_loss(
    predict: Callable[[Data, Step], Data],
    schedule: NoiseSchedule,
    key: RandomKey,
    x_0: Data,
    *,
    prediction: str,
    weighting: str,
    observed: Bool[Array, "..."] | None = None,
) -> tuple[Scalar, Metrics]:
    """w(t) mean((target - predict(x_t, t))^2) at one random t, eq. (4).

    The mean is over the values that were `observed`, by default all of them.
    """
    key_t, key_eps = jax.random.split(key)
    t = jax.random.randint(key_t, (), 0, schedule.num_steps)
    eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
    x_t = q_sample(schedule, x_0=x_0, t=t, eps=eps)
    target = training_target(prediction, schedule, x_0=x_0, t=t, eps=eps)
    error = masked_mean(jnp.square(target - predict(x_t, t)), observed)
    return WEIGHTINGS[weighting](prediction, schedule.snr(t)) * error, {"mse": error}


def masked_mean(
    x: Float[Array, "*shape"], mask: Bool[Array, "*shape"] | None
) -> Scalar:
    """Mean of x where the mask is True, 0 if it is nowhere; of all x without a mask."""
    if mask is None:
        return jnp.mean(x)
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(mask.sum(), 1)
