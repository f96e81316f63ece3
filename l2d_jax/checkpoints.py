"""Saving and restoring: the only file that says orbax.

Resume order of a stage: (1) its latest checkpoint, (2) the one before it, if the
latest can't be read; from the start where none was saved, an error where none can be
read. Every checkpoint carries the fields of the config that made it; a run whose config
differs is refused. It also carries a seal, by which a single flipped bit shows, and the
versions of the libraries that wrote it.

Of several processes all save and restore together; the first one writes, since the
state is the same on all. `load_model` may be called by any of them alone.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from l2d_jax import parallel
from l2d_jax.chunks import crc32
from l2d_jax.errors import one_line
from l2d_jax.files import FilePath, absolute
from l2d_jax.types import InputError, Params

log = logging.getLogger(__name__)

DIGEST = "digest of the training series"  # among the facts of a checkpoint
NO_DAMAGE = (MemoryError, PermissionError)  # errors of reading


def check_place(folder: FilePath) -> None:
    """Raises `InputError` where checkpoints below the folder couldn't be read again.

    Orbax takes its name for a pattern (etils.epath's `glob`) and doesn't find there
    what it has just written; to TensorStore a backslash is a slash.
    """
    name = os.fspath(absolute(folder))
    known = name.encode(errors="ignore").decode() == name
    if not known or re.search(r"[*?\[]" if os.name == "nt" else r"[*?\[\\]", name):
        raise InputError(
            f"--workdir={folder}: below a folder whose name holds [, *, ? or \\, or "
            "isn't UTF-8, checkpoints can't be kept: name another one"
        )


class Checkpoints:
    """The checkpoints of one stage: the latest two, written in the background."""

    def __init__(
        self,
        directory: FilePath,
        facts: Mapping[str, Any],
        versions: Mapping[str, str] | None = None,
    ):
        """`facts`: flat dict of what shapes the weights; must agree on restoring.

        `versions`: of the libraries; where they differ, restoring warns.
        """
        self.directory = absolute(directory)
        # As they come back: tuples are lists.
        self._facts = json.loads(json.dumps(facts))
        self._versions = dict(versions or {})
        self._manager = _manager(self.directory, keep=2)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        try:
            with _writing(self.directory):
                self._manager.close()  # waits for a save under way
        except InputError as error:
            if kind is None:  # else there is an error to tell already
                raise
            log.warning("%s", error)

    def save(self, step: int, state: Params) -> None:
        """Starts to write; returns when the arrays have been copied."""
        # A copy: the program donates its input, and on CPU numpy would share it.
        state = jax.tree.map(np.array, state)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            facts=ocp.args.JsonSave(self._facts),
            seal=ocp.args.JsonSave(seal(state, self._facts, self._versions)),
        )
        with _writing(self.directory):
            self._manager.save(step, args=args)

    def wait(self) -> None:
        """Until what was saved is written."""
        with _writing(self.directory):
            self._manager.wait_until_finished()

    def latest(self) -> str:
        """Where the last finished checkpoint lies, for messages."""
        self._manager.wait_until_finished()
        step = self._manager.latest_step()
        return "none" if step is None else str(self.directory / str(step))

    def restore(self, template: Params) -> Params | None:
        """The latest state that can be read, shaped and placed as `template`; or None.

        Raises:
          InputError: it was made with other facts (they are named), or checkpoints are
            there and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for i, step in enumerate(steps):
            state = None
            try:
                state = self._restore(step, template)
            except (InputError, *NO_DAMAGE):
                raise
            except Exception as error:  # whatever a damaged file makes of a reader
                log.warning(
                    "checkpoint %s can't be read (%s): trying the one before",
                    self.directory / str(step),
                    _cause(error),
                )
            if parallel.all_agree(state is not None):
                self._set_aside(steps[:i])
                return jax.tree.map(_placed_as, state, template)
        if steps:
            raise InputError(
                f"no checkpoint in {self.directory} can be read (steps "
                f"{', '.join(map(str, steps))}): delete this folder to train the stage "
                "anew, or take another --workdir"
            )
        return None

    def _restore(self, step: int, template: Params) -> Params:
        found = _read(self._manager, step, "seal")
        facts = _read(self._manager, step, "facts")
        check_seal(found, facts=facts)
        self._check(facts)
        abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), template)
        restore = ocp.args.StandardRestore(abstract)
        state = _read(self._manager, step, "state", restore)
        check_seal(found, arrays=state)
        place = self.directory / str(step)
        warn_of_versions(place, found["versions"], self._versions)
        return state

    def _set_aside(self, steps: list[int]) -> None:
        """Moves what can't be read out of the way of the checkpoints to come."""
        for step in steps if parallel.is_first() else []:
            aside = self.directory.parent / "unreadable" / self.directory.name
            aside.mkdir(parents=True, exist_ok=True)
            place = aside / f"{step}-{len(list(aside.iterdir()))}"
            (self.directory / str(step)).rename(place)
            log.warning("moved the unreadable checkpoint to %s", place)
        if steps:
            parallel.barrier("unreadable checkpoints moved")
            self._manager.reload()

    def _check(self, saved: Mapping[str, Any]) -> None:
        names = sorted({*saved, *self._facts})
        if differing := differences(names, saved, self._facts):
            raise InputError(
                f"the checkpoints in {self.directory} were made with another config or "
                f"data: {differing}. Put them back, or take another --workdir"
            )


def differences(
    names: Iterable[str], was: Mapping[str, Any], now: Mapping[str, Any]
) -> str:
    """What of these facts isn't as it was, in words; "": nothing."""
    differing = [name for name in names if was.get(name) != now.get(name)]
    return "; ".join(
        "the training series are others"
        if name == DIGEST
        else f"{name} was {was.get(name)!r} and is {now.get(name)!r}"
        for name in differing
    )


