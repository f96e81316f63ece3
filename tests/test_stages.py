import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from l2d_jax import diffusion, latents, missing, models, networks, stages
from l2d_jax.baselines import fourier_diffusion
from l2d_jax.configs import base, own, resolve
from l2d_jax.types import InputError

SHAPE = (10, 3)


def make_config(*arguments):
    config = base.with_argument(base.get_config(), ",".join(("smoke", *arguments)))
    config.encoder.latent_dim = 4
    return resolve(config)


def make_series(n=32):
    return np.asarray(jax.random.normal(jax.random.key(9), (n, *SHAPE)))


def moved(params):
    """Away from zero weights, so that every input matters."""
    leaves, treedef = jax.tree.flatten(params)
    leaves = [p + 0.3 * jax.random.normal(jax.random.key(4), p.shape) for p in leaves]
    return jax.tree.unflatten(treedef, leaves)


def upstream_of(config, series):
    stage = stages.encoder_stage(config, SHAPE)
    return stage.export(jax.jit(stage.init)(jax.random.key(0)), series)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (networks.make_encoder, "encoder.depth=0"),
        (
            lambda config: networks.make_decoder(config, SHAPE),
            "encoder.decoder_patch=0",
        ),
        (lambda config: networks.make_condition(config, SHAPE), "data_stage.patch=0"),
        (networks.make_series_denoiser, "data_stage.patch=0"),
        (networks.make_latent_denoiser, "training.compute_dtype='auto'"),
    ],
)
def test_no_network_of_a_config_in_which_its_size_is_open(make, field):
    """Sizes of 0 would make networks too: an encoder of one block."""
    config = own.get_config()
    if not field.startswith("training"):
        config = resolve(config)
    with pytest.raises(InputError, match=f"^{field} is still open: config = "):
        make(config)


def test_each_network_has_the_fields_that_are_its_own():
    config, half = make_config(), jnp.dtype("bfloat16")
    config.training.compute_dtype = "bfloat16"
    config.encoder.update(latent_dim=3, width=5, features=7, depth=2)
    config.encoder.update(decoder_patch=6, decoder_width=8, decoder_layers=4)
    config.latent_stage.update(width=9, num_blocks=3, num_octaves=2)
    config.data_stage.update(patch=4, width=11, num_blocks=5)
    config.data_stage.update(mixing="attention", condition="add")
    config.data_stage.update(condition_width=12, condition_layers=6)
    config.data_stage.condition_network = "mlp"
    assert [
        networks.make_encoder(config),
        networks.make_decoder(config, SHAPE),
        networks.make_latent_denoiser(config),
        networks.make_condition(config, SHAPE),
        networks.make_series_denoiser(config),
    ] == [
        models.Encoder(latent_dim=3, width=5, features=7, depth=2, dtype=half),
        models.Decoder(
            length=10, channels=3, patch=6, width=8, num_layers=4, dtype=half
        ),
        models.LatentDenoiser(width=9, num_blocks=3, num_octaves=2, dtype=half),
        models.ConditionNetwork(  # of 10 steps in tokens of 4
            num_tokens=3, width=12, num_layers=6, dtype=half, kind="mlp"
        ),
        models.SeriesDenoiser(
            patch=4,
            width=11,
            num_blocks=5,
            mixing="attention",
            condition="add",
            dtype=half,
        ),
    ]


# --- missing values -------------------------------------------------------------------

NAN = np.nan


def test_filled_by_interpolation_by_hand():
    x = np.array(
        [
            [NAN, 1.0, NAN],
            [2.0, NAN, NAN],
            [NAN, NAN, NAN],
            [NAN, 7.0, NAN],
            [8.0, NAN, NAN],
        ],
        np.float32,
    )
    filled, observed = missing.fill_missing(jnp.asarray(x))
    expected = np.stack([[2, 2, 4, 6, 8], [1, 3, 5, 7, 7], [0, 0, 0, 0, 0]], axis=1)
    np.testing.assert_allclose(filled, expected, rtol=1e-6)
    np.testing.assert_array_equal(observed, ~np.isnan(x))


