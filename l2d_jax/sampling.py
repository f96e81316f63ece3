"""Reverse diffusion: noise -> x_0, as one `lax.scan`.

Every solver here is linear in what it sees,

    x_prev = a x_t + b x_0_hat + c x_0_hat_before + s z,   z ~ N(0, I),

so a solver is a function that fills the table (a, b, c, s) [S, 4] from the schedule,
once, in float64; the loop is the same for all. x_0_hat_before is the estimate of the
step before (for the two-step solver). The last row always leaves x_0_hat itself: no
noise is added.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from l2d_jax.errors import check_choice
from l2d_jax.schedules import NoiseSchedule
from l2d_jax.types import InputError, RandomKey, Step

Data = Float[Array, "..."]
Table: TypeAlias = Float[np.ndarray, "S 4"]
Levels: TypeAlias = Float[np.ndarray, " S"]  # alpha_bar of each step, in float64
Solver: TypeAlias = Callable[[Levels, Levels, float], Table]


def timesteps(
    num_diffusion_steps: int,
    num_steps: int,
    *,
    spacing: float = 1.0,
    field: str = "num_steps",
) -> Int[np.ndarray, " S"]:
    """S steps from K - 1 down to 0, strictly decreasing; one step alone is K - 1.

    At (K - 1) u^spacing for evenly spaced u: 1 is even, 2 quadratic (Song et al. 2021,
    appendix D.2), denser where little noise is left, which is where fine detail is
    made. All K steps are the same in any.

    >>> timesteps(100, 5).tolist(), timesteps(100, 5, spacing=2.0).tolist()
    ([99, 74, 50, 25, 0], [99, 56, 25, 6, 0])

    Raises:
      InputError: unless 1 <= num_steps <= K, naming `field`.
    """
    if not 1 <= num_steps <= num_diffusion_steps:
        raise InputError(
            f"{field}={num_steps}: the chain was trained with "
            f"{num_diffusion_steps} steps, use 1 to {num_diffusion_steps}"
        )
    u = np.linspace(1.0, 0.0, num_steps)
    steps = np.round((num_diffusion_steps - 1) * u**spacing)
    # Where they would fall on one another: one apart.
    return np.maximum(steps, np.arange(num_steps)[::-1]).astype(int)


def ancestral(ab_t: Levels, ab_prev: Levels, eta: float) -> Table:
    """The posterior of x_prev given x_t and x_0_hat: the paper's update. No `eta`."""
    del eta
    alpha = ab_t / ab_prev
    a = np.sqrt(alpha) * (1.0 - ab_prev) / (1.0 - ab_t)
    b = np.sqrt(ab_prev) * (1.0 - alpha) / (1.0 - ab_t)
    s = np.sqrt((1.0 - ab_prev) * (1.0 - alpha) / (1.0 - ab_t))
    return np.stack([a, b, np.zeros_like(a), s], axis=1)


def ddim(ab_t: Levels, ab_prev: Levels, eta: float) -> Table:
    """DDIM (Song et al. 2021): eta = 0 is deterministic, eta = 1 equals `ancestral`."""
    s = eta * np.sqrt((1.0 - ab_prev) / (1.0 - ab_t) * (1.0 - ab_t / ab_prev))
    # x_prev = sqrt(ab_prev) x_0 + sqrt(1 - ab_prev - s^2) eps + s z, with
    # eps = (x_t - sqrt(ab_t) x_0) / sqrt(1 - ab_t).
    a = np.sqrt(np.maximum(1.0 - ab_prev - s**2, 0.0) / (1.0 - ab_t))
    b = np.sqrt(ab_prev) - a * np.sqrt(ab_t)
    return np.stack([a, b, np.zeros_like(a), s], axis=1)


def dpm_solver_pp(ab_t: Levels, ab_prev: Levels, eta: float) -> Table:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), deterministic; `eta` unused.

    First and last step are of first order. With h the step in log-SNR / 2 and
    r = h_before / h: x_prev = (sigma_prev / sigma_t) x_t + alpha_prev (1 - e^-h) D,
    D = (1 + 1 / 2r) x_0_hat - (1 / 2r) x_0_hat_before.
    """
    del eta
    sigma_t, sigma_prev = np.sqrt(1.0 - ab_t), np.sqrt(1.0 - ab_prev)
    ratio = sigma_prev / sigma_t
    # alpha_prev (1 - e^-h), without the infinite h of the last step (sigma_prev = 0).
    weight = np.sqrt(ab_prev) - ratio * np.sqrt(ab_t)
    second = extrapolation(ab_t)
    return np.stack(
        [ratio, weight * (1.0 + second), -weight * second, np.zeros_like(ab_t)], axis=1
    )


def sde_dpm_solver_pp(ab_t: Levels, ab_prev: Levels, eta: float) -> Table:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022, eq. 18): `ancestral` with the D of 2M.

    Noise in every step, as the forward process has it, takes back part of what the
    steps before got wrong.
    """
    a, b, _, s = ancestral(ab_t, ab_prev, eta).T
    second = extrapolation(ab_t)
    return np.stack([a, b * (1.0 + second), -b * second, s], axis=1)


