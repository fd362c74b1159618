"""Compiling ahead, in a thread; and keeping what JAX compiled in the user's cache folder, for the next start."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from polytask.machine import cache_folder, cores

LIMIT = 2 * 2**30  # bytes; an agent's programs take about three million
_ROOM = 256 * 2**20  # bytes that must be free: JAX would leave torn files on a full disk


class CompilingAhead:
    """Compiles programs one after another in a thread, while the simulators start; `close` ends it.

    `programs()` gives what compiles each; `names` says which and in which order.
    """

    def __init__(self, programs: Callable[[], Mapping[str, Callable[[], Any]]], names: Sequence[str]) -> None:
        self._thread = ThreadPoolExecutor(1)
        found = self._thread.submit(programs)
        self._done = {name: self._thread.submit(lambda name: found.result()[name](), name) for name in names}

    def close(self) -> None:
        """Ends the thread; what is not compiled by then is not."""
        self._thread.shutdown(cancel_futures=True)

    def busy(self, name: str) -> bool:
        """Whether `wait` would take time."""
        return name in self._done and not self._done[name].done()

    def wait(self, name: str) -> None:
        """Until the program is compiled, if it is one of them. Raises what compiling it raised."""
        if name in self._done:
            self._done[name].result()


def keep_compiled() -> Path | None:
    """Lets JAX keep its compiled programs, small ones too, and returns the folder, which is private to the user.

    Where JAX has been given a folder already (JAX_COMPILATION_CACHE_DIR), it keeps that. Where there is no folder that
    can be written, or hardly any room, nothing is kept, nothing is said, and None is returned.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # An entry that cannot be read or written costs time and nothing else.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    given = jax.config.values["jax_compilation_cache_dir"]
    if given or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return Path(given) if given else None
    folder = _user_folder()
    if folder is None or not _writable(folder):
        return None
    _prune(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _user_folder() -> Path | None:
    """None for a user without a home.

    One for each number of cores. XLA's program for the CPU depends on it, in the last bits of what it computes, which
    JAX's key for the entry does not say: a run would go on with other bits wherever the cache was filled otherwise.
    """
    base = cache_folder()
    return base / "jax" / f"{cores()}-cores" if base else None


def _writable(folder: Path) -> bool:
    try:
        # Compiled programs are executed: nobody else may put one here.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"polytask")
        return folder.stat().st_uid == os.getuid() and shutil.disk_usage(folder).free > _ROOM
    except OSError:
        return False


def _prune(folder: Path, limit: int = LIMIT) -> None:
    """Removes what has not been read for longest, down to half of `limit`, once the folder holds more than that."""
    try:
        entries = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.is_file()]
        total = sum(status.st_size for status, _ in entries)
        if total <= limit:
            return
        for status, path in sorted(entries, key=lambda found: max(found[0].st_atime, found[0].st_mtime)):
            if total <= limit / 2:
                break
            Path(path).unlink(missing_ok=True)
            total -= status.st_size
    except OSError:
        return  # another run may prune at the same time
