"""Trainings in run folders, as claims need many of them: each once, and interrupted ones gone on with."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from polytask.online.config import TrainConfig
    from polytask.training.groups import TaskGroup


FAST_TASKS = ("metaworld/reach-v3", "metaworld/drawer-close-v3", "metaworld/door-close-v3")


def small(config: "TrainConfig[Any]", width: int = 8) -> "TrainConfig[Any]":
    """The same training for a fast mode: the smallest BRC, critics `width` wide, for 120 steps of three tasks."""
    sizes = {"critic_width": width, "critic_depth": 1, "actor_width": 16, "bins": 11}
    agent = dataclasses.replace(config.agent, **sizes, batch_size=16, updates_per_step=1)
    length = {"steps": 120, "warmup_steps": 40, "checkpoint_every": 200, "log_every": 20}
    return dataclasses.replace(config, tasks=FAST_TASKS, agent=agent, **length)


def train_once(config: "TrainConfig[Any]", run: Path, groups: "Sequence[TaskGroup]" = ()) -> bool:
    """Trains in `run` what `polytask train` would, an agent for each group where groups are given.

    A training that has ended is not touched, one that was interrupted goes on from its newest checkpoint. Returns
    whether there was anything to do. Raises KeyboardInterrupt after Ctrl-C, with a checkpoint saved, and what
    `polytask.training.start.train` raises: a folder that holds a training with other settings is refused.
    """
    from polytask.runs import checkpoint
    from polytask.runs.folder import EVALUATIONS
    from polytask.training.groups import train_groups
    from polytask.training.start import train

    if checkpoint.place(run, config.steps).exists() or (groups and (run / EVALUATIONS).exists()):
        return False
    run.parent.mkdir(parents=True, exist_ok=True)
    if not (train_groups(config, list(groups), {config.seed: run}) if groups else train(config, run)):
        raise KeyboardInterrupt
    return True


def successes(run: Path, tasks: Sequence[str], evaluations: int) -> Float[np.ndarray, " tasks"]:
    """Each task's success rate, the mean over the last evaluations of a run."""
    from polytask.runs.folder import EVALUATIONS, read_jsonl

    records = read_jsonl(run / EVALUATIONS)[-evaluations:]
    return np.array([[np.mean(record["task"]["success"][task]) for task in tasks] for record in records]).mean(0)
