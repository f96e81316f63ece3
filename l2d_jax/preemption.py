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
        super().__init__(_notice.status)
        self.saved, self.together = saved, together

    def __str__(self) -> str:
        return line(self.saved)


def line(saved: str) -> str:
    """What a stopped program says."""
    if _notice.status:
        return "stopped by SIGTERM: the same command starts anew"
    return f"stopped by SIGTERM: {saved}; the same command goes on from there"


class _Notice:
    """One for the process, as its signals are."""

    def __init__(self):
        self.came = False  # known at once, though the main thread be busy
        self.asked = False
        self.deferred = False
        self.status = 0  # of the program, when it stops

    def __call__(self, *_) -> None:
        if not self.asked:
            self.asked = True
            if not self.deferred:
                raise Preempted("nothing was unsaved")


_notice = _Notice()


def watch(*, goes_on: bool = True) -> None:
    """From now on SIGTERM stops this program as said above. In the main thread.

    `goes_on`: the same command goes on where it was.
    """
    _notice.status = 0 if goes_on else STOPPED
    _notice.came = _notice.asked = _notice.deferred = False
    reading, writing = socket.socketpair()  # Windows has no pipes that don't block
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _notice)
    threading.Thread(target=_end_in_time, args=(reading,), daemon=True).start()


def _end_in_time(reading: socket.socket) -> None:
    """Ends the process though its main thread is busy: this one never is."""
    while reading.recv(1)[0] != signal.SIGTERM:
        pass
    _notice.came = True
    time.sleep(GRACE_SECONDS)
    saved = f"busy for {GRACE_SECONDS:.0f} s, what was saved before stays"
    print(line(saved), file=sys.stderr, flush=True)
    os._exit(_notice.status)


def asked() -> bool:
    """Whether SIGTERM has come."""
    return _notice.came or _notice.asked


def status() -> int:
    """The exit status of this program, when SIGTERM stops it."""
    return _notice.status


@contextmanager
def deferred() -> Generator[None, None, None]:
    """Inside, the program stops only where it looks at `asked`; else at the end."""
    _notice.deferred = True
    try:
        yield
    finally:
        _notice.deferred = False
    if _notice.asked:
        raise Preempted("nothing was unsaved")
