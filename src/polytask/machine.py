"""What this process may use of the machine, and how it takes memory."""

import os
import sys
from pathlib import Path

# glibc's malloc.h: the numbers of what `mallopt` sets.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT = 2**30  # bytes: a freed block up to this size stays with the process


def cores() -> int:
    """The cores this process may run on; macOS can only say how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path | None:
    """The user's folder for what can be made again, as the XDG base directories and macOS have it; None for a user
    without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError:
        home = None
    base = Path(given) if Path(given).is_absolute() else home
    return base / "polytask" if base else None


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, for the next step; False where the C library cannot be told so.

    A training step takes a hundred megabytes for a moment. glibc gives a block of that size back at once, and the
    system zeroes it page by page for the next step: 5 to 10 % of BRC's updates on the CPU (docs/performance.md).
    Settings of the user's own (MALLOC_..., GLIBC_TUNABLES) stay. To be called before there are threads: theirs would
    bring arenas of their own, which hold no more than 64 MB.
    """
    import ctypes  # here, since the command line's help needs none of it

    mine = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    mallopt = None if mine else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _KEPT), (_TRIM_THRESHOLD, 2**31 - 1))
    taken = [mallopt(what, value) for what, value in settings]
    return all(taken)
