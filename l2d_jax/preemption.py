"""A machine that is taken away: SIGTERM means save and stop, within 20 s.

Clouds and SLURM send it some time before they switch off. While a stage trains, `fit`
saves after its next call of the training program; elsewhere everything is saved
already, and the program stops where it is. If a device or a compiler is busy for longer
than that, the program is ended as it is: the steps since the last checkpoint are then
lost, and nothing else.

What has no checkpoints, such as writing samples, ends with status 143, and starts anew.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

GRACE_SECONDS = 17.0
STOPPED = 128 + 15  # exit status, as shells give it for SIGTERM


class Preempted(SystemExit):
    """Ends the program with status 0, or `STOPPED`; says what was saved."""

    def __init__(self, saved: str, *, together: bool = False):
        """`together`: all processes stop here."""
        super().__init__(_handler.status)
        self.saved, self.together = saved, together

    def __str__(self) -> str:
        return line(self.saved)


def line(saved: str) -> str:
    """What a stopped program says."""
    if _handler.status:
        return "stopped by SIGTERM: the same command starts anew"
    return f"stopped by SIGTERM: {saved}; the same command goes on from there"


class _Handler:
    """One for the process, as its signals are."""

    def __init__(self):
        self.came = False  # known at once, though the main thread be busy
        self.requested = False
        self.deferred = False
        self.status = 0  # of the program, when it stops

    def __call__(self, *_) -> None:
        if not self.requested:
            self.requested = True
            if not self.deferred:
                raise Preempted("nothing was unsaved")


_handler = _Handler()


def watch(*, goes_on: bool = True) -> None:
    """From now on SIGTERM stops this program as said above. In the main thread.

    `goes_on`: the same command goes on where it was.
    """
    _handler.status = 0 if goes_on else STOPPED
    _handler.came = _handler.requested = _handler.deferred = False
    reading, writing = socket.socketpair()  # Windows has no pipes that don't block
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _handler)
    threading.Thread(target=_end_in_time, args=(reading,), daemon=True).start()


def _end_in_time(reading: socket.socket) -> None:
    """Ends the process though its main thread is busy: this one never is."""
    while reading.recv(1)[0] != signal.SIGTERM:
        pass
    _handler.came = True
    time.sleep(GRACE_SECONDS)
    saved = f"busy for {GRACE_SECONDS:.0f} s, what was saved before stays"
    print(line(saved), file=sys.stderr, flush=True)
    os._exit(_handler.status)


def requested() -> bool:
    """Whether SIGTERM has come."""
    return _handler.came or _handler.requested


def status() -> int:
    """The exit status of this program, when SIGTERM stops it."""
    return _handler.status


@contextmanager
def deferred() -> Generator[None, None, None]:
    """Inside, the program stops only where it looks at `requested`; else at the end."""
    _handler.deferred = True
    try:
        yield
    finally:
        _handler.deferred = False
    if _handler.requested:
        raise Preempted("nothing was unsaved")
