"""Several processes of one program on this machine, for tests."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from conftest import DEVICE_COUNT

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def environment(devices: int) -> dict[str, str]:
    """With so many CPU devices a process; collectives hang without enough threads."""
    return {
        **os.environ,
        "XLA_FLAGS": f"{DEVICE_COUNT}={devices}",
        "PJRT_NPROC": "16",
        "PYTHONUNBUFFERED": "1",
    }


def launch(
    commands: list[list[str]], *, devices: int, log: Path
) -> list[subprocess.Popen]:
    """Python in a process per command; what they say goes to log.0, log.1, ..."""
    started = []
    for rank, command in enumerate(commands):
        with log.with_suffix(f".{rank}").open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment(devices),
            )
        started.append(process)
    return started


def main_py(arguments: list[str], *, processes: int) -> list[list[str]]:
    """Commands for `launch`."""
    command = [str(ROOT / "main.py"), *arguments]
    if processes == 1:
        return [command]
    flags = [f"--coordinator=localhost:{free_port()}", f"--num_processes={processes}"]
    return [[*command, *flags, f"--process_id={rank}"] for rank in range(processes)]


def line_py(folder: Path, *arguments: int, processes: int) -> list[list[str]]:
    """Commands for `launch`: tests/line.py, with its last arguments."""
    program = [str(ROOT / "tests" / "line.py"), str(folder)]
    where = [f"localhost:{free_port()}", str(processes)]
    return [
        [*program, *where, str(rank), *map(str, arguments)] for rank in range(processes)
    ]


def finish(started: list[subprocess.Popen], timeout: float) -> list[int | None]:
    """Their exit statuses; what still runs after so many seconds is killed."""
    end = time.monotonic() + timeout
    try:
        return [one.wait(max(0.1, end - time.monotonic())) for one in started]
    except subprocess.TimeoutExpired:
        return [one.poll() for one in started]
    finally:
        for one in started:  # SIGTERM would be a wish to save
            one.kill()
            one.wait()


def together(
    commands: list[list[str]], *, devices: int, log: Path, timeout: float = 900
) -> list[str]:
    """What each process said, after all have ended well."""
    started = launch(commands, devices=devices, log=log)
    statuses = finish(started, timeout)
    said = [log.with_suffix(f".{rank}").read_text() for rank in range(len(started))]
    assert statuses == [0] * len(started), (statuses, *said)
    return said