def test_filling_agrees_with_numpy_and_keeps_what_is_known():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    x[rng.uniform(size=x.shape) < 0.4] = NAN
    filled, _ = missing.fill_missing(jnp.asarray(x))
    steps = np.arange(50)
    for c in range(4):
        known = ~np.isnan(x[:, c])
        expected = np.interp(steps, steps[known], x[known, c])
        np.testing.assert_allclose(filled[:, c], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(filled[known, c], x[known, c])


def with_gaps(series):
    """Holes in single channels, and series 0 without any value at steps 2 and 3."""
    rng = np.random.default_rng(1)
    series = np.where(rng.uniform(size=series.shape) < 0.2, NAN, series)
    series[0, 2:4] = NAN
    return series.astype(np.float32)


@pytest.mark.parametrize("name", ["encoder", "data"])
def test_missing_values_are_in_no_loss(name):
    """Whatever stands behind a NaN: the loss is the mean over the known values only."""
    config = make_config()
    x = with_gaps(make_series(1))[0]
    assert np.isnan(x).any()
    upstream = upstream_of(config, make_series())
    stage = stages.STAGES[name](config, SHAPE)
    params, key = moved(jax.jit(stage.init)(jax.random.key(0))), jax.random.key(5)
    example = jax.tree.map(
        lambda rows: jnp.asarray(rows[0]), stage.prepare(upstream, x[None])
    )
    loss = float(stage.loss(params, key, example)[0])

    filled, observed = missing.fill_missing(jnp.asarray(x))
    if name == "encoder":
        mask = jax.random.bernoulli(jax.random.split(key)[0], 0.5, (10,))
        seen, visible = missing.without_hidden(jnp.asarray(x), mask)
        assert (visible != ~mask).any(), "the empty steps are hidden anyway"
        r = networks.make_encoder(config).apply(params["encoder"], seen, visible)
        x_hat = networks.make_decoder(config, SHAPE).apply(params["decoder"], r)
        counted = observed & mask[:, None]
        expected = jnp.square(filled - x_hat)[counted].mean()
    else:
        key_loss, _, _ = jax.random.split(key, 3)
        key_t, key_eps = jax.random.split(key_loss)
        schedule = networks.stage_schedule(config.data_stage)
        t = jax.random.randint(key_t, (), 0, schedule.num_steps)
        eps = jax.random.normal(key_eps, SHAPE)
        x_t = diffusion.q_sample(schedule, x_0=filled, t=t, eps=eps)
        signal = networks.make_condition(config, SHAPE).apply(
            params["condition"], example["r_0"]
        )
        x_hat = networks.make_series_denoiser(config).apply(
            params["denoiser"], x_t, t, signal
        )
        expected = jnp.square(filled - x_hat)[observed].mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)


# --- latents --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    ["jax_default_prng_impl", "jax_enable_x64", "jax_threefry_partitionable"],
)
def test_what_a_model_always_has_does_not_depend_on_settings_of_jax(setting):
    """Masks at encoding, and FourierDiffusion's features of t."""
    config, series = make_config(), make_series(1)
    params = upstream_of(config, series)["encoder"]
    config.encoder.num_masks = 3

    def found():
        encode = latents.encode_one(FrozenConfigDict(config))
        features = fourier_diffusion.time_features(jnp.float32(0.37), 8)
        return encode(params, jnp.asarray(series[0])), features

    expected = found()
    before = getattr(jax.config, setting)
    jax.config.update(setting, "rbg" if before == "threefry2x32" else not before)
    try:
        for one, other in zip(found(), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    finally:
        jax.config.update(setting, before)


def test_latents_are_those_of_the_encoder_standardised():
    config, series = make_config(), make_series()
    upstream = upstream_of(config, series)
    r = latents.encode_all(config, upstream["encoder"], series)
    z = latents.standard_latents(config, upstream, series)
    np.testing.assert_allclose(z, latents.standardise(upstream["latent"], r), atol=1e-3)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(4), atol=1e-2)


