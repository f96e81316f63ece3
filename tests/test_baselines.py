"""All baselines: what they take, that they train and resume, controls, optimizers."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import waves
from ml_collections import FrozenConfigDict
from small_baselines import SHAPE, tiny

import l2d_jax
from l2d_jax import baselines, parallel, train
from l2d_jax.baselines import controls, diffusion_ts, fourier_diffusion, settings
from l2d_jax.configs import base, load, resolve
from l2d_jax.stages import Stage
from l2d_jax.types import InputError

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
    ("method", "num_steps", "solver"),
    [
        ("full", 5, "dpm_solver++"),
        ("data_only", 5, "dpm_solver++"),
        ("diffusion_ts", 5, "ddim"),
        ("full", 100, "dpm_solver++"),
        ("data_only", 100, "ancestral"),
    ],
)
def test_a_number_of_steps_brings_its_solver(method, num_steps, solver):
    """In a config as in `sample`."""
    config = load("stock").get_config(method)
    config.sampling.num_steps = num_steps
    s = resolve(config).sampling
    assert (s.solver, s.num_steps, s.eta) == (solver, num_steps, 0.0)
    config.sampling.solver = "ancestral"  # as given
    s = resolve(config).sampling
    assert (s.solver, s.num_steps, s.eta) == ("ancestral", num_steps, 0.0)


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
    state = parallel.replicate(train.init_state(stage, c, seed=0))
    program, moved, logged = train.make_program(stage, c, seed=0), [], []
    for _ in range(5):
        before = np.array(state.params["w"])
        state, metrics = program(state, np.zeros((1, 24, 1), np.float32))
        moved.append((before - np.array(state.params["w"])).max())
        logged.append(float(metrics["learning_rate"][0]))
    np.testing.assert_allclose(logged, moved, rtol=1e-4)
    assert moved[0] == pytest.approx(0.4, rel=1e-4)
    assert moved[-1] == pytest.approx(0.1, rel=1e-4)
