"""What a transferred agent has forgotten of its source's tasks: evaluated with the networks before and after."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from polytask.agents.averaging import acting
from polytask.online.session import Session
from polytask.policies.measure import Evaluation, evaluate_policy
from polytask.policies.policy import load
from polytask.runs import checkpoint, provenance, storage
from polytask.training.trainer import TaskAxes
from polytask.training.warm_start import taken
from polytask.transfer.agents import COPIED

FILE = "forgotten.json"  # polytask.report reads it


def write_forgotten(
    session: Session, before: TaskAxes, axes_of: Callable[[Any], TaskAxes], message: Callable[[str], object]
) -> None:
    """Evaluates the source's tasks in the same environments twice, and writes forgotten.json into the run's folder.

    First with all that the source had, then with the run's networks in the place of the source's, which keeps the old
    tasks' embeddings, heads and moments: nothing of these was trained. Where the source cannot be read any more, it
    says so instead.

    - `before`: where the run's own tasks have rows; `axes_of(specs)`: the same of tasks as config.json has them.
    """
    sessions = [one for one in provenance.read(session.run) if "from" in one]
    try:
        policy = load(Path(sessions[-1]["from"]))
    except (storage.StorageError, OSError, ValueError, IndexError) as error:
        message(f"what was forgotten is not known: {error}")
        return
    learned, there = acting(session.state, session.average), policy.state
    names = [name for name in COPIED if getattr(there, name) is not None]
    leaves = checkpoint.named_leaves({name: getattr(learned, name) for name in names})
    arrays = {name: np.asarray(leaf) for name, leaf in leaves}
    here = axes_of([vars(spec) for spec in policy.tasks])
    kept, _ = taken({name: getattr(there, name) for name in names}, arrays, before, here)
    changed = eqx.tree_at(lambda state: [getattr(state, name) for name in names], there, list(kept.values()))
    found = [
        evaluate_policy(one, session.config.eval_episodes, session.config.seed)
        for one in (policy, policy.with_state(changed))
    ]
    content = {"from": str(policy.path), "step": session.step, "episodes": session.config.eval_episodes}
    rows = zip(policy.tasks.names, *(_figures(one) for one in found), strict=True)
    content["task"] = {name: {"before": first, "after": then} for name, first, then in rows}
    storage.replace(session.run / FILE, json.dumps(content, indent=1).encode())


def _figures(evaluation: Evaluation) -> list[dict[str, float | None]]:
    """Of each task its score, None where it has none, and its return."""
    return [
        {"score": None if task.score is None else task.score.value, "return": task.returned.value}
        for task in evaluation.tasks
    ]
