"""Where a run's networks come from another run (`polytask.transfer`): what training does otherwise."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from polytask.online.config import TrainConfig
from polytask.online.session import Session
from polytask.runs import checkpoint, provenance
from polytask.runs.folder import RunFolder
from polytask.stepping import Stepper
from polytask.tasks.spec import TaskSet
from polytask.transfer import source as sources
from polytask.transfer.agents import begun, most_similar


def _facts(run: Path) -> Mapping[str, Any]:
    """What config.json of a run that has begun says; nothing of another."""
    folder = RunFolder(run)
    return folder.read_config() if folder.exists else {}


def laid_out(config: TrainConfig[Any], tasks: TaskSet, run: Path) -> TaskSet:
    """The tasks, padded to what the networks of the source were made for, once the source is seen to fit.

    A run that has begun knows that by itself, and needs the source no more. Raises as `polytask.transfer.source.check`.
    """
    if not config.transfers:
        return tasks
    layout = sources.specs_of(_facts(run).get("layout", ()))
    if not layout:
        source = sources.read(Path(config.start_from))
        sources.check(source, config, tasks)
        layout = source.layout
    return dataclasses.replace(tasks, layout=layout)


def joined(config: TrainConfig[Any], tasks: TaskSet, run: Path) -> Mapping[str, int]:
    """The tasks that came to what was learned already, and at which step: those beside kept ones at 0."""
    facts = _facts(run)
    if facts or not config.keep:
        return facts.get("joined", {})
    known = sources.read(Path(config.start_from)).names
    return {name: 0 for name in tasks.names if name not in known}


def random_until(config: TrainConfig[Any], tasks: TaskSet, came: Mapping[str, int]) -> Int[np.ndarray, " tasks"]:
    """Before which step each task acts at random: the warm-up, from where a task came, and none of kept ones."""
    warm = dict.fromkeys(tasks.names, 0 if config.keep else config.warmup_steps)
    return np.array([*{**warm, **{name: step + config.warmup_steps for name, step in came.items()}}.values()])


def begin(session: Session, stepper: Stepper, message: Callable[[str], object]) -> None:
    """A session whose state has what was copied: embeddings, and what is kept of the source."""
    config, agent = session.config, session.agent
    source = sources.read(Path(config.start_from))
    found = checkpoint.find(Path(config.start_from), replay=config.keep)
    names = session.tasks.names
    new = np.array([row for row, name in enumerate(names) if name not in source.names])
    session.state = begun(session.state, config.agent.moving, new)
    if config.keep:
        session.keep(found)
    if config.transfer == "similar":
        old = checkpoint.read_arrays(found.path)["agent/critic/conditioning/table"]
        session.state, losses = most_similar(agent, session.state, stepper, old, new, config.seed)
        told = {}
        for row, own in zip(new.tolist(), losses.T, strict=True):
            best = int(np.argmin(own))
            told[names[row]] = {
                "task": source.names[best],
                "losses": dict(zip(source.names, map(float, own), strict=True)),
            }
            rest = f"; others {np.sort(own)[1]:.3g} to {own.max():.3g}" if len(own) > 1 else ""
            message(f"{names[row]} begins as {source.names[best]} (critics' loss {own[best]:.3g}{rest})")
        provenance.note(session.run, {"similar": told})
