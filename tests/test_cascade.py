"""A model's samples, latents and settings, and what it refuses."""

import re
from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict, FrozenConfigDict
from untrained import SCALE, SHIFT, in_model_space, make_model

from l2d_jax import cascade, latents, parallel, sampling
from l2d_jax.cascade import check_key, numbers, reconstructor, sampler, with_decimals
from l2d_jax.stages import Generator, value_range
from l2d_jax.types import ANY_DECIMALS, Form, InputError
from l2d_jax.variants import VARIANTS, with_sampling


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_are_single_draws_in_data_units(variant):
    """Batching, devices and chunks change nothing: series i belongs to (key, i)."""
    model, key = make_model(variant), jax.random.key(5)
    x = model.sample(key, 37)
    for i in (0, 15, 16, 36):
        z = np.asarray(in_model_space(model, key, i))
        np.testing.assert_allclose(x[i], z * SCALE + SHIFT, rtol=1e-3, atol=1e-3)
    assert x.shape == (37, 7, 2)
    assert len(np.unique(x.round(3), axis=0)) == 37


def test_samples_are_bit_identical_on_one_and_on_eight_devices():
    model, rows = make_model(), np.arange(100, dtype=np.int32)
    one = sampler(model.config, model.layout.shape)
    inputs = {"params": model.params, "key": jax.random.key(5)}
    devices = jax.local_devices()
    first, second = (
        np.concatenate(
            list(parallel.map_rows(one, inputs, rows, batch_size=16, devices=used))
        )
        for used in (devices[:1], devices)
    )
    np.testing.assert_array_equal(first, second)


def test_the_first_of_many_are_the_few_and_nothing_is_printed(capsys):
    model, key = make_model(), jax.random.key(5)
    np.testing.assert_allclose(
        model.sample(key, 9), model.sample(key, 50)[:9], rtol=1e-4
    )
    assert capsys.readouterr() == ("", "")


def test_another_key_gives_other_series():
    model = make_model()
    one, other = (model.sample(jax.random.key(k), 4) for k in (0, 1))
    assert np.abs(one - other).min() > 0


def test_batches_joined_are_the_whole():
    model, key = make_model(), jax.random.key(5)
    parts = [part.series for part in model.sample_batches(key, 300)]
    assert len(parts) == 3 and len(parts[0]) == 128  # 8 devices x 16
    np.testing.assert_array_equal(np.concatenate(parts), model.sample(key, 300))


def test_ragged_models_give_lists_with_lengths_of_the_validity():
    model, key = make_model(ragged=True), jax.random.key(5)
    x = model.sample(key, 30)
    assert isinstance(x, list) and len(x) == 30
    for i in (0, 29):
        validity = np.asarray(in_model_space(model, key, i))[:, -1]
        sums = [validity[:n].sum() - validity[n:].sum() for n in range(3, 8)]
        assert len(x[i]) == 3 + int(np.argmax(sums))
        assert np.isfinite(x[i]).all() and x[i].shape[1] == 2


@pytest.mark.parametrize("variant", ["full", "latent_only", "oracle_latent"])
def test_latents_of_samples_decode_to_them(variant):
    model, key = make_model(variant), jax.random.key(3)
    r = model.sample_latents(key, 5)
    assert r.shape == (5, model.config.encoder.latent_dim)
    assert len(np.unique(r[:, 0])) > 1
    x = model.sample(key, 5)
    np.testing.assert_allclose(model.decode(key, r), x, rtol=1e-4, atol=1e-4)
    swapped = model.decode(key, r[::-1])
    assert not np.allclose(swapped, x, rtol=1e-2, atol=1e-2)


