"""Out of memory: told from other errors, and the batch that would fit."""

import traceback

import jax
import numpy as np
from ml_collections import ConfigDict

from l2d_jax import parallel
from l2d_jax.stages import Stage
from l2d_jax.train import batches, init_state, make_program
from l2d_jax.types import Example, InputError


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device, as XLA says it, or of this machine."""
    if isinstance(error, MemoryError):
        return True
    says = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in says or "out of memory" in says.lower()
    )


def free(error: BaseException) -> None:
    """Lets go of the arrays that the error's traceback holds."""
    traceback.clear_frames(error.__traceback__)


def smaller_batch(
    stage: Stage, examples: Example, c: ConfigDict, *, seed: int, steps_per_call: int
) -> int | None:
    """The largest half, quarter, ... of the batch that trains; None if none does.

    Found by trying: one call of the program for each, on a state that is dropped.
    """
    devices = parallel.num_devices()
    batch_size = c.batch_size // 2 // devices * devices
    while batch_size:
        try:
            state = parallel.place(init_state(stage, c, seed=seed))
            steps = min(steps_per_call, c.num_steps)
            batch = batches(examples, 0, steps, batch_size=batch_size, seed=seed)
            program = make_program(stage, c, seed=seed)
            jax.tree.map(np.asarray, program(state, batch)[1])
            return batch_size
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free(error)
        batch_size = batch_size // 2 // devices * devices
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
