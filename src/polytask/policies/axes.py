"""Where tasks have rows or columns in what an agent's run saves."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from polytask.networks import TaskHead
from polytask.training.trainer import TaskAxes

_AGENT = ("conditioning", "temperature", "task_entropy", "moments", "target_scale", "task_log_std")
_RUN = ("bounds", "episodes", "restarts")


def task_axes(state: Any, specs: Sequence[Mapping[str, Any]], whole: bool = False) -> TaskAxes:
    """The rows of embeddings and of what is kept for each task, and the columns of heads that are a task's own.

    - `specs`: the tasks as config.json has them; `whole`: also what a run keeps of them beside its agent's state.
    """
    names = [str(spec["name"]) for spec in specs]
    rows = dict.fromkeys((*_AGENT, *(_RUN if whole else ())), (0, names))
    return {**rows, **{part: (-1, np.repeat(names, size).tolist()) for part, size in _heads(state)}}


def _heads(state: Any) -> list[tuple[str, int]]:
    """Parts of the names of the heads that are the tasks' own, and how many outputs each task has there."""
    nodes = jax.tree_util.tree_leaves_with_path(state, is_leaf=lambda node: isinstance(node, TaskHead))
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), node.dense.bias.shape[-1] // node.heads)
        for path, node in nodes
        if isinstance(node, TaskHead) and node.heads > 1
    ]
