"""Baselines: against recorded values of their references, and what must hold anyway."""

import shutil
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made import waves
from ml_collections import FrozenConfigDict

import l2d_jax
from l2d_jax import baselines, diffusion, parallel, run, sampling, train
from l2d_jax.baselines import (
    controls,
    diffusion_ts,
    fourier_diffusion,
    fourier_flow,
    settings,
    time_gan,
)
from l2d_jax.configs import base, load, resolve
from l2d_jax.schedules import cosine
from l2d_jax.stages import Stage
from l2d_jax.types import InputError

SHAPE = (8, 2)


def tiny(method):
    """The smoke form, smaller still."""
    config = base.with_argument(base.get_config(), f"smoke,{method}")
    for name in settings.DEFAULTS:
        config[name].update(num_steps=4, batch_size=24)
    config.time_gan_embedding.num_layers = 1
    config.diffusion_ts.width = 8
    config.training.steps_per_call = config.training.checkpoint_every = 2
    config.sampling.batch_size = 16
    return config


OTHERS = [*baselines.BASELINES, "data_only", "latent_only", "single_stage"]


@pytest.mark.parametrize("method", OTHERS)
def test_steps_that_suit_the_cascade_are_not_those_of_others(method):
    for given_latent in ("full", "oracle_latent"):
        s = resolve(load("energy").get_config(given_latent)).sampling
        assert (s.num_steps, s.solver, s.spacing) == (20, "dpm_solver++", 1.5)
    s = resolve(load("energy").get_config(method)).sampling
    assert (s.num_steps, s.solver, s.spacing) == (0, "ancestral", 1.0)
    for name in ("electric_devices", "spoken_arabic_digits"):
        s = resolve(load(name).get_config()).sampling
        assert (s.num_steps, s.solver) == (0, "ancestral")
    config = load("stock").get_config()
    config.variant = "data_only"  # by its flag
    s = resolve(config).sampling
    assert (s.num_steps, s.solver, s.spacing) == (0, "ancestral", 1.0)


@pytest.mark.parametrize(
    ("method", "num_steps", "solver", "eta"),
    [
        ("full", 5, "dpm_solver++", 1.0),
        ("data_only", 5, "dpm_solver++", 1.0),
        ("diffusion_ts", 5, "ddim", 0.0),
        ("full", 100, "dpm_solver++", 1.0),
        ("data_only", 100, "ancestral", 1.0),
    ],
)
def test_a_number_of_steps_brings_its_solver(method, num_steps, solver, eta):
    """In a config as in `sample`."""
    config = load("stock").get_config(method)
    config.sampling.num_steps = num_steps
    s = resolve(config).sampling
    assert (s.solver, s.num_steps, s.eta) == (solver, num_steps, eta)
    config.sampling.solver = "ancestral"  # as given
    s = resolve(config).sampling
    assert (s.solver, s.num_steps, s.eta) == ("ancestral", num_steps, 1.0)


# --- all of them, in small ------------------------------------------------------------


@pytest.mark.parametrize("method", baselines.BASELINES)
def test_every_baseline_trains_resumes_loads_and_samples(tmp_path, method):
    x, config = waves(64), tiny(method)
    model = l2d_jax.fit(x, workdir=tmp_path / "w", config=config)
    samples = model.sample(jax.random.key(0), 20)
    distance = np.abs(samples - x.mean((0, 1))[None, None]) / x.std((0, 1))[None, None]
    assert samples.shape == (20, 8, 2) and distance.max() < 1e4
    assert np.ptp(samples, axis=0).min() > 0  # not one series twenty times
    loaded = l2d_jax.load(tmp_path / "w")
    np.testing.assert_array_equal(loaded.sample(jax.random.key(0), 20), samples)
    # Killed in the last stage, before its end: the same weights in the end.
    if stages := baselines.BASELINES[method].stages:
        shutil.rmtree(tmp_path / "w" / "checkpoints" / "cascade")
        shutil.rmtree(tmp_path / "w" / "checkpoints" / stages[-1] / "4")
        again = l2d_jax.fit(x, workdir=tmp_path / "w", config=config)
        np.testing.assert_array_equal(again.sample(jax.random.key(0), 20), samples)


