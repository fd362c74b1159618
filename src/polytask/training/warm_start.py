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
from polytask.training import kinds
from polytask.training.trainer import TaskAxes, Trainer


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
    holds no run or no checkpoint, and ValueError where it is a run of another kind, or nothing of it fits.
    """
    found = checkpoint.find(source, replay=False)
    arrays = checkpoint.read_arrays(found.path)
    content = RunFolder(found.run).read_config()
    there, kind = kinds.kind_of(content).name, kinds.kind_for(trainer.config).name
    if there != kind:
        raise ValueError(f"{source} is a run of the kind {there}, and this one is of the kind {kind}: leave --from out")
    before, here = (trainer.task_axes(facts.get("specs", [])) for facts in (content, trainer.facts[0]))
    reports: list[Taken] = []

    def take(index: int, learned: PyTree) -> PyTree:
        state, report = taken(learned, arrays, before, here)
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
    before: TaskAxes,
    here: TaskAxes,
) -> tuple[PyTree, Taken]:
    """`learned` with what fits of `arrays`: leaves of the same name, shape and type.

    A leaf that has an axis of other tasks there and here is matched by their names along it, and keeps its own rows for
    tasks that are new.

    - `before`, `here`: the axes of tasks there and here, as `Trainer.task_axes` gives them.
    """
    lists: dict[str, list[str]] = {name: [] for name in Taken._fields}
    named = checkpoint.named_leaves(learned)
    leaves = []
    for name, leaf in named:
        axes = next(((before[part], here[part]) for part in here if part in name and part in before), None)
        result, how = _fitted(leaf, arrays.get(name), axes)
        lists[how].append(name)
        leaves.append(result)
    wanted = {name for name, _ in named}
    idle = [name for name in arrays if name not in wanted and "optimiser" not in name]
    lists["dropped"] = [name for name in idle if name.split("/")[0] in _roots(wanted)]
    report = Taken(*(tuple(lists[name]) for name in Taken._fields))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(learned), leaves), report


def _roots(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


Axis = tuple[int, Sequence[str]]


def _fitted(leaf: Any, array: np.ndarray | None, axes: tuple[Axis, Axis] | None) -> tuple[Any, str]:
    """The leaf with what it takes of an array, and in which of `Taken`'s lists it belongs; `axes` are those of the
    tasks there and here, for a leaf that may have one."""
    wanted = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if array is None or array.dtype != wanted.dtype or array.ndim != wanted.ndim:
        return leaf, "fresh"
    if axes and axes[0] != axes[1] and array.ndim:
        (axis, before), (_, here) = axes
        there, rows = np.moveaxis(array, axis, 0), np.moveaxis(np.array(leaf), axis, 0)
        if (len(there), len(rows)) == (len(before), len(here)) and there.shape[1:] == rows.shape[1:]:
            known = [task for task in dict.fromkeys(here) if before.count(task) == here.count(task)]
            for task in known:
                rows[np.array(here) == task] = there[np.array(before) == task]
            return (_like(leaf, np.moveaxis(rows, 0, axis)), "joined") if known else (leaf, "fresh")
    return (_like(leaf, array), "taken") if array.shape == wanted.shape else (leaf, "fresh")


def _like(leaf: Any, array: np.ndarray) -> Any:
    """An array as what the leaf is: JAX's, NumPy's, or a number."""
    if isinstance(leaf, jax.Array):
        return jnp.array(array)
    return array if isinstance(leaf, np.ndarray) else type(leaf)(array.item())
