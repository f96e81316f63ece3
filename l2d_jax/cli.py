"""The command line: flags, and which part of a run they ask for."""

import os
import signal
import sys
import traceback
from functools import reduce
from logging import Formatter as StandardFormatter
from logging import LogRecord
from operator import getitem
from typing import Any, NoReturn, SupportsIndex

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

MODES = ("run", "sample", "evaluate", "report")
CHOSEN = ("--config.encoder.latent_dim", "--config.encoder.mask_rate")
USAGE = """Train, sample and score a cascade.

  python main.py --config=configs/stock.py --workdir=runs/stock
  python main.py --mode=sample --workdir=runs/stock --num_samples=1000 --out=x.csv

Any field of configs/base.py is a flag too: --config.data_stage.width=64.
"""


class FileName(str):
    """FILE[:argument], where ml_collections would split C:\\FILE at its colon."""

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """File, and argument if there is one."""
        from l2d_jax import configs

        return configs.parted(str(self))


_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, with an argument after a colon: configs/stock.py:smoke. sample takes "
    "that of the workdir; so do evaluate and report, but for config.evaluation and "
    "config.data.path where one is given.",
    lock_config=True,
)
_PARSER: Any = flags.FLAGS["config"].parser
_PARSER.parse = lambda name, parse=_PARSER.parse: parse(FileName(name))
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODE = flags.DEFINE_enum("mode", "run", MODES, "run: train, sample, evaluate, report.")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1000, "Series, for --mode=sample.")
_OUT = flags.DEFINE_string(
    "out", None, "File for --mode=sample: .npz, .npy, .csv, .parquet or .ts."
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Of the samples, for --mode=sample.",
    lower_bound=0,
    upper_bound=2**32 - 1,
)
_SOLVER = flags.DEFINE_string(
    "solver",
    None,
    "ancestral, ddim, dpm_solver++ or sde_dpm_solver++, for --mode=sample.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, where several processes train."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many they are.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which one this is, from 0.")
_NUM_STEPS = flags.DEFINE_integer(
    "num_steps", None, "Solver steps of the data chain, for --mode=sample."
)
OF_SAMPLE = {  # flag -> what a run has in its place
    "num_samples": "--config.sampling.num_samples",
    "out": "its --workdir",
    "seed": "--config.seed",
    "solver": "--config.sampling.solver",
    "num_steps": "--config.sampling.num_steps",
}


def main() -> None:
    """Entry point of `main.py` and of the console command `l2d`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see main.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.set_verbosity(logging.WARNING)
    handler = logging.get_absl_handler()
    handler.setFormatter(OneLine())
    handler.addFilter(lambda record: "orbax" not in record.pathname)  # we say it better
    try:
        status = guarded()
    except KeyboardInterrupt:
        print(f"interrupted: the same command {next_time()}", file=sys.stderr)
        end(130)
    sys.exit(status)


def end(status: int) -> NoReturn:
    """At once: JAX may be computing still, and then dies while Python ends."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the shell
        stream.flush()
    os._exit(status)


def next_time() -> str:
    """What the same command does after it was cut off."""
    if flags.FLAGS.is_parsed() and _MODE.value != "run":
        return "starts anew"
    return "goes on where it was"


class OneLine(StandardFormatter):
    """`warning: what it is`."""

    def format(self, record: LogRecord) -> str:
        """Without time, process and line of code."""
        return f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}"


def guarded() -> int:
    """Does what the flags ask for; an error is one line, and what to do."""
    if {"--help", "-h"} & set(sys.argv):
        print(USAGE + flags.FLAGS.module_help(__name__))
        return 0
    from l2d_jax import preemption
    from l2d_jax.types import InputError

    try:
        words = [sys.argv[0], *with_config_path(sys.argv[1:])]
        argv = flags.FLAGS(words, known_only=False)
        check_flags(argv)
    except flags.UnrecognizedFlagError as error:
        if not error.flagname.startswith("config."):
            fail(str(error))
        fail(
            f"--{error.flagname} needs --config=FILE beside it (--mode=sample takes "
            "neither)"
        )
    except (flags.Error, InputError) as error:
        fail(cause(str(error)))
    except Exception as error:  # of the user's config file, which is Python
        inner = error.args[0] if error.args else None
        if isinstance(inner, KeyError):  # of a flag for a field
            fail(f"--config: there is no field {inner.args[0]}")
        where, field = place(error), missing_field()
        if field and not where and isinstance(error, KeyError | TypeError):
            fail(f"--config: there is no field {field!r}")
        fail(f"--config: {error}{where}")
    preemption.watch(goes_on=_MODE.value == "run")
    try:
        app.run(lambda _: dispatch(), argv=argv[:1])
    except InputError as error:
        fail(str(error))
    except OSError as error:  # a full disk, a folder taken away
        fail(f"{error}: see to it, and the same command {next_time()}")
    except preemption.Preempted as notice:
        print(notice, file=sys.stderr)
        if not notice.together:  # else the processes wait for each other, and end
            end(int(notice.code or 0))
    except Exception as error:
        explain(error)
    return 0


def explain(error: Exception) -> NoReturn:
    """What nobody thought of: the traceback, and what is left to do."""
    from l2d_jax.memory import is_out_of_memory

    text = f"{type(error).__name__}: {error}"[:300]
    if is_out_of_memory(error):
        fail(
            f"out of memory ({text}): close other programs on the device, or lower "
            "--config.evaluation.num_series; the same command goes on where it was"
        )
    traceback.print_exception(error)
    fail(
        f"unexpected {text}. What is finished is kept, and the same command goes on "
        "from there; if it ends here again, please report it with the lines above"
    )


