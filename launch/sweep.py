"""Runs main.py once for each combination of values: here, or on SLURM, or on TPUs.

    python launch/sweep.py --workdir=runs/sweep --config=configs/stock.py \
        --config.seed=0,1,2 --config.data_stage.width=64,128

makes six runs, in runs/sweep/seed=0,width=64 and so on. Values are split at commas, but
not inside of brackets or quotes; quotes around a value are taken off:

    --config="'configs/stock.py:smoke,data_only',configs/stock.py:smoke"

The same command does what isn't done yet.

  --on=here    one after the other; the default
  --on=slurm   a job each: sbatch launch/slurm.sbatch
  --on=tpu     a TPU each, called NAME-0, NAME-1, ...: create, wait, set up, run
               (names are in launch/env.sh; delete_tpu.sh for each ends the costs);
               --workdir=gs://bucket/folder, as the disks of TPUs go with them
  --dry-run    print the commands, run nothing
"""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

LAUNCH = Path(__file__).resolve().parent
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
QUOTES = r"(?<!\w)(['\"])((?:(?!\1(?!\w)).)*)\1(?!\w)"  # and what is inside
QUOTED = re.compile(rf"^{QUOTES}$", re.DOTALL)
TOKEN = re.compile(rf"{QUOTES}|(?P<alone>(?<!\w)['\"])|.", re.DOTALL)
OWN = ("--on=", "--workdir=", "--dry-run", "--help")


def split(text: str) -> list[str]:
    """At commas outside of brackets and quotes; quotes around a value are taken off.

    A quote behind a letter opens nothing, one before a letter closes nothing.

    Raises:
      ValueError: a bracket or quote has no partner, and there is a comma.

    >>> split("1,2,(3,(4,5)),'a,b',['c','d)'],it's")
    ['1', '2', '(3,(4,5))', 'a,b', "['c','d)']", "it's"]
    """
    values, depth, alone = [""], 0, False
    for found in TOKEN.finditer(text):
        token = found[0]
        if token == "," and depth == 0:
            values.append("")
            continue
        depth += (token in OPENING) - (token in CLOSING)
        alone |= depth < 0 or found["alone"] is not None
        values[-1] += token
    if alone or depth:
        if "," in text:
            raise ValueError("a bracket or quote has no partner")
        values = [text]
    return [QUOTED.sub(r"\2", value) for value in values if value] or [""]


def short(value: str) -> str:
    """A value as part of a folder's name; a config file without folder and ending.

    >>> [short(value) for value in ("0.25", "configs/stock.py:smoke", "data/a.csv")]
    ['0.25', 'stock:smoke', 'data_a.csv']
    """
    return re.sub(r"^(?:.*/)?([^/:]+)\.py(?=:|$)", r"\1", value).replace("/", "_")


def combinations(flags: list[str]) -> list[tuple[str, list[str]]]:
    """(name, flags) of each run; named after what differs between them.

    Raises:
      ValueError: a flag can't be split.

    >>> combinations(["--config=stock", "--config.seed=0,1"])[1]
    ('seed=1', ['--config=stock', '--config.seed=1'])
    """
    choices = []
    for flag in flags:
        name, equals, values = flag.partition("=")
        try:
            options = split(values) if equals else [None]
        except ValueError as error:
            raise ValueError(
                f"{flag}: {error}; put the value that it belongs to into quotes"
            ) from None
        choices.append([(name, value, len(options) > 1) for value in options])
    runs = []
    for chosen in itertools.product(*choices):
        words = [
            name if value is None else f"{name}={value}" for name, value, _ in chosen
        ]
        label = ",".join(
            f"{name.rpartition('.')[2].lstrip('-')}={short(value)}"
            for name, value, differs in chosen
            if differs
        )
        runs.append((label or "run", words))
    return runs


def commands(where: str, index: int, flags: list[str]) -> list[list[str]]:
    """What starts one run; names of a TPU come before the command, as env has them."""
    if where == "here":
        return [[sys.executable, str(LAUNCH.parent / "main.py"), *flags]]
    if where == "slurm":
        return [["sbatch", str(LAUNCH / "slurm.sbatch"), *flags]]
    config = next(f for f in flags if f.startswith("--config="))
    workdir = next(f for f in flags if f.startswith("--workdir="))
    rest = [flag for flag in flags if flag not in (config, workdir)]
    names = [
        "env",
        f"NAME={os.environ.get('NAME', 'l2d')}-{index}",
        f"CONFIG={config.removeprefix('--config=')}",
        f"WORKDIR={workdir.removeprefix('--workdir=')}",
    ]
    return [
        [*names, str(LAUNCH / "create_tpu.sh"), "--unless-there"],
        [*names, str(LAUNCH / "watch_tpu.sh"), "--until-active"],
        [*names, str(LAUNCH / "setup_tpu.sh")],
        [*names, str(LAUNCH / "run_tpu.sh"), *rest],
    ]


def status_of(command: list[str]) -> int:
    """Runs it to its end, after Ctrl-C too: it got that as well.

    Ctrl-C is only noted meanwhile: as an exception it could strike between the start of
    the command and the wait for it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background
        return subprocess.call(command)
    interrupts = []
    before = signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
    try:
        status = subprocess.call(command)
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
    return status


def refuse(message: str) -> int:
    """The exit status of arguments that can't be used."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def main(arguments: list[str]) -> int:
    given = {name: [a for a in arguments if a.startswith(name)] for name in OWN}
    where = (given["--on="] or ["--on=here"])[-1].removeprefix("--on=")
    if given["--help"] or not given["--workdir="]:
        print(__doc__)
        return 0 if given["--help"] else 2
    if where not in ("here", "slurm", "tpu"):
        return refuse(f"--on={where}: use here, slurm or tpu")
    flags = [a for a in arguments if not a.startswith(OWN)]
    folder = given["--workdir="][-1].removeprefix("--workdir=").rstrip("/")
    if where == "tpu" and not folder.startswith("gs://"):
        return refuse(
            f"--workdir={folder}: with --on=tpu use gs://bucket/folder, as the disks "
            "of TPUs go with them"
        )
    if where == "tpu" and not any(flag.startswith("--config=") for flag in flags):
        return refuse("--config is missing: as --config=configs/stock.py")
    try:
        runs = combinations(flags)
    except ValueError as error:
        return refuse(str(error))
    label, count = Counter(label for label, _ in runs).most_common(1)[0]
    if count > 1:
        return refuse(f"{count} runs would share {folder}/{label}: use each value once")
    plans = [
        (label, commands(where, index, [*chosen, f"--workdir={folder}/{label}"]))
        for index, (label, chosen) in enumerate(runs)
    ]
    if where == "tpu":  # all requests first: they wait in the queue together
        plans = [
            *((label, plan[:1]) for label, plan in plans),
            *((label, plan[1:]) for label, plan in plans),
        ]
    failed = {}
    for label, plan in plans:
        for command in plan:
            if label in failed:
                break
            print(shlex.join(command), flush=True)
            if not given["--dry-run"] and (status := status_of(command)):
                failed[label] = status
    if failed:
        names = ", ".join(f"{label} (status {n})" for label, n in failed.items())
        print(f"error: failed: {names}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("interrupted: the same command does what isn't done", file=sys.stderr)
        sys.exit(130)
