"""The stepper over one or several engines: padding, stacks of frames, rescaling, named seeds, what to do when a task
fails."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from polytask import random
from polytask.stepping.base import Engine, Faults, StepResult, TaskFailure, Transition
from polytask.tasks import padding
from polytask.tasks.registry import goal_environment_seed
from polytask.tasks.spaces import Choices, SetObservations
from polytask.tasks.spec import TaskSet

MAX_RESTARTS = 3
"""More restarts of one task than this, within RESTART_WINDOW vector steps, are a failure."""
RESTART_WINDOW = 1000
_REMEDY = "an environment has to give finite numbers: end the episode (terminated) where its simulation breaks down"


class EngineStepper:
    """A Stepper (see `polytask.stepping.base`) over the engines that together serve all tasks of `tasks`.

    All engines get their actions before the first is waited for.
    """

    def __init__(self, tasks: TaskSet, engines: Sequence[Engine], goal_seed: int) -> None:
        self.tasks = tasks
        self.restarts = np.zeros(len(tasks), np.int64)
        self._engines = tuple(engines)
        self._goal_seed = goal_seed
        self._recent = [deque[int]() for _ in tasks]
        self._counters = np.zeros(len(tasks), np.int64)
        self._seed = 0
        self._step = 0
        self._total = 0
        low, high = np.zeros((2, len(tasks), tasks.action_dim), np.float32)
        for row, spec in enumerate(tasks):
            low[row, : spec.action_dim], high[row, : spec.action_dim] = spec.bounds
        self._centre, self._half = (high + low) / 2, (high - low) / 2
        self._choices = np.array([spec.choices for spec in tasks])
        self._seen: list[Any] = [None] * len(tasks)  # each task's observation, with whole stacks

    def _environment_seed(self, row: int) -> int:
        """The seed of a task's environment: of its own name, so that the other tasks have no say in it."""
        spec = self.tasks.specs[row]
        if spec.goals == "fixed":
            return goal_environment_seed(spec, self._goal_seed)
        return random.integer(self._seed, f"environment/{spec.name}", int(self._counters[row]))

    def reset(self, seed: int) -> SetObservations:
        self._seed, self._step = seed, 0
        self._counters[:] = 0
        observations = padding.zeros(self.tasks, len(self.tasks))
        for engine in self._engines:
            firsts, faults = engine.start({row: self._environment_seed(row) for row in engine.rows})
            for row, reason in faults.items():
                raise TaskFailure(self.tasks.names[row], 0, f"its environment could not be started: {reason}")
            self._begin(firsts, observations)
        self._check_finite(padding.arrays(observations)[0], "observation")
        return observations

    def _begin(self, firsts: Mapping[int, Any], out: SetObservations) -> None:
        """Takes in the first observations of episodes."""
        for row, first in firsts.items():
            self._seen[row] = padding.stacked(self.tasks.specs[row].observation, first)
            padding.write(self.tasks, row, self._seen[row], out, row)

    def send(self, actions: Float32[np.ndarray, "tasks actions"]) -> None:
        wanted = (len(self.tasks), self.tasks.action_width)
        if np.shape(actions) != wanted:
            raise ValueError(f"actions of these {len(self.tasks)} tasks have shape {wanted}, not {np.shape(actions)}")
        if not np.isfinite(actions).all():
            names = ", ".join(
                name for name, row in zip(self.tasks.names, actions, strict=True) if not np.isfinite(row).all()
            )
            raise ValueError(f"the agent's actions are not finite for: {names}")
        continuous = actions[:, : self.tasks.action_dim]
        own_units = self._centre + self._half * np.clip(np.asarray(continuous, np.float32), -1.0, 1.0)
        own: list[Any] = [own_units[row, : spec.action_dim] for row, spec in enumerate(self.tasks)]
        if self.tasks.choices > 1:
            for row, index in enumerate(self._chosen(actions[:, -1])):
                action = self.tasks.specs[row].action
                if isinstance(action, Choices):
                    own[row] = action.at(index)
        for engine in self._engines:
            engine.send(own)

    def _chosen(self, choices: Float32[np.ndarray, " tasks"]) -> Int[np.ndarray, " tasks"]:
        chosen = choices.astype(np.int64)
        wrong = (chosen != choices) | (chosen < 0) | (chosen >= self._choices)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"the agent's choice for {self.tasks.names[row]} is {choices[row]:g}; it has to be a whole number from "
                f"0 to {self._choices[row] - 1}"
            )
        return chosen

    def recv(self) -> StepResult:
        self._step += 1
        self._total += 1
        out = StepResult.zeros(self.tasks)
        faults: dict[int, str] = {}
        for engine in self._engines:
            transitions, failed = engine.recv()
            faults.update(failed)
            for row, transition in transitions.items():
                self._write(row, transition, out)
        self._check_finite(out.rewards, "reward")
        self._check_finite(padding.arrays(out.next_observations)[0], "observation")
        while faults:
            faults = self._restart(faults, out)
        self._check_finite(padding.arrays(out.observations)[0], "observation after a reset")
        return out

    def _write(self, row: int, transition: Transition, out: StepResult) -> None:
        space, (first, following, *facts) = self.tasks.specs[row].observation, transition
        self._seen[row] = padding.stacked(space, following, self._seen[row])
        padding.write(self.tasks, row, self._seen[row], out.next_observations, row)
        out.rewards[row], out.terminated[row], out.truncated[row], out.success[row] = facts
        if transition.terminated or transition.truncated:
            self._seen[row] = padding.stacked(space, first)
        padding.write(self.tasks, row, self._seen[row], out.observations, row)

    def step(self, actions: Float32[np.ndarray, "tasks actions"]) -> StepResult:
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        for engine in self._engines:
            engine.close()

    def _restart(self, faults: Faults, out: StepResult) -> dict[int, str]:
        """Starts the environments of the failed rows anew, and voids their transitions; returns what failed again."""
        for row, reason in faults.items():
            self._count_restart(row, reason)
            for array in (*padding.arrays(out.observations), *padding.arrays(out.next_observations), *out[2:-1]):
                array[row] = 0
            out.restarted[row] = True
        again: dict[int, str] = {}
        for engine in self._engines:
            seeds = {row: self._environment_seed(row) for row in faults if row in engine.rows}
            if seeds:
                firsts, failed = engine.start(seeds)
                self._begin(firsts, out.observations)
                again.update(failed)
        return again

    def _count_restart(self, row: int, reason: str) -> None:
        self._counters[row] += 1
        self.restarts[row] += 1
        recent = self._recent[row]
        recent.append(self._total)
        while recent[0] <= self._total - RESTART_WINDOW:
            recent.popleft()
        if len(recent) > MAX_RESTARTS:
            times = f"{len(recent)} times in the last {RESTART_WINDOW} steps"
            raise TaskFailure(self.tasks.names[row], self._step, f"its environment failed {times}; lastly: {reason}")

    def _check_finite(self, values: np.ndarray, what: str) -> None:
        if np.isfinite(values).all():
            return
        rows, entries = np.nonzero(~np.isfinite(values.reshape(len(self.tasks), -1)))
        row = int(rows[0])
        where = "" if values.ndim == 1 else f" in entries {entries[rows == row].tolist()}"
        found = values[row] if values.ndim == 1 else values[row, entries[0]]
        raise TaskFailure(self.tasks.names[row], self._step, f"its {what} is not finite ({found}{where}); {_REMEDY}")
