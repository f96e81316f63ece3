import json
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from l2d_jax import parallel, preemption, train
from l2d_jax.checkpoints import Checkpoints
from l2d_jax.configs import SECTIONS, base, resolve
from l2d_jax.data.sampler import chunk_indices
from l2d_jax.metric_writer import MetricWriter, read_losses
from l2d_jax.stages import STAGES, Stage
from l2d_jax.variants import ALL_STAGES

SHAPE = (6, 2)


def settings(**changes):
    c = base.get_config().encoder
    c.update(num_steps=12, batch_size=8, warmup_steps=3, learning_rate=0.1)
    c.update(weight_decay=0.1, ema_decay=0.4)  # such that both are seen
    c.update(changes)
    return c


def line_stage(loss=None):
    """Fits w to x by (w - x)^2: gradients are known."""

    def square(params, key, x):
        del key
        error = jnp.mean(jnp.square(params["w"] - x))
        return error, {"mse": error}

    return Stage(
        "line",
        lambda key: {"w": jnp.zeros((3,))},
        lambda upstream, series: series,
        loss or square,
        lambda params, series: params,
    )


ROWS = np.asarray(jax.random.normal(jax.random.key(0), (20, 3))) + 2.0


def fit(workdir, stage=None, c=None, rows=ROWS, steps_per_call=2, every=4, seed=0):
    c = c or settings()
    with Checkpoints(workdir / "line", {"seed": seed}) as checkpoints:
        return train.fit(
            stage or line_stage(),
            lambda: rows,
            c,
            seed=seed,
            steps_per_call=steps_per_call,
            checkpoint_every=every,
            checkpoints=checkpoints,
            open_writer=lambda first: MetricWriter(
                workdir, "line", first_step=first, num_steps=c.num_steps, batch=8
            ),
        )


def adamw_by_hand(c, seed=0):
    """The whole training in numpy: batches, clipping, AdamW, schedule, EMA."""
    w = ema = np.zeros(3)
    m = v = np.zeros(3)
    for step in range(c.num_steps):
        index = chunk_indices(seed, step, 1, num_examples=len(ROWS), batch_size=8)[0]
        g = (2 * (w - ROWS[index]) / 3).mean(axis=0)
        g = g * min(1.0, c.clip_norm / np.linalg.norm(g))
        m, v = 0.9 * m + 0.1 * g, c.beta_2 * v + (1 - c.beta_2) * g**2
        m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - c.beta_2 ** (step + 1))
        if step < c.warmup_steps:
            rate = c.learning_rate * step / c.warmup_steps
        else:
            phase = (step - c.warmup_steps) / (c.num_steps - c.warmup_steps)
            rate = c.learning_rate * (1 + np.cos(np.pi * phase)) / 2
        w = w - rate * (m_hat / (np.sqrt(v_hat) + 1e-8) + c.weight_decay * w)
        decay = min(c.ema_decay, (1 + step) / (10 + step))
        ema = decay * ema + (1 - decay) * w
    return ema


def test_fit_equals_the_training_written_by_hand(tmp_path, monkeypatch):
    c = settings()
    np.testing.assert_allclose(fit(tmp_path, c=c)["w"], adamw_by_hand(c), rtol=1e-4)
    monkeypatch.setattr(train, "BRIEF_CALL", 5)
    brief = train.fit_briefly(line_stage(), ROWS, c, seed=0)
    np.testing.assert_allclose(brief["w"], adamw_by_hand(c), rtol=1e-4)


@pytest.mark.parametrize("steps_per_call, every", [(1, 1), (5, 5), (100, 7)])
def test_chunks_and_checkpoints_do_not_change_the_result(
    tmp_path, steps_per_call, every
):
    c = settings()
    w = fit(tmp_path, c=c, steps_per_call=steps_per_call, every=every)["w"]
    np.testing.assert_allclose(w, adamw_by_hand(c), rtol=1e-4)


