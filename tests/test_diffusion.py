import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import diffusion
from l2d_jax.schedules import cosine, make_schedule

SCHEDULE = make_schedule("linear", num_steps=100, beta_first=1e-4, beta_last=0.1)
X_0, EPS = jax.random.normal(jax.random.key(0), (2, 5, 3))


def conditional_gaussian(ab_t: float, ab_s: float, x_0: float, x_t: float):
    """q(x_s | x_t, x_0) by conditioning the joint Gaussian of (x_s, x_t) given x_0."""
    alpha = ab_t / ab_s
    mean_s, mean_t = np.sqrt(ab_s) * x_0, np.sqrt(ab_t) * x_0
    var_s, var_t = 1 - ab_s, 1 - ab_t
    covariance = np.sqrt(alpha) * var_s
    mean = mean_s + covariance / var_t * (x_t - mean_t)
    return mean, var_s - covariance**2 / var_t


@pytest.mark.parametrize("schedule", [SCHEDULE, cosine(100)], ids=("linear", "cosine"))
@pytest.mark.parametrize("t, s", [(99, 98), (50, 20), (1, 0), (0, -1), (40, -1)])
def test_posterior_is_bayes_rule(t, s, schedule):
    alpha_bar = np.append(np.asarray(schedule.alpha_bar), 1.0)  # [-1] is 1
    mean, variance = diffusion.q_posterior(
        schedule,
        x_0=jnp.float32(0.7),
        x_t=jnp.float32(-1.3),
        t=jnp.int32(t),
        t_prev=jnp.int32(s),
    )
    expected = conditional_gaussian(alpha_bar[t], alpha_bar[s], 0.7, -1.3)
    assert mean == pytest.approx(expected[0], abs=1e-5)
    assert variance == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("t", [0, 37, 99])
def test_forward_process_keeps_alpha_bar_of_the_signal(t):
    x_t = diffusion.q_sample(SCHEDULE, x_0=X_0, t=jnp.int32(t), eps=EPS)
    ab = float(SCHEDULE.alpha_bar[t])
    np.testing.assert_allclose(
        x_t, np.sqrt(ab) * X_0 + np.sqrt(1 - ab) * EPS, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("prediction", diffusion.PREDICTIONS)
@pytest.mark.parametrize("t", [0, 37, 99])
def test_x_0_comes_back_from_each_target(prediction, t):
    t = jnp.int32(t)
    x_t = diffusion.q_sample(SCHEDULE, x_0=X_0, t=t, eps=EPS)
    target = diffusion.training_target(prediction, SCHEDULE, x_0=X_0, t=t, eps=EPS)
    x_0 = diffusion.predict_x_0(prediction, SCHEDULE, output=target, x_t=x_t, t=t)
    np.testing.assert_allclose(x_0, X_0, atol=2e-5)


def test_v_is_the_velocity_on_the_circle():
    t = jnp.int32(60)
    v = diffusion.training_target("v", SCHEDULE, x_0=X_0, t=t, eps=EPS)
    angle = np.arccos(np.sqrt(SCHEDULE.alpha_bar[60]))
    np.testing.assert_allclose(
        v, np.cos(angle) * EPS - np.sin(angle) * X_0, rtol=1e-4, atol=1e-5
    )


def network_error(prediction, weighting, error=0.01):
    """The loss of a network whose x_0 estimate is off by `error` everywhere."""

    def predict(x_t, t):
        ab = SCHEDULE.at(t)
        eps = (x_t - jnp.sqrt(ab) * X_0) / jnp.sqrt(1 - ab)
        x_0 = X_0 + error
        if prediction == "x_0":
            return x_0
        eps = eps - jnp.sqrt(ab / (1 - ab)) * error
        if prediction == "eps":
            return eps
        return jnp.sqrt(ab) * eps - jnp.sqrt(1 - ab) * x_0

    loss, metrics = diffusion.diffusion_loss(
        predict,
        SCHEDULE,
        jax.random.key(3),
        X_0,
        prediction=prediction,
        weighting=weighting,
    )
    t = jax.random.randint(jax.random.split(jax.random.key(3))[0], (), 0, 100)
    return float(loss), float(metrics["mse"]), float(SCHEDULE.snr(t))


@pytest.mark.parametrize("prediction", diffusion.PREDICTIONS)
@pytest.mark.parametrize(
    "weighting, weight",
    [
        ("min_snr", lambda snr: min(snr, 5.0)),
        ("sigmoid", lambda snr: snr / (1.0 + snr / 7.389056)),  # e^2 at the most
    ],
)
def test_weights_of_the_x_0_error_are_alike_for_every_prediction(
    prediction, weighting, weight
):
    loss, _, snr = network_error(prediction, weighting)
    assert loss == pytest.approx(weight(snr) * 1e-4, rel=2e-2)


@pytest.mark.parametrize("snr", [0.01, 4.5, 100.0])
def test_weights_below_and_above_their_limits(snr):
    """In units of the x_0 error: min(SNR, 5), and SNR / (1 + SNR / e^2)."""
    units = {"x_0": 1.0, "eps": snr, "v": snr + 1.0}
    soft = snr / (1.0 + snr / 7.389056)
    for name, expected in (("min_snr", min(snr, 5.0)), ("sigmoid", soft)):
        for prediction, unit in units.items():
            weight = diffusion.WEIGHTINGS[name](prediction, jnp.float32(snr))
            assert weight == pytest.approx(expected / unit, rel=1e-5)


def test_masked_mean_by_hand():
    x = jnp.array([[1.0, 5.0], [jnp.nan, 3.0]])
    mask = jnp.array([[True, False], [False, True]])
    assert diffusion.masked_mean(x, mask) == 2.0
    assert diffusion.masked_mean(x, jnp.zeros((2, 2), bool)) == 0.0
    assert diffusion.masked_mean(x[:1], None) == 3.0


@pytest.mark.parametrize("weighting", diffusion.WEIGHTINGS)
@pytest.mark.parametrize("prediction", diffusion.PREDICTIONS)
def test_weights_are_finite_where_no_noise_is_left(prediction, weighting):
    weight = diffusion.WEIGHTINGS[weighting](prediction, jnp.float32(jnp.inf))
    assert 0.0 <= float(weight) <= 7.4


@pytest.mark.parametrize(
    "prediction, factor",
    [("x_0", lambda snr: 1.0), ("eps", lambda snr: snr), ("v", lambda snr: snr + 1)],
)
def test_uniform_loss_is_the_mean_square_of_the_target(prediction, factor):
    loss, mse, snr = network_error(prediction, "uniform")
    assert loss == pytest.approx(mse)
    assert loss == pytest.approx(factor(snr) * 1e-4, rel=2e-2)
