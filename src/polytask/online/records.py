"""What online training logs: its lines of metrics, and the rows of its display."""

from typing import Any

import numpy as np

from polytask.agents.base import Agent
from polytask.online.session import Session
from polytask.policies.records import norm
from polytask.runs.progress import TaskRow
from polytask.training.trainer import Record


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


def rows(session: Session, scores: dict[str, float]) -> list[TaskRow]:
    """The display's rows: success where the task has it, else return."""
    episodes, found = session.episodes, []
    for i, spec in enumerate(session.tasks):
        kind = "success" if spec.success != "none" else "return"
        latest = episodes.last_success[i] if kind == "success" else episodes.last_return[i]
        training = None if np.isnan(latest) else float(latest)
        found.append(TaskRow(spec.name, kind, scores.get(spec.name), training, int(session.restarts[i])))
    return found