@pytest.mark.parametrize(("size", "steps"), [(1, 6), (2, 3), (3, 2), (6, 1), (7, 1)])
def test_long_series_have_fewer_steps_a_call(tmp_path, monkeypatch, size, steps):
    """Memory for six batches of 8 x 3 values: for three where they are twice as large.

    Checkpoints lie where they would lie otherwise.
    """

    def of_the_first_three(params, key, x):
        return line_stage().loss(params, key, x[:3])

    monkeypatch.setattr(train, "CALL_BYTES", 6 * 8 * 3 * 4)
    c, rows = settings(), np.tile(ROWS, (1, size))
    w = fit(tmp_path, line_stage(of_the_first_three), c, rows, steps_per_call=6)["w"]
    np.testing.assert_allclose(w, adamw_by_hand(c), rtol=1e-4)
    logged = read_losses(tmp_path / "metrics.jsonl")["line"][0]
    assert [*logged] == [*range(steps, 13, steps)]
    saved = [int(one.name) for one in (tmp_path / "line").glob("[0-9]*")]
    assert sorted(saved) == [6, 12]


@pytest.mark.parametrize("decay", ["constant", "exponential"])
def test_rates_after_a_warm_up(decay):
    """Linear over 3 of 12 steps, half of one; what follows counts from its end."""
    c = settings()
    with c.unlocked():
        c.update(decay=decay, decay_rate=0.5)
    after = 0.1 * np.ones(9) if decay == "constant" else 0.1 * 0.5 ** np.arange(9)
    warm_up = 0.1 * np.arange(3) / 3
    for steps, num_steps, rates in (
        (3, 12, np.concatenate([warm_up, after])),
        (0, 12, after),
        (3, 1, after[:1]),  # too few steps for a warm-up
    ):
        c.update(warmup_steps=steps, num_steps=num_steps)
        found = [train.learning_rate(c)(step) for step in range(len(rates))]
        np.testing.assert_allclose(found, rates, rtol=1e-6)


def test_a_state_is_made_by_one_program(caplog):
    """Op by op there are as many as shapes of arrays, some ten for a network."""
    train.stream(0, "line")  # has programs of its own
    with jax.log_compiles():
        train.init_state(line_stage(), settings(), seed=0)
    said = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("Finished XLA compilation") for line in said) == 1


def test_what_is_logged_is_what_is_done():
    """Rates of warm-up and cosine; the norm of the gradient before it is clipped."""
    c = settings()
    state = parallel.replicate(train.init_state(line_stage(), c, seed=0))
    program = train.make_program(line_stage(), c, seed=0)
    batch = ROWS[chunk_indices(0, 0, 12, num_examples=20, batch_size=8)]
    _, metrics = program(state, batch)
    cosine = 0.1 * (1 + np.cos(np.pi * np.arange(9) / 9)) / 2
    rates = np.concatenate([0.1 * np.arange(3) / 3, cosine])
    np.testing.assert_allclose(metrics["learning_rate"], rates, rtol=1e-5)
    # At w = 0; the rate of the first step is 0, so that it is still there.
    slopes = np.linalg.norm(2 * batch[:2].mean(axis=1) / 3, axis=1)
    assert slopes.min() > 1.2 * c.clip_norm
    np.testing.assert_allclose(metrics["gradient_norm"][:2], slopes, rtol=1e-5)
    np.testing.assert_allclose(
        metrics["loss"][:2], np.square(batch[:2]).mean(axis=(1, 2)), rtol=1e-5
    )


def test_a_chunk_is_logged_while_the_next_one_runs(tmp_path, monkeypatch):
    """Of four calls of the program each but the last is followed by another first."""
    seen, make, write = [], train.make_program, MetricWriter.write

    def noted_program(*given, **more):
        program = make(*given, **more)

        def call(state, batch):
            seen.append("called")
            return program(state, batch)

        return call

    def noted_write(self, first_step, metrics):
        seen.append(first_step)
        write(self, first_step, metrics)

    monkeypatch.setattr(train, "make_program", noted_program)
    monkeypatch.setattr(MetricWriter, "write", noted_write)
    fit(tmp_path, steps_per_call=3, every=100)
    assert seen == ["called", "called", 0, "called", 3, "called", 6, 9]


class Killed(Exception):
    pass


