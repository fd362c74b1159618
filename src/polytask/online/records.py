"""What online training logs: its lines of metrics and evaluations, and the rows of its display."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from polytask.agents.base import Agent
from polytask.evaluation.rollouts import Episodes
from polytask.evaluation.scores import score
from polytask.online.session import Session
from polytask.runs.folder import RunFolder
from polytask.runs.progress import TaskRow
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import Record


def norm(tree: PyTree) -> float:
    """The Euclidean norm of all arrays in a tree."""
    return float(_norm(tree))


_norm = jax.jit(optax.tree.norm)  # one program instead of some for each array


def metrics(agent: Agent, session: Session, learned: dict[str, Any], diagnosed: dict[str, Any]) -> Record:
    """A line of metrics: what the last update logged (`learned`), and what is known of each task (`diagnosed`)."""
    tasks = agent.tasks
    figures = {
        "episode_return": session.episodes.last_return,
        "return_bound": session.bounds.bound,
        "restarts": session.restarts,
        **{name: value for name, value in learned.items() if np.shape(value) == (len(tasks),)},
        **diagnosed,
    }
    named = {
        metric: {name: float(value) for name, value in zip(tasks.names, np.asarray(values), strict=True)}
        for metric, values in figures.items()
    }
    successes = zip(tasks, session.episodes.last_success, strict=True)
    named["episode_success"] = {spec.name: float(s) for spec, s in successes if spec.success != "none"}
    means = {
        name: float(np.mean(list(named[name].values())))
        for name in ("critic_gradient_norm", "actor_gradient_norm")
        if name in named
    }
    return {
        **{name: float(value) for name, value in learned.items() if not np.ndim(value)},
        **means,
        "parameter_norm": norm(session.state.critic),
        "task": named,
        "replay_transitions": session.replay.transitions,
        "replay_bytes": session.replay.nbytes,
    }


def evaluation(tasks: TaskSet, episodes: Episodes, embeddings: Float[Array, "tasks dim"] | None) -> Record:
    """A line of evaluations: every episode, the tasks' scores (`polytask.evaluation.scores`), and their embeddings.

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
    return record


def latest_scores(run: Path) -> dict[str, float]:
    """What the display shows of the last evaluation of a run."""
    evaluated = RunFolder(run).read_evaluations()
    return shown_scores(evaluated[-1]) if evaluated else {}


def shown_scores(record: Record | None) -> dict[str, float]:
    """Each task's mean success, or mean return where it has none."""
    figures = record["task"] if record else {"return": {}, "success": {}}
    return {name: float(np.mean(values)) for name, values in {**figures["return"], **figures["success"]}.items()}


def rows(session: Session, scores: dict[str, float]) -> list[TaskRow]:
    """The display's rows: success where the task has it, else return."""
    episodes, found = session.episodes, []
    for i, spec in enumerate(session.tasks):
        kind = "success" if spec.success != "none" else "return"
        latest = episodes.last_success[i] if kind == "success" else episodes.last_return[i]
        training = None if np.isnan(latest) else float(latest)
        found.append(TaskRow(spec.name, kind, scores.get(spec.name), training, int(session.restarts[i])))
    return found
