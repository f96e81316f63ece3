"""Progress messages: printed once for all processes, and how to silence them."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from l2d_jax.parallel import is_first

_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


def say(text: str) -> None:
    """Prints on standard output what was found, chosen or done.

    Letters that it can't show, as of the user's columns, are written \\u6e29.
    """
    if is_first() and not _SILENT.get():
        print(showable(text), flush=True)


def showable(text: str) -> str:
    """The text, with \\u6e29 for a letter that standard output can't show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say_how_far(text: str) -> None:
    """Prints on standard error how far something is."""
    if is_first() and not _SILENT.get():
        print(text, file=sys.stderr, flush=True)


def shows_bar() -> bool:
    """Whether bars go where somebody sees them move."""
    seen = sys.stderr is not None and sys.stderr.isatty()  # None: closed by the shell
    return seen and is_first() and not _SILENT.get()


@contextmanager
def silence(silent: bool) -> Generator[None, None, None]:
    """Inside, if `silent`, nothing is said in this thread; warnings are logged."""
    token = _SILENT.set(silent)
    try:
        yield
    finally:
        _SILENT.reset(token)
