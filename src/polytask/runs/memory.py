"""The memory that a process took, and what is left of it."""

import contextlib
import resource
import sys
from collections.abc import Iterator
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
    return min([psutil.virtual_memory().available, *(_left(group) for group in _limited_groups())])


def _limited_groups(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[Path]:
    """The control groups that limit the memory of this process: none but on Linux, and none of the first version."""
    lines = membership.read_text().splitlines() if membership.exists() else []
    for line in lines:
        if line.startswith("0::"):  # the second version's
            innermost = root / line.removeprefix("0::/")
            for group in (innermost, *innermost.parents):
                limit = group / "memory.max"
                if limit.exists() and limit.read_text().strip() != "max":
                    yield group


def _left(group: Path) -> int:
    """Bytes that a control group still allows."""
    # File caches count as used, but are given back when memory is short.
    statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])
    return max(int((group / "memory.max").read_text()) - used, 0)
