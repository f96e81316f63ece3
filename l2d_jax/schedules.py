"""Noise schedules: how much of the data is left at each diffusion step.

A schedule is one array, alpha_bar [K]: x_t = sqrt(alpha_bar_t) x_0 +
sqrt(1 - alpha_bar_t) eps, with t = 0 the least and t = K - 1 the most noise.
Everything else follows from it. Computed in numpy float64 and cast to float32 once,
where it enters a program.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from l2d_jax.errors import check_choice
from l2d_jax.types import InputError, Scalar, Step

MIN_NOISE = 1e-10  # 1 - alpha_bar: float64 has 6 digits of it


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoiseSchedule:
    """alpha_bar [K], strictly decreasing in (0, 1)."""

    alpha_bar: Float[Array, " K"] | Float[np.ndarray, " K"]

    @property
    def num_steps(self) -> int:
        """K."""
        return self.alpha_bar.shape[0]

    def at(self, t: Step) -> Scalar:
        """alpha_bar_t, and 1 at t = -1 (no noise left)."""
        alpha_bar = jnp.asarray(self.alpha_bar, jnp.float32)
        return jnp.where(t < 0, 1.0, alpha_bar[jnp.maximum(t, 0)])

    def noise(self, t: Step) -> Scalar:
        """1 - alpha_bar_t, the variance of the noise; 0 at t = -1.

        Subtracted before the cast: near 1, float32 has few digits of the difference.
        """
        noise = jnp.asarray(1.0 - self.alpha_bar, jnp.float32)
        return jnp.where(t < 0, 0.0, noise[jnp.maximum(t, 0)])

    def snr(self, t: Step) -> Scalar:
        """Signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t)."""
        return self.at(t) / self.noise(t)


def linear(num_steps: int, beta_first: float, beta_last: float) -> NoiseSchedule:
    """alpha_bar_t = prod_{i <= t} (1 - beta_i), beta linear (Ho et al. 2020).

    With K = 100 the last beta must be near 0.1: with the 0.02 that suits K = 1000,
    alpha_bar_{K-1} would be 0.36, and sampling would start from the wrong distribution.

    >>> for beta_last in (0.1, 0.02):
    ...     print(f"{linear(100, 1e-4, beta_last).alpha_bar[-1]:.4f}")
    0.0056
    0.3636
    """
    beta = np.linspace(beta_first, beta_last, num_steps, dtype=np.float64)
    return NoiseSchedule(np.cumprod(1.0 - beta))


def cosine(num_steps: int) -> NoiseSchedule:
    """alpha_bar = f(t + 1) / f(0), f = cos^2, with beta capped at 0.999.

    Nichol & Dhariwal 2021, offset 0.008.
    """
    u = np.arange(num_steps + 1, dtype=np.float64) / num_steps
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    beta = np.minimum(1.0 - f[1:] / f[:-1], 0.999)
    return NoiseSchedule(np.cumprod(1.0 - beta))


SCHEDULES: dict[str, Callable[[int, float, float], NoiseSchedule]] = {
    "linear": linear,
    "cosine": lambda num_steps, beta_first, beta_last: cosine(num_steps),
}


def scaled(schedule: NoiseSchedule, noise_scale: float) -> NoiseSchedule:
    """Every noise level sigma = sqrt((1 - alpha_bar) / alpha_bar) times `noise_scale`.

    What is left to sample once the latent is known is smaller than the data, and so is
    the noise that hides it. The same as data divided by `noise_scale` (Chen 2023, "On
    the importance of noise scheduling", with b = 1 / noise_scale).
    """
    alpha_bar = np.asarray(schedule.alpha_bar, np.float64)
    return NoiseSchedule(alpha_bar / (alpha_bar + noise_scale**2 * (1.0 - alpha_bar)))


def check_levels(name: str, alpha_bar: np.ndarray, num_steps: int) -> None:
    """Raises `InputError` unless alpha_bar is [K] and falls, between 1 and 0."""
    if alpha_bar.shape != (num_steps,):
        raise InputError(
            f"schedule={name!r}: alpha_bar has shape {list(alpha_bar.shape)}, and "
            f"num_diffusion_steps={num_steps}: give one value a step"
        )
    if not ((np.diff(alpha_bar) < 0).all() and alpha_bar[-1] > 0 and alpha_bar[0] < 1):
        raise InputError(
            f"schedule={name!r}: alpha_bar must fall from step to step, from below 1 "
            f"to above 0, and begins with {alpha_bar[0]:.6g}, ends with "
            f"{alpha_bar[-1]:.6g}: t = 0 has the least noise"
        )


def make_schedule(
    name: str,
    *,
    num_steps: int,
    beta_first: float,
    beta_last: float,
    noise_scale: float = 1.0,
) -> NoiseSchedule:
    """The schedule of that name, its noise levels times `noise_scale`.

    Raises:
      InputError: no such schedule; values that are none; or what it gives isn't one.
    """
    check_choice(name, SCHEDULES, "schedule")
    if num_steps < 2:
        raise InputError(f"num_diffusion_steps={num_steps}: use 2 or more (paper: 100)")
    if not 0.0 < beta_first <= beta_last < 1.0:
        raise InputError(
            f"beta_first={beta_first}, beta_last={beta_last}: "
            "need 0 < beta_first <= beta_last < 1 (default: 1e-4 and 0.1)"
        )
    if not 0.0 < noise_scale < np.inf:
        raise InputError(f"noise_scale={noise_scale}: use a number above 0 (paper: 1)")
    schedule = SCHEDULES[name](num_steps, beta_first, beta_last)
    check_levels(name, np.asarray(schedule.alpha_bar), num_steps)
    schedule = scaled(schedule, noise_scale)
    if 1.0 - schedule.alpha_bar[0] < MIN_NOISE:
        raise InputError(
            f"noise_scale={noise_scale}: too little noise for float64 at the first "
            f"step, 1 - alpha_bar is below {MIN_NOISE:g}: use more (default: 0.5)"
        )
    return schedule
