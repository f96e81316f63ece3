"""What is said where it can't all be shown."""

import io
import os
import sys

import jax
import pytest

from l2d_jax import cli, parallel, progress


def test_letters_that_a_terminal_lacks(monkeypatch):
    """As those of a Chinese column, in a log file on Windows."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    progress.say("channels 'é', '温度'")
    assert written.getvalue().decode("cp1252") == "channels 'é', '\\u6e29\\u5ea6'\n"


def test_streams_that_are_closed(monkeypatch):
    """Python calls a stream None that the shell closed, 2>&-."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    progress.say("nobody hears it")
    assert not progress.shows_bar()
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    for end in (cli.end, parallel.leave):
        with pytest.raises(SystemExit, match="130"):
            end(130)
