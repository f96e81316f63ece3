"""`fit`: train one stage, whichever it is. No stage is named here."""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int
from ml_collections import ConfigDict

from l2d_jax import memory, parallel, preemption
from l2d_jax.checkpoints import Checkpoints
from l2d_jax.data.sampler import chunk_indices
from l2d_jax.metric_writer import MetricWriter
from l2d_jax.stages import Stage, Updater
from l2d_jax.types import Example, InputError, Metrics, Params, RandomKey, Step

BRIEF_CALL = 100  # steps in one call of `fit_briefly`
CALL_BYTES = 2**28  # of the batches of one call, of which a few are held


class TrainState(NamedTuple):
    """Arrays only; model, optimizer and schedules are closed over."""

    step: Step
    params: Params
    ema_params: Params
    opt_state: optax.OptState


def stream(seed: int, name: str) -> RandomKey:
    """The key of a named stream of randomness: a function of (seed, name) alone."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def cosine(c: ConfigDict) -> optax.Schedule:
    """Linear warm-up, then a cosine to 0 at the last step."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=c.learning_rate,
        warmup_steps=warmup_steps(c),
        decay_steps=max(c.num_steps, 1),
    )


def constant(c: ConfigDict) -> optax.Schedule:
    """Linear warm-up, then the same at every step."""
    return after_warm_up(c, optax.constant_schedule(c.learning_rate))


def exponential(c: ConfigDict) -> optax.Schedule:
    """Linear warm-up, then learning_rate decay_rate^step, counted from its end."""
    return after_warm_up(c, optax.exponential_decay(c.learning_rate, 1, c.decay_rate))


def after_warm_up(c: ConfigDict, rate: optax.Schedule) -> optax.Schedule:
    """Linear from 0 to `c.learning_rate`, with which `rate` begins."""
    steps = warmup_steps(c)
    if not steps:
        return rate
    warm_up = optax.linear_schedule(0.0, c.learning_rate, steps)
    return optax.join_schedules([warm_up, rate], [steps])


DECAY_FIELDS: dict[str, set[str]] = {  # beside the learning rate
    "cosine": set(),
    "constant": set(),
    "exponential": {"decay_rate"},
    "plateau": {"patience", "factor", "least_rate"},
}
DECAYS: dict[str, Callable[[ConfigDict], optax.Schedule]] = {
    "cosine": cosine,
    "constant": constant,
    "exponential": exponential,
    "plateau": constant,  # times a factor that `make_optimizer` lets shrink
}


def warmup_steps(c: ConfigDict) -> int:
    """Half of all steps at most."""
    return min(c.warmup_steps, c.num_steps // 2)


def learning_rate(c: ConfigDict) -> optax.Schedule:
    """As `c.decay` says, by default a cosine."""
    return DECAYS[c.get("decay", "cosine")](c)


def make_optimizer(c: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """AdamW after clipping by the global norm.

    With decay "plateau": times `factor` whenever the loss hasn't fallen by a tenth for
    `patience` steps.
    """
    parts = [
        optax.clip_by_global_norm(c.clip_norm),
        optax.adamw(learning_rate(c), b2=c.beta_2, weight_decay=c.weight_decay),
    ]
    if c.get("decay") == "plateau":
        plateau = optax.contrib.reduce_on_plateau(
            factor=c.factor,
            patience=c.patience,
            rtol=0.1,
            atol=0.0,
            min_scale=c.least_rate / c.learning_rate,
        )
        parts.append(plateau)
    return optax.with_extra_args_support(optax.chain(*parts))


def ema_decay(step: Step, decay: float) -> jax.Array:
    """min(decay, (1 + step) / (10 + step)): short runs aren't ruled by their start."""
    return jnp.minimum(decay, (1.0 + step) / (10.0 + step))


@parallel.with_default_config
def init_state(stage: Stage, c: ConfigDict, *, seed: int) -> TrainState:
    """The state before the first step, by one program: many small ones take longer."""

    @jax.jit
    def first(key: RandomKey) -> TrainState:
        params = stage.init(key)
        opt_state = make_updater(stage, c).init(params)
        return TrainState(jnp.int32(0), params, params, opt_state)

    return first(stream(seed, f"{stage.name}/init"))


def make_updater(stage: Stage, c: ConfigDict) -> Updater:
    """The stage's own, or the gradient of its mean loss through one optimizer."""
    tx = make_optimizer(c)
    if stage.updater is not None:
        return stage.updater(tx)

    def mean_loss(params, key, batch):
        count = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            key, parallel.global_indices(count)
        )
        losses, metrics = jax.vmap(stage.loss, (None, 0, 0))(params, keys, batch)
        return losses.mean(), jax.tree.map(jnp.mean, metrics)

    def update(params, opt_state, key, batch):
        grad = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, metrics), grads = parallel.pmean(grad(params, key, batch))
        updates, opt_state = tx.update(grads, opt_state, params, value=loss)
        norm = jnp.asarray(optax.tree.norm(grads))
        metrics = {**metrics, "loss": loss, "gradient_norm": norm}
        return optax.apply_updates(params, updates), opt_state, metrics

    return Updater(tx.init, update)