@pytest.mark.parametrize(
    ("module", "t"), [(diffusion_ts, np.int32(3)), (fourier_diffusion, np.float32(0.3))]
)
def test_products_round_their_factors_as_the_config_says(module, t):
    """To 8 bits in bfloat16: no more than 2^-8 of each, and the same parameters."""
    name = module.__name__.rpartition(".")[2]
    x_t, t = jax.random.normal(jax.random.key(1), SHAPE), jnp.asarray(t)
    y = {}
    for dtype in ("float32", "bfloat16"):
        config = tiny(name)
        config.training.compute_dtype = dtype
        network = module.network(resolve(config))
        params = network.init(jax.random.key(0), x_t, t)
        y[dtype] = np.stack(network.apply(params, x_t, t))
    scale = np.abs(y["float32"]).max()
    error = np.abs(y["bfloat16"] - y["float32"]).max() / scale
    assert 1e-5 < error < 3e-2


def test_settings_that_a_baseline_has_not_are_refused():
    model = l2d_jax.fit(waves(64), config=tiny("gaussian"))
    for given in ({"num_steps": 5}, {"solver": "ddim"}, {"latent_num_steps": 3}):
        with pytest.raises(l2d_jax.InputError, match=r"has no such setting, leave it"):
            model.sample(jax.random.key(0), 2, **given)
    with pytest.raises(l2d_jax.InputError, match="no encoder"):
        model.encode(waves(64))


def test_settings_of_a_set_are_those_of_the_references():
    def given(name):
        config = base.get_config()
        config.data.name = name
        return base.with_argument(config, "")

    assert given("stock").diffusion_ts.encoder_layers == 2
    assert given("stock").diffusion_ts.num_steps == 10_000
    assert given("energy").diffusion_ts.width == 96
    assert given("ecg5000").diffusion_ts.num_steps == 15_000
    assert given("stock").fourier_flow.num_flows == 3
    for sections in settings.FOR_SETS.values():
        for name, fields in sections.items():
            assert fields.keys() <= settings.DEFAULTS[name].keys()


# --- Diffusion-TS ---------------------------------------------------------------------


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


# --- FourierDiffusion -----------------------------------------------------------------


def test_score_network_by_hand():
    """Positions no longer than sqrt(width), and norms after what is added."""
    model = fourier_diffusion.ScoreNetwork(4, 1, 2, hidden=6, dropout=0.0)
    x, t = jax.random.normal(jax.random.key(0), (5, 3)), jnp.float32(0.3)
    params = jax.jit(model.init)(jax.random.key(1), x, t)
    params = jax.tree.map(lambda p: 1.5 * p + 0.1, params)
    p = params["params"]

    def dense(name, y, of=p):
        return y @ of[name]["kernel"] + of[name]["bias"][None]

    def norm(i, y):
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        of = layer[f"LayerNorm_{i}"]
        return y * of["scale"][None] + of["bias"][None]

    lengths = np.linalg.norm(p["position"], axis=1)
    assert lengths.min() < 2.0 < lengths.max()
    position = p["position"] * np.minimum(1.0, 2.0 / lengths)[:, None]
    time = fourier_diffusion.time_features(t, 4)[None]
    y = dense("embedder", x) + position + dense("time", time)
    layer = p["layer_0"]
    attention = nn.MultiHeadDotProductAttention(2)
    weights = {"params": layer["MultiHeadDotProductAttention_0"]}
    y = norm(0, y + attention.apply(weights, y))
    y = norm(1, y + dense("back", jnp.maximum(dense("hidden", y, layer), 0), layer))
    found = model.apply(params, x, t)
    np.testing.assert_allclose(found, dense("unembedder", y), rtol=1e-3, atol=1e-4)


def test_scores_are_learned_at_all_times_alike(monkeypatch):
    monkeypatch.setattr(
        fourier_diffusion, "score_loss", lambda score_of, x, *, t, z: t + 0 * z[0, 0]
    )
    config = resolve(tiny("fourier_diffusion"))
    loss = fourier_diffusion.stage(config, SHAPE).loss
    keys = jax.random.split(jax.random.key(0), 2_000)
    times = np.sort(jax.vmap(lambda key: loss({}, key, jnp.zeros(SHAPE))[0])(keys))
    # Kolmogorov-Smirnov distance from uniform: above .036 with probability .01.
    assert np.abs(times - (np.arange(2_000) + 0.5) / 2_000).max() < 0.036


@pytest.mark.parametrize("module", [fourier_diffusion, fourier_flow])
def test_spectra_are_standardised_to_train_on(module):
    """Each coefficient, by its own deviation over n - 1."""
    config = resolve(tiny(module.__name__.rpartition(".")[2]))
    rows = module.stage(config, SHAPE).prepare({}, waves(20) * np.float32([1, 1e5]))
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(rows.std(axis=0, ddof=1), 1.0, rtol=1e-3)