def _placed_as(array: np.ndarray, template: Any) -> Any:
    if isinstance(template, jax.Array):
        return jax.device_put(array, template.sharding)
    return array


def save_model(
    directory: FilePath,
    arrays: Params,
    facts: Mapping[str, Any],
    versions: Mapping[str, str] | None = None,
) -> None:
    """Writes nested dicts of arrays with their facts: what `load_model` reads alone."""
    arrays = jax.tree.map(np.asarray, arrays)
    described = {
        path: [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in flatten_dict(arrays, sep="/").items()
    }
    facts = json.loads(json.dumps({"arrays": described, **facts}))
    directory = absolute(directory)
    with _writing(directory), _manager(directory, keep=1) as manager:
        step = manager.latest_step()
        manager.save(
            0 if step is None else step + 1,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays),
                facts=ocp.args.JsonSave(facts),
                seal=ocp.args.JsonSave(seal(arrays, facts, versions or {})),
            ),
        )


def load_model(directory: FilePath) -> tuple[Params, dict[str, Any], dict[str, str]]:
    """(arrays, facts, versions) as they were given to `save_model`.

    Raises:
      InputError: there is no finished model, or it can't be read.
    """
    parallel.check_devices()  # else that were damage of the model
    directory = absolute(directory)
    if not directory.is_dir():
        raise InputError(
            f"{directory} is missing: no finished model there. Train one (or let a run "
            "that was cut off go on) with the same --config and --workdir"
        )
    try:
        with _reader(directory) as manager:
            step = manager.latest_step()
            found = _read(manager, step, "seal")
            facts = dict(_read(manager, step, "facts"))
            check_seal(found, facts=facts)
            flat = {
                path: np.empty(shape, dtype)
                for path, (shape, dtype) in facts.pop("arrays").items()
            }
            template = ocp.args.StandardRestore(unflatten_dict(flat, sep="/"))
            arrays = _read(manager, step, "arrays", template)
            check_seal(found, arrays=arrays)
    except NO_DAMAGE:
        raise
    except Exception as error:
        raise InputError(
            f"the model in {directory} can't be read ({_cause(error)}): delete this "
            "folder and run the training command again; finished stages are kept"
        ) from error
    return arrays, facts, found["versions"]


# --- seals ----------------------------------------------------------------------------


def seal(
    arrays: Params, facts: Mapping[str, Any], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Checksums of all that a checkpoint holds, and what wrote it."""
    return {
        "arrays": checksum(arrays),
        "facts": crc32([json.dumps(facts, sort_keys=True).encode()]),
        "versions": dict(versions),
    }


def checksum(arrays: Params) -> int:
    """CRC-32 over the bytes, shapes and types of all arrays, in order."""
    leaves = map(np.asarray, jax.tree.leaves(arrays))
    return crc32(
        part for x in leaves for part in (f"{x.dtype}{x.shape}".encode(), x.tobytes())
    )


class Damaged(Exception):
    """What was read isn't what was written."""


def check_seal(found: Mapping[str, Any], **parts: Any) -> None:
    """Raises `Damaged` where `arrays` or `facts` differ from what was sealed."""
    sealed = seal(parts.get("arrays", {}), parts.get("facts", {}), {})
    for part in parts:
        if found[part] != sealed[part]:
            raise Damaged(f"its {part} don't have the checksum that was written")


def warn_of_versions(
    place: FilePath, wrote: Mapping[str, str], versions: Mapping[str, str]
) -> None:
    """One line, where the libraries aren't those that wrote the checkpoint."""
    differing = [
        f"{name} {wrote[name]} (here {version})"
        for name, version in versions.items()
        if wrote.get(name, version) != version
    ]
    if differing:
        log.warning(
            "%s was written with %s: it is used all the same, results may differ in "
            "their last digits",
            place,
            ", ".join(differing),
        )


class _Hushed:
    """After a failure, TensorStore still calls into Orbax's closed event loop."""

    def __init__(self, before: Any):
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._before(unraisable)


def _hush() -> None:
    if not isinstance(sys.unraisablehook, _Hushed):
        sys.unraisablehook = _Hushed(sys.unraisablehook)


@contextmanager
def _writing(directory: FilePath) -> Generator[None, None, None]:
    """A failure, now or of an earlier save in the background, in one line."""
    try:
        yield
    except Exception as error:
        full = "No space left on device"
        reason = full if full in str(error) else _cause(error)
        raise InputError(
            f"no checkpoint can be written in {directory} ({reason}): see to it, and "
            "the same command goes on from the last one"
        ) from error


def _manager(directory: FilePath, *, keep: int) -> ocp.CheckpointManager:
    _hush()
    directory.mkdir(parents=True, exist_ok=True)
    policy = ocp.checkpoint_managers.LatestN(keep)
    return ocp.CheckpointManager(
        directory, options=ocp.CheckpointManagerOptions(preservation_policy=policy)
    )


def _read(
    manager: ocp.CheckpointManager, step: int | None, part: str, how: Any = None
) -> Any:
    """A part of a checkpoint; without `how`, one that was kept as json."""
    how = ocp.args.JsonRestore() if how is None else how
    return manager.restore(step, args=ocp.args.Composite(**{part: how}))[part]


def _reader(directory: FilePath) -> ocp.CheckpointManager:
    """Of this process alone: it waits for no other."""
    _hush()
    mine = parallel.process_id()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=str(mine)
    )
    return ocp.CheckpointManager(
        directory,
        options=ocp.CheckpointManagerOptions(
            create=False, multiprocessing_options=alone
        ),
    )


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error, 160)}"