def test_one_program_decodes_any_number_of_latents(monkeypatch):
    """As one samples: a program is traced, and compiled, once for 9 to 16 of them."""
    traced = []

    def decode(params, key, r_0):
        traced.append(r_0.shape)
        return jnp.broadcast_to(r_0[0], (7, 2))

    generator = Generator(decode, decode)
    monkeypatch.setattr(cascade, "make_generator", lambda config, shape: generator)
    again = lru_cache(reconstructor.__wrapped__)
    monkeypatch.setattr(cascade, "reconstructor", again)
    model, times = make_model(), []
    for n in (9, 10, 16):
        r = np.arange(float(n))[:, None] * np.ones(model.config.encoder.latent_dim)
        x = model.decode(jax.random.key(0), r)
        np.testing.assert_allclose(x[:, 0, 0], SHIFT[0] + SCALE[0] * np.arange(n))
        times.append(len(traced))
    assert times == times[:1] * 3


@pytest.mark.parametrize(
    ("r", "says"),
    [
        (np.zeros((2, 3)), r"shape \[2, 3\]: give \[n, "),
        (np.zeros(4), r"shape \[4\]: give"),
        (np.zeros((0, 4)), r"shape \[0, 4\]: give"),
    ],
)
def test_latents_that_can_not_be(r, says):
    with pytest.raises(InputError, match=says):
        make_model().decode(jax.random.key(0), r)
    for call in (
        lambda m: m.sample_latents(jax.random.key(0), 2),
        lambda m: m.decode(jax.random.key(0), r),
    ):
        with pytest.raises(InputError, match="'data_only' has no latent"):
            call(make_model("data_only"))


def test_latents_that_are_no_numbers():
    model = make_model()
    r = np.zeros((2, model.config.encoder.latent_dim))
    r[1, 0] = np.nan
    with pytest.raises(InputError, match="a latent is nan or inf"):
        model.decode(jax.random.key(0), r)


def test_encode_takes_data_units_and_reconstruct_conditions_on_it():
    model = make_model("oracle_latent")
    z = np.asarray(jax.random.normal(jax.random.key(1), (20, 7, 2)))
    x = z * SCALE + SHIFT
    r = model.encode(x)
    np.testing.assert_allclose(r, model.params["training_latents"], atol=1e-3)
    x_hat = model.reconstruct(jax.random.key(0), x)
    assert x_hat.shape == x.shape and np.isfinite(x_hat).all()
    flipped = model.reconstruct(jax.random.key(0), x[::-1].copy())
    assert np.abs(flipped - x_hat).max() > 1e-3
    programs = latents.encode_one.cache_info().misses
    np.testing.assert_array_equal(model.with_sampling(num_steps=3).encode(x), r)
    assert latents.encode_one.cache_info().misses == programs  # none for the sampling


def test_fewer_steps_turn_to_the_fast_solver():
    """Of a chain that takes all of them; one with a solver of its own keeps it."""
    config = with_sampling(make_model().config, latent_solver="ancestral")
    fast = with_sampling(config, num_steps=5).sampling
    assert (fast.solver, fast.num_steps) == ("dpm_solver++", 5)
    assert (fast.latent_solver, fast.latent_num_steps) == ("dpm_solver++", 8)
    assert with_sampling(config, num_steps=5, solver="ddim").sampling.solver == "ddim"
    assert with_sampling(config, num_steps=8).sampling.solver == "ancestral"
    assert with_sampling(config) == config
    ddim = with_sampling(config, solver="ddim")
    chosen = with_sampling(config, latent_solver="ddim", latent_num_steps=6)
    few, few_data = (with_sampling(x, num_steps=5).sampling for x in (ddim, chosen))
    assert (few.solver, few.num_steps) == ("ddim", 5)
    assert (few.latent_solver, few.latent_num_steps) == ("dpm_solver++", 8)
    assert (few_data.solver, few_data.num_steps) == ("dpm_solver++", 5)
    assert (few_data.latent_solver, few_data.latent_num_steps) == ("ddim", 6)


