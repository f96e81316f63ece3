"""The command line: flags, and which part of a run they ask for."""

import sys
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

MODES = ("run", "sample", "evaluate", "report")
USAGE = """Train, sample and score a cascade.

  python main.py --config=configs/stock.py --workdir=runs/stock
  python main.py --mode=sample --workdir=runs/stock --num_samples=1000 --out=x.csv

Any field of configs/base.py is a flag too: --config.data_stage.width=64.
"""

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, with an argument after a colon: configs/stock.py:smoke. The modes "
    "other than run take the config of the workdir by default.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODE = flags.DEFINE_enum("mode", "run", MODES, "run: train, sample, evaluate, report.")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1000, "Series, for --mode=sample.")
_OUT = flags.DEFINE_string(
    "out", None, "File of samples: .npz, .npy, .csv, .parquet or .ts."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the samples, for --mode=sample.")
_SOLVER = flags.DEFINE_string("solver", None, "ancestral, ddim or dpm_solver++.")
_NUM_STEPS = flags.DEFINE_integer("num_steps", None, "Solver steps of the data chain.")


def main() -> None:
    """Entry point of `main.py` and of the console command `l2d`."""
    logging.set_verbosity(logging.WARNING)
    if {"--help", "-h"} & set(sys.argv):
        print(USAGE + flags.FLAGS.module_help(__name__))
        return
    from l2d_jax.types import InputError

    try:
        argv = flags.FLAGS(with_config_path(sys.argv), known_only=False)
    except (flags.Error, InputError) as error:
        fail(cause(str(error)))
    except (AttributeError, KeyError, TypeError, ValueError, ImportError) as error:
        fail(f"--config: {error}")
    try:
        app.run(lambda _: dispatch(), argv=argv[:1])
    except InputError as error:
        fail(str(error))
    except OSError as error:  # a full disk, a folder taken away
        fail(f"{error}: see to it, and the same command goes on where it was")
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it was", file=sys.stderr)
        sys.exit(130)


def with_config_path(argv: list[str]) -> list[str]:
    """`--config=stock` and a missing file resolved among the bundled configs."""
    from l2d_jax import configs

    return [
        f"--config={configs.find(arg.removeprefix('--config='))}"
        if arg.startswith("--config=")
        else arg
        for arg in argv
    ]


def dispatch() -> None:
    """Runs what the flags ask for."""
    from l2d_jax import results, run, workdir
    from l2d_jax.programs import keep_programs
    from l2d_jax.types import InputError

    keep_programs()
    if not _WORKDIR.value:
        raise InputError("--workdir is missing: name the folder of the run")
    folder = Path(_WORKDIR.value)
    if _MODE.value == "run":
        if _CONFIG.value is None:
            raise InputError("--config is missing: as --config=configs/stock.py")
        scores = run.run(_CONFIG.value, folder)
        print(results.summary(folder, scores))
    elif _MODE.value == "sample":
        if not _OUT.value:
            raise InputError("--out is missing: name a file, as --out=samples.npz")
        path = results.sample_to_file(
            workdir.load(folder),
            Path(_OUT.value),
            n=_NUM_SAMPLES.value,
            seed=_SEED.value,
            solver=_SOLVER.value,
            num_steps=_NUM_STEPS.value,
        )
        print(f"{_NUM_SAMPLES.value:,} series written to {path}")
    else:
        scores = results.rescore(
            folder, _CONFIG.value, report_only=_MODE.value == "report"
        )
        print(results.summary(folder, scores))


def cause(message: str) -> str:
    """Without the traceback that ml_collections puts into errors of a config file."""
    traceback = "Traceback (most recent call last)"
    if traceback not in message:
        return message
    last = message.strip().splitlines()[-1]
    return f"--config: {last.removeprefix('l2d_jax.types.InputError: ')}"


def fail(message: str) -> NoReturn:
    """One line on standard error, exit status 2."""
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    sys.exit(2)
