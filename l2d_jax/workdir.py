"""The folder of a run: its place, the model in it, and what that was made with."""

import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Set
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import configs, parallel
from l2d_jax.cascade import Cascade, Layout
from l2d_jax.checkpoints import load_model, warn_of_versions
from l2d_jax.compilation_cache import enable_compilation_cache
from l2d_jax.data import Normalizer
from l2d_jax.errors import one_line
from l2d_jax.files import FilePath, absolute, is_remote, to_path
from l2d_jax.types import Form, InputError

SHAPES_SAMPLES = ("encoder", "latent_stage", "data_stage", "sampling")
ADDED_TO_SAMPLING = configs.base.NOTHING_KEPT  # since 0.2.0, as before
LIBRARIES = ("l2d_jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


def make_workdir(workdir: str | FilePath) -> FilePath:
    """The folder, made if it is missing.

    Raises:
      InputError: it is a file, or can't be written to.
    """
    workdir = absolute(workdir)
    if is_remote(workdir):
        return check_bucket(workdir)
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


def check_bucket(workdir: FilePath) -> FilePath:
    """The folder of a bucket, after writing there once."""
    mark = workdir / f".can_be_written_{uuid.uuid4().hex}"
    try:
        mark.write_text("")
        mark.unlink()
    except Exception as error:  # of gcsfs, of several kinds
        raise InputError(
            f"--workdir={workdir} can't be written to ({one_line(error)}): see that "
            "the bucket is there and this machine may write to it, or name another "
            "folder"
        ) from error
    return workdir


def check_shared(workdir: FilePath) -> None:
    """Raises `InputError` where processes see different folders. All processes."""
    if parallel.num_processes() == 1:
        return
    token = int(parallel.all_gather(time.time_ns() // 1_000_000 % 2**31)[0])
    mark = workdir / f".all_see_{token}"
    if parallel.is_first():
        mark.write_text("")
    parallel.barrier("mark made")
    seen = parallel.all_gather(mark.exists())
    if parallel.is_first():
        mark.unlink()
    if not seen.all():
        raise InputError(
            f"--workdir={workdir} is another folder on process {int(seen.argmin())}: "
            "name one that all processes share, on a network disk or in a bucket"
        )


def load(workdir: str | FilePath) -> Cascade:
    """The trained model of a finished workdir: weights, config and normaliser.

    Example, with "runs/mine" in the place of `folder`:

    >>> import jax, l2d_jax, numpy as np
    >>> walks = np.random.default_rng(0).normal(size=(100, 24, 2)).cumsum(axis=1)
    >>> config = l2d_jax.configs.own.get_config("gaussian")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = l2d_jax.fit(walks, workdir=folder, config=config, verbose=False)
    ...     again = load(folder)
    >>> x, y = (one.sample(jax.random.key(0), 5) for one in (model, again))
    >>> np.testing.assert_array_equal(x, y)

    Raises:
      InputError: there is no finished model in the workdir, it can't be read, or
        another version of l2d_jax trained it.
    """
    enable_compilation_cache()
    folder = to_path(workdir) / "checkpoints" / "cascade"
    arrays, facts, wrote = load_model(folder)
    try:
        for field, value in ADDED_TO_SAMPLING.items():
            facts["config"]["sampling"].setdefault(field, value)
        check_fields(folder, facts["config"], wrote)
        layout: dict[str, Any] = dict(facts["layout"])
        layout["channels"] = tuple(layout["channels"])
        if layout["form"]:
            layout["form"] = Form(**with_tuples(layout["form"]))
        warn_of_versions(folder, wrote, versions())
        return Cascade(
            params=arrays["params"],
            normalizer=Normalizer(**arrays["normalizer"]),
            config=FrozenConfigDict(with_tuples(facts["config"])),
            layout=Layout(**layout),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the model in {folder} isn't one of this version of l2d_jax "
            f"({type(error).__name__}: {error}): delete this folder and run the "
            "training command again; finished stages are kept"
        ) from error


def check_fields(
    folder: FilePath, config: Mapping[str, Any], wrote: Mapping[str, str]
) -> None:
    """Raises `InputError` where a saved config lacks what this version samples by."""
    missing = [
        f"{section}.{field}"
        for section, fields in configs.base.get_config().items()
        if section in SHAPES_SAMPLES
        for field in fields
        if field not in config[section]
    ]
    if missing:
        version = f" ({wrote['l2d_jax']})" if "l2d_jax" in wrote else ""
        raise InputError(
            f"the model in {folder} was trained with another version of l2d_jax (it "
            f"lacks {', '.join(missing)}): train it again, or use the version that "
            f"wrote it{version}"
        )


def with_tuples(value: Any) -> Any:
    """Lists back to tuples, as configs had them before they went through json."""
    if isinstance(value, Mapping):
        return {name: with_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def read_json(
    path: FilePath, mend: str, needs: Set[str] = frozenset()
) -> dict[str, Any]:
    """What a file of the workdir holds, `needs` at least; else `InputError`."""
    if not path.exists():
        raise InputError(f"{path} is missing: {mend}")
    try:
        found = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise InputError(f"{path} can't be read ({error}): {mend}") from error
    if not isinstance(found, dict) or not needs <= found.keys():
        raise InputError(f"{path} is not what a run writes there: {mend}")
    return found


# --- what it was made with ------------------------------------------------------------


def describe(config: ConfigDict) -> dict[str, Any]:
    """The config, what it ran with, and the command."""
    return {"config": config.to_dict(), **made_by(), "command": command_line()}


def made_by() -> dict[str, Any]:
    """Versions, commit and devices of this process."""
    return {
        "versions": versions(),
        "git_commit": git_commit(),
        "device": parallel.describe_devices(),
    }


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {
        "python": platform.python_version(),
        **{name: library_version(name) for name in LIBRARIES},
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


@lru_cache
def git_commit() -> str:
    """Of the checkout that this package lies in; "unknown" elsewhere.

    As first asked, near the start of a run: the checkout may move on during it.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():  # else it is of the project that installed us
        return "unknown"
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(
            command,
            cwd=root,
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
