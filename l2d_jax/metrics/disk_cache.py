"""Networks that a score trains are kept on disk, and not trained twice.

Context-FID's encoders and the networks of the floors learn from real series alone: they
are the same for all samples that are scored against one set. So the second model that
is scored on a set, or the second look at one, need not wait for them.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from l2d_jax import parallel
from l2d_jax.files import cache_folder, whole_file
from l2d_jax.types import Params

MAX_BYTES = 2**30  # on disk; what was not used for longest is deleted first


def in_full_float32(function: Callable) -> Callable:
    """`parallel.with_default_config`, with products in float32 too, on all devices.

    Of float32 factors GPUs make TF32, and TPUs bfloat16: ten and seven binary digits.
    Scores would then be others than on a CPU.
    """
    wrapped = parallel.with_default_config(function)

    @wraps(function)
    def call(*args, **options):
        with jax.default_matmul_precision("highest"):
            return wrapped(*args, **options)

    return call


def cached(program: jax.stages.Wrapped, *args: Any, used: Any = None) -> Params:
    """`program(*args)`, read from disk where it has been computed before.

    Kept in the folder `networks` of $L2D_CACHE_DIR, which is ~/.cache/l2d_jax by
    default, under a digest of the program as JAX lowers it, JAX's version, the device,
    and the arguments. So a change to any of them, code included, computes it anew.

    Args:
      program: jitted, a function of `args` alone, to nested dictionaries of arrays.
      used: arrays that decide on the result in the place of `args`, where it doesn't
        depend on all of these.
    """
    path = cache_folder() / "networks" / f"{digest(program, args, used)}.npz"
    try:
        params = read(path)
    except Exception:  # not there, or whatever a damaged file makes of a reader
        params = program(*args)
        write(path, params)
    return params


def digest(program: jax.stages.Wrapped, args: tuple, used: Any) -> str:
    """Differs wherever the result may; static arguments are part of the program."""
    found = hashlib.sha256(program.lower(*args).as_text().encode())
    found.update(f"{jax.__version__} {parallel.compiled_for()}".encode())
    for leaf in jax.tree.leaves(args if used is None else used):
        if not isinstance(leaf, np.ndarray | jax.Array):
            found.update(repr(leaf).encode())
            continue
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        found.update(f"{leaf.shape} {leaf.dtype}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def read(path: Path) -> Params:
    """What `write` wrote; the file counts as used now."""
    with path.open("rb") as opened, np.load(opened) as file:
        params = traverse_util.unflatten_dict(dict(file), sep="/")
    with suppress(OSError):  # a folder of others, that can't be written
        path.touch()
    return params


def write(path: Path, params: Params) -> None:
    """Writes the file, and makes room for it. A folder that can't be written stays."""
    flat = traverse_util.flatten_dict(params, sep="/")
    arrays: Any = {name: np.asarray(x) for name, x in flat.items()}
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        evict(path.parent)
    except OSError:
        return


def evict(folder: Path) -> None:
    """Deletes the files that were not used for longest, down to `MAX_BYTES`."""
    facts = [(path, path.stat()) for path in folder.glob("*.npz")]
    total = sum(stat.st_size for _, stat in facts)
    for path, stat in sorted(facts, key=lambda fact: fact[1].st_mtime):
        if total <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