def test_latents_of_incomplete_series_hide_the_empty_steps():
    config, series = make_config(), with_gaps(make_series())
    params = jax.jit(stages.encoder_stage(config, SHAPE).init)(jax.random.key(0))
    r = latents.encode_all(config, params["encoder"], series)
    filled, observed = jax.vmap(missing.fill_missing)(jnp.asarray(series))
    encoder = networks.make_encoder(config)
    for i in (0, 1):
        visible = observed[i].any(axis=1)
        assert bool(visible.all()) == (i == 1)
        expected = encoder.apply(params["encoder"], filled[i], visible)
        np.testing.assert_allclose(r[i], expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(r).all()


# --- stage 1 --------------------------------------------------------------------------


def test_encoder_does_not_see_hidden_steps():
    """Changing the series where the mask of that key hides it moves only the target."""
    config = make_config()
    config.encoder.mask_rate = 0.3
    stage = stages.encoder_stage(config, SHAPE)
    params, key = jax.jit(stage.init)(jax.random.key(0)), jax.random.key(5)
    mask = np.asarray(jax.random.bernoulli(jax.random.split(key)[0], 0.3, (10,)))
    assert 0 < mask.sum() < 10
    encoder = networks.make_encoder(config)
    x = jnp.asarray(make_series(1)[0])
    changed = jnp.where(jnp.asarray(mask)[:, None], 7.0, x)
    r = encoder.apply(params["encoder"], x, jnp.asarray(~mask))
    r_changed = encoder.apply(params["encoder"], changed, jnp.asarray(~mask))
    np.testing.assert_array_equal(r, r_changed)
    x_hat = networks.make_decoder(config, SHAPE).apply(params["decoder"], r)
    expected = np.square(x - x_hat)[mask].mean()
    assert stage.loss(params, key, x)[0] == pytest.approx(float(expected), rel=1e-5)


def test_no_value_of_a_hidden_step_fills_a_gap():
    """Channel 1 between 1 at step 0 and 4 at step 3, not the 9 of the hidden steps."""
    x = jnp.array([[0.0, 1.0], [0.0, 9.0], [5.0, NAN], [0.0, 4.0], [NAN, NAN]])
    seen, visible = missing.without_hidden(x, jnp.array([False, True, *[False] * 3]))
    assert visible.tolist() == [True, False, True, True, False]
    assert seen[2].tolist() == [5.0, 3.0]


def test_the_penalty_is_half_the_mean_square_of_the_latent():
    config, key = make_config(), jax.random.key(5)
    config.encoder.latent_penalty = 0.25
    stage = stages.encoder_stage(config, SHAPE)
    params, x = jax.jit(stage.init)(jax.random.key(0)), jnp.asarray(make_series(1)[0])
    mask = jax.random.bernoulli(jax.random.split(key)[0], 0.5, (10,))
    r = networks.make_encoder(config).apply(params["encoder"], x, ~mask)
    loss, metrics = stage.loss(params, key, x)
    assert float(loss - metrics["mse"]) == pytest.approx(
        0.125 * float(jnp.mean(r**2)), rel=1e-3
    )


def test_noise_on_the_latent_reaches_the_decoder_alone():
    config, key = make_config(), jax.random.key(5)
    config.encoder.latent_noise = 2.0
    stage = stages.encoder_stage(config, SHAPE)
    params, x = jax.jit(stage.init)(jax.random.key(0)), jnp.asarray(make_series(1)[0])
    key_mask, key_noise = jax.random.split(key)
    mask = jax.random.bernoulli(key_mask, 0.5, (10,))
    r = networks.make_encoder(config).apply(params["encoder"], x, ~mask)
    r = r + 2.0 * jax.random.normal(key_noise, r.shape)
    x_hat = networks.make_decoder(config, SHAPE).apply(params["decoder"], r)
    expected = np.square(x - x_hat)[mask].mean()
    assert stage.loss(params, key, x)[0] == pytest.approx(float(expected), rel=1e-5)


def test_masks_are_averaged_in_encoding():
    config, series = make_config(), make_series(3)
    params = upstream_of(config, series)["encoder"]
    config.encoder.update(num_masks=3, mask_rate=0.3)
    shown = jax.random.bernoulli(jax.random.key(0), 0.7, (3, 10))
    encoder = networks.make_encoder(config)
    expected = [
        np.mean([encoder.apply(params, jnp.asarray(x), one) for one in shown], axis=0)
        for x in series
    ]
    np.testing.assert_allclose(
        latents.encode_all(config, params, series), expected, atol=1e-5
    )


@pytest.mark.parametrize("whiten", [True, False])
def test_latents_are_standardised_over_the_training_set(whiten):
    config, series = make_config(), make_series()
    config.encoder.whiten = whiten
    upstream = upstream_of(config, series)
    r = stages.latent_stage(config, SHAPE).prepare(upstream, series)
    np.testing.assert_allclose(r.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(r.std(axis=0), 1.0, atol=1e-4)
    across = np.cov(r.T, bias=True)[~np.eye(4, dtype=bool)]
    assert (np.abs(across).max() < 1e-2) == whiten


def test_each_row_is_encoded_alone():
    """Batches are padded and split over devices: the order must come out right."""
    config, series = make_config(), make_series(21)
    params = upstream_of(config, series)["encoder"]
    encoder = networks.make_encoder(config)
    expected = np.stack([encoder.apply(params, jnp.asarray(x)) for x in series])
    np.testing.assert_allclose(
        latents.encode_all(config, params, series), expected, atol=1e-5
    )


@pytest.mark.parametrize("name", ["latent", "data"])
def test_each_chain_learns_by_the_settings_of_its_own_section(name):
    """A fresh network says 0: w(t) times the mean square of its target is left."""
    config = make_config()
    section = {"latent": config.latent_stage, "data": config.data_stage}[name]
    section.update(prediction="v", weighting="min_snr", noise_scale=0.7, beta_last=0.2)
    stage = stages.STAGES[name](config, SHAPE)
    params, key = jax.jit(stage.init)(jax.random.key(0)), jax.random.key(5)
    x_0 = jax.random.normal(jax.random.key(6), (4,) if name == "latent" else SHAPE)
    example = x_0 if name == "latent" else {"x_0": x_0, "r_0": jnp.ones(4)}
    loss, metrics = stage.loss(params, key, example)

    key = key if name == "latent" else jax.random.split(key, 3)[0]
    key_t, key_eps = jax.random.split(key)
    num_steps = section.num_diffusion_steps
    beta = np.linspace(section.beta_first, 0.2, num_steps)
    t = int(jax.random.randint(key_t, (), 0, num_steps))
    snr = np.cumprod(1.0 - beta)[t]
    snr = snr / (1.0 - snr) / 0.7**2
    eps = jax.random.normal(key_eps, x_0.shape)
    v = np.sqrt(snr / (1 + snr)) * eps - np.sqrt(1 / (1 + snr)) * x_0
    assert metrics["mse"] == pytest.approx(float(np.mean(v**2)), rel=1e-4)
    weight = min(snr, 5.0) / (1.0 + snr)
    assert loss == pytest.approx(weight * float(np.mean(v**2)), rel=1e-4)


@pytest.mark.parametrize("name", ["latent", "data"])
def test_later_stages_can_not_touch_earlier_ones(name):
    """Preparing and differentiating leaves the parameters before bit-identical."""
    config, series = make_config(), make_series()
    upstream = upstream_of(config, series)
    before = jax.tree.map(np.array, upstream)
    stage = stages.STAGES[name](config, SHAPE)
    params = jax.jit(stage.init)(jax.random.key(1))
    rows = stage.prepare(upstream, series)
    row = jax.tree.map(lambda rows: jnp.asarray(rows[0]), rows)
    grads = jax.jit(jax.grad(lambda p: stage.loss(p, jax.random.key(2), row)[0]))(
        params
    )
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, upstream, before)


def data_loss(config, key, r_0):
    stage = stages.data_stage(config, SHAPE)
    params = moved(jax.jit(stage.init)(jax.random.key(1)))
    x_0 = jnp.asarray(make_series(1)[0])
    return float(jax.jit(stage.loss)(params, key, {"x_0": x_0, "r_0": r_0})[0])


@pytest.mark.parametrize("condition", ["add", "concat", "film"])
def test_the_latent_reaches_the_denoiser(condition):
    config = make_config()
    config.data_stage.condition = condition
    key = jax.random.key(3)
    one, other = (
        data_loss(config, key, jnp.ones(4)),
        data_loss(config, key, -jnp.ones(4)),
    )
    assert abs(one - other) > 1e-5 * one


def test_condition_dropout_trains_without_the_latent():
    """Dropped by a draw of its own for each example; zeros in the signal's place."""
    config = make_config()
    config.data_stage.condition_dropout = 0.3
    stage = stages.data_stage(config, SHAPE)
    params = moved(jax.jit(stage.init)(jax.random.key(1)))
    silent = params | {"condition": jax.tree.map(jnp.zeros_like, params["condition"])}
    keys, x_0 = jax.random.split(jax.random.key(3), 20), jnp.asarray(make_series(1)[0])
    loss, r = jax.jit(jax.vmap(stage.loss, (None, 0, None))), jnp.ones(4)
    one, other, without = (
        loss(weights, keys, {"x_0": x_0, "r_0": r_0})[0]
        for weights, r_0 in ((params, r), (params, -r), (silent, r))
    )
    kept = [jax.random.bernoulli(jax.random.split(key, 3)[1], 0.7) for key in keys]
    np.testing.assert_array_equal(one != other, kept)
    np.testing.assert_array_equal(one != without, kept)


def test_condition_noise_moves_the_latent_and_nothing_else():
    config, key = make_config(), jax.random.key(3)
    noise = jax.random.normal(jax.random.split(key, 3)[2], (4,))
    moved = data_loss(config, key, jnp.ones(4) + 0.5 * noise)
    config.data_stage.condition_noise = 0.5
    assert data_loss(config, key, jnp.ones(4)) == pytest.approx(moved, rel=1e-6)


def test_the_range_of_values_piece_by_piece(monkeypatch):
    series = with_gaps(make_series(12))
    monkeypatch.setattr("l2d_jax.chunks.VALUES", 5 * series[0].size)
    found = stages.value_range(make_config(), {}, series)
    np.testing.assert_array_equal(found["low"], np.nanmin(series, axis=(0, 1)))
    np.testing.assert_array_equal(found["high"], np.nanmax(series, axis=(0, 1)))
    apart = stages.value_range(make_config(), {}, series[[0, *range(11, 0, -1)]])
    jax.tree.map(np.testing.assert_array_equal, found, apart)


def test_data_only_has_no_condition_network():
    config = make_config("data_only")
    stage = stages.data_stage(config, SHAPE)
    assert set(stage.init(jax.random.key(0))) == {"denoiser"}
    assert set(stage.prepare({}, make_series())) == {"x_0"}
