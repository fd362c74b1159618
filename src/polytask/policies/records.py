"""The line of records of an evaluation in simulators, and what the display shows of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from polytask.evaluation.rollouts import Episodes
from polytask.evaluation.scores import score
from polytask.runs.folder import RunFolder
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import Record


def norm(tree: PyTree) -> float:
    """The Euclidean norm of all arrays in a tree."""
    return float(_norm(tree))


_norm = jax.jit(optax.tree.norm)  # one program instead of some for each array


def evaluation(
    tasks: TaskSet,
    episodes: Episodes,
    embeddings: Float[Array, "tasks dim"] | None,
    routes: Sequence[Float[Array, "tasks _ _"]] = (),
) -> Record:
    """A line of evaluations: every episode, the tasks' scores (`polytask.evaluation.scores`), embeddings and routes.

    Success only for tasks that have it.
    """
    success = dict(zip(tasks.names, episodes.successes.astype(int).tolist(), strict=True))
    rows = zip(tasks, episodes.returns.tolist(), success.values(), strict=True)
    figures: dict[str, dict[str, Any]] = {
        "score": {spec.name: score(spec, returns, won) for spec, returns, won in rows},
        "return": dict(zip(tasks.names, episodes.returns.tolist(), strict=True)),
        "length": dict(zip(tasks.names, episodes.lengths.tolist(), strict=True)),
        "success": {spec.name: success[spec.name] for spec in tasks if spec.success != "none"},
    }
    record: Record = {"episodes": episodes.returns.shape[1], "task": figures}
    if embeddings is not None:
        record["embedding"] = dict(zip(tasks.names, np.asarray(embeddings).tolist(), strict=True))
    if routes:
        layers = [np.asarray(layer, np.float64).round(4).tolist() for layer in routes]
        record["routing"] = dict(zip(tasks.names, map(list, zip(*layers, strict=True)), strict=True))
    return record


def latest_scores(run: Path) -> dict[str, float]:
    """What the display shows of the last evaluation of a run."""
    evaluated = RunFolder(run).read_evaluations()
    return shown_scores(evaluated[-1]) if evaluated else {}


def shown_scores(record: Record | None) -> dict[str, float]:
    """Each task's mean success, or mean return where it has none."""
    figures = record["task"] if record else {"return": {}, "success": {}}
    return {name: float(np.mean(values)) for name, values in {**figures["return"], **figures["success"]}.items()}
