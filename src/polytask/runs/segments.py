"""The replay's storage beside the checkpoints: each adds a segment with what the replay gained since the one before.

Segments lie in the `replay` folder of a run and never change once a checkpoint refers to them, so that a checkpoint of
a replay of gigabytes costs only what is new. Their rows run along the first axis, in the order of time.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from polytask.runs import storage


class SegmentError(storage.StorageError):
    """A segment cannot be written, is missing or is damaged."""


@dataclasses.dataclass(frozen=True)
class SegmentRef:
    """What a checkpoint remembers of a segment: its file name, checksum, and size in bytes."""

    name: str
    sha256: str
    bytes: int


def folder(run: Path) -> Path:
    """Where the segments of a run lie."""
    return run / "replay"


def write_segment(
    run: Path, first_step: int, last_step: int, arrays: Mapping[str, Shaped[np.ndarray, "..."]]
) -> SegmentRef:
    """Writes what the replay gained in environment steps (first_step, last_step] of every task, atomically.

    A file of the same name, left by a run that was killed before its checkpoint was complete, is replaced.
    Raises SegmentError if it cannot be written; what was there before stays.
    """
    replay = folder(run)
    path = replay / f"steps_{first_step:09d}_{last_step:09d}.npz"
    temporary = path.with_name(storage.TEMPORARY + path.name)
    try:
        replay.mkdir(parents=True, exist_ok=True)
        storage.write_arrays(temporary, arrays)
        ref = SegmentRef(path.name, storage.digest(temporary), temporary.stat().st_size)
        temporary.replace(path)
        storage.sync_folder(replay)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            needed = sum(array.nbytes for array in arrays.values())
            raise SegmentError(f"cannot save the replay: {storage.reason(error, replay, needed)}") from error
        raise
    return ref


def verify(run: Path, ref: SegmentRef) -> Path:
    """The path of a segment whose size and checksum are as remembered; raises SegmentError."""
    path = folder(run) / ref.name
    wrong = storage.damage(path, ref.sha256, ref.bytes)
    if wrong:
        raise SegmentError(f"replay segment {wrong}")
    return path


def read_segment(run: Path, ref: SegmentRef) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a segment; raises SegmentError if it is missing or damaged."""
    return storage.read_arrays(verify(run, ref))


def prune(run: Path, required_names: Collection[str]) -> None:
    """Removes the segments that no checkpoint needs any more, and unfinished ones."""
    for path in folder(run).glob("*.npz"):
        if path.name not in required_names:
            path.unlink()