@pytest.mark.parametrize("length", [24, 23])
def test_fourier_diffusion_as_the_reference(reference_dir, length):
    with np.load(reference_dir / "fourier_diffusion.npz") as case:
        case = dict(case)

    def of(name):
        return case[f"{name}_{length}"]

    scale = fourier_diffusion.noise_scale(length)
    np.testing.assert_allclose(scale, of("G"), atol=1e-6)
    _, step_size = fourier_diffusion.times(1_000)
    np.testing.assert_allclose(step_size, case["step_size"], rtol=1e-5)
    for i, x in enumerate(of("x")):
        spectrum = fourier_diffusion.to_spectrum(jnp.asarray(x))
        np.testing.assert_allclose(spectrum, of("dft")[i], atol=1e-5)
        mean, std = fourier_diffusion.marginal(spectrum, jnp.asarray(case["t"][i]))
        np.testing.assert_allclose(mean, of("mean")[i], atol=1e-5)
        np.testing.assert_allclose(std, of("std")[i], atol=1e-5)
        x_prev = fourier_diffusion.reverse_step(
            spectrum,
            jnp.float32(0.5),
            score=jnp.asarray(of("score")[i]),
            z=jnp.asarray(of("z")[i]),
            step_size=step_size,
        )
        np.testing.assert_allclose(x_prev, of("step_at_0.5")[i], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_the_transform_has_an_inverse_and_makes_white_noise_of_g_z(length):
    identity = jnp.eye(length)
    matrix = fourier_diffusion.to_spectrum(identity)
    back = fourier_diffusion.from_spectrum(matrix)
    np.testing.assert_allclose(back, identity, atol=1e-6)
    # Covariance of the spectrum of white noise is that of G z; and back.
    scale = fourier_diffusion.noise_scale(length)
    np.testing.assert_allclose(matrix @ matrix.T, np.diag(scale**2), atol=1e-6)
    noise = np.asarray(fourier_diffusion.from_spectrum(jnp.diag(scale)))
    np.testing.assert_allclose(noise @ noise.T, identity, atol=1e-6)


def test_fourier_diffusion_samples_the_gaussian_whose_score_is_known(monkeypatch):
    """x(0) ~ N(mu, s^2 G^2): the score is known, 500 steps give mean and variance."""
    mu, s, (length, channels) = 1.5, 0.5, SHAPE
    scale = jnp.asarray(fourier_diffusion.noise_scale(length))[:, None]

    def apply(_, x_t, t):
        log_mean = -0.25 * t**2 * 19.9 - 0.05 * t
        m = jnp.exp(log_mean)
        return (m * mu - x_t) / (scale**2 * (m**2 * s**2 + 1.0 - m**2))

    class Known:
        pass

    Known.apply = staticmethod(apply)
    monkeypatch.setattr(fourier_diffusion, "network", lambda config: Known)
    config = resolve(tiny("fourier_diffusion"))
    config.sampling.num_steps = 500
    decode = fourier_diffusion.decode(FrozenConfigDict(config), SHAPE)
    params = {"fourier_diffusion": None, "std": jnp.ones(SHAPE), "mean": 0.0}
    params["mean"] = jnp.zeros(SHAPE)
    keys = jax.random.split(jax.random.key(0), 4_000)
    x = jax.jit(jax.vmap(lambda key: decode(params, key, None)))(keys)
    spectra = jax.vmap(fourier_diffusion.to_spectrum)(x)
    np.testing.assert_allclose(spectra.mean(axis=(0, 2)), mu, rtol=0.03)
    expected = jnp.broadcast_to(s * scale, SHAPE)
    np.testing.assert_allclose(spectra.std(axis=0), expected, rtol=0.06)
    assert channels == 2


def test_fourier_diffusion_draws_nothing_twice(monkeypatch):
    """Time, noise and dropout of a loss, start and steps; a network that says 0."""
    asked = []

    class Silent:
        @staticmethod
        def apply(params, x_t, t, training=False, rngs=None):
            asked.append((training, rngs))
            return 0.0 * x_t

    monkeypatch.setattr(fourier_diffusion, "network", lambda config: Silent)
    config, key = resolve(tiny("fourier_diffusion")), jax.random.key(3)
    loss, _ = fourier_diffusion.stage(config, SHAPE).loss({}, key, jnp.zeros(SHAPE))
    of_t, of_z, of_dropout = jax.random.split(key, 3)
    t = jax.random.uniform(of_t, minval=1e-5, maxval=1.0)
    z = jax.random.normal(of_z, SHAPE)
    _, std = fourier_diffusion.marginal(jnp.zeros(SHAPE), t)
    expected = np.mean((z / std[:, None]) ** 2) / np.sum(1 / std**2)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert asked.pop() == (True, {"dropout": of_dropout})

    config.sampling.num_steps = 2
    params = {"fourier_diffusion": None, "std": jnp.ones(SHAPE)}
    params["mean"] = jnp.zeros(SHAPE)
    decode = fourier_diffusion.decode(FrozenConfigDict(config), SHAPE)
    found = fourier_diffusion.to_spectrum(decode(params, key, None))
    assert asked == [(False, None)]
    start, *zs = (
        jax.random.normal(jax.random.fold_in(key, i), SHAPE) for i in range(3)
    )
    x = start * fourier_diffusion.noise_scale(8)[:, None]
    at, step_size = fourier_diffusion.times(2)
    for t, z in zip(jnp.asarray(at), zs, strict=True):
        x = fourier_diffusion.reverse_step(
            x, t, score=0.0 * x, z=z, step_size=step_size
        )
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4)


