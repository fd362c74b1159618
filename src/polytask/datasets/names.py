"""Logged data by name: `data:FILE`, `data:FOLDER`, or `data:<id of a set that Minari has here>`.

`data:NAME@TASK` says which task the set is of, where the set does not: data:hopper.hdf5@gym/Hopper-v5. A folder with
several sets stands for all of them, and several sets of one task are joined.
"""

from collections.abc import Sequence
from pathlib import Path

from polytask.datasets import arrays, minari
from polytask.datasets.logged import LoggedTask, joined
from polytask.tasks.spec import TaskSet

PREFIX = "data:"


def is_data(name: str) -> bool:
    """Whether a name is one of logged data."""
    return name.startswith(PREFIX)


def load(names: Sequence[str]) -> list[LoggedTask]:
    """The logged tasks that the names stand for, in that order.

    Raises ValueError for a set that cannot be read or learned from, FileNotFoundError, saying what to do, where there
    is none, and what resolving a task raises.
    """
    tasks: dict[str, list[LoggedTask]] = {}
    for name in names:
        for task in _read(name):
            tasks.setdefault(task.spec.name, []).append(task)
    for name, parts in tasks.items():
        if any(part.spec != parts[0].spec for part in parts):
            raise ValueError(
                f"several sets are of the task '{name}', but of other facts (horizon, bounds, options); name them "
                "apart, or leave all but one out"
            )
    return [joined(parts) if len(parts) > 1 else parts[0] for parts in tasks.values()]


def task_set(logged: Sequence[LoggedTask]) -> TaskSet:
    """The tasks of the logs."""
    return TaskSet(tuple(task.spec for task in logged))


def _read(name: str) -> list[LoggedTask]:
    path, _, of = name.removeprefix(PREFIX).partition("@")
    spec = None
    if of:
        from polytask.tasks.registry import resolve

        (spec,) = resolve((of,))
    where = Path(path).expanduser()
    if where.is_file():
        if where.suffix not in (*arrays.HDF5, *arrays.NPZ):
            raise ValueError(f"{path} is no set: name an .hdf5, .h5 or .npz file, or the folder of a Minari set")
        return [arrays.read(where, spec, where.stem)]
    folder = where if where.is_dir() else _minari_root() / path
    found = minari.sets_in(folder) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(
            f"{PREFIX}{path}: no such file, and no Minari set in {folder}; `polytask record RUN` writes one, and "
            f"`minari download {path}` brings one that Minari has"
        )
    return [minari.read(data, spec, (data.parent if data.name == "data" else data).name) for data in found]


def _minari_root() -> Path:
    """Where Minari keeps its sets on this machine."""
    import os

    return Path(os.environ.get("MINARI_DATASETS_PATH", Path.home() / ".minari" / "datasets"))
