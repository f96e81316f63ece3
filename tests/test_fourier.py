"""FourierDiffusion and FourierFlow: the reference, known scores, likelihoods."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import waves
from ml_collections import FrozenConfigDict
from small_baselines import SHAPE, tiny

import l2d_jax
from l2d_jax.baselines import fourier_diffusion, fourier_flow
from l2d_jax.configs import resolve

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
def test_the_flow_has_an_inverse_and_the_determinant_of_its_jacobian(shape):
    model = fourier_flow.Flow(num_flows=3, hidden=7)
    key_params, key_x = jax.random.split(jax.random.key(0))
    x = 2 + jax.random.normal(key_x, shape)
    weights = jax.jit(model.init)(key_params, x)
    weights = jax.tree.map(lambda w: 3 * w, weights)  # far from 0
    apply = jax.jit(model.apply, static_argnames="inverse")
    z, log_det = apply(weights, x)
    back, log_det_back = apply(weights, z, inverse=True)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-5)

    def to_z(flat):
        return model.apply(weights, flat.reshape(shape))[0].reshape(-1)

    jacobian = np.asarray(jax.jit(jax.jacobian(to_z))(x.reshape(-1)), np.float64)
    expected = np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-5)


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
    z, log_det = jax.jit(model.apply)(weights, standard)
    density = -0.5 * np.square(z).sum() - 0.5 * z.size * np.log(2 * np.pi)
    expected = -density - float(log_det)
    loss = jax.jit(stage.loss)(weights, key, standard)[0]
    assert loss == pytest.approx(expected, rel=1e-5)
    decode = jax.jit(fourier_flow.decode(FrozenConfigDict(config), SHAPE))
    drawn = fourier_diffusion.to_spectrum(decode(params, key, None))
    z, _ = jax.jit(model.apply)(weights, (drawn - params["mean"]) / params["std"])
    np.testing.assert_allclose(z, jax.random.normal(key, SHAPE), atol=1e-2)
