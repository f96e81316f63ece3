"""Ways to break things: files on a disk, the memory of a device."""

from pathlib import Path

import jax


def flip(path):
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {"one bit flipped": flip, "cut in half": truncate, "deleted": Path.unlink}


def exhausted():
    return jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."
    )
