"""Out of memory: told from other errors, and work done in smaller parts."""

import logging
import traceback
from collections.abc import Callable, Iterator

import jax
import numpy as np

from l2d_jax import parallel

log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device, as XLA says it, or of this machine."""
    if isinstance(error, MemoryError):
        return True
    says = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in says or "out of memory" in says.lower()
    )


def release(error: BaseException) -> None:
    """Lets go of the arrays that the error's traceback holds."""
    traceback.clear_frames(error.__traceback__)


def in_parts(
    work: Callable[[int, int], Iterator[np.ndarray]], n: int, *, batch_size: int
) -> Iterator[np.ndarray]:
    """The arrays of `work(first, batch_size)`, n rows in all.

    Where the memory is out, it is called again for the rows that are left, with half
    the batch.
    """
    done = 0
    while done < n:
        try:
            for part in work(done, batch_size):
                yield part
                done += len(part)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            batch_size = parallel.fitting(batch_size, n - done)
            if not is_out_of_memory(error) or batch_size == 1:
                raise
            release(error)
            log.warning(
                "out of memory with %d series a call: now %d",
                batch_size,
                batch_size // 2,
            )
            batch_size //= 2
