"""What is said on the way, once for all processes, and how to have nothing said."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from l2d_jax.parallel import is_first

_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


def say(text: str) -> None:
    """Prints on standard output what was found, chosen or done."""
    if is_first() and not _SILENT.get():
        print(text, flush=True)


def say_how_far(text: str) -> None:
    """Prints on standard error how far something is."""
    if is_first() and not _SILENT.get():
        print(text, file=sys.stderr, flush=True)


def shows_bar() -> bool:
    """Whether bars go where somebody sees them move."""
    return is_first() and not _SILENT.get() and sys.stderr.isatty()


@contextmanager
def silence(silent: bool = True) -> Generator[None, None, None]:
    """Inside nothing is said, in this thread; warnings are still logged."""
    token = _SILENT.set(silent)
    try:
        yield
    finally:
        _SILENT.reset(token)