def test_fourier_diffusion_loss_is_0_for_the_true_score():
    x = jnp.arange(16.0).reshape(SHAPE) / 16
    t, z = jnp.float32(0.4), jax.random.normal(jax.random.key(0), SHAPE)
    mean, std = fourier_diffusion.marginal(x, t)

    def true_score(x_t, t):
        return -(x_t - mean) / std[:, None] ** 2

    loss = fourier_diffusion.score_loss(true_score, x, t=t, z=z)
    np.testing.assert_allclose(loss, 0.0, atol=1e-10)
    # A score of 0: mean |z / std|^2 / sum std^-2, 1 / L on average.
    loss = fourier_diffusion.score_loss(lambda x_t, t: 0 * x_t, x, t=t, z=z)
    expected = np.mean((z / std[:, None]) ** 2) / np.sum(1 / std**2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


# --- FourierFlow ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 2), (5, 1), (2, 1)])
def test_the_flow_has_an_inverse_and_an_exact_likelihood(shape):
    model = fourier_flow.Flow(num_flows=3, hidden=7)
    key_params, key_x, key_std = jax.random.split(jax.random.key(0), 3)
    x = 2 + jax.random.normal(key_x, shape)
    params = {
        "fourier_flow": jax.jit(model.init)(key_params, x),
        "mean": jnp.full(shape, 0.5),
        "std": jax.random.uniform(key_std, shape, minval=0.5, maxval=2.0),
    }
    weights = jax.tree.map(lambda w: 3 * w, params["fourier_flow"])  # far from 0
    params["fourier_flow"] = weights
    apply = jax.jit(model.apply, static_argnames="inverse")
    z, log_det = apply(weights, x)
    back, log_det_back = apply(weights, z, inverse=True)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-5)

    def to_z(flat):
        spectrum = fourier_diffusion.to_spectrum(flat.reshape(shape))
        standard = (spectrum - params["mean"]) / params["std"]
        return model.apply(weights, standard)[0].reshape(-1)

    jacobian = np.asarray(jax.jit(jax.jacobian(to_z))(x.reshape(-1)), np.float64)
    z = np.asarray(to_z(x.reshape(-1)), np.float64)
    density = -0.5 * (z**2).sum() - 0.5 * z.size * np.log(2 * np.pi)
    expected = density + np.linalg.slogdet(jacobian)[1]
    found = jax.jit(partial(fourier_flow.log_likelihood, model))(params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_flow_of_two_steps_is_saved_and_loaded(tmp_path):
    """It has no imaginary part: the real ones have scales and means of their own."""
    config = tiny("fourier_flow")
    model = l2d_jax.fit(waves(64, length=2), workdir=tmp_path / "w", config=config)
    x = model.sample(jax.random.key(0), 20)
    loaded = l2d_jax.load(tmp_path / "w").sample(jax.random.key(0), 20)
    np.testing.assert_array_equal(loaded, x)
    assert np.isfinite(x).all() and np.ptp(x, axis=0).min() > 0


def test_the_flow_mixes_views_and_channels():
    model = fourier_flow.Flow(num_flows=2, hidden=16)
    x = jax.random.normal(jax.random.key(1), (6, 2))
    params = jax.jit(model.init)(jax.random.key(0), x)
    jacobian = jax.jit(jax.jacobian(lambda x: model.apply(params, x)[0]))(x)
    assert (np.abs(np.asarray(jacobian[4, 0, 1])) > 0).all()  # imag of 0 sees real of 1
    assert (np.abs(np.asarray(jacobian[1, 0, 4])) > 0).all()  # and the other way round
    assert not jacobian[4, 0, 5].any()  # one view is not transformed by itself


def test_the_flow_is_trained_by_its_likelihood_and_drawn_from_backwards():
    config, x = resolve(tiny("fourier_flow")), waves(20) * np.float32([1, 1e5])
    stage, key = fourier_flow.stage(config, SHAPE), jax.random.key(3)
    params = stage.export(jax.jit(stage.init)(jax.random.key(0)), None)
    params |= fourier_diffusion.extras(config, {}, x)
    model, weights = fourier_flow.network(config), params["fourier_flow"]
    standard = fourier_diffusion.to_spectrum(jnp.asarray(x[0]))
    standard = (standard - params["mean"]) / params["std"]
    # From x to the standardised spectrum: G times a rotation, over the deviations.
    log_det = 2 * np.log(fourier_diffusion.noise_scale(8)).sum()
    log_det -= np.log(params["std"]).sum()
    likelihood = jax.jit(partial(fourier_flow.log_likelihood, model))
    expected = log_det - float(likelihood(params, jnp.asarray(x[0])))
    loss = jax.jit(stage.loss)(weights, key, standard)[0]
    assert loss == pytest.approx(expected, rel=1e-3)
    decode = jax.jit(fourier_flow.decode(FrozenConfigDict(config), SHAPE))
    drawn = fourier_diffusion.to_spectrum(decode(params, key, None))
    z, _ = jax.jit(model.apply)(weights, (drawn - params["mean"]) / params["std"])
    np.testing.assert_allclose(z, jax.random.normal(key, SHAPE), atol=1e-2)


# --- TimeGAN --------------------------------------------------------------------------


class Times:
    """A network that multiplies, so that each one's part in a loss is known."""

    apply = staticmethod(lambda factor, x: factor * x)


TIMES = time_gan.Networks(*[Times] * 5)
FACTORS = dict(zip(TIMES._fields, (0.5, 3.0, 0.7, 1.1, -0.4), strict=True))


def test_time_gan_losses_are_of_the_right_networks():
    turns, key = time_gan.make_turns(TIMES), jax.random.key(1)
    x = jax.random.uniform(jax.random.key(0), SHAPE)
    z = jax.random.uniform(key, SHAPE)  # generated: .7 z, after the supervisor .77 z
    s = np.mean((0.5 * x[1:] - 1.1 * 0.5 * x[:-1]) ** 2)

    def softplus(y):
        return np.log1p(np.exp(y)).mean()

    expected = {
        "embedding": {"mse": np.mean((x - 1.5 * x) ** 2), "s": s},
        "supervised": {"s": s},
        "generator": {
            "u": softplus(0.4 * 0.77 * z),
            "u_e": softplus(0.4 * 0.7 * z),
            "s": s,
            "fake": {"x": 3 * 0.77 * z, "squares": (3 * 0.77 * z) ** 2},
            "real": {"x": x, "squares": x**2},
        },
        "discriminator": {
            "real": softplus(0.4 * 0.5 * x),
            "fake": softplus(-0.4 * 0.77 * z),
            "fake_e": softplus(-0.4 * 0.7 * z),
        },
    }
    for name, values in expected.items():
        found = turns[name].statistics(FACTORS, key, x)
        assert found.keys() == values.keys()
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), found, values)