def make_train_step(stage: Stage, c: ConfigDict, *, seed: int) -> Callable:
    """step(state, batch) -> (state, metrics), to run inside a parallel program."""
    updater, rate = make_updater(stage, c), learning_rate(c)
    stream_key = stream(seed, f"{stage.name}/train")

    def step(state: TrainState, batch: Example) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(stream_key, state.step)
        params, opt_state, metrics = updater.update(
            state.params, state.opt_state, key, batch
        )
        decay = ema_decay(state.step, c.ema_decay)
        ema_params = optax.incremental_update(params, state.ema_params, 1.0 - decay)
        metrics = {
            **metrics,
            "learning_rate": plateau_factor(opt_state) * rate(state.step),
        }
        return TrainState(state.step + 1, params, ema_params, opt_state), metrics

    return step


def plateau_factor(opt_state: optax.OptState) -> jax.Array:
    """What the learning rate is multiplied by now; 1 without decay "plateau"."""

    def is_field(path, _):
        return isinstance(path[-1], optax.tree_utils.NamedTupleKey)

    return jnp.asarray(optax.tree.get(opt_state, "scale", 1.0, filtering=is_field))


def make_program(
    stage: Stage,
    c: ConfigDict,
    *,
    seed: int,
    devices: Sequence[jax.Device] | None = None,
) -> Callable:
    """Many steps a call: (state, batches [S, B, ...]) -> (state, metrics [S])."""
    step = make_train_step(stage, c, seed=seed)
    return parallel.train_program(
        lambda state, batches: jax.lax.scan(step, state, batches), devices
    )


def take(examples: Example, index: Int[np.ndarray, "S B"]) -> Example:
    """Rows `index` [S, B] of every array of the prepared examples."""
    return jax.tree.map(lambda rows: rows[index], examples)


def batches(
    examples: Example, start: int, stop: int, *, batch_size: int, seed: int
) -> Example:
    """Those of steps start, ..., stop - 1: of each this process's part."""
    index = chunk_indices(
        seed,
        start,
        stop - start,
        num_examples=jax.tree.leaves(examples)[0].shape[0],
        batch_size=batch_size,
    )
    return take(examples, index[:, parallel.local_slice(batch_size)])


def steps_of_a_call(examples: Example, batch_size: int, most: int) -> int:
    """The largest divisor of `most` whose batches take `CALL_BYTES` at most; or 1."""
    sizes = [math.prod(rows.shape[1:]) for rows in jax.tree.leaves(examples)]
    step_bytes = 4 * batch_size * sum(sizes)
    divisors = (steps for steps in range(1, most + 1) if most % steps == 0)
    return max((n for n in divisors if n * step_bytes <= CALL_BYTES), default=1)


class TrainingDiverged(InputError):
    """The loss or the gradient is no longer finite."""


