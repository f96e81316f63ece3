"""The oracle: for Gaussian data the ideal denoiser, and the exact answer, are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import diffusion
from l2d_jax.sampling import SOLVERS, sample, solver_table, timesteps
from l2d_jax.schedules import make_schedule
from l2d_jax.types import InputError

MU, VARIANCE = 3.0, 4.0


def make(num_steps, name="linear"):
    # At K = 1000 the betas of Ho et al.; at K = 100 the paper's.
    last = 0.02 if num_steps == 1000 else 0.1
    return make_schedule(name, num_steps=num_steps, beta_first=1e-4, beta_last=last)


def ideal_denoiser(schedule):
    """E[x_0 | x_t] for x_0 ~ N(MU, VARIANCE)."""

    def denoise(x_t, t):
        ab = schedule.at(t)
        gain = jnp.sqrt(ab) * VARIANCE / (ab * VARIANCE + 1.0 - ab)
        return MU + gain * (x_t - jnp.sqrt(ab) * MU)

    return denoise


def draw(schedule, n=20_000, **settings):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(n))
    run = jax.jit(
        jax.vmap(
            lambda key: sample(ideal_denoiser(schedule), schedule, key, (), **settings)
        )
    )
    return np.asarray(run(keys))


@pytest.mark.parametrize(
    "solver, num_diffusion_steps, name",
    [
        ("ancestral", 1000, "linear"),
        ("ancestral", 1000, "cosine"),
        ("ddim", 1000, "linear"),
        ("sde_dpm_solver++", 1000, "linear"),
    ],
)
def test_ideal_denoiser_gives_the_data_distribution(solver, num_diffusion_steps, name):
    x = draw(make(num_diffusion_steps, name), solver=solver, eta=1.0)
    assert x.mean() == pytest.approx(MU, rel=0.03)
    assert x.var() == pytest.approx(VARIANCE, rel=0.03)


@pytest.mark.parametrize("solver, eta", [("ddim", 0.0), ("dpm_solver++", 1.0)])
def test_deterministic_solvers_give_the_data_distribution(solver, eta):
    x = draw(make(1000), solver=solver, eta=eta, num_steps=200)
    assert x.mean() == pytest.approx(MU, rel=0.03)
    assert x.var() == pytest.approx(VARIANCE, rel=0.03)


def test_few_ancestral_steps_lose_variance_as_expected():
    variance = draw(make(1000), num_steps=50).var()
    assert 0.8 * VARIANCE < variance < 0.97 * VARIANCE


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_rounds_find_what_is_left_of_the_data_at_the_start(rounds):
    """Ideal denoiser, exact flow: mean and variance of x_{K-1} in closed form.

    Pure noise misses the mean of x_{K-1} by sqrt(ab) mu; each round leaves a share
    of it, sqrt(ab) times the denoiser's gain.
    """
    schedule = make_schedule(
        "linear", num_steps=1000, beta_first=1e-4, beta_last=0.02, noise_scale=0.01
    )
    ab = schedule.alpha_bar[-1]
    exact = ab * VARIANCE + 1 - ab
    gain = np.sqrt(ab) * VARIANCE / exact
    missing, variance = np.sqrt(ab) * MU, 1.0
    for _ in range(rounds):
        missing *= np.sqrt(ab) * gain
        variance = ab * gain**2 * variance + 1 - ab
    x = draw(
        schedule, solver="dpm_solver++", eta=0.0, num_steps=300, start_rounds=rounds
    )
    scale = np.sqrt(VARIANCE / exact)  # of the flow from K - 1 to the data
    assert x.mean() == pytest.approx(MU - scale * missing, abs=0.03)
    assert x.var() == pytest.approx(scale**2 * variance, rel=0.03)


def flow_error(solver, num_steps):
    """Worst error against the exact probability-flow solution, from the same noise."""
    schedule = make(1000)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1), jnp.arange(50))
    run = jax.vmap(
        lambda key: sample(
            ideal_denoiser(schedule),
            schedule,
            key,
            (),
            solver=solver,
            num_steps=num_steps,
            eta=0.0,
        )
    )
    start = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 0)))(keys)
    ab = schedule.alpha_bar[-1]
    std_t = np.sqrt(ab * VARIANCE + 1 - ab)
    # On the flow, the standardised value never changes.
    exact = MU + np.sqrt(VARIANCE) * (np.asarray(start) - np.sqrt(ab) * MU) / std_t
    return np.abs(np.asarray(run(keys)) - exact).max()


def test_dpm_solver_is_of_second_order_and_ddim_of_first():
    ddim = flow_error("ddim", 50) / flow_error("ddim", 100)
    dpm = flow_error("dpm_solver++", 50) / flow_error("dpm_solver++", 100)
    assert 1.6 < ddim < 2.6
    assert dpm > 3.0
    assert flow_error("dpm_solver++", 50) < flow_error("ddim", 50) / 5


def variance_error(solver, num_steps):
    """Of the samples, exactly: with the ideal denoiser every step is affine."""
    schedule = make(1000)
    steps = timesteps(1000, num_steps)
    covariance = np.diag([1.0, 0.0])  # of x_t and the estimate before
    ab = np.asarray(schedule.alpha_bar, np.float64)[steps]
    gains = np.sqrt(ab) * VARIANCE / (ab * VARIANCE + 1.0 - ab)
    table = solver_table(solver, schedule, steps, eta=1.0)
    for (a, b, c, s), gain in zip(table, gains, strict=True):
        step = np.array([[a + b * gain, c], [gain, 0.0]])
        covariance = step @ covariance @ step.T + np.diag([s**2, 0.0])
    return abs(covariance[0, 0] - VARIANCE)


def test_sde_dpm_solver_is_of_second_order_and_ancestral_of_first():
    ancestral = variance_error("ancestral", 50) / variance_error("ancestral", 100)
    sde = variance_error("sde_dpm_solver++", 50) / variance_error(
        "sde_dpm_solver++", 100
    )
    assert 1.7 < ancestral < 2.3
    assert sde > 3.5
    assert variance_error("sde_dpm_solver++", 100) < 0.01 * VARIANCE


@pytest.mark.parametrize("num_steps", [100, 10])
def test_ddim_with_full_noise_is_the_ancestral_sampler(num_steps):
    """With less, eta of its deviation; the rest of the noise is that of x_t."""
    schedule, steps = make(100), timesteps(100, num_steps)
    ancestral = solver_table("ancestral", schedule, steps, eta=0.0)
    full, some = (solver_table("ddim", schedule, steps, eta=x) for x in (1.0, 0.3))
    np.testing.assert_allclose(full, ancestral, atol=1e-12)
    np.testing.assert_allclose(some[:, 3], 0.3 * ancestral[:, 3], atol=1e-12)
    ab = np.append(np.asarray(schedule.alpha_bar, np.float64)[steps], 1.0)
    noise = some[:, 0] ** 2 * (1 - ab[:-1]) + some[:, 3] ** 2
    np.testing.assert_allclose(noise, 1 - ab[1:], atol=1e-12)


@pytest.mark.parametrize("solver", ["ancestral", "sde_dpm_solver++"])
def test_noisy_step_with_the_true_x_0_draws_from_the_posterior(solver):
    schedule, x_0, x_t = make(100), jnp.float32(0.3), jnp.float32(-0.8)
    steps = timesteps(100, 7)
    table = solver_table(solver, schedule, steps, eta=1.0)
    for (a, b, c, s), t, t_prev in zip(table, steps, [*steps[1:], -1], strict=True):
        mean, variance = diffusion.q_posterior(
            schedule, x_0=x_0, x_t=x_t, t=jnp.int32(t), t_prev=jnp.int32(t_prev)
        )
        assert a * x_t + (b + c) * x_0 == pytest.approx(float(mean), abs=1e-5)
        assert s**2 == pytest.approx(float(variance), abs=1e-5)


@pytest.mark.parametrize("solver", ["ddim", "dpm_solver++"])
def test_noiseless_step_with_the_true_x_0_stays_on_the_path(solver):
    """From q_sample(t), the step must land exactly on q_sample(t_prev), same eps."""
    schedule, x_0, eps = make(100), jnp.float32(0.4), jnp.float32(1.7)
    steps = timesteps(100, 9)
    table = solver_table(solver, schedule, steps, eta=0.0)
    for (a, b, c, s), t, t_prev in zip(table, steps, [*steps[1:], -1], strict=True):
        x_t = diffusion.q_sample(schedule, x_0=x_0, t=jnp.int32(t), eps=eps)
        expected = diffusion.q_sample(schedule, x_0=x_0, t=jnp.int32(t_prev), eps=eps)
        assert a * x_t + (b + c) * x_0 == pytest.approx(float(expected), abs=1e-5)
        assert s == 0.0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 5, 100])
def test_the_last_step_leaves_the_estimate_itself(solver, num_steps):
    schedule = make(100)
    table = solver_table(solver, schedule, timesteps(100, num_steps), eta=1.0)
    np.testing.assert_allclose(table[-1], [0, 1, 0, 0], atol=1e-12)
    assert np.isfinite(table).all()


def test_a_solver_that_is_none_is_named():
    with pytest.raises(InputError, match="solver='heun': use one of ancestral, ddim"):
        sample(lambda x, t: x, make(10), jax.random.key(0), (2,), solver="heun")


@pytest.mark.parametrize("spacing", [1.0, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("num_diffusion_steps", [2, 7, 100, 500])
def test_timesteps_start_at_the_top_and_end_at_0(num_diffusion_steps, spacing):
    for num_steps in range(2, num_diffusion_steps + 1):
        steps = timesteps(num_diffusion_steps, num_steps, spacing=spacing)
        assert len(steps) == num_steps
        assert steps[0] == num_diffusion_steps - 1 and steps[-1] == 0
        assert (np.diff(steps) < 0).all()
    one = timesteps(num_diffusion_steps, 1, spacing=spacing)
    assert one.tolist() == [num_diffusion_steps - 1]


def test_spacings_by_hand():
    """99 u^p with u = 1, 3/4, 1/2, 1/4, 0."""
    assert timesteps(100, 5).tolist() == [99, 74, 50, 25, 0]
    assert timesteps(100, 5, spacing=2.0).tolist() == [99, 56, 25, 6, 0]
    # Where 6 u^2 = 6, 3.8, 2.2, .96, .24, 0 crowd: one apart.
    assert timesteps(7, 6, spacing=2.0).tolist() == [6, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("num_steps", [0, -1, 101])
def test_steps_out_of_range_are_refused(num_steps):
    with pytest.raises(InputError, match=f"num_steps={num_steps}.*use 1 to 100"):
        timesteps(100, num_steps)


@pytest.mark.parametrize(("solver", "num_steps"), [("ddim", 2), ("dpm_solver++", 4)])
def test_estimates_are_clipped_before_the_steps_that_they_make(solver, num_steps):
    """Steps that estimate 5 or -5, and a last one that estimates what it sees."""
    schedule, key = make(100), jax.random.key(3)
    side, high = jnp.array([1.0, -1.0, 1.0]), jnp.array([1.0, 9.0, 9.0])
    low = jnp.array([-1.0])

    def denoise(x_t, t):
        return jnp.where(t == 0, x_t, 5.0 * side)

    settings = {"solver": solver, "eta": 0.0, "num_steps": num_steps}
    x_0 = sample(denoise, schedule, key, (3,), within=(low, high), **settings)
    table = solver_table(solver, schedule, timesteps(100, num_steps), eta=0.0)
    x = np.asarray(jax.random.normal(jax.random.fold_in(key, 0), (3,)))
    for a, b, c, _ in table[:-1]:
        x = a * x + (b + c) * np.array([1.0, -1.0, 5.0])
    np.testing.assert_allclose(x_0, np.clip(x, low, high), rtol=1e-5)


@pytest.mark.parametrize("rounds", [0, 1])
def test_no_noise_is_drawn_twice(rounds):
    """Step i has that of fold_in(key, i), the start 0, rounds what no step has."""
    schedule, key = make(3), jax.random.key(3)
    steps = timesteps(3, 3)

    def denoise(x_t, t):
        return jnp.where(t == 0, x_t, 0.0)

    found = sample(denoise, schedule, key, (2,), start_rounds=rounds)
    x, *zs = (jax.random.normal(jax.random.fold_in(key, i), (2,)) for i in range(6))
    if rounds:
        x = np.sqrt(1.0 - schedule.alpha_bar[-1]) * zs[3]
    table = solver_table("ancestral", schedule, steps, eta=1.0)
    for (a, _, _, s), z in zip(table[:-1], zs, strict=False):
        x = a * x + s * z
    np.testing.assert_allclose(found, x, rtol=1e-5)