@pytest.mark.parametrize("killed_at", [3, 6, 11])
def test_interrupted_equals_uninterrupted(tmp_path, killed_at, monkeypatch):
    whole = fit(tmp_path / "whole")
    take, calls = train.take, []

    def dying_take(examples, index):
        calls.append(index)
        if len(calls) * 2 > killed_at:
            raise Killed
        return take(examples, index)

    monkeypatch.setattr(train, "take", dying_take)
    with pytest.raises(Killed):
        fit(tmp_path / "cut")
    monkeypatch.setattr(train, "take", take)
    resumed = fit(tmp_path / "cut")
    np.testing.assert_array_equal(resumed["w"], whole["w"])
    steps = read_losses(tmp_path / "cut" / "metrics.jsonl")["line"][0]
    assert steps.tolist() == [2, 4, 6, 8, 10, 12]


def test_going_on_with_another_chunk_keeps_saving(tmp_path, monkeypatch):
    """From step 3 in twos, every 4 steps: at the first stop at or after 4 and 8."""
    c = settings()
    c.num_steps = 3
    fit(tmp_path, c=c, steps_per_call=3, every=3)
    saved, save = [], Checkpoints.save

    def noted(self, step, state):
        saved.append(step)
        save(self, step, state)

    monkeypatch.setattr(Checkpoints, "save", noted)
    fit(tmp_path, steps_per_call=2, every=4)
    assert saved == [5, 9, 12]
    saved.clear()  # whole calls of 3 steps: every 6 steps
    fit(tmp_path / "other", steps_per_call=3, every=4)
    assert saved == [6, 12]


def test_sigterm_waits_for_the_last_checkpoint(tmp_path, monkeypatch):
    deferred, wait = [], Checkpoints.wait

    def noted(self):
        deferred.append(preemption._handler.deferred)
        wait(self)

    monkeypatch.setattr(Checkpoints, "wait", noted)
    fit(tmp_path)
    assert deferred == [True]


def test_a_finished_stage_is_only_restored(tmp_path, monkeypatch):
    w = fit(tmp_path)["w"]
    monkeypatch.setattr(train, "make_program", None)  # calling it would fail
    np.testing.assert_array_equal(fit(tmp_path)["w"], w)


@pytest.mark.parametrize("name", ALL_STAGES)
def test_what_is_trained_and_kept_is_float32_and_no_key(name):
    """Weights, their average and the optimizer's; in bfloat16 are factors alone."""
    config = base.with_argument(base.get_config(), "smoke")
    config.training.compute_dtype = "bfloat16"
    config = resolve(config)
    stage, c = ALL_STAGES[name](config, SHAPE), config[SECTIONS[name]]
    state = jax.eval_shape(lambda: train.init_state(stage, c, seed=0))
    kinds = {leaf.dtype for leaf in jax.tree.leaves(state)}
    assert kinds == {np.dtype("float32"), np.dtype("int32")}


@pytest.mark.parametrize("name", ["encoder", "latent", "data"])
def test_one_device_trains_as_eight(name):
    config = resolve(base.with_argument(base.get_config(), "smoke"))
    stage = STAGES[name](config, SHAPE)
    c = {"encoder": config.encoder, "latent": config.latent_stage}.get(
        name, config.data_stage
    )
    rows = np.asarray(jax.random.normal(jax.random.key(3), (3, 16, *SHAPE)))
    latents = rows[:, :, 0, :1].repeat(8, axis=2)
    batches = {
        "encoder": rows,
        "latent": latents,
        "data": {"x_0": rows, "r_0": latents},
    }[name]
    results = []
    for devices in (jax.local_devices()[:1], jax.local_devices()):
        state = parallel.replicate(train.init_state(stage, c, seed=0), devices)
        program = train.make_program(stage, c, seed=0, devices=devices)
        state, metrics = program(state, batches)
        results.append((state.params, metrics["loss"]))
    for one, eight in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(eight), atol=1e-6)


def test_weights_begin_by_the_seed_and_the_name_of_the_stage():
    stage = line_stage()._replace(init=lambda key: {"w": jax.random.normal(key, (3,))})
    w = train.init_state(stage, settings(), seed=4).params["w"]
    np.testing.assert_allclose(w, stage.init(train.stream(4, "line/init"))["w"])
    keys = [train.stream(seed, name) for seed in (0, 1) for name in ("a", "b")]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 4