def extrapolation(ab_t: Levels) -> Levels:
    """1 / 2r of each step of a two-step solver, 0 in the first and the last."""
    second = np.zeros_like(ab_t)
    h = np.diff(np.log(ab_t / (1.0 - ab_t)) / 2.0)  # h[i]: from step i to i + 1
    second[1:-1] = h[1:] / (2.0 * h[:-1])
    return second


SOLVERS: dict[str, Solver] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm_solver++": dpm_solver_pp,
    "sde_dpm_solver++": sde_dpm_solver_pp,
}


def takes_eta(solver: str) -> bool:
    """Whether `eta` changes the steps of a solver."""
    alpha_bar = np.array([0.1, 0.4, 0.7, 0.9, 1.0])
    none, full = (SOLVERS[solver](alpha_bar[:-1], alpha_bar[1:], x) for x in (0.0, 1.0))
    return not np.array_equal(none, full)


def solver_table(
    solver: str, schedule: NoiseSchedule, steps: Int[np.ndarray, " S"], *, eta: float
) -> Table:
    """Coefficients (a, b, c, s) [S, 4] of a solver along `steps`, in float64."""
    check_choice(solver, SOLVERS, "solver")
    alpha_bar = np.asarray(schedule.alpha_bar, np.float64)
    ab_t = alpha_bar[steps]
    return SOLVERS[solver](ab_t, np.append(ab_t[1:], 1.0), eta)


def start_table(schedule: NoiseSchedule, rounds: int) -> Table:
    """Rows (a, b, c, s) [rounds, 4] of steps from K - 1 to K - 1, before the chain.

    q(x_{K-1}) isn't N(0, I): it holds sqrt(ab) x_0. Where many values share what they
    say, pure noise in its place is evidence that x_0 is near 0, and what comes out
    varies too little (the signal leak of Everaert et al. 2024; Lin et al. 2024). Each
    row puts the estimate in, x = sqrt(ab) x_0_hat + sqrt(1 - ab) z: Gibbs sampling of
    x_0 and x_{K-1}, with the mean of x_0 for its sample.
    """
    alpha_bar = float(schedule.alpha_bar[-1])
    row = (0.0, np.sqrt(alpha_bar), 0.0, np.sqrt(1.0 - alpha_bar))
    return np.array([row] * rounds, np.float64).reshape(rounds, 4)


def sample(
    denoise: Callable[[Data, Step], Data],
    schedule: NoiseSchedule,
    key: RandomKey,
    shape: tuple[int, ...],
    *,
    solver: str = "ancestral",
    num_steps: int | None = None,
    spacing: float = 1.0,
    eta: float = 0.0,
    within: tuple[Data, Data] | None = None,
    start_rounds: int = 0,
) -> Data:
    """One x_0 of `shape` from noise; `denoise(x_t, t)` estimates x_0.

    A function of `key` alone: step i draws its noise from fold_in(key, i). `num_steps`
    is S, all K by default, `spacing` where they lie, see `timesteps`; `eta` matters to
    DDIM only. Every estimate of x_0 is clipped to `within`, lowest and highest values
    that broadcast to `shape`. `start_rounds` more calls of `denoise` find what the
    chain starts with, see `start_table`.

    Raises:
      InputError: unless 1 <= num_steps <= K; no such solver.
    """
    num_steps = schedule.num_steps if num_steps is None else num_steps
    steps = timesteps(schedule.num_steps, num_steps, spacing=spacing)
    table = solver_table(solver, schedule, steps, eta=eta)
    table = np.concatenate([start_table(schedule, start_rounds), table])
    steps = np.concatenate([np.repeat(steps[:1], start_rounds), steps])
    before = schedule.num_steps + np.arange(1, start_rounds + 1)  # no step has these
    numbers = np.concatenate([before, np.arange(1, num_steps + 1)])
    is_random = bool(table[:, 3].any())
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(numbers))

    def body(carry, row):
        x_t, x_0_before = carry
        t, (a, b, c, s), step_key = row
        x_0 = denoise(x_t, t)
        if within is not None:
            x_0 = jnp.clip(x_0, *within)
        x_prev = a * x_t + b * x_0 + c * x_0_before
        if is_random:
            x_prev = x_prev + s * jax.random.normal(step_key, shape, jnp.float32)
        return (x_prev, x_0), None

    start = jax.random.normal(jax.random.fold_in(key, 0), shape, jnp.float32)
    rows = (jnp.asarray(steps), jnp.asarray(table, jnp.float32), keys)
    (x_0, _), _ = jax.lax.scan(body, (start, jnp.zeros_like(start)), rows)
    return x_0
