"""The folder of a run: its place, the model in it, and what that was made with."""

import json
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import parallel
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.checkpoints import load_model
from l2d_jax.data import Normalizer
from l2d_jax.programs import keep_programs
from l2d_jax.types import Form, InputError

LIBRARIES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


def make_workdir(workdir: str | Path) -> Path:
    """The folder, made if it is missing.

    Raises:
      InputError: it is a file, or can't be written to.
    """
    workdir = Path(workdir).absolute()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            return workdir
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--workdir={workdir} is a file: name a folder") from None
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} can't be written to ({error.strerror}): name another "
            "folder"
        ) from None


def load(workdir: str | Path) -> Cascade:
    """The trained model of a finished workdir: weights, config and normaliser.

    Raises:
      InputError: there is no finished model in the workdir, or it can't be read.
    """
    keep_programs()
    arrays, facts = load_model(Path(workdir) / "checkpoints" / "cascade")
    layout: dict[str, Any] = dict(facts["layout"])
    layout["channels"] = tuple(layout["channels"])
    if layout.get("form"):
        layout["form"] = Form(**with_tuples(layout["form"]))
    return Cascade(
        params=arrays["params"],
        normalizer=Normalizer(**arrays["normalizer"]),
        config=FrozenConfigDict(with_tuples(facts["config"])),
        layout=Layout(**layout),
    )


def with_tuples(value: Any) -> Any:
    """Lists back to tuples, as configs had them before they went through json."""
    if isinstance(value, Mapping):
        return {name: with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


# --- what it was made with ------------------------------------------------------------


def describe(config: ConfigDict) -> dict[str, Any]:
    """The config with the versions and the commit that it ran with."""
    return {
        "config": config.to_dict(),
        "versions": {
            "python": platform.python_version(),
            **{name: library_version(name) for name in ("l2d_jax", *LIBRARIES)},
        },
        "git_commit": git_commit(),
        "command": command_line(),
        "device": parallel.describe_devices(),
    }


def command_line() -> str:
    """As it was typed, but for folders before the program's name."""
    program = Path(sys.argv[0]).name
    words = ["python", program] if program.endswith(".py") else [program]
    return shlex.join([*words, *sys.argv[1:]])


def library_version(name: str) -> str:
    """Of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str:
    """Of the checkout that this package lies in; "unknown" elsewhere."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def as_json(value: Any) -> str:
    """For people to read; what json has no word for becomes its name."""
    return json.dumps(value, indent=2, default=str) + "\n"