def test_time_gan_draws_by_three_networks_in_the_range_of_the_data(monkeypatch):
    monkeypatch.setattr(time_gan, "networks", lambda config, channels: TIMES)
    low, high = jnp.array([-1.0, 4.0]), jnp.array([2.0, 9.0])
    params = {"time_gan": FACTORS, "low": low, "high": high}
    key = jax.random.key(3)
    found = time_gan.decode(FrozenConfigDict(), SHAPE)(params, key, None)
    share = 0.7 * 1.1 * 3.0 * jax.random.uniform(key, SHAPE)
    np.testing.assert_allclose(found, low[None] + share * (high - low)[None], rtol=1e-5)


def test_time_gan_is_trained_on_what_spans_0_to_1():
    config, x = resolve(tiny("time_gan")), waves(20)
    scaled = time_gan.embedding_stage(config, SHAPE).prepare({}, x)
    low, high = x.min((0, 1))[None, None], x.max((0, 1))[None, None]
    np.testing.assert_allclose(scaled, (x - low) / (high - low), atol=1e-3)


def time_gan_stages(config):
    config = resolve(config)
    return config, {
        name: baselines.STAGES[name](config, SHAPE)
        for name in baselines.BASELINES["time_gan"].stages
    }


def one_step(stage, c):
    """The state before and after."""
    x = np.random.default_rng(0).uniform(size=(1, 24, *SHAPE)).astype(np.float32)
    state = train.init_state(stage, c, seed=0)
    before = jax.tree.map(np.array, state)
    after = train.make_program(stage, c, seed=0)(parallel.place(state), x)[0]
    changed = {
        network
        for network, old in before.params.items()
        if optax.tree.norm(optax.tree.sub(after.params[network], old)) > 0
    }
    steps = optax.tree.get_all_with_path(after.opt_state, "count")
    return changed, {path[0].key: int(count) for path, count in steps}


