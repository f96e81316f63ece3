"""Errors in one line that name the mend."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from l2d_jax.types import InputError


def check_choice(value: str, choices: Iterable[str], field: str) -> None:
    """Raises `InputError` naming the field and what it can be."""
    if value not in choices:
        raise InputError(f"{field}={value!r}: use one of {', '.join(choices)}")


def one_line(error: Exception, most: int = 200) -> str:
    """What the error says, in one line of at most so many letters; or its kind."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question after the known name that is nearest; "" where none is near."""
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=1)
    return f"did you mean {spelled[close[0]]!r}?" if close else ""


class Parser(argparse.ArgumentParser):
    """Of the flags of a command; its errors are one line, as those of `main.py`."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)


def status_of(main: Callable[[], int]) -> int:
    """Runs a command; Ctrl-C is one line and exit status 130, as of `main.py`."""
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted: the same command starts anew", file=sys.stderr, flush=True)
        os._exit(130)  # at once: JAX may be computing still
