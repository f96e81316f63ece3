"""benchmarks/budgets.py: steps that fit a time, planned once."""

import json
import time

import budgets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made import tiny_splits

from l2d_jax import configs
from l2d_jax.configs import base
from l2d_jax.stages import Stage
from l2d_jax.task import prepare
from l2d_jax.types import InputError


def test_planned_steps_are_whole_calls():
    """A last shorter call would be another program, compiled again."""
    assert budgets.whole_calls(23, 10) == 20
    assert budgets.whole_calls(20, 10) == 20
    assert budgets.whole_calls(7, 10) == 7


def test_a_plan_compiles_what_it_times(monkeypatch):
    kept = []
    monkeypatch.setattr(
        budgets.compilation_cache, "reset_cache", lambda: kept.append(0)
    )
    before = jax.config.jax_enable_compilation_cache
    with budgets.no_kept_programs():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache == before
    assert len(kept) == 2


def test_a_plan_shares_the_time_as_stated(monkeypatch):
    """Steps of 10 ms and 2 s of compilation, 1 minute: by hand."""
    config = base.with_argument(base.get_config(), "smoke")
    task = prepare(configs.resolve(config), tiny_splits())
    monkeypatch.setattr(budgets, "seconds", lambda stage, examples, c: (2.0, 0.01))
    found = budgets.plan(task, 1.0)
    steps = {name: part["steps"] for name, part in found["measured"].items()}
    # 5,700 of 0.95 minutes by their shares, without the 200 of compilation, in tens.
    assert steps == {"encoder": 650, "latent": 650, "data": 3_790}
    assert found["fields"]["data_stage.num_steps"] == steps["data"]
    assert found["fields"]["training.steps_per_call"] == 10  # the config's
    assert found["fields"]["training.checkpoint_every"] == 6_000
    task.config.variant = "data_only"
    assert budgets.plan(task, 1.0)["measured"]["data"]["steps"] in (5_490, 5_500)


class Chain:
    """A model whose chain takes 2 s and .5 s a step for each series."""

    def __init__(self, steps=0):
        config = base.with_argument(base.get_config(), "data_only")
        config.sampling.num_steps = steps
        self.config, self.clock, self.calls = configs.resolve(config), 0.0, []

    def sample(self, key, n, *, num_steps):
        self.calls.append((n, num_steps))
        self.clock += 2.0 + 0.5 * n * num_steps


@pytest.mark.parametrize(
    "asked, n, minutes, steps",
    [
        (0, 10, 1.0, 11),  # 60 s = 2 + 5 x 11.6
        (0, 10, 10.0, 100),  # 119 fit, the chain has 100
        (8, 10, 1.0, 8),
        (0, 10, 0.3, 5),  # 3 would fit
        (0, 1_024, 100.0, 11),  # two calls of 512: 3,000 s = 2 + 256 x 11.7
    ],
)
def test_steps_that_fit_the_time_of_sampling(monkeypatch, asked, n, minutes, steps):
    model = Chain(asked)
    monkeypatch.setattr(time, "perf_counter", lambda: model.clock)
    monkeypatch.setattr(budgets.parallel, "sampling_batch_size", lambda _: 512)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert budgets.fitting_steps(model, n, minutes) == steps
    assert model.calls == [(min(n, 512), k) for k in (2, 2, 4, 4)]


def test_a_plan_is_kept_for_what_it_is_of(tmp_path):
    """Cut off before anything was trained: another size has a plan of its own."""
    path = tmp_path / "plan.json"
    made = budgets.read_or_make(
        path, 9.0, {"steps": 20}, lambda: {"minutes": 9.0, "n": 1}
    )
    assert budgets.read_or_make(path, 9.0, {"steps": 20}, lambda: {}) == made
    other = budgets.read_or_make(
        path, 9.0, {"steps": 100}, lambda: {"minutes": 9.0, "n": 2}
    )
    assert (made["n"], other["n"]) == (1, 2)
    with pytest.raises(InputError, match="plan for 9 minutes, and 3 are asked for"):
        budgets.read_or_make(path, 3.0, {"steps": 100}, lambda: {})


def test_a_plan_of_other_networks_or_series_is_made_anew(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(budgets, "plan", lambda *_: found.append(1) or {"minutes": 1.0})
    for argument in ("smoke", "smoke", ""):
        config = base.with_argument(base.get_config(), argument)
        task = prepare(configs.resolve(config), tiny_splits())
        budgets.kept_plan(task, 1.0, tmp_path)
    assert len(found) == 2
    monkeypatch.setattr(budgets, "fitting_steps", lambda model, n, minutes: 100)
    monkeypatch.setattr(budgets, "num_samples", lambda model: model.count)
    for count in (30, 500):
        model = Chain()
        model.count = count
        budgets.with_fitting_steps(model, None, 1.0, tmp_path)
        plan = json.loads((tmp_path / "sampling_plan.json").read_text())
        assert plan["of"] == {"series": count, "steps": 100}


def test_a_schedule_keeps_its_shape():
    c = base.get_config().fourier_flow
    fields = budgets.stretched(c, 150)
    assert fields["num_steps"] == 150
    np.testing.assert_allclose(fields["decay_rate"] ** 150, 0.999**1_500)
    c = base.get_config().diffusion_ts
    fields = budgets.stretched(c, c.num_steps // 10)
    assert (fields["warmup_steps"], fields["patience"]) == (375, 400)
    fields = budgets.stretched(c, c.num_steps * 10)
    assert (fields["warmup_steps"], fields["patience"]) == (500, 4_000)


def test_steps_are_timed_without_their_compilation(monkeypatch):
    """A program that takes long once and then as long as its steps."""
    durations = iter([3.0, 0.5, 0.4, 0.6])
    clock = [0.0]

    def make_program(stage, c, *, seed):
        def program(state, batches):
            assert batches.shape == (10, 8, 3)
            assert not jax.config.jax_enable_compilation_cache  # it is compiled
            clock[0] += next(durations)
            return state, {"loss": jnp.zeros(10)}

        return program

    stage = Stage(
        "line",
        lambda key: {"w": jnp.zeros(3)},
        lambda upstream, series: series,
        lambda params, key, x: (jnp.sum(params["w"] * x), {}),
        lambda params, series: params,
    )
    monkeypatch.setattr(budgets.train, "make_program", make_program)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    c = base.get_config().encoder
    c.batch_size = 8
    compilation, step = budgets.seconds(stage, np.zeros((5, 3), np.float32), c)
    np.testing.assert_allclose([compilation, step], [2.5, 0.05])