def test_the_first_two_phases_train_what_they_should_and_nothing_else():
    config, stages = time_gan_stages(tiny("time_gan"))
    changed, _ = one_step(stages["time_gan_embedding"], config.time_gan_embedding)
    assert changed == {"embedder", "recovery"}
    changed, _ = one_step(stages["time_gan_supervised"], config.time_gan_supervised)
    assert changed == {"supervisor"}


def test_each_phase_goes_on_with_the_networks_of_the_one_before(monkeypatch):
    def one_more(stage, make_examples, c, *, seed, **_):
        return jax.tree.map(
            lambda p: p + 1.0, jax.jit(stage.init)(jax.random.key(seed))
        )

    monkeypatch.setattr(run, "fit_stage", one_more)
    config = tiny("time_gan")
    found = l2d_jax.fit(waves(64), config=config).params["time_gan"]
    _, stages = time_gan_stages(config)
    start = jax.jit(stages["time_gan_embedding"].init)(jax.random.key(config.seed))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other + 3.0, rtol=1e-5),
        found,
        start,
    )


@pytest.mark.parametrize(("num_layers", "expected"), [(3, 2), (1, 1)])
def test_the_supervisor_has_a_layer_less(num_layers, expected):
    config = tiny("time_gan")
    config.time_gan_embedding.num_layers = num_layers
    assert time_gan.networks(config, 2).supervisor.num_layers == expected


def test_each_turn_of_the_joint_phase_has_its_batch():
    """Three of 8 series, side by side. Slopes are the means of what a turn has."""

    def turn(name):
        def drawn(params, key, x):
            return {"x": params[name] * (x.mean() + jax.random.uniform(key))}

        return time_gan.Turn((name,), drawn, lambda m: (m["x"], {}))

    names = ("generator", "autoencoder", "discriminator")
    updater = time_gan.make_updater(
        {name: turn(name) for name in names}, time_gan.JOINT, optax.sgd(1.0)
    )
    x = np.random.default_rng(0).uniform(size=(1, 24, *SHAPE)).astype(np.float32)
    key, start = jax.random.key(5), dict(zip(names, jnp.arange(7.0, 10.0), strict=True))

    def step(params, batch):
        after, _, _ = updater.update(params, updater.init(params), key, batch[0])
        return after, after["generator"]

    found, _ = parallel.train_program(step)(parallel.place(start), x)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(24))
    values = x[0].mean(axis=(1, 2)) + jax.vmap(jax.random.uniform)(keys)
    zero, one, two = (values[i::3].mean() for i in range(3))
    expected = (7 - zero - one, 8 - zero - one, 9 - two)
    np.testing.assert_allclose([found[name] for name in names], expected, rtol=1e-5)


def test_each_turn_takes_the_optimizer_of_its_section():
    """The first step of a warm-up has a learning rate of 0."""
    config, stages = time_gan_stages(tiny("time_gan"))
    c = config.time_gan_embedding
    c.update(num_steps=100, warmup_steps=50)
    assert one_step(stages["time_gan_embedding"], c)[0] == set()


@pytest.mark.parametrize(
    ("method", "field", "value", "says"),
    [
        ("fourier_diffusion", "num_diffusion_steps", 0, "steps=0: use 1 or more"),
        ("diffusion_ts", "num_heads", 0, "num_heads=0: use 1 or more"),
        ("diffusion_ts", "factor", 0.0, "factor=0.0: use above 0, up to 1"),
        ("fourier_diffusion", "dropout", 1.5, "dropout=1.5: use 0 or more, and less"),
        ("fourier_flow", "hidden", 0, "hidden=0: use 1 or more"),
        ("diffusion_ts", "decay", "linear", "decay='linear': use one of cosine"),
        ("fourier_flow", "decay", "plateau", "='plateau': use one of .*exponential$"),
    ],
)
def test_settings_that_can_not_be_are_refused(method, field, value, says):
    config = tiny(method)
    config[method][field] = value
    with pytest.raises(InputError, match=f"--config.{method}.*{says}"):
        resolve(config)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("batch_size", 16, "batch_size=16 can't be split into 3 batches"),
        ("decay", "cosine", "decay=cosine: .* at half: use constant"),
        ("warmup_steps", 5, "warmup_steps=5: .* at half: use 0"),
    ],
)
def test_the_joint_phase_is_checked_before_the_first(field, value, says):
    """A turn taken twice a step counts twice in a decay, which then ends at half."""
    config = tiny("time_gan")
    config.time_gan_joint[field] = value
    with pytest.raises(InputError, match=f"--config.time_gan_joint.{says}"):
        baselines.STAGES["time_gan_embedding"](resolve(config), SHAPE)


