"""Options and errors of benchmarks, and rows that they keep between their calls.

How rows were made isn't mixed up.
"""

import json
import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from l2d_jax import configs, parallel
from l2d_jax.files import same_file
from l2d_jax.types import InputError
from l2d_jax.workdir import library_version


@contextmanager
def one_line_errors() -> Generator[None, None, None]:
    """Inside, what was given wrongly ends the program, in one line."""
    try:
        yield
    except InputError as error:
        sys.exit(str(error))


def count(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r}: use a whole number, 1 or more")
    return int(text)


def counts(text: str) -> list[int]:
    """The type of an option that holds some of them, by commas."""
    return list(map(count, text.split(",")))


def read_set(text: str) -> str:
    """Of --set: the name of one bundled config."""
    name, *others = read_sets(text)
    if others:
        raise InputError(f"--set={text}: name one, and call again for the others")
    return name


def read_sets(text: str) -> list[str]:
    """Of --sets: names of bundled configs."""
    found = []
    for name in filter(None, text.split(",")):
        path, *argument = configs.parted(configs.find(name))
        if argument:
            raise InputError(f"--sets={name}: what stands behind : is no part of it")
        if not same_file(Path(path).parent, configs.folder()):
            raise InputError(f"--sets={name}: copy it to {configs.folder()} first")
        try:
            configs.load(Path(path).stem).get_config()
        except InputError:  # the first part of its argument is no variant
            raise InputError(
                f"--sets={name}: it is for any set: copy it as {configs.folder()}"
                "/NATOPS.py, with the name of your set in it"
            ) from None
        found.append(Path(path).stem)
    if not found:
        raise InputError("--sets: name one or more")
    return list(dict.fromkeys(found))


def resumed(path: Path, start: Mapping[str, Any], settings: Mapping[str, Any]) -> dict:
    """What the file holds, made with these settings; else `start`, to be made so.

    Raises:
      InputError: it was made with others.
    """
    if not path.exists():
        return {**start, **settings}
    found = json.loads(path.read_text())
    check_same(found, settings, str(path))
    return found


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Refuses settings other than those of the rows that are there.

    Args:
      before: of these rows; what it doesn't name isn't known, and passes.
      now: what is asked for.
      where: the file, and what of it.
    """
    differing = [
        f"{name} {before[name]}, now {value}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]
    if differing:
        raise InputError(
            f"{where}: made with other settings ({'; '.join(differing)}): use the "
            "same, or another --out"
        )


def with_also(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What may differ from call to call, all of it: "the first; the second"."""
    return {
        name: "; ".join(
            dict.fromkeys([*filter(None, before.get(name, "").split("; ")), value])
        )
        for name, value in now.items()
    }


def made_here(**more: str) -> dict[str, str]:
    """What rows are made with: `more`, the device, JAX."""
    device, version = parallel.describe_devices(), library_version("jax")
    return {**more, "device": device, "jax": version}


def last_said(run: CompletedProcess) -> tuple[Any, str]:
    """Of a process: what its last line is in json, and ""; or None, and why it ended.

    One that is killed, as for memory, says nothing.
    """
    if run.returncode == 0:
        return json.loads(run.stdout.splitlines()[-1]), ""
    said = run.stderr.strip().splitlines()
    return None, said[-1] if said else f"ended with status {run.returncode}"


def command_of(
    script: str, parser: ArgumentParser, args: Namespace, **changed: Any
) -> str:
    """The call of a benchmark, without defaults and folders."""
    parts = [f"python benchmarks/{Path(script).name}"]
    for name, value in (vars(args) | changed).items():
        if value == parser.get_default(name) or name in ("out", "runs"):
            continue
        told = "" if value is True else f"={shlex.quote(str(value))}"
        parts.append(f"--{name}{told}")
    return " ".join(parts)