def fit(
    stage: Stage,
    make_examples: Callable[[], Example],
    c: ConfigDict,
    *,
    seed: int,
    steps_per_call: int,
    checkpoint_every: int,
    checkpoints: Checkpoints,
    open_writer: Callable[[int], MetricWriter],
) -> Params:
    """Trains `stage` to its last step and returns the averaged (EMA) parameters.

    Goes on from the latest checkpoint; a stage that is finished is only restored. A run
    that was interrupted ends with the weights of one that was not.

    Args:
      stage: what to train.
      make_examples: a pytree of arrays, a row per example; not called where the stage
        is finished.
      c: the stage's section of the config.
      seed: of weights, batches and noise.
      steps_per_call: optimizer steps in one call of the compiled program; fewer where
        their batches are large.
      checkpoint_every: steps between checkpoints, rounded up to whole calls.
      checkpoints: where they lie.
      open_writer: from the first step to the writer of metrics.

    Raises:
      TrainingDiverged: naming the stage, the step and the last good checkpoint.
      Preempted: after saving, if SIGTERM came.
    """
    state = parallel.replicate(init_state(stage, c, seed=seed))
    state = checkpoints.restore(state) or state
    first_step = int(state.step)
    if first_step >= c.num_steps:
        return state.ema_params
    examples, program = make_examples(), make_program(stage, c, seed=seed)
    every = math.ceil(checkpoint_every / steps_per_call) * steps_per_call
    steps_per_call = steps_of_a_call(examples, c.batch_size, steps_per_call)

    with open_writer(first_step) as writer, preemption.deferred():

        def record(start, metrics):
            values = jax.tree.map(np.asarray, metrics)
            check_finite(stage.name, start, values, checkpoints)
            writer.write(start, values)

        running = None  # the chunk that the devices are working on
        request = parallel.any_process(preemption.requested)
        for start in range(first_step, c.num_steps, steps_per_call):
            stop = min(start + steps_per_call, c.num_steps)
            batch = batches(examples, start, stop, batch_size=c.batch_size, seed=seed)
            state, metrics = program(state, batch)
            request, previous = parallel.any_process(preemption.requested), request
            if running is not None:
                record(*running)
            running = (start, metrics)
            leaving = previous()
            due = stop // every > start // every
            if due or stop == c.num_steps or leaving:
                record(*running)  # before saving: no bad state is ever kept
                running = None
                writer.flush()
                checkpoints.save(stop, state)
            if leaving:
                raise preemption.Preempted(
                    f"stage {stage.name!r} saved at step {stop:,} of {c.num_steps:,}",
                    together=True,
                )
        checkpoints.wait()  # SIGTERM mustn't end the program while the last is written
    return state.ema_params


def fit_briefly(stage: Stage, examples: Example, c: ConfigDict, *, seed: int) -> Params:
    """Averaged parameters after `c.num_steps`: no checkpoints, no log."""
    state = parallel.replicate(init_state(stage, c, seed=seed))
    program = make_program(stage, c, seed=seed)
    steps = steps_of_a_call(examples, c.batch_size, BRIEF_CALL)
    for start in range(0, c.num_steps, steps):
        stop = min(start + steps, c.num_steps)
        batch = batches(examples, start, stop, batch_size=c.batch_size, seed=seed)
        state, _ = program(state, batch)
    return jax.tree.map(np.asarray, state.ema_params)


def check_finite(
    stage: str, start: int, metrics: dict[str, np.ndarray], checkpoints: Checkpoints
) -> None:
    """Raises `TrainingDiverged` at the first step with a loss that isn't finite."""
    finite = np.isfinite(metrics["loss"]) & np.isfinite(metrics["gradient_norm"])
    if not finite.all():
        step = start + int(np.argmin(finite))
        raise TrainingDiverged(
            f"stage {stage!r}: the loss is not finite at step {step}. Last good "
            f"checkpoint: {checkpoints.latest()}. Lower the stage's learning_rate (in "
            "another --workdir), or look for outliers in the data"
        )


# --- out of memory -------------------------------------------------------------------


def smaller_batch(
    stage: Stage, examples: Example, c: ConfigDict, *, seed: int, steps_per_call: int
) -> int | None:
    """The largest half, quarter, ... of the batch that trains; None if none does.

    Found by trying: one call of the program for each, on a state that is dropped. By
    this process and its part of the batch alone: others may have memory enough.
    """
    parts = parallel.num_devices() * make_updater(stage, c).num_batches
    batch_size = c.batch_size // 2 // parts * parts
    while batch_size:
        try:
            state = parallel.replicate(init_state(stage, c, seed=seed))
            steps = steps_of_a_call(examples, batch_size, steps_per_call)
            steps = min(steps, c.num_steps)
            batch = batches(examples, 0, steps, batch_size=batch_size, seed=seed)
            program = make_program(
                stage, c, seed=seed, devices=parallel.local_devices()
            )
            jax.tree.map(np.asarray, program(state, batch)[1])
            return batch_size
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            memory.release(error)
        batch_size = batch_size // 2 // parts * parts
    return None


def too_large(field: str, batch_size: int, fitting: int | None) -> InputError:
    """What to do about it."""
    mend = (
        "a smaller one doesn't fit either: use a smaller network, or another device"
        if fitting is None
        else f"{fitting} fits: --config.{field}.batch_size={fitting}"
    )
    return InputError(
        f"out of memory with --config.{field}.batch_size={batch_size}: {mend}"
    )