def test_joint_phase_leaves_a_good_discriminator_alone(monkeypatch):
    monkeypatch.setattr(time_gan, "GOOD_ENOUGH", 1e9)
    config, stages = time_gan_stages(tiny("time_gan"))
    changed, steps = one_step(stages["time_gan_joint"], config.time_gan_joint)
    assert changed == {"embedder", "recovery", "generator", "supervisor"}
    assert steps == {"generator": 2, "autoencoder": 2, "discriminator": 0}


def test_a_bad_discriminator_is_trained():
    config = resolve(tiny("time_gan"))
    stage = time_gan.phase("joint", (("discriminator", 0),), config, SHAPE)
    changed, steps = one_step(stage, config.time_gan_joint)
    assert changed == {"discriminator"} and steps == {"discriminator": 1}


def test_time_gan_losses_of_known_statistics():
    h = jnp.float32
    loss, _ = time_gan.embedding_loss({"mse": h(0.04), "s": h(9.0)})
    np.testing.assert_allclose(loss, 2.0, rtol=1e-6)
    loss, _ = time_gan.autoencoder_loss({"mse": h(0.04), "s": h(9.0)})
    np.testing.assert_allclose(loss, 2.9, rtol=1e-6)
    # Means 1 and 0, variances 4 and 1 at every step: |2 - 1| + |1 - 0|.
    ones = jnp.ones(SHAPE)
    fake, real = {"x": ones, "squares": 5 * ones}, {"x": 0 * ones, "squares": ones}
    np.testing.assert_allclose(time_gan.moments_distance(fake, real), 2.0, rtol=1e-5)
    statistics = {"u": h(0.5), "u_e": h(0.25), "s": h(0.01), "fake": fake, "real": real}
    loss, _ = time_gan.generator_loss(statistics)
    np.testing.assert_allclose(loss, 0.75 + 10.0 + 200.0, rtol=1e-5)
    loss, _ = time_gan.discriminator_loss({"real": h(1), "fake": h(2), "fake_e": h(3)})
    assert loss == 6.0
    logits = jnp.asarray([[0.0], [2.0]])
    both = [time_gan.cross_entropy(logits, real=real) for real in (True, False)]
    p = 1 / (1 + np.exp(-np.array([0.0, 2.0])))
    expected = [-np.log(p).mean(), -np.log(1 - p).mean()]
    np.testing.assert_allclose(both, expected, rtol=1e-6)


