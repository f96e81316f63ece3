"""Networks of the scores, each trained once in a process.

Context-FID's encoders and the networks of the floors learn from real series alone: they
are the same for all samples that are scored against one set with one seed.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import jax
import numpy as np

from l2d_jax.metrics import recurrent

context_fid: Any = importlib.import_module("l2d_jax.metrics.context_fid")

MOST = (
    64  # results that are kept: the networks of a set, and some that never come again
)


class Remembered:
    """A function of arrays that isn't called again with equal ones."""

    def __init__(self, function: Callable, used: Callable | None = None):
        self.function = function
        self.used = used  # what of the arguments the result is a function of; None: all
        self.results: dict[str, Any] = {}
        self.lock = Lock()  # recurrent.teach calls from threads

    def __call__(self, *given: Any, **named: Any) -> Any:
        key = digest((self.used(*given) if self.used else given, named))
        with self.lock:
            if key in self.results:
                self.results[key] = self.results.pop(key)  # the last to be forgotten
                return self.results[key]
        result = self.function(*given, **named)
        with self.lock:
            self.results[key] = result
            while len(self.results) > MOST:
                del self.results[next(iter(self.results))]
        return result


def digest(tree: Any) -> str:
    """Of arrays by their bytes, of all else by what it is written as."""
    leaves, structure = jax.tree.flatten(tree)
    found = hashlib.sha256(repr(structure).encode())
    for leaf in leaves:
        if isinstance(leaf, np.ndarray | jax.Array):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            found.update(repr((leaf.shape, leaf.dtype)).encode())
            found.update(np.ascontiguousarray(leaf).tobytes())
        else:
            found.update(repr(leaf).encode())
    return found.hexdigest()


def learned_from(task: Any, keys: Any, rows: Any, data: Any) -> tuple[Any, ...]:
    """Of the arguments of `recurrent.train`: of the series only those in `rows`."""
    used = np.unique(rows)
    return repr(task), keys, rows, data.series[used], data.lengths[used]


@contextmanager
def reused_networks() -> Iterator[None]:
    """Inside, what was learned is not learned again."""
    train, train_encoders = recurrent.train, context_fid.train_encoders
    recurrent.train = Remembered(train, learned_from)
    context_fid.train_encoders = Remembered(train_encoders)
    try:
        yield
    finally:
        recurrent.train, context_fid.train_encoders = train, train_encoders
