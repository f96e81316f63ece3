"""TimeGAN: its losses, and which networks each phase trains."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made import waves
from ml_collections import FrozenConfigDict
from small_baselines import SHAPE, tiny

import l2d_jax
from l2d_jax import baselines, parallel, run, train
from l2d_jax.baselines import time_gan
from l2d_jax.configs import resolve
from l2d_jax.types import InputError


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
    after = train.make_program(stage, c, seed=0)(parallel.replicate(state), x)[0]
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

    found, _ = parallel.train_program(step)(parallel.replicate(start), x)
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
    found, loss = program(parallel.replicate(jnp.float32(0.3)), x)
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
