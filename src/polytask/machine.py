"""What this process may use of the machine."""

import os


def cores() -> int:
    """The cores this process may run on; macOS can only say how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
