"""Each question that an ablation asks is one value in a config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from l2d_jax.cascade import sampler
from l2d_jax.configs import base, resolve
from l2d_jax.models import ConditionNetwork
from l2d_jax.sizes import num_parameters, with_equal_size
from l2d_jax.stages import STAGES
from l2d_jax.task import prepare
from l2d_jax.types import Examples, InputError, Splits

SHAPE = (12, 3)


def config_with(**fields):
    config = base.get_config()
    config.update_from_flattened_dict(fields)
    return resolve(config)


ABLATIONS = [
    *({"data_stage.condition_layers": n} for n in (1, 8)),
    *({"data_stage.condition_network": kind} for kind in ("cnn", "mlp", "attention")),
    *({"data_stage.condition": way} for way in ("add", "concat", "film")),
    *({"encoder.latent_dim": d} for d in (2, 64)),
    *({"encoder.mask_rate": rate} for rate in (0.1, 0.9)),
    *(
        {"sampling.guidance": strength, "data_stage.condition_dropout": 0.1}
        for strength in (0.0, 3.0)
    ),
    *({"sampling.num_steps": steps} for steps in (1, 100)),
    *({"data_stage.num_diffusion_steps": steps} for steps in (10, 1_000)),
]


@pytest.mark.parametrize("fields", ABLATIONS, ids=str)
def test_every_ablation_is_a_config(fields):
    """All three stages and both chains can be traced: no shape is in the way."""
    config, key = config_with(**fields), jax.random.key(0)
    dim = config.encoder.latent_dim
    x, trained = jnp.zeros(SHAPE), {}
    rows = {"encoder": x, "latent": jnp.zeros(dim)}
    rows["data"] = {"x_0": x, "r_0": jnp.zeros(dim)}
    for name, row in rows.items():
        stage = STAGES[name](config, SHAPE)
        params = jax.eval_shape(stage.init, key)
        loss, _ = jax.eval_shape(stage.loss, params, key, row)
        assert loss.shape == ()
        trained[name] = params
    inputs = {"latent_denoiser": trained["latent"], "series_denoiser": trained["data"]}
    inputs = {"params": inputs | {"low": x[0], "high": x[0]}, "key": key}
    one = sampler(FrozenConfigDict(config), SHAPE)
    assert jax.eval_shape(one, inputs, jnp.int32(0)).shape == SHAPE


@pytest.mark.parametrize(
    ("kind", "sees"), [("mlp", 1), ("cnn", 3), ("attention", 6)], ids=str
)
def test_what_a_token_of_a_condition_network_sees(kind, sees):
    """Of one layer's input: itself, its neighbours, all."""
    network = ConditionNetwork(num_tokens=6, width=8, num_layers=1, kind=kind)
    r = jax.random.normal(jax.random.key(0), (48,))
    params = network.init(jax.random.key(1), r)
    # The first layer hands r on, so that its 48 numbers are the six tokens.
    params["params"]["Dense_0"]["kernel"] = jnp.eye(48)
    jacobian = np.asarray(jax.jacobian(lambda r: network.apply(params, r))(r))
    tokens = np.abs(jacobian.reshape(6, 8, 6, 8)).max(axis=(1, 3)) > 1e-7
    assert tokens[2].sum() == sees and tokens[2, 2]


def test_attention_adds_no_more_to_a_larger_input():
    """Not normalised, it adds in proportion, its logits squared: trainings diverge."""
    network = ConditionNetwork(num_tokens=6, width=8, num_layers=3, kind="attention")
    r = 1e6 * jax.random.normal(jax.random.key(0), (48,))
    params = network.init(jax.random.key(1), r)
    params["params"]["Dense_0"]["kernel"] = jnp.eye(48)
    x = np.asarray(r, np.float64).reshape(6, 8)
    normed = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    np.testing.assert_allclose(network.apply(params, r), normed, atol=1e-4)


def test_an_unknown_condition_network_is_named():
    with pytest.raises(InputError, match=r"condition_network='rnn': use one of cnn"):
        config_with(**{"data_stage.condition_network": "rnn"})


@pytest.mark.parametrize(
    ("shape", "mixing"), [((140, 1), "mlp"), ((24, 29), "attention")], ids=str
)
def test_a_single_stage_has_the_parameters_of_the_cascade(shape, mixing):
    config = base.with_argument(base.get_config(), "single_stage")
    config.data_stage.mixing = mixing
    config = resolve(config)
    given = config.data_stage.width
    whole = config.copy_and_resolve_references()
    whole.update(variant="full")
    wanted = num_parameters(whole, shape)
    found, notes = with_equal_size(config, shape)
    found_is = abs(num_parameters(found, shape) - wanted)
    assert found_is < 0.05 * wanted
    for other in (-4, 4):
        near = found.copy_and_resolve_references()
        near.data_stage.width += other
        assert found_is <= abs(num_parameters(near, shape) - wanted)
    assert found.data_stage.width > given and f"{wanted:,}" in notes[0]
    assert config.data_stage.width == given  # left as it was


def test_a_run_uses_that_width(capsys):
    config = base.with_argument(base.get_config(), "smoke,single_stage")
    config.data_stage.width = 8
    series = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    splits = Splits(Examples(series, np.full(8, 12)), None, ("a", "b", "c"))
    task = prepare(resolve(config), splits)
    assert task.config.data_stage.width > 8
    assert "--config.equal_size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "noise_scale", "spacing", "scaler"),
    [
        ("full", 0.5, 2.0, "equal_range"),
        ("data_only", 2.0, 1.0, "equal_range"),
        ("single_stage", 2.0, 1.0, "equal_range"),
        ("diffusion_ts", 0.5, 1.0, "min_max"),
    ],
)
def test_what_is_left_open_follows_the_method(argument, noise_scale, spacing, scaler):
    def chosen(config):
        found = resolve(config)
        return (
            found.data_stage.noise_scale,
            found.sampling.spacing,
            found.data.scaler,
        )

    config = base.with_argument(base.get_config(), argument)
    assert chosen(config) == (noise_scale, spacing, scaler)
    config.data.scaler = "standard"  # as given
    config.data_stage.noise_scale = config.sampling.spacing = 1.5
    assert chosen(config) == (1.5, 1.5, "standard")


def test_equal_size_is_for_one_stage():
    with pytest.raises(InputError, match="equal_size is for data_only"):
        config_with(equal_size=True)