def test_time_gan_gradient_on_eight_devices_is_that_of_the_whole_batch():
    """sqrt(mean) over all series: not the mean of each device's own."""
    turn = time_gan.Turn(
        ("a",),
        lambda params, key, x: {"mse": jnp.mean(jnp.square(x - params["a"]))},
        lambda m: (10.0 * jnp.sqrt(m["mse"]), {}),
    )
    x = np.random.default_rng(0).normal(size=(1, 16, *SHAPE)).astype(np.float32)

    def update(state, batch):
        keys = jax.random.split(jax.random.key(0), batch[0].shape[0])
        loss, _, grads = time_gan.gradient(turn, {"a": state, "b": 1.0}, keys, batch[0])
        return grads["a"], loss

    program = parallel.train_program(update)
    found, loss = program(parallel.place(jnp.float32(0.3)), x)
    expected_loss = 10 * np.sqrt(np.square(x - 0.3).mean())
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    expected = 10 * np.mean(0.3 - x) / np.sqrt(np.square(x - 0.3).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_gru_by_hand():
    gru = time_gan.GRU(2)
    x = jax.random.normal(jax.random.key(1), (3, 4))
    params = gru.init(jax.random.key(0), x)
    w = jax.tree.map(lambda value: np.asarray(value, np.float64), params["params"])
    np.testing.assert_array_equal(w["gates_bias"], 1.0)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h = np.zeros(2)
    for row, found in zip(x, gru.apply(params, x), strict=True):
        r, u = np.split(sigmoid(np.append(row, h) @ w["gates"] + w["gates_bias"]), 2)
        new = np.tanh(np.append(row, r * h) @ w["new"] + w["new_bias"])
        h = u * h + (1 - u) * new
        np.testing.assert_allclose(found, h, rtol=1e-5, atol=1e-6)


# --- controls -------------------------------------------------------------------------


def test_the_gaussian_has_the_moments_of_the_data(monkeypatch):
    monkeypatch.setattr(controls, "PIECE", 7)
    rng = np.random.default_rng(0)
    # Fewer series than values: no covariance of full rank.
    x = rng.normal(size=(10, *SHAPE)) @ np.array([[1.0, 0.5], [0.0, 2.0]]) + 3.0
    config = base.get_config()
    params = controls.moments(config, {}, x.astype(np.float32))
    flat = x.reshape(10, -1)
    np.testing.assert_allclose(params["mean"], flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        params["factor"] @ params["factor"].T, np.cov(flat.T, ddof=0), atol=1e-4
    )
    decode = controls.gaussian_decode(FrozenConfigDict(config), SHAPE)
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = jax.jit(jax.vmap(lambda key: decode(params, key, None)))(keys)
    drawn = np.asarray(drawn).reshape(20_000, -1)
    scale = flat.std(axis=0).max()
    np.testing.assert_allclose(drawn.mean(0), flat.mean(0), atol=0.04 * scale)
    np.testing.assert_allclose(
        np.cov(drawn.T), np.cov(flat.T, ddof=0), atol=0.06 * scale**2
    )


def test_bootstrap_returns_training_series_and_privacy_says_so():
    x = waves(n=60)
    model = l2d_jax.fit(x, config=tiny("bootstrap"))
    samples = model.sample(jax.random.key(0), 500)
    distance = np.abs(samples[:, None] - x[None]) / x.std((0, 1))[None, None, None]
    nearest = distance.max(axis=(2, 3))
    assert nearest.min(axis=1).max() < 1e-5
    counts = np.bincount(nearest.argmin(axis=1), minlength=60)
    assert (counts > 0).all() and counts.max() < 25  # 8.3 on average
    scores = l2d_jax.evaluate(
        x, samples[:60], test=waves(n=60, seed=1), metrics=("privacy",), num_repeats=2
    )
    assert scores["exact_copies"]["mean"] == 1.0


# --- optimizers -----------------------------------------------------------------------


def test_learning_rates_after_warm_up():
    c = base.get_config().diffusion_ts
    c.update(num_steps=100, warmup_steps=10, learning_rate=0.5)
    rates = [float(train.learning_rate(c)(step)) for step in (0, 5, 10, 99)]
    np.testing.assert_allclose(rates, [0.0, 0.25, 0.5, 0.5], rtol=1e-6)
    c = base.get_config().fourier_flow
    np.testing.assert_allclose(
        train.learning_rate(c)(700), 1e-3 * 0.999**700, rtol=1e-4
    )


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


def test_plateau_halves_the_rate_when_the_loss_stays():
    c = base.get_config().diffusion_ts
    c.update(patience=3, warmup_steps=0, learning_rate=0.4, least_rate=0.1)
    tx = train.make_optimizer(c)
    params = {"scale": jnp.zeros(3)}
    state, factors = tx.init(params), []
    for loss in (1.0, 0.95, 0.92, 0.91, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        _, state = tx.update(params, state, params, value=jnp.float32(loss))
        factors.append(float(train.plateau_factor(state)))
    # A tenth less than the best starts anew; three steps without, and it halves.
    assert factors == [1.0] * 3 + [0.5] * 4 + [0.25] * 5


def test_the_rate_that_is_logged_is_that_of_the_step():
    """Of a loss that stays, so that it falls from .4 to .1. Adam moves by the rate."""
    c = base.get_config().diffusion_ts
    c.update(patience=1, warmup_steps=0, learning_rate=0.4, least_rate=0.1, factor=0.5)
    c.weight_decay = 0.0

    def loss(params, key, x):
        del key, x
        total = params["w"].sum()
        return 1.0 + total - jax.lax.stop_gradient(total), {}

    stage = Stage(
        "flat", lambda key: {"w": jnp.zeros(3)}, lambda _, x: x, loss, lambda p, _: p
    )
    state = parallel.place(train.init_state(stage, c, seed=0))
    program, moved, logged = train.make_program(stage, c, seed=0), [], []
    for _ in range(5):
        before = np.array(state.params["w"])
        state, metrics = program(state, np.zeros((1, 24, 1), np.float32))
        moved.append((before - np.array(state.params["w"])).max())
        logged.append(float(metrics["learning_rate"][0]))
    np.testing.assert_allclose(logged, moved, rtol=1e-4)
    assert moved[0] == pytest.approx(0.4, rel=1e-4)
    assert moved[-1] == pytest.approx(0.1, rel=1e-4)
