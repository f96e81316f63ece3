import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import stages
from l2d_jax.configs import base, resolve

SHAPE = (10, 3)


def make_config(*arguments):
    config = base.with_argument(base.get_config(), ",".join(("smoke", *arguments)))
    config.encoder.latent_dim = 4
    return resolve(config)


def make_series(n=32):
    return np.asarray(jax.random.normal(jax.random.key(9), (n, *SHAPE)))


def upstream_of(config, series):
    stage = stages.encoder_stage(config, SHAPE)
    return stage.export(jax.jit(stage.init)(jax.random.key(0)), series)


def test_masked_error_is_the_mean_over_hidden_steps():
    x, x_hat = jnp.zeros((4, 2)), jnp.array([[1.0, 1], [2, 2], [3, 3], [4, 4]])
    mask = jnp.array([False, True, False, True])
    assert stages.masked_error(x, x_hat, mask) == pytest.approx((4 + 16) / 2)
    assert stages.masked_error(x, x_hat, jnp.zeros(4, bool)) == 0.0


def test_loss_ignores_what_is_rebuilt_at_visible_steps():
    mask = jnp.arange(10) % 2 == 0
    x = jnp.asarray(make_series(1)[0])
    gradient = jax.grad(lambda x_hat: stages.masked_error(x, x_hat, mask))(x + 1.0)
    assert jnp.abs(gradient[1::2]).max() == 0.0
    assert jnp.abs(gradient[0::2]).min() > 0.0


def test_encoder_does_not_see_hidden_steps():
    """Changing the series where the mask of that key hides it moves only the target."""
    config = make_config()
    stage = stages.encoder_stage(config, SHAPE)
    params, key = jax.jit(stage.init)(jax.random.key(0)), jax.random.key(5)
    mask = np.asarray(jax.random.bernoulli(key, 0.5, (10,)))
    assert 0 < mask.sum() < 10
    encoder = stages.make_encoder(config)
    x = jnp.asarray(make_series(1)[0])
    changed = jnp.where(jnp.asarray(mask)[:, None], 7.0, x)
    r = encoder.apply(params["encoder"], x, jnp.asarray(~mask))
    r_changed = encoder.apply(params["encoder"], changed, jnp.asarray(~mask))
    np.testing.assert_array_equal(r, r_changed)
    x_hat = stages.make_decoder(config, SHAPE).apply(params["decoder"], r)
    expected = np.square(x - x_hat)[mask].mean()
    assert stage.loss(params, key, x)[0] == pytest.approx(float(expected), rel=1e-5)


def test_latents_are_standardised_over_the_training_set():
    config, series = make_config(), make_series()
    upstream = upstream_of(config, series)
    r = stages.latent_stage(config, SHAPE).prepare(upstream, series)
    np.testing.assert_allclose(r.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(r.std(axis=0), 1.0, atol=1e-4)


def test_each_row_is_encoded_alone():
    """Batches are padded and split over devices: the order must come out right."""
    config, series = make_config(), make_series(21)
    params = upstream_of(config, series)["encoder"]
    encoder = stages.make_encoder(config)
    expected = np.stack([encoder.apply(params, jnp.asarray(x)) for x in series])
    np.testing.assert_allclose(
        stages.encode_all(config, params, series), expected, atol=1e-5
    )


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
    leaves, treedef = jax.tree.flatten(jax.jit(stage.init)(jax.random.key(1)))
    leaves = [p + 0.3 * jax.random.normal(jax.random.key(4), p.shape) for p in leaves]
    params = jax.tree.unflatten(treedef, leaves)
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
    config = make_config()
    config.data_stage.condition_dropout = 1.0
    key = jax.random.key(3)
    one, other = (
        data_loss(config, key, jnp.ones(4)),
        data_loss(config, key, -jnp.ones(4)),
    )
    assert one == other


def test_data_only_has_no_condition_network():
    config = make_config("data_only")
    stage = stages.data_stage(config, SHAPE)
    assert set(stage.init(jax.random.key(0))) == {"denoiser"}
    assert set(stage.prepare({}, make_series())) == {"x_0"}
