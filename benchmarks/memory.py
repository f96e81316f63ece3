"""The most memory that this process has held, for benchmarks that start others."""

import re
import resource
import sys
from pathlib import Path


def peak_memory() -> float:
    """MiB.

    On Linux from /proc: what `resource` says counts the process that started it too.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10
    except OSError:
        unit = 1 if sys.platform == "darwin" else 2**10  # bytes, or KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
