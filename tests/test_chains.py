"""The chains of a cascade: what each draws, from which noise, by which settings."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict
from untrained import make_config, make_model, model_of, moved

from l2d_jax import cascade, configs, diffusion, latents, networks
from l2d_jax.cascade import reconstructor, sampler
from l2d_jax.configs import base, resolve
from l2d_jax.stages import STAGES, Generator
from l2d_jax.variants import (
    decoder_decode,
    diffusion_decode,
    diffusion_prior,
    oracle_prior,
)


def test_draws_have_keys_and_latents_of_their_own(monkeypatch):
    """Prior and decoder the two halves of fold_in(key, i), where i is the series."""

    def normal(params, key, r_0=None):
        z = jax.random.normal(key, (2,))
        return z if r_0 is None else jnp.stack([r_0, z])

    generator = Generator(normal, normal)
    monkeypatch.setattr(cascade, "make_generator", lambda config, shape: generator)
    one, again = (
        f.__wrapped__(FrozenConfigDict(), (2, 2)) for f in (sampler, reconstructor)
    )
    inputs = {"params": {}, "key": jax.random.key(5)}
    key = jax.random.fold_in(inputs["key"], 1)
    expected = [jax.random.normal(half, (2,)) for half in jax.random.split(key)]
    np.testing.assert_array_equal(one(inputs, jnp.int32(1)), expected)
    row, expected = (jnp.int32(1), jnp.array([0.0, 1.0])), [[0.0, 1.0], expected[1]]
    np.testing.assert_array_equal(again(inputs, row), np.stack(expected))


def test_the_decoder_gets_latents_in_their_own_scale():
    config = make_config("latent_only")
    config.encoder.latent_dim = 2
    decoder = networks.make_decoder(config, (7, 2))
    params = {
        "decoder": moved(jax.jit(decoder.init)(jax.random.key(0), jnp.zeros(2))),
        "latent": {
            "mean": np.float32([1.0, -2.0]),
            "scale": np.float32([[3.0, 1.0], [1.0, 0.5]]),
        },
    }
    r = jnp.array([0.3, 0.7])
    z = jnp.float32(latents.standardise(params["latent"], np.asarray(r)[None])[0])
    decode = decoder_decode(FrozenConfigDict(config), (7, 2))
    found = decode(params, jax.random.key(1), z)
    expected = decoder.apply(params["decoder"], r)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def fresh_chains(config):
    """(section, key -> what its chain draws) by networks that say 0."""
    params = {}
    for name in ("latent", "data"):
        stage = STAGES[name](config, (7, 2))
        params |= stage.export(jax.jit(stage.init)(jax.random.key(2)), None)
    config = FrozenConfigDict(config)
    prior, decode = diffusion_prior(config), diffusion_decode(config, (7, 2))
    yield config.latent_stage, lambda key: prior(params, key)
    yield config.data_stage, lambda key: decode(params, key, None)


def alpha_bar_of(section):
    ab = np.cumprod(1 - np.linspace(section.beta_first, section.beta_last, 8))
    return ab / (ab + section.noise_scale**2 * (1 - ab))


@pytest.mark.parametrize(("one", "other"), [("x_0", "v"), ("eps", "x_0"), ("v", "eps")])
def test_each_chain_has_the_settings_of_its_own_section(one, other):
    """Where the network says 0, one step leaves a known share of the noise."""
    config = make_config("data_only", latent_num_steps=1, num_steps=1, clip=False)
    config.data_stage.update(prediction=one, noise_scale=0.7, beta_last=0.5)
    config.latent_stage.update(prediction=other, noise_scale=0.3, beta_last=0.2)
    key = jax.random.key(3)
    for section, draw in fresh_chains(config):
        found, ab = draw(key), alpha_bar_of(section)[-1]
        noise = jax.random.normal(jax.random.fold_in(key, 0), found.shape)
        gain = {"x_0": 0.0, "eps": 1 / np.sqrt(ab), "v": np.sqrt(ab)}
        np.testing.assert_allclose(found, gain[section.prediction] * noise, rtol=1e-4)


def ddpm(x_0_of, key, shape):
    """Algorithm 2 of Ho et al. 2020, where the network gives x_0 (their equation 7)."""
    beta = np.linspace(1e-4, 0.1, 100)
    ab = np.cumprod(1 - beta)
    x = jax.random.normal(jax.random.fold_in(key, 0), shape)
    for i, t in enumerate(range(99, 0, -1), start=1):
        of_x_0 = np.sqrt(ab[t - 1]) * beta[t] / (1 - ab[t])
        of_x = np.sqrt(1 - beta[t]) * (1 - ab[t - 1]) / (1 - ab[t])
        deviation = np.sqrt((1 - ab[t - 1]) / (1 - ab[t]) * beta[t])
        noise = jax.random.normal(jax.random.fold_in(key, i), shape)
        x = of_x_0 * x_0_of(x, jnp.int32(t)) + of_x * x + deviation * noise
    return x_0_of(x, jnp.int32(0))


def test_paper_takes_back_what_the_config_of_a_set_changes():
    """Of Energy: octaves, noise on r, rounds; all steps are taken."""
    config = configs.load("energy").get_config("paper")
    changed = configs.load("energy").get_config()
    for field, papers in (
        ("latent_stage.num_octaves", 0),
        ("data_stage.condition_noise", 0.0),
        ("sampling.start_rounds", 0),
        ("sampling.num_steps", 0),
    ):
        section, name = field.split(".")
        assert config[section][name] == papers
    assert changed.latent_stage.num_octaves and changed.data_stage.condition_noise
    assert changed.sampling.start_rounds


def test_the_chains_of_paper_are_ddpm():
    config = resolve(base.with_argument(base.get_config(), "smoke,paper"))
    model, key = model_of(config), jax.random.key(5)
    prior = diffusion_prior(model.config)
    decode = diffusion_decode(model.config, model.layout.shape)
    denoiser = networks.make_latent_denoiser(model.config)
    params = model.params["latent_denoiser"]
    r_0 = prior(model.params, key)
    expected = ddpm(jax.jit(partial(denoiser.apply, params)), key, r_0.shape)
    np.testing.assert_allclose(r_0, expected, rtol=1e-3, atol=1e-3)
    denoiser = networks.make_series_denoiser(model.config)
    params = model.params["series_denoiser"]
    condition = networks.make_condition(model.config, model.layout.shape)
    signal = condition.apply(params["condition"], r_0)

    @jax.jit
    def x_0_of(x, t):
        return denoiser.apply(params["denoiser"], x, t, signal)

    found = decode(model.params, key, r_0)
    expected = ddpm(x_0_of, key, model.layout.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_noise_of_ddim_is_that_of_the_settings(eta):
    """Where the network says eps = 0, of two steps to x_0 the first adds noise."""
    few = {"solver": "ddim", "num_steps": 2}
    few |= {f"latent_{name}": value for name, value in few.items()}
    config, key = (
        make_config("data_only", eta=eta, clip=False, **few),
        jax.random.key(3),
    )
    config.data_stage.prediction = config.latent_stage.prediction = "eps"
    for section, draw in fresh_chains(config):
        found, ab = draw(key), alpha_bar_of(section)
        start, z = (
            jax.random.normal(jax.random.fold_in(key, i), found.shape) for i in (0, 1)
        )
        s = eta * np.sqrt((1 - ab[0]) / (1 - ab[-1]) * (1 - ab[-1] / ab[0]))
        x = np.sqrt(ab[0] / ab[-1]) * start + s * z
        np.testing.assert_allclose(found, x / np.sqrt(ab[0]), rtol=1e-3)


def test_an_oracle_draws_every_latent_alike():
    latents = jnp.arange(10.0).reshape(5, 2)
    prior = oracle_prior(FrozenConfigDict())
    keys = jax.random.split(jax.random.key(0), 2_000)
    drawn = jax.vmap(lambda key: prior({"training_latents": latents}, key))(keys)
    rows, counts = np.unique(np.asarray(drawn), axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, latents)
    assert abs(counts - 400).max() < 90  # five standard deviations of 18


def test_a_series_is_one_program_with_a_loop_for_each_chain():
    """The steps of a chain are rows of its loop, not code repeated for each."""
    few = {"num_steps": 5, "latent_num_steps": 4, "start_rounds": 2}
    model = make_model(solver="dpm_solver++", **few)
    inputs = {"params": model.params, "key": jax.random.key(0)}
    one = sampler(model.config, model.layout.shape)
    found = loops(jax.make_jaxpr(one)(inputs, jnp.int32(0)).jaxpr)
    assert found == [("scan", 4), ("scan", 2 + 5)]


def loops(jaxpr):
    """Kind and length of each loop of a program, in order."""
    found = []
    for equation in jaxpr.eqns:
        kind, given = equation.primitive.name, equation.params
        if kind in ("scan", "while"):
            found.append((kind, given.get("length")))
        elif "jaxpr" in given:  # of a part that is compiled on its own
            found += loops(given["jaxpr"].jaxpr)
    return found


def test_without_guidance_the_signal_is_zeros():
    """As in training without the latent: not F of some r."""
    config = make_config(start_rounds=0, num_steps=1, clip=False)
    config.sampling.guidance = 0.0
    stage = STAGES["data"](config, (7, 2))
    params = moved(jax.jit(stage.init)(jax.random.key(2)))
    key, r_0 = jax.random.key(3), jnp.ones(config.encoder.latent_dim)
    decode = diffusion_decode(FrozenConfigDict(config), (7, 2))
    found = decode({"series_denoiser": params}, key, r_0)
    network = networks.make_condition(config, (7, 2))
    x_t, t = jax.random.normal(jax.random.fold_in(key, 0), (7, 2)), jnp.int32(7)
    output = networks.make_series_denoiser(config).apply(
        params["denoiser"],
        x_t,
        t,
        jnp.zeros_like(network.apply(params["condition"], r_0)),
    )
    c = config.data_stage
    expected = diffusion.predict_x_0(
        c.prediction, networks.stage_schedule(c), output=output, x_t=x_t, t=t
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
