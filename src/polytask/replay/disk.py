"""A replay's rows in a file, for replays larger than the memory."""

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

CHUNK = 8192  # slots of a task that are claimed at a time,
LARGEST_CHUNK = 2**26  # if they have no more bytes than this


class DiskRows:
    """Rings of rows in a file of `folder` that has no name: however the run ends, nothing is left of it.

    `shape` is (tasks * ring, columns). The disk's room is claimed in chunks, each before it is written, because
    writing into a mapped file on a full disk would kill the process.

    Raises OSError where the disk has no room, or the folder cannot be written.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], ring: int, dtype: Any = np.float32) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        row = shape[1] * np.dtype(dtype).itemsize
        self._file.truncate(shape[0] * row)
        mapped = np.memmap(self._file, dtype, "r+", shape=shape)
        self.rows: Shaped[np.ndarray, "slots columns"] = np.asarray(mapped)  # indexing a memmap itself is slow
        self._folder, self._ring, self._row = folder, ring, row
        self._chunk = max(1, min(CHUNK, LARGEST_CHUNK // row))
        self._claimed = np.zeros(shape[0] // ring, np.int64)

    def claim(self, slots: Int[np.ndarray, " tasks"]) -> None:
        """Makes sure of the room for the first `slots` slots of each task's ring."""
        for task in np.flatnonzero(self._claimed < np.minimum(slots, self._ring)):
            first = int(self._claimed[task])
            last = min(-(-int(slots[task]) // self._chunk) * self._chunk, self._ring)
            begin = (int(task) * self._ring + first) * self._row
            self._allocate(begin, (last - first) * self._row)
            self._claimed[task] = last

    def _allocate(self, begin: int, count: int) -> None:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), begin, count)
            else:  # macOS
                os.pwrite(self._file.fileno(), bytes(count), begin)
        except OSError as error:
            what = "the disk has no room for the replay; make room, then resume the run from its last checkpoint"
            raise OSError(error.errno, f"{what} ({error.strerror})", str(self._folder)) from error