@pytest.mark.parametrize("variant", ["full", "data_only"])
def test_series_per_call_change_nothing(variant):
    model, key = make_model(variant), jax.random.key(0)
    smaller = model.with_sampling(batch_size=8)
    assert smaller.config.sampling.batch_size == 8
    near = dict(rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(smaller.sample(key, 20), model.sample(key, 20), **near)


def test_guidance_pushes_away_from_the_unconditional():
    """One step is linear in the strength w: x(w) = x(0) + w (x(1) - x(0))."""
    model = make_model(start_rounds=0, clip=False)
    config = ConfigDict(model.config.to_dict())
    config.data_stage.condition_dropout = 0.1
    model = replace(model, config=FrozenConfigDict(config))
    none, plain, strong = (
        model.with_sampling(guidance=w).sample(jax.random.key(0), 4, num_steps=1)
        for w in (0.0, 1.0, 3.0)
    )
    assert np.abs(plain - none).max() > 1e-2
    np.testing.assert_allclose(strong, none + 3.0 * (plain - none), atol=1e-3)


@pytest.mark.parametrize("variant", ["full", "data_only"])
def test_samples_keep_to_the_range_of_the_training_series(variant):
    model, key = make_model(variant), jax.random.key(0)
    beyond = model.sample(key, 20)
    series = np.float32([[[-0.1, -0.3]], [[0.2, 0.1]], [[np.nan, 0.0]]])
    found = VARIANTS["full"].extras(model.config, model.params, series)
    assert found["low"].tolist() == pytest.approx([-0.1, -0.3])
    assert found["high"].tolist() == pytest.approx([0.2, 0.1])
    model = replace(model, params=model.params | found)
    low, high = (SCALE * found[name] + SHIFT for name in ("low", "high"))
    x = model.sample(key, 20)
    assert np.min(x - low[None, None]) > -1e-4 and np.min(high[None, None] - x) > -1e-4
    unclipped = model.with_sampling(clip=False).sample(key, 20)
    np.testing.assert_array_equal(unclipped, beyond)
    assert (unclipped > high[None, None]).any() and (unclipped < low[None, None]).any()


SETTINGS = {
    "solver": "dpm_solver++",
    "num_steps": 3,
    "spacing": 3.0,
    "clip": False,
    "guidance": 2.0,
    "start_rounds": 3,
    "latent_solver": "ancestral",
    "latent_num_steps": 3,
}
WITHOUT = {
    "full": (),
    "oracle_latent": ("latent_solver", "latent_num_steps"),
    "data_only": ("guidance", "start_rounds", "latent_solver", "latent_num_steps"),
    "latent_only": (
        *("solver", "num_steps", "spacing", "clip"),
        *("guidance", "start_rounds"),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_setting_changes_the_samples_or_is_refused(variant):
    model, key = make_model(variant, num_steps=5), jax.random.key(0)
    config = ConfigDict(model.config.to_dict())
    config.data_stage.condition_dropout = 0.1
    model = replace(model, config=FrozenConfigDict(config))
    series = np.float32([[[-0.1, -0.3]], [[0.2, 0.1]]])
    clipped = replace(
        model, params=model.params | value_range(model.config, model.params, series)
    )
    for name, value in SETTINGS.items():
        one = clipped if name == "clip" else model
        if name in WITHOUT[variant]:
            says = re.escape(f"{name}={value}: variant '{variant}' has no such setting")
            with pytest.raises(InputError, match=says):
                one.with_sampling(**{name: value})
        else:
            other = one.with_sampling(**{name: value}).sample(key, 4)
            assert np.abs(one.sample(key, 4) - other).max() > 1e-3, name


@pytest.mark.parametrize("number", [np.int64(3), np.array(3), jnp.int32(3)])
def test_numbers_of_numpy_and_jax_are_numbers(number):
    config = make_model().config
    np.testing.assert_array_equal(numbers(number), [0, 1, 2])
    assert with_sampling(config, num_steps=number) == with_sampling(config, num_steps=3)


def test_a_series_in_a_list_is_the_same_in_an_array():
    model = make_model("oracle_latent", ragged=True)
    x = np.array(jax.random.normal(jax.random.key(1), (3, 7, 2)))
    x[1, 4:] = np.nan
    as_list = [x[0], x[1, :4].tolist(), x[2]]
    np.testing.assert_array_equal(model.encode(as_list), model.encode(x))
    fixed = make_model("oracle_latent")
    with pytest.raises(InputError, match=r"4 to 7 steps.* fixed length 7"):
        fixed.encode(as_list)
    assert np.isfinite(fixed.encode(x)).all()  # missing


def test_a_solver_of_ones_own_takes_eta_if_it_uses_it(monkeypatch):
    model, key = make_model(num_steps=5), jax.random.key(0)
    monkeypatch.setitem(sampling.SOLVERS, "mine", sampling.ddim)
    one, other = (model.sample(key, 4, solver="mine", eta=eta) for eta in (0.0, 0.5))
    assert np.abs(one - other).max() > 1e-3
    monkeypatch.setitem(
        sampling.SOLVERS, "fixed", lambda *levels: sampling.ddim(*levels[:2], 0.5)
    )
    says = "eta=0.5 is a setting of solver='ddim' or 'mine': say both"
    with pytest.raises(InputError, match=says):
        model.sample(key, 4, solver="fixed", eta=0.5)
    np.testing.assert_array_equal(model.sample(key, 4, solver="fixed"), other)


def test_ancestral_alone_takes_all_steps_of_either_chain():
    fast = make_model().with_sampling(num_steps=3)
    slow = fast.with_sampling(solver="ancestral", latent_solver="ancestral")
    assert slow.config.sampling.num_steps == slow.config.sampling.latent_num_steps == 0
    few = fast.with_sampling(latent_solver="ancestral", latent_num_steps=5)
    assert few.config.sampling.latent_num_steps == 5


def test_samples_stay_in_the_range_of_the_training_values():
    """Also where rounding to data units would lead out of it."""
    low, high = np.float32([0.1, -7.3]), np.float32([0.7, -7.1])
    model = make_model()
    ends = replace(model.normalizer, low=low, high=high)
    x = replace(model, normalizer=ends).sample(jax.random.key(0), 8)
    assert (x >= low).all() and (x <= high).all()
    assert (x == low).any() and (x == high).any()
    free = replace(model, normalizer=ends).with_sampling(clip=False)
    assert (free.sample(jax.random.key(0), 8) > high).any()


def test_rounding_leaves_no_minus_zero():
    """In a table it would stand as -0, which no file of the user has.

    The second channel has any decimals.
    """
    form = Form(".csv", ("float64",) * 2, decimals=(1, ANY_DECIMALS))
    x = np.float32([[-0.04, -1e-9], [-0.06, 1e-9], [0.04, 1]])[None]
    found = with_decimals(x, form)[0]
    np.testing.assert_array_equal(found[:, 0], np.float32([0, -0.1, 0]))
    np.testing.assert_array_equal(np.signbit(found[:, 0]), [False, True, False])
    np.testing.assert_array_equal(found[:, 1], x[0, :, 1])
    assert x[0, 0, 0] == np.float32(-0.04)  # as it was


def test_a_model_is_shown_in_one_line():
    assert repr(make_model()) == (
        "<Cascade full: series of 7 steps x 2 channels, trained on 20>"
    )


@pytest.mark.parametrize(
    "call, says",
    [
        (
            lambda m: m.sample(jax.random.key(0), 0),
            "0 series: give a whole number, 1 or more",
        ),
        (
            lambda m: m.sample(jax.random.key(0), 2, solver="euler"),
            "solver='euler': use",
        ),
        (lambda m: m.sample(jax.random.key(0), 2, num_steps=9), "num_steps=9.*1 to 8"),
        (lambda m: m.sample(jax.random.key(0), 2, eta=1.5), "eta=1.5: use 0"),
        (lambda m: m.sample(jax.random.key(0), 2, eta=-0.5), "eta=-0.5: use 0"),
        (lambda m: m.sample(jax.random.key(0), 1, eta=0.5), "eta=0.5 is .*: say both"),
        (lambda m: m.with_sampling(batch_size=-1), "batch_size=-1: use 1 or more"),
        (lambda m: m.with_sampling(start_rounds=-1), "start_rounds=-1: use 0 or more"),
        (
            lambda m: m.with_sampling(guidance=2.0),
            "guidance=2.0 needs.*condition_dropout",
        ),
        (lambda m: check_key(2), "give a typed one, jax.random"),
        (
            lambda m: check_key(jax.random.split(jax.random.key(0), 2)),
            r"key: give a single one, not \[2\] of them",
        ),
        (
            lambda m: make_model("oracle_latent").with_sampling(latent_solver="ddim"),
            r"it takes: solver, num_steps, spacing, eta, clip, guidance, start_",
        ),
        (lambda m: numbers(True), "True series: give a whole"),
        (lambda m: numbers("3"), "'3' series: give a whole"),
        (lambda m: numbers(2.5), "2.5 series: give a whole"),
        (lambda m: check_key(jax.random.PRNGKey(0)), "give a typed one, jax.random"),
        (
            lambda m: jax.jit(lambda key: m.sample(key, 2))(jax.random.key(0)),
            "inside jit, vmap or grad: call this outside",
        ),
        (
            lambda m: jax.jit(lambda m: m.sample_latents(jax.random.key(0), 2))(m),
            "inside jit, vmap or grad: call",
        ),
        (
            lambda m: jax.grad(lambda r: m.decode(jax.random.key(0), r).sum())(
                jnp.zeros((1, 8))
            ),
            "inside jit, vmap or grad: call",
        ),
        (
            lambda m: jax.vmap(lambda x: m.encode(x[None]))(jnp.zeros((3, 7, 2))),
            "inside jit, vmap or grad: call",
        ),
        (lambda m: m.with_sampling(num_steps=3.5), "num_steps=3.5: give one of type"),
        (lambda m: m.with_sampling(num_steps="3"), "num_steps='3': give one of type"),
        (lambda m: m.with_sampling(num_steps=True), "num_steps=True: give one of type"),
        (
            lambda m: m.with_sampling(num_steps=jnp.array([3, 5])),
            r"num_steps=Array\(\[3, 5\].*: give one of type int",
        ),
        (lambda m: m.decode(jax.random.key(0), "r"), r"no array: give \[n, 8\]"),
        (
            lambda m: m.decode(jax.random.key(0), [[0.0], [0.0, 1.0]]),
            r"latents that are no array: give \[n, 8\]",
        ),
        (
            lambda m: m.with_sampling(num_steps=3, latent_num_steps=9),
            "latent_num_steps=9: the chain.*1 to 8",
        ),
        (lambda m: m.encode(np.zeros((3, 8, 2))), r"\[3, 8, 2\]: this model takes"),
        (lambda m: m.encode(np.zeros((3, 5, 2))), r"\[3, 5, 2\]: .* takes \[N, 7, 2\]"),
        (lambda m: m.encode([np.zeros((8, 2))]), r"\[8, 2\].*takes \[N, 7, 2\]"),
        (lambda m: m.encode(np.zeros((8, 2))), r"\[8, 2\]: this model takes \[N, 7"),
        (lambda m: m.encode([np.zeros((9, 2))]), r"series 0.*\[9, 2\].*none longer"),
        (lambda m: m.encode([np.zeros((7, 3))]), r"series 0.*\[7, 3\]: this model"),
        (lambda m: m.encode([]), "no series: give one"),
        (lambda m: m.encode("mine.csv"), r"shape \[\]: this model takes"),
        (lambda m: m.encode([np.full((7, 2), np.nan)]), "series 0.*no values: leave"),
        (lambda m: m.encode([np.full((7, 2), np.inf)]), "inf is not finite"),
        (lambda m: make_model("data_only").encode(np.zeros((3, 7, 2))), "no encoder"),
    ],
)
def test_bad_requests_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call(make_model())
