"""The memory that a process took, and what is left of it."""

import contextlib
import resource
import sys
from pathlib import Path

import psutil


def peak_memory() -> int:
    """Bytes of memory that this process had at its peak, with what its worker processes have now."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    for worker in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            peak += worker.memory_info().rss
    return peak


def available_memory() -> int:
    """Bytes of memory that can still be claimed, by this machine and by the control groups this process is in."""
    limits = [psutil.virtual_memory().available]
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()[-1].partition("::")[2]
        group = Path("/sys/fs/cgroup") / own.lstrip("/")
        while group != Path("/sys/fs"):
            limit = group / "memory.max"
            if limit.exists() and (text := limit.read_text().strip()) != "max":
                # File caches count as used, but are given back when memory is short.
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])
                limits.append(max(int(text) - used, 0))
            group = group.parent
    except (OSError, ValueError, KeyError):
        pass  # not Linux, or control groups of the first version
    return min(limits)
