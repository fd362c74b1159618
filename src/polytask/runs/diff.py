"""Compares two checkpoints leaf by leaf: identical means bit for bit."""

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped
from rich.table import Table
from rich.text import Text

from polytask.runs import checkpoint as checkpoints
from polytask.runs import segments, storage
from polytask.runs.checkpoint import Checkpoint


@dataclasses.dataclass(frozen=True)
class LeafDifference:
    """How one leaf differs between checkpoints a and b.

    `a` and `b` say what is there: the value, in an array that of the element which differs most, or else shape and
    dtype. For arrays of one shape and dtype `count` of `size` elements differ in their bits, by at most `max_absolute`
    and by at most `max_relative` of the larger magnitude of the two (infinite where one of them is NaN or infinite; 0
    for 0.0 against -0.0 and for two NaN of unlike bits).
    """

    name: str
    kind: Literal["missing in a", "missing in b", "shape", "dtype", "value"]
    a: str
    b: str
    count: int = 0
    size: int = 0
    max_absolute: float = math.nan
    max_relative: float = math.nan


def diff(a: Path, b: Path, warn: Callable[[str], object] = warnings.warn) -> list[LeafDifference]:
    """The leaves in which two checkpoints differ; empty if they are identical bit for bit.

    `a` and `b` are run folders (their newest intact checkpoint is taken; `warn` is told of damaged ones) or checkpoint
    folders. Compared are the state ("state/..."), the step, the counters ("counters/...") except those under the key
    "timing", which are wall clock, and what the replay segments hold together ("replay/..."), however it is cut into
    files.
    Raises CheckpointError if there is no intact checkpoint.
    """
    one, other = checkpoints.find(a, warn), checkpoints.find(b, warn)
    return list(_all_differences(one, other))


def table(differences: Sequence[LeafDifference], a: Path, b: Path) -> Table | Text:
    """The differences for a terminal, in the order of the leaves; or a line that says that there are none."""
    if not differences:
        return Text(f"identical, bit for bit: {a} and {b}")
    view = Table(title=Text(f"{len(differences)} leaves differ: a = {a}, b = {b}"), title_justify="left", box=None)
    view.add_column("leaf", overflow="fold")
    view.add_column("what")
    view.add_column("a", overflow="fold")
    view.add_column("b", overflow="fold")
    view.add_column("elements", justify="right")
    view.add_column("absolute", justify="right")
    view.add_column("relative", justify="right")
    for d in differences:
        elements = f"{d.count:,}/{d.size:,}" if d.size else ""
        largest = ["" if math.isnan(value) else f"{value:.2g}" for value in (d.max_absolute, d.max_relative)]
        view.add_row(*[Text(text) for text in (d.name, d.kind, d.a, d.b, elements, *largest)])
    return view


def compare(
    name: str, a: Shaped[np.ndarray, "..."] | None, b: Shaped[np.ndarray, "..."] | None
) -> LeafDifference | None:
    """How two arrays differ (None: the leaf is missing on that side); None if they are the same bits."""
    if a is None and b is None:
        return None
    if a is None or b is None:
        return LeafDifference(name, "missing in a" if a is None else "missing in b", _described(a), _described(b))
    if a.shape != b.shape:
        return LeafDifference(name, "shape", _described(a), _described(b))
    if a.dtype != b.dtype:
        return LeafDifference(name, "dtype", _described(a), _described(b))
    differs = (_bits(a) != _bits(b)).any(axis=-1)
    count = int(differs.sum())
    if not count:
        return None
    x, y = a.reshape(-1)[differs], b.reshape(-1)[differs]
    absolute, relative = _distances(x, y)
    worst = absolute.argmax()
    return LeafDifference(
        name, "value", str(x[worst]), str(y[worst]), count, a.size, float(absolute.max()), float(relative.max())
    )


def _all_differences(a: Checkpoint, b: Checkpoint) -> Iterator[LeafDifference]:
    yield from _counter_differences({"step": a.step, **_leaves(a)}, {"step": b.step, **_leaves(b)})
    for prefix, left, right in (
        ("state", _StateReader(a), _StateReader(b)),
        ("replay", _ReplayReader(a), _ReplayReader(b)),
    ):
        names = left.names()
        for name in [*names, *(name for name in right.names() if name not in set(names))]:
            found = compare(f"{prefix}/{name}", left.read(name), right.read(name))
            if found:
                yield found


