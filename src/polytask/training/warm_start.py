"""A run that begins from another run's checkpoint: what fits by name and shape is taken, what is new is fresh."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, Shaped

from polytask.runs import checkpoint, provenance
from polytask.runs.folder import RunFolder
from polytask.training.trainer import Trainer


class Taken(NamedTuple):
    """The leaves of a warm start: `taken` as they were, `joined` where the tasks' rows were matched by name, `fresh`
    ones that the source does not fit, and `dropped` ones of the source that nothing here takes."""

    taken: tuple[str, ...]
    joined: tuple[str, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]


def begin(trainer: Trainer, source: Path, runs: Sequence[Path]) -> list[str]:
    """Starts a trainer that has learned nothing yet from the newest intact checkpoint of `source`.

    Returns what to show; provenance.json of each run keeps it. Raises RunFolderError or CheckpointError where `source`
    holds no run or no checkpoint, and ValueError where nothing of it fits.
    """
    found = checkpoint.find(source)
    arrays = checkpoint.read_arrays(found.path)
    before = [str(spec["name"]) for spec in RunFolder(found.run).read_config().get("specs", [])]
    reports: list[Taken] = []

    def take(index: int, learned: PyTree) -> PyTree:
        state, report = taken(learned, arrays, before, trainer.tasks, trainer.of_tasks)
        reports.append(report)
        return state

    trainer.warm(take)
    report = reports[0]
    if not (report.taken or report.joined):
        raise ValueError(f"nothing in {found.path} fits this run by name and shape: leave --from out")
    text = [f"begins from {found.path}: {len(report.taken) + len(report.joined)} arrays taken"]
    for what, leaves in (("fresh", report.fresh), ("dropped", report.dropped)):
        if leaves:
            more = f" and {len(leaves) - 6} more" if len(leaves) > 6 else ""
            text.append(f"{what}: {', '.join(leaves[:6])}{more}")
    for run in runs:
        provenance.note(run, {"from": str(found.path), "step": found.step, **report._asdict()})
    return text


def taken(
    learned: PyTree,
    arrays: dict[str, Shaped[np.ndarray, "..."]],
    before: Sequence[str],
    tasks: Sequence[str],
    of_tasks: Sequence[str] = (),
) -> tuple[PyTree, Taken]:
    """`learned` with what fits of `arrays`: leaves of the same name, shape and type.

    Where the tasks differ, a leaf whose name holds one of `of_tasks` is matched by the tasks' names along its axis of
    tasks, and keeps its own rows for tasks that are new.

    - `before`, `tasks`: the names of the tasks there and here, in the order of such axes.
    """
    joins = list(before) != list(tasks)
    lists: dict[str, list[str]] = {name: [] for name in Taken._fields}
    named = checkpoint.named_leaves(learned)
    leaves = []
    for name, leaf in named:
        own = joins and any(part in name for part in of_tasks)
        result, how = _fitted(leaf, arrays.get(name), (list(before), list(tasks)) if own else None)
        lists[how].append(name)
        leaves.append(result)
    here = {name for name, _ in named}
    idle = [name for name in arrays if name not in here and "optimiser" not in name]
    lists["dropped"] = [name for name in idle if name.split("/")[0] in _roots(here)]
    report = Taken(*(tuple(lists[name]) for name in Taken._fields))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(learned), leaves), report


def _roots(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


def _fitted(leaf: Any, array: np.ndarray | None, names: tuple[list[str], list[str]] | None) -> tuple[Any, str]:
    """The leaf with what it takes of an array, and in which of `Taken`'s lists it belongs; `names` are those of the
    tasks there and here, for a leaf that has an axis of tasks."""
    wanted = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if array is None or array.dtype != wanted.dtype or array.ndim != wanted.ndim:
        return leaf, "fresh"
    if names is None:
        return (_like(leaf, array), "taken") if array.shape == wanted.shape else (leaf, "fresh")
    before, tasks = names
    for axis in range(array.ndim):
        there, here = ((*shape[:axis], *shape[axis + 1 :]) for shape in (array.shape, wanted.shape))
        if (array.shape[axis], wanted.shape[axis]) == (len(before), len(tasks)) and there == here:
            rows = [i for i, task in enumerate(tasks) if task in before]
            found = np.moveaxis(np.array(leaf), axis, 0)
            found[rows] = np.moveaxis(array, axis, 0)[[before.index(tasks[i]) for i in rows]]
            return _like(leaf, np.moveaxis(found, 0, axis)), "joined"
    return (_like(leaf, array), "taken") if array.shape == wanted.shape else (leaf, "fresh")


def _like(leaf: Any, array: np.ndarray) -> Any:
    """An array as what the leaf is: JAX's, NumPy's, or a number."""
    if isinstance(leaf, jax.Array):
        return jnp.array(array)
    return array if isinstance(leaf, np.ndarray) else type(leaf)(array.item())
