"""What a config may say, and what is refused before anything is trained."""

import math
import re

import pytest
from made import tiny, waves
from ml_collections import ConfigDict

import l2d_jax
from l2d_jax import configs, run
from l2d_jax.configs import resolve
from l2d_jax.types import InputError


@pytest.mark.parametrize(
    ("section", "field", "says"),
    [
        ("data_stage", "widht", "data_stage.widht: .* did you mean 'width'"),
        ("", "sede", "--config.sede: .* did you mean 'seed'"),
        ("sampling", "xyz", "sampling.xyz: there is no such field, leave it out"),
    ],
)
def test_fields_that_nothing_reads_are_refused_from_python(section, field, says):
    config = tiny()
    (config[section] if section else config)[field] = 7
    with pytest.raises(InputError, match=says):
        l2d_jax.fit(waves(), config=config)


def test_metrics_may_be_joined_by_commas():
    config = tiny()
    config.evaluation.metrics = ("spectral_distance,pca_fid", "mmd_series")
    assert resolve(config).evaluation.metrics == (
        "spectral_distance",
        "pca_fid",
        "mmd_series",
    )


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("variant", "half", "--config.variant='half': use one of full"),
        ("data_stage.condition", "sum", "data_stage.condition='sum': use one of add"),
        ("data_stage.mixing", "fft", "data_stage.mixing='fft': use one of mlp"),
        ("latent_stage.schedule", "sqrt", "latent_stage.schedule='sqrt': use one of"),
        ("data_stage.prediction", "x", "data_stage.prediction='x': use one of x_0"),
        ("data_stage.batch_size", 4, "data_stage.batch_size=4 .*over 8 devices"),
        ("encoder.mask_rate", -0.5, "encoder.mask_rate=-0.5: use above 0"),
        ("encoder.latent_dim", -1, "encoder.latent_dim=-1: use 1 or more"),
        ("encoder.latent_noise", -0.1, "encoder.latent_noise=-0.1: use 0 or more"),
        ("data_stage.condition_dropout", 1.0, "dropout=1.0: use 0 or more, and less"),
        ("latent_stage.ema_decay", 1.0, "latent_stage.ema_decay=1.0: use 0 or more"),
        ("data_stage.learning_rate", 0.0, "learning_rate=0.0: use a number above 0"),
        ("data_stage.learning_rate", float("nan"), "rate=nan: use a number above 0"),
        ("evaluation.num_series", -1, "evaluation.num_series=-1: use 16 or more, or 0"),
        ("evaluation.num_series", 15, "evaluation.num_series=15: use 16 or more, or 0"),
        ("seed", -1, "--config.seed=-1: use 0 or more"),
        (
            "seed",
            2**32,
            r"--config.seed=4294967296: use 0 or more, and less than 2\^32",
        ),
        (
            "data_stage.num_diffusion_steps",
            1,
            "--config.data_stage.num_diffusion_steps=1: use 2 or more",
        ),
        ("latent_stage.beta_last", 1.5, "--config.latent_stage.beta_first=.*need 0 <"),
        ("data_stage.noise_scale", -1.0, "--config.data_stage.noise_scale=-1.0: use"),
        ("sampling.latent_num_steps", 11, "latent_num_steps=11: the chain.*1 to 10"),
        ("sampling.spacing", 0.5, r"spacing=0.5: use 1 \(even\) to 5"),
        ("sampling.spacing", 5.5, r"spacing=5.5: use 1 \(even\) to 5"),
        ("sampling.guidance", math.nan, "guidance=nan: use a number, 1 for none"),
        ("training.compute_dtype", "int8", "compute_dtype='int8': use one of float32"),
        ("evaluation.metrics", ("fid",), "evaluation.metrics='fid': use one of"),
        ("sampling.solver", "euler", "solver='euler': use one of ancestral"),
        ("sampling.num_steps", 11, "num_steps=11.* use 1 to 10"),
        ("sampling.num_samples", -1, "num_samples=-1: use 16 or more, or 0"),
        ("sampling.num_samples", 15, "num_samples=15: use 16 or more, or 0"),
        ("sampling.repeats_from", 0.0, "repeats_from=0.0: use above 0, below 1, or 1"),
        ("sampling.repeats_from", 1.1, "repeats_from=1.1: .* 1 to have no repeats"),
        ("data.name", "stocks", "did you mean 'stock'"),
        ("data.protocol", "heldout", "data.protocol='heldout': use one of published"),
        ("data.scaler", "log", "data.scaler='log': use one of equal_range"),
    ],
)
def test_values_that_can_not_be_are_refused_before_anything_is_written(
    tmp_path, field, value, says
):
    config = tiny()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=says):
        run.run(config, tmp_path / "w")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "section, fields, says",
    [
        (
            "latent_stage",
            {"prediction": "eps", "schedule": "cosine"},
            "latent_stage.prediction=eps: the last steps of this schedule",
        ),
        (
            "data_stage",
            {"mixing": "attention", "width": 18},
            "data_stage.width=18: attention has 4 heads, use a multiple of 4",
        ),
        (
            "data_stage",
            {"condition_network": "attention", "condition_width": 6},
            "data_stage.condition_width=6: attention has 4 heads",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_refused_before_training(
    section, fields, says
):
    config = tiny()
    config[section].update(fields)
    with pytest.raises(InputError, match=says):
        resolve(config)
    config.variant = "bootstrap"  # that has neither
    resolve(config)


@pytest.mark.parametrize(
    "variant, solver, eta, passes",
    [
        ("full", {}, 0.0, True),  # the default
        ("full", {}, 0.5, False),
        ("full", {"solver": "ancestral"}, 1.0, False),
        ("full", {"latent_solver": "ddim"}, 0.5, True),
        ("data_only", {"latent_solver": "ddim"}, 0.5, False),
        ("diffusion_ts", {"num_steps": 3}, 0.5, False),  # ddim with its own eta, 0
        ("diffusion_ts", {"num_steps": 3, "solver": "ddim"}, 0.5, True),
        ("time_gan", {}, 0.5, True),  # flags that a variant ignores: check_used
    ],
)
def test_eta_is_refused_where_no_chain_takes_it(variant, solver, eta, passes):
    config = tiny(variant)
    config.sampling.update(solver, eta=eta)
    if passes:
        found = resolve(resolve(config)).sampling
        assert found.eta == eta
    else:
        with pytest.raises(InputError, match=f"eta={eta} is a setting of .* say both"):
            resolve(config)


def test_a_config_is_given_whole():
    with pytest.raises(InputError, match="config: give a whole one"):
        l2d_jax.fit(waves(), config=ConfigDict({"seed": 1}))


@pytest.mark.parametrize(
    "field", ["encoder.depth", "encoder.decoder_patch", "data_stage.patch"]
)
def test_no_size_is_below_0(field):
    config = configs.own.get_config()
    section, name = field.split(".")
    config[section][name] = -1
    says = re.escape(f"--config.{field}=-1: use 1 or more, or 0 to have it chosen")
    with pytest.raises(InputError, match=says):
        resolve(config)


def test_stages_that_choose_a_latent_are_checked_too():
    config = tiny("latent_only")
    config.data_stage.batch_size = -5
    resolve(config)  # it has no data stage
    config.encoder.latent_dim = 0
    with pytest.raises(InputError, match=r"data_stage\.batch_size=-5"):
        resolve(config)