class _StateReader:
    """The arrays of a checkpoint, one at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._file = checkpoint.path / checkpoints.ARRAYS

    def names(self) -> list[str]:
        return storage.array_names(self._file)

    def read(self, name: str) -> np.ndarray | None:
        return storage.read_array(self._file, name)


class _ReplayReader:
    """What a checkpoint's segments hold together, one array at a time: all of them can fill the memory.

    Arrays are joined along time. Segments of `Replay.since` say in "begin" and "end" which slots of each task they
    hold, both inclusive; a slot that the next segment holds too was not final yet, and what lies more than "capacity"
    slots back is overwritten.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._files = [segments.folder(checkpoint.run) / ref.name for ref in checkpoint.segments]
        begins, ends = ([storage.read_array(file, mark) for file in self._files] for mark in ("begin", "end"))
        self._overlaps = [
            None if end is None or begin is None else end + 1 - begin[: len(end)]  # tasks may have come since
            for end, begin in zip(ends, begins[1:], strict=False)
        ]

    def names(self) -> list[str]:
        found = dict.fromkeys(name for file in self._files for name in storage.array_names(file))
        return [name for name in found if name != "begin"]

    def read(self, name: str) -> np.ndarray | None:
        found = [storage.read_array(file, name) for file in self._files]
        if name in ("end", "open", "capacity"):
            return found[-1] if found else None
        parts = []
        for part, overlap in zip(found, [*self._overlaps, None], strict=False):
            if part is not None:
                task = name.rpartition("/")[2]
                known = overlap if overlap is not None and task.isdecimal() else ()
                surplus = int(known[int(task)]) if task.isdecimal() and int(task) < len(known) else 0
                parts.append(np.atleast_1d(part)[: len(np.atleast_1d(part)) - surplus])
        if not parts:
            return None
        capacity = self.read("capacity")
        return np.concatenate(parts)[-int(capacity) if capacity is not None else 0 :]


def _leaves(checkpoint: Checkpoint) -> dict[str, Any]:
    compared = {key: value for key, value in checkpoint.counters.items() if key != "timing"}
    return dict(_flat(compared, "counters"))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON value; an empty object or list is a leaf too."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(item, f"{name}/{key}")
    else:
        yield name, value


def _counter_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[LeafDifference]:
    for name in [*a, *(name for name in b if name not in a)]:
        left, right = (json.dumps(side[name]) if name in side else "" for side in (a, b))
        if left == right:
            continue
        if not left or not right:
            yield LeafDifference(name, "missing in b" if left else "missing in a", left, right)
        elif _is_number(a[name]) and _is_number(b[name]):
            absolute = float(abs(a[name] - b[name]))
            larger = max(abs(a[name]), abs(b[name]))
            yield LeafDifference(name, "value", left, right, 1, 1, absolute, absolute / larger if larger else 0.0)
        else:
            yield LeafDifference(name, "value", left, right, 1, 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bits(array: np.ndarray) -> np.ndarray:
    """The bytes of every element: [elements, itemsize]."""
    return np.ascontiguousarray(array).reshape(-1, 1).view(np.uint8)


def _distances(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The absolute and relative distances of elements that differ."""
    if x.dtype.kind in "iu":
        wide = f"u{x.dtype.itemsize}"  # exact also for 64 bits: the difference of two, larger first, fits unsigned
        absolute = (np.maximum(x, y).view(wide) - np.minimum(x, y).view(wide)).astype(np.float64)
    elif x.dtype.kind == "b":
        absolute = np.ones(x.shape)
    else:
        wide = np.complex128 if x.dtype.kind == "c" else np.float64
        x, y = x.astype(wide), y.astype(wide)
        with np.errstate(invalid="ignore"):
            absolute = np.abs(x - y)
        absolute = np.where(np.isnan(x) & np.isnan(y), 0.0, np.where(np.isfinite(absolute), absolute, np.inf))
    larger = np.fmax(np.abs(x.astype(np.complex128)), np.abs(y.astype(np.complex128)))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(absolute == 0, 0.0, np.where(np.isfinite(absolute), absolute / larger, np.inf))
    return absolute, relative


def _described(array: np.ndarray | None) -> str:
    return "" if array is None else f"{array.dtype}{list(array.shape)}"
