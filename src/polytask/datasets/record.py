"""Logs made by a run: what its policy does in the simulators, or what its replay holds."""

from pathlib import Path
from typing import Any

import numpy as np

from polytask import random
from polytask.datasets.logged import LoggedTask, logged
from polytask.policies.policy import Policy
from polytask.replay import Replay
from polytask.runs import checkpoint, segments
from polytask.runs.folder import RunFolder
from polytask.stepping import make_stepper
from polytask.tasks.spec import TaskSet, TaskSpec, spec_from
from polytask.training import kinds


def of_policy(policy: Policy, episodes: int, seed: int = 0, deterministic: bool = False) -> list[LoggedTask]:
    """`episodes` whole episodes of each task under the policy, in environments of its own.

    Actions are drawn from the policy unless `deterministic`. An episode in which the environment failed is left out.
    Raises ValueError for no episode and for tasks with images or choices, and what stepping raises.
    """
    if episodes < 1:
        raise ValueError(f"a set takes at least one episode of each task, not {episodes}")
    _check(policy.tasks)
    tasks, count = policy.tasks, len(policy.tasks)
    stepper = make_stepper(tasks, policy.config.engine, goal_seed=random.integer(policy.config.seed, "goals"))
    steps: list[tuple[Any, ...]] = []
    begun, done = np.zeros(count, np.int64), np.zeros(count, np.int64)
    failed: list[set[int]] = [set() for _ in range(count)]
    try:
        observations = stepper.reset(random.integer(seed, "polytask record"))
        while (done < episodes).any():
            actions = policy.act_in_all(observations, deterministic)
            result = stepper.step(actions)
            ended = result.terminated | result.truncated
            step = (observations, actions, result.rewards, result.terminated, result.truncated)
            kept = np.where(done < episodes, begun, -1)  # the number of the episode, -1 beyond the last
            steps.append((*step, result.next_observations, result.success, kept))
            for task in np.flatnonzero(result.restarted):
                failed[task].add(int(begun[task]))
            observations = result.observations
            done += ended & ~result.restarted
            begun += ended | result.restarted
    finally:
        stepper.close()
    columns = [np.stack(column) for column in zip(*steps, strict=True)]
    return [_of_task(spec, row, columns, failed[row]) for row, spec in enumerate(tasks)]


def _of_task(spec: TaskSpec, row: int, columns: list[np.ndarray], failed: set[int]) -> LoggedTask:
    numbers = columns[-1][:, row]
    keep = (numbers >= 0) & ~np.isin(numbers, list(failed))
    names = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations", "success")
    arrays: dict[str, Any] = {name: column[keep, row] for name, column in zip(names, columns, strict=False)}
    if spec.success == "none":
        del arrays["success"]
    return _own(spec, arrays)


def of_replay(run: Path) -> list[LoggedTask]:
    """The transitions in the replay of a run's newest intact checkpoint, the oldest first.

    Raises RunFolderError or CheckpointError where there is none, and ValueError for tasks with images or choices and
    for a run that keeps no replay.
    """
    found = checkpoint.find(run)
    content = RunFolder(found.run).read_config()
    if not found.segments:
        raise ValueError(f"{run} keeps no replay; record what its policy does: leave --replay out")
    tasks = TaskSet(*(tuple(spec_from(spec) for spec in content.get(name, ())) for name in ("specs", "layout")))
    config = kinds.config_of(content)
    _check(tasks)
    replay = Replay(len(tasks), tasks.observation_dim, tasks.action_width, config.replay_capacity, steps=found.step)
    for ref in found.segments:
        replay.load(segments.read_segment(found.run, ref))
    return logs_of(replay, tasks)


def logs_of(replay: Replay, tasks: TaskSet) -> list[LoggedTask]:
    """The transitions that a replay holds, the oldest first. Raises ValueError for a task without one."""
    arrays, o = replay.since(np.zeros(len(tasks), np.int64)), tasks.observation_dim
    logs = []
    for row, spec in enumerate(tasks):
        # The slot at the head holds no successor: nothing, or in a ring that came round the oldest of its transitions.
        rows, at = arrays[f"rows/{row}"], np.flatnonzero(arrays[f"sampled/{row}"][:-1])
        if not len(at):
            raise ValueError(f"the replay holds no transition of '{spec.name}'")
        terminated = rows[at, -1] == 0
        own = {
            "observations": rows[at, :o],
            "actions": rows[at, o:-2],
            "rewards": rows[at, -2],
            "terminated": terminated,
            "truncated": ~arrays[f"sampled/{row}"][at + 1] & ~terminated,
            "next_observations": rows[at + 1, :o],
        }
        logs.append(_own(spec, own))
    return logs


def _own(spec: TaskSpec, arrays: dict[str, Any]) -> LoggedTask:
    """Without padding, and with actions in the task's units."""
    low, high = spec.bounds
    sizes = spec.observation_dim, spec.action_dim
    arrays["observations"] = arrays["observations"][:, : sizes[0]]
    arrays["next_observations"] = arrays["next_observations"][:, : sizes[0]]
    arrays["actions"] = (high + low) / 2 + (high - low) / 2 * arrays["actions"][:, : sizes[1]]
    return logged(arrays, spec, spec.name)


def _check(tasks: TaskSet) -> None:
    if tasks.images or tasks.choices > 1:
        odd = next(spec.name for spec in tasks if spec.choices > 1 or spec.observation_dim == 0 or tasks.images)
        raise ValueError(f"sets hold vectors and continuous actions, and '{odd}' has images or choices")
