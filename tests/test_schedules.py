import re

import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.diffusion import q_sample
from l2d_jax.schedules import SCHEDULES, NoiseSchedule, make_schedule
from l2d_jax.types import InputError

DEFAULT = dict(num_steps=100, beta_first=1e-4, beta_last=0.1)


@pytest.mark.parametrize("last", [0.1, 1e-4])
def test_linear_is_the_product_of_one_minus_beta(last):
    alpha_bar = make_schedule("linear", **DEFAULT | {"beta_last": last}).alpha_bar
    expected, product = [], 1.0
    for i in range(100):
        product *= 1.0 - (1e-4 + (last - 1e-4) * i / 99)
        expected.append(product)
    np.testing.assert_allclose(alpha_bar, expected, rtol=1e-12)


def test_the_defaults_end_in_noise():
    assert make_schedule("linear", **DEFAULT).alpha_bar[-1] == pytest.approx(
        0.0056, abs=1e-4
    )


def test_cosine_follows_the_squared_cosine_until_the_cap():
    alpha_bar = make_schedule("cosine", **DEFAULT).alpha_bar
    u = np.arange(1, 101) / 100
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    f_0 = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(alpha_bar[:-1], (f / f_0)[:-1], rtol=1e-9)
    assert alpha_bar[-1] == pytest.approx(alpha_bar[-2] * 1e-3)  # beta capped at .999


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("num_steps", [2, 10, 1000])
def test_alpha_bar_decreases_within_0_and_1(name, num_steps):
    schedule = make_schedule(name, **DEFAULT | {"num_steps": num_steps})
    alpha_bar = np.asarray(schedule.alpha_bar)
    assert schedule.num_steps == num_steps
    assert (np.diff(alpha_bar) < 0).all()
    assert 0 < alpha_bar[-1] < alpha_bar[0] < 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_scaled_noise_levels_are_those_of_data_divided_by_the_scale(name):
    plain = np.asarray(make_schedule(name, **DEFAULT).alpha_bar)
    found = np.asarray(make_schedule(name, **DEFAULT, noise_scale=0.25).alpha_bar)
    sigma, scaled = (np.sqrt((1.0 - ab) / ab) for ab in (plain, found))
    np.testing.assert_allclose(scaled, 0.25 * sigma, rtol=1e-9)
    same = make_schedule(name, **DEFAULT, noise_scale=1.0).alpha_bar
    np.testing.assert_allclose(same, plain, rtol=1e-12)


@pytest.mark.parametrize("noise_scale", [0.5, 0.01])
def test_little_noise_keeps_its_digits(noise_scale):
    """1 - alpha_bar_0 = s^2 beta / (1 - beta + s^2 beta), also where it is small."""
    schedule = make_schedule("linear", **DEFAULT, noise_scale=noise_scale)
    first, scaled_beta = jnp.int32(0), noise_scale**2 * 1e-4
    noise = scaled_beta / (1.0 - 1e-4 + scaled_beta)
    np.testing.assert_allclose(schedule.noise(first), noise, rtol=1e-6)
    np.testing.assert_allclose(schedule.snr(first), (1.0 - noise) / noise, rtol=1e-6)
    eps = jnp.ones((1,))
    x_t = q_sample(schedule, x_0=jnp.zeros((1,)), t=first, eps=eps)
    np.testing.assert_allclose(x_t, noise**0.5, rtol=1e-6)


def test_before_the_first_step_nothing_is_noise():
    schedule = make_schedule("linear", **DEFAULT)
    assert schedule.at(jnp.int32(-1)) == 1.0
    assert schedule.at(jnp.int32(0)) == pytest.approx(1 - 1e-4)
    assert schedule.snr(jnp.int32(0)) == pytest.approx((1 - 1e-4) / 1e-4)
    assert schedule.noise(jnp.int32(-1)) == 0.0


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"num_steps": 1}, "num_diffusion_steps=1"),
        ({"beta_first": 0.0}, "beta_first=0.0"),
        ({"beta_last": 1.0}, r"beta_last=1.0: need .* \(default: 1e-4 and 0.1\)"),
        ({"beta_first": 0.2}, "beta_first <= beta_last"),
        ({"noise_scale": 0.0}, "noise_scale=0.0: use a number above 0"),
        ({"noise_scale": 1e-4}, "noise_scale=0.0001: too little noise"),
        ({"noise_scale": np.inf}, "noise_scale=inf: use a number above 0"),
    ],
)
def test_impossible_values_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        make_schedule("linear", **DEFAULT | wrong)


def test_a_schedule_that_is_none_is_named():
    with pytest.raises(InputError, match="schedule='cosin': use one of linear, cos"):
        make_schedule("cosin", **DEFAULT)


@pytest.mark.parametrize(
    "alpha_bar, says",
    [
        (np.linspace(0.01, 0.99, 100), "begins with 0.01, ends with 0.99: t = 0 has"),
        (np.linspace(0.99, 0.0, 100), "to above 0, and begins with 0.99, ends with 0:"),
        (np.linspace(1.0, 0.01, 100), "from below 1 to above 0, and begins with 1,"),
        (np.full(100, 0.5), "must fall from step to step"),
        (np.full(100, np.nan), "begins with nan"),
        (np.linspace(0.99, 0.01, 101), "shape [101], and num_diffusion_steps=100"),
    ],
)
def test_a_schedule_of_ones_own_is_checked(alpha_bar, says, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "mine", lambda *_: NoiseSchedule(alpha_bar))
    with pytest.raises(InputError, match="schedule='mine': " + ".*" + re.escape(says)):
        make_schedule("mine", **DEFAULT)
