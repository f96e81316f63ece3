"""Compiled programs are kept on disk: a second process need not compile them again."""

import os
import warnings
from contextlib import suppress
from pathlib import Path

import jax

from l2d_jax.files import cache_folder

PAGE = 4096  # bytes


def enable_compilation_cache() -> None:
    """Turns JAX's persistent compilation cache on, unless the user has set one.

    In $JAX_COMPILATION_CACHE_DIR, by default the folder `xla` of $L2D_CACHE_DIR, which
    is ~/.cache/l2d_jax. JAX_ENABLE_COMPILATION_CACHE=false switches it off. From a
    folder that can't be written, as of a group, programs are taken, and none added.
    Where the disk is full, none are added either; JAX would warn of each.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_truncated(folder)
    except OSError:  # a home that can't be written: programs are compiled each time
        return
    for done in ("reading", "writing"):
        told = f"Error {done} persistent compilation cache entry"
        warnings.filterwarnings("ignore", told)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        least = 0.1 if os.access(folder, os.W_OK) else float("inf")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def remove_truncated(folder: Path) -> None:
    """Deletes programs of which a full disk or a kill left a part.

    JAX would neither read nor replace them. What was cut off ends with a page of memory
    or a block of the disk; a whole one that does is compiled again.
    """
    if not os.access(folder, os.W_OK):
        return
    for path in folder.glob("*-cache"):
        with suppress(FileNotFoundError):  # another process was faster
            if path.stat().st_size % PAGE == 0:
                path.unlink()
