"""Saving and restoring: the only file that says orbax.

Resume order of a stage: (1) its latest checkpoint, (2) the one before it, if the
latest can't be read, (3) from the start. Every checkpoint carries the fields of the
config that made it; a run whose config differs is refused.

Of several processes all save and restore together; the first one writes, since the
state is the same on all. `load_model` may be called by any of them alone.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from l2d_jax import parallel
from l2d_jax.files import FilePath, absolute
from l2d_jax.types import InputError, Params

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one stage: the latest two, written in the background."""

    def __init__(self, directory: FilePath, facts: Mapping[str, Any]):
        """`facts`: flat dict of what shapes the weights; must agree on restoring."""
        self.directory = absolute(directory)
        self._facts = json.loads(
            json.dumps(facts)
        )  # as they come back: tuples are lists
        self._manager = _manager(self.directory, keep=2)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()  # waits for a save under way

    def save(self, step: int, state: Params) -> None:
        """Starts to write; returns when the arrays have been copied."""
        # A copy: the program donates its input, and on CPU numpy would share it.
        state = jax.tree.map(np.array, state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                facts=ocp.args.JsonSave(self._facts),
            ),
        )

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
        abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), template)
        for step in steps:
            state = None
            try:
                facts = self._read(step, facts=ocp.args.JsonRestore())["facts"]
                self._check(facts)
                args = ocp.args.StandardRestore(abstract)
                state = self._read(step, state=args)["state"]
            except InputError:
                raise
            except Exception as error:  # whatever a damaged file makes of a reader
                log.warning(
                    "checkpoint %s can't be read (%s): trying the one before",
                    self.directory / str(step),
                    _one_line(error),
                )
            if parallel.agree(state is not None):
                return jax.tree.map(_placed_as, state, template)
        if steps:
            raise InputError(
                f"no checkpoint in {self.directory} can be read (steps "
                f"{', '.join(map(str, steps))}): delete this folder to train the stage "
                "anew, or take another --workdir"
            )
        return None

    def _read(self, step: int, **args) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**args))

    def _check(self, saved: Mapping[str, Any]) -> None:
        differing = [
            f"{name} was {saved.get(name)!r} and is {self._facts.get(name)!r}"
            for name in sorted({*saved, *self._facts})
            if saved.get(name) != self._facts.get(name)
        ]
        if differing:
            raise InputError(
                f"the checkpoints in {self.directory} were made with another config: "
                f"{'; '.join(differing)}. Put them back, or take another --workdir"
            )


def _placed_as(array: np.ndarray, template: Any) -> Any:
    if isinstance(template, jax.Array):
        return jax.device_put(array, template.sharding)
    return array


def save_model(directory: FilePath, arrays: Params, facts: Mapping[str, Any]) -> None:
    """Writes nested dicts of arrays with their facts: what `load_model` reads alone."""
    arrays = jax.tree.map(np.asarray, arrays)
    described = {
        "/".join(path): [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in _flatten(arrays)
    }
    with _manager(absolute(directory), keep=1) as manager:
        step = manager.latest_step()
        manager.save(
            0 if step is None else step + 1,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays),
                facts=ocp.args.JsonSave({"arrays": described, **facts}),
            ),
        )


def load_model(directory: FilePath) -> tuple[Params, dict[str, Any]]:
    """(arrays, facts) as they were given to `save_model`.

    Raises:
      InputError: there is no finished model, or it can't be read.
    """
    directory = absolute(directory)
    if not directory.is_dir():
        raise InputError(
            f"{directory} is missing: no finished model there. Train one (or let a run "
            "that was cut off go on) with the same --config and --workdir"
        )
    try:
        with _reader(directory) as manager:
            step = manager.latest_step()
            args = ocp.args.Composite(facts=ocp.args.JsonRestore())
            facts = dict(manager.restore(step, args=args)["facts"])
            template: Params = {}
            for path, (shape, dtype) in facts.pop("arrays").items():
                *folders, name = path.split("/")
                node = template
                for folder in folders:
                    node = node.setdefault(folder, {})
                node[name] = np.empty(shape, dtype)
            args = ocp.args.Composite(arrays=ocp.args.StandardRestore(template))
            return manager.restore(step, args=args)["arrays"], facts
    except Exception as error:
        raise InputError(
            f"the model in {directory} can't be read ({_one_line(error)}): delete this "
            "folder and run the training command again; finished stages are kept"
        ) from error


def _manager(directory: FilePath, *, keep: int) -> ocp.CheckpointManager:
    directory.mkdir(parents=True, exist_ok=True)
    policy = ocp.checkpoint_managers.LatestN(keep)
    return ocp.CheckpointManager(
        directory, options=ocp.CheckpointManagerOptions(preservation_policy=policy)
    )


def _reader(directory: FilePath) -> ocp.CheckpointManager:
    """Of this process alone: it waits for no other."""
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


def _flatten(tree: Params, path: tuple[str, ...] = ()):
    for name, node in tree.items():
        if isinstance(node, dict):
            yield from _flatten(node, (*path, name))
        else:
            yield (*path, name), node


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:160]}"
