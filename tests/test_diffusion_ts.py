"""Diffusion-TS: against recorded values of the reference, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import waves
from ml_collections import FrozenConfigDict
from small_baselines import SHAPE, tiny

import l2d_jax
from l2d_jax import diffusion, sampling
from l2d_jax.baselines import diffusion_ts
from l2d_jax.configs import resolve
from l2d_jax.schedules import cosine
from l2d_jax.types import InputError


@pytest.fixture(scope="module")
def diffusion_ts_case(reference_dir):
    with np.load(reference_dir / "diffusion_ts.npz") as case:
        case = dict(case)
    state = {
        name.removeprefix("param/"): value
        for name, value in case.items()
        if name.startswith("param/")
    }
    case["x"] = jnp.asarray(case["x"])
    model = diffusion_ts.DiffusionTS(2, 2, 32, 4)
    params = jax.tree.map(jnp.asarray, diffusion_ts.params_from_torch(state))
    return model, params, case


def test_diffusion_ts_has_the_parameters_of_the_reference(diffusion_ts_case):
    model, params, case = diffusion_ts_case
    own = jax.eval_shape(model.init, jax.random.key(0), case["x"][0], jnp.int32(0))
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, params)


def test_diffusion_ts_network_as_the_reference(diffusion_ts_case):
    model, params, case = diffusion_ts_case
    run = jax.jit(jax.vmap(model.apply, (None, 0, 0)))
    trend, season = run(params, case["x"], case["t"])
    found = {"trend": trend, "season": season, "output": trend + season}
    for name, values in found.items():
        largest = np.abs(case[name]).max()
        assert largest > 0.1
        np.testing.assert_allclose(values, case[name], atol=1e-5 * largest)


def test_diffusion_ts_process_and_loss_as_the_reference(diffusion_ts_case):
    model, params, case = diffusion_ts_case
    schedule = cosine(50)
    np.testing.assert_allclose(schedule.alpha_bar, case["alpha_bar"], rtol=1e-5)
    weights = diffusion_ts.loss_weights(schedule)
    np.testing.assert_allclose(weights, case["loss_weight"], rtol=1e-4, atol=1e-7)
    apply, losses = jax.jit(model.apply), []
    for i, t in enumerate(case["t"].tolist()):
        x_0, eps = case["x"][i], jnp.asarray(case["noise"][i])
        step = jnp.int32(t)
        x_t = diffusion.q_sample(schedule, x_0=x_0, t=step, eps=eps)
        np.testing.assert_allclose(x_t, case["x_t"][i], atol=1e-5)
        mean, variance = diffusion.q_posterior(
            schedule, x_0=x_0, x_t=x_t, t=step, t_prev=step - 1
        )
        np.testing.assert_allclose(mean, case["posterior_mean"][i], atol=1e-5)
        before = np.append(schedule.alpha_bar, 1.0)[t - 1 : t or None]
        ((a, b, _, s),) = sampling.ancestral(schedule.alpha_bar[t : t + 1], before, 1.0)
        sampled = a * x_t + b * x_0
        np.testing.assert_allclose(sampled, case["posterior_mean"][i], atol=1e-5)
        if t > 0:
            expected = case["posterior_log_variance"][i].item()
            np.testing.assert_allclose(jnp.log(variance), expected, atol=1e-5)
            np.testing.assert_allclose(2 * np.log(s), expected, atol=1e-5)
        trend, season = apply(params, x_t, step)
        time, frequency = diffusion_ts.distance(trend + season, x_0)
        losses.append(weights[t] * (time + np.sqrt(24) / 5 * frequency))
    np.testing.assert_allclose(np.mean(losses), case["loss"], rtol=1e-5)


def test_strongest_frequencies_of_a_sum_of_waves():
    """Of 11 frequencies two are kept: the strongest, each L / 2 times its amplitude."""
    t = np.arange(24)
    strong = 3 * np.cos(2 * np.pi * 5 * t / 24 + 0.3) - 2 * np.sin(2 * np.pi * t / 24)
    weak = 0.5 * np.cos(2 * np.pi * 8 * t / 24) + 4.0 + 7 * (-1.0) ** t
    found = diffusion_ts.strongest_frequencies(jnp.asarray(strong + weak)[:, None])
    np.testing.assert_allclose(found[:, 0], 24 * strong, atol=1e-3)
    # Three frequencies of a length of 7: int(log 3) = 1 is kept; of one, none.
    wave = jnp.cos(2 * jnp.pi * jnp.arange(7) / 7)[:, None]
    found = diffusion_ts.strongest_frequencies(wave)
    np.testing.assert_allclose(found, 7 * wave, atol=1e-5)
    assert not diffusion_ts.strongest_frequencies(wave[:4]).any()


def test_clipped_to_the_range_of_the_training_series():
    config, x = tiny("diffusion_ts"), waves(64)  # knows nothing after four steps
    samples = l2d_jax.fit(x, config=config).sample(jax.random.key(0), 50)
    low, high = x.min((0, 1)), x.max((0, 1))
    slack = 1e-5 * (high - low)
    assert (samples >= (low - slack)[None, None]).all()
    assert (samples <= (high + slack)[None, None]).all()


class Share:
    """Estimates .4 x_t, a trend of .3 and a season of .1."""

    apply = staticmethod(lambda params, x_t, t: (0.3 * x_t, 0.1 * x_t))


def test_diffusion_ts_is_drawn_by_the_settings_of_sampling(monkeypatch):
    """Solver, steps, eta; estimates are kept within the range, here up to .2."""
    monkeypatch.setattr(diffusion_ts, "network", lambda config: Share)
    config, key = resolve(tiny("diffusion_ts")), jax.random.key(3)
    config.sampling.update(solver="ddim", num_steps=2, eta=0.5)
    low, high = jnp.full(2, -jnp.inf), jnp.full(2, 0.2)
    params = {"diffusion_ts": None, "low": low, "high": high}
    decode = diffusion_ts.decode(FrozenConfigDict(config), SHAPE)
    x, z = (jax.random.normal(jax.random.fold_in(key, i), SHAPE) for i in range(2))
    schedule = diffusion_ts.noise_schedule(config)
    steps = np.array([schedule.num_steps - 1, 0])
    a, b, _, s = sampling.solver_table("ddim", schedule, steps, eta=0.5)[0]
    x = a * x + b * np.minimum(0.4 * x, 0.2) + s * z
    expected = np.minimum(0.4 * x, 0.2)
    np.testing.assert_allclose(decode(params, key, None), expected, rtol=1e-4)


def test_diffusion_ts_is_trained_by_its_loss(monkeypatch):
    """w(t) mean(|d| + sqrt(L) / 5 |F d|), at the t and the noise of the key."""
    monkeypatch.setattr(diffusion_ts, "network", lambda config: Share)
    config, key = resolve(tiny("diffusion_ts")), jax.random.key(7)
    x_0 = jax.random.normal(jax.random.key(1), SHAPE)
    loss, _ = diffusion_ts.stage(config, SHAPE).loss({}, key, x_0)
    key_t, key_eps = jax.random.split(key)
    schedule = diffusion_ts.noise_schedule(config)
    t = int(jax.random.randint(key_t, (), 0, schedule.num_steps))
    ab = np.append(schedule.alpha_bar, 1.0)  # [-1] is 1
    x_t = np.sqrt(ab[t]) * x_0
    x_t = x_t + np.sqrt(1 - ab[t]) * jax.random.normal(key_eps, SHAPE)
    d = np.asarray(0.4 * x_t - x_0)
    spectrum = np.fft.fft(d, axis=0) / 8
    in_frequency = np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()
    alpha = ab[t] / ab[t - 1]
    weight = np.sqrt(alpha * (1 - ab[t])) / (100 * (1 - alpha))
    expected = weight * (np.abs(d).mean() + np.sqrt(8) / 5 * in_frequency)
    assert loss == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("width", "heads", "says"),
    [
        (2, 1, "width=2: use a multiple of 2, twice its heads, and 4 or more"),
        (12, 4, "width=12: use a multiple of 8, twice its heads"),
    ],
)
def test_widths_that_heads_can_not_share(width, heads, says):
    config = resolve(tiny("diffusion_ts"))
    config.diffusion_ts.update(width=width, num_heads=heads)
    with pytest.raises(InputError, match=f"--config.diffusion_ts.{says}"):
        diffusion_ts.network(config)