def with_config_path(argv: list[str]) -> list[str]:
    """`--config=stock` and a missing file resolved among the bundled configs.

    And `auto` as 0 for the numbers that can be chosen from the data. Values may also
    stand behind a space. `--config` comes first, as flags for its fields need it.
    """
    from l2d_jax import configs

    words, found = iter(argv), []
    for word in words:
        if word.startswith("-config"):  # one dash will do, as for all flags
            word = f"-{word}"
        if word in ("--config", *CHOSEN):
            word = f"{word}={next(words, '')}"
        name, _, value = word.partition("=")
        if name == "--config":
            word = f"--config={configs.find(value)}"
        elif name in CHOSEN and value == "auto":
            word = f"{name}=0"
        found.append(word)
    return sorted(found, key=lambda word: not word.startswith("--config="))


def check_flags(argv: list[str]) -> None:
    """Raises `InputError` for what would be ignored or lost; `argv`: all but flags."""
    from l2d_jax import configs, files
    from l2d_jax.types import InputError

    if argv[1:]:
        raise InputError(f"{argv[1]!r} is no flag: use --flag=value")
    if _MODE.value == "sample":
        if _CONFIG.value is not None:
            known = ", ".join(f"--{name}" for name in OF_SAMPLE)
            raise InputError(
                "--config is not for --mode=sample, which takes that of the workdir: "
                f"leave it out (there are {known})"
            )
        out = files.absolute(_OUT.value or "")
        workdir = files.absolute(_WORKDIR.value or "")
        beside = out.parent == workdir or files.same_file(out.parent, workdir)
        if beside and out.stem == "samples":
            raise InputError(
                f"--out={_OUT.value}: this name is kept for the samples that the run "
                f"itself wrote and scored; use another, as more{out.suffix}"
            )
        return
    for name, instead in OF_SAMPLE.items():
        if flags.FLAGS[name].present:
            raise InputError(
                f"--{name} is for --mode=sample: leave it out (a run takes {instead})"
            )
    if _CONFIG.value is None:
        return
    if not isinstance(_CONFIG.value, ConfigDict):
        kind = type(_CONFIG.value).__name__
        raise InputError(
            f"--config: get_config() returns a value of type {kind}, and not a config: "
            "begin with that of configs/base.py"
        )
    given = config_flags.get_override_values(flags.FLAGS["config"])
    if _MODE.value == "run":
        configs.check_used(_CONFIG.value, given)
        return
    for field in given:
        if field != "data.path" and not field.startswith("evaluation."):
            raise InputError(
                f"--config.{field} is for a run: --mode={_MODE.value} takes it from "
                "the workdir, leave it out"
            )


def dispatch() -> None:
    """Runs what the flags ask for."""
    from l2d_jax import cluster, files, parallel, results, run, workdir
    from l2d_jax.compilation_cache import enable_compilation_cache
    from l2d_jax.progress import say
    from l2d_jax.types import InputError

    cluster.initialize(
        coordinator=_COORDINATOR.value,
        num_processes=_NUM_PROCESSES.value,
        process_id=_PROCESS_ID.value,
    )
    parallel.check_devices()
    enable_compilation_cache()
    if not _WORKDIR.value:
        raise InputError("--workdir is missing: name the folder of the run")
    folder = files.to_path(_WORKDIR.value)
    if _MODE.value == "run":
        if _CONFIG.value is None:
            raise InputError("--config is missing: as --config=configs/stock.py")
        scores = run.run(_CONFIG.value, folder)
        say(results.summary(folder, scores))
    elif _MODE.value == "sample":
        if not _OUT.value:
            raise InputError("--out is missing: name a file, as --out=samples.npz")
        path = results.sample_to_file(
            workdir.load(folder),
            files.to_path(_OUT.value),
            n=_NUM_SAMPLES.value,
            seed=_SEED.value,
            solver=_SOLVER.value,
            num_steps=_NUM_STEPS.value,
        )
        say(f"{_NUM_SAMPLES.value:,} series written to {path}")
    else:
        scores = results.rescore(
            folder, _CONFIG.value, report_only=_MODE.value == "report"
        )
        say(results.summary(folder, scores))


def place(error: Exception) -> str:
    """Kind, file and line of an error in a config file; "" where it isn't in one."""
    lines = [
        f" ({type(error).__name__} in {frame.f_code.co_filename}, line {number})"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == "config_config"  # of ml_collections
    ]
    return lines[-1] if lines else ""


def missing_field() -> str:
    """The first field given as a flag that no config has; "" where all are there."""
    from l2d_jax import configs

    known = configs.base.get_config()
    for word in sys.argv:
        name, _, field = word.partition("=")[0].partition(".")
        if name == "--config":
            try:
                reduce(getitem, filter(None, field.split(".")), known)
            except (KeyError, TypeError):
                return field
    return ""


def cause(message: str) -> str:
    """Without the traceback that ml_collections puts into errors of a config file.

    Nor with the pair that absl says of a flag which is true or false.
    """
    flag, _, other = message.partition(": ('Non-boolean argument")
    if other:
        return f"{flag}: give True or False"
    traceback = "Traceback (most recent call last)"
    if traceback not in message:
        return message
    last = message.strip().splitlines()[-1]
    return f"--config: {last.removeprefix('l2d_jax.types.InputError: ')}"


def fail(message: str) -> NoReturn:
    """One line on standard error, exit status 2."""
    from l2d_jax import parallel

    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    parallel.leave(2)
    sys.exit(2)
