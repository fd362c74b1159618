"""How the process takes memory: in processes of their own, since what is set stays set."""

import os
import subprocess
import sys

import pytest

MEASURE = """
import resource
import numpy as np
from polytask.machine import keep_freed_memory

kept = keep_freed_memory()

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for megabytes in (40, 90, 200):
        np.ones(megabytes * 2**20, np.int8)

work()
before = pages()
work()
print(kept, pages() - before)
"""


def measure(**environment: str) -> tuple[bool, int]:
    """Whether the C library was told, and the pages that a second round of work took anew."""
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=clean | environment, capture_output=True, text=True, check=True
    )
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


def test_freed_memory_is_taken_again_and_not_anew():
    kept, pages = measure()
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert pages < 2000  # 330 MB are 84,000


def test_settings_of_the_users_own_stay():
    kept, _ = measure(MALLOC_ARENA_MAX="2")
    assert not kept