def test_each_example_has_its_own_noise():
    """The loss sees one key per position of the batch, another at every step."""
    seen = line_stage(
        lambda params, key, x: (jax.random.uniform(key) + 0 * params["w"][0], {})
    )
    c = settings()
    state = parallel.replicate(train.init_state(seen, c, seed=0))
    program = train.make_program(seen, c, seed=0)
    _, metrics = program(state, np.zeros((5, 8, 3), np.float32))
    expected = [
        np.mean([jax.random.uniform(jax.random.fold_in(key, i)) for i in range(8)])
        for key in (
            jax.random.fold_in(train.stream(0, "line/train"), step) for step in range(5)
        )
    ]
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_a_loss_that_is_not_finite_names_step_stage_and_checkpoint(tmp_path):
    def explosive(params, key, x):
        del key
        error = jnp.mean(jnp.square(params["w"] - x))
        return error + jnp.log(x[0]), {"mse": error}

    c = settings()
    index = chunk_indices(0, 0, 12, num_examples=100, batch_size=8)
    first = 7  # the first step that sees the example that breaks the loss
    late = next(i for i in index[first] if i not in index[:first])
    rows = np.abs(np.asarray(jax.random.normal(jax.random.key(0), (100, 3)))) + 0.1
    rows[late, 0] = -1.0
    with pytest.raises(train.TrainingDiverged) as error:
        fit(tmp_path, line_stage(explosive), c, rows, steps_per_call=3, every=3)
    message = str(error.value)
    assert "stage 'line'" in message and f"at step {first}." in message
    assert str(tmp_path / "line" / "6") in message
    assert "learning_rate" in message
    assert not (tmp_path / "line" / "9").exists()


def test_a_gradient_that_is_not_finite_is_a_divergence(tmp_path):
    """sqrt(w^2) at w = 0: the loss is finite, its gradient isn't."""

    def kink(params, key, x):
        del key, x
        error = jnp.sqrt(jnp.square(params["w"][0]))
        return error, {"mse": error}

    with pytest.raises(train.TrainingDiverged, match=r"at step 0\."):
        fit(tmp_path, line_stage(kink), steps_per_call=1)


def test_metrics_are_logged_per_chunk(tmp_path):
    fit(tmp_path, steps_per_call=5)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [5, 10, 12]
    assert rows[0]["loss"] > rows[-1]["loss"]
    assert {"gradient_norm", "learning_rate", "series_per_second"} <= set(rows[0])
    (path,) = tmp_path.glob("events.out.tfevents*.line.0")
    events = [event for event in events_of(path) if event.summary.value]
    assert [event.step for event in events] == [5, 10, 12]
    for event, row in zip(events, rows, strict=True):
        values = {one.tag: one.simple_value for one in event.summary.value}
        names = row.keys() - {"stage", "step"}
        assert values.keys() == {f"line/{name}" for name in names}
        assert values["line/loss"] == pytest.approx(row["loss"], rel=1e-5)


def events_of(path):
    """Those of a file of TensorBoard: length and its checksum, event and its."""
    content = path.read_bytes()
    while content:
        end = 12 + int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12:end])
        content = content[end + 4 :]


def test_half_a_last_line_is_left_out(tmp_path):
    fit(tmp_path, steps_per_call=5)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"stage": "line", "st')
    assert read_losses(path)["line"][0].tolist() == [5, 10, 12]


def test_a_process_reads_its_part_of_each_batch_only(tmp_path, monkeypatch):
    class Recorder:
        shape = ROWS.shape
        seen: ClassVar[list[np.ndarray]] = []

        def __getitem__(self, index):
            self.seen.append(index)
            return ROWS[index]

    monkeypatch.setattr(parallel, "local_slice", lambda batch_size: slice(8, 16))
    c = settings()
    c.batch_size = 16
    fit(tmp_path, c=c, rows=Recorder())
    batches = chunk_indices(0, 0, c.num_steps, num_examples=len(ROWS), batch_size=16)
    np.testing.assert_array_equal(np.concatenate(Recorder.seen), batches[:, 8:])
