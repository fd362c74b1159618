"""The state of a training run, and how it is saved and brought back exactly."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float32

from polytask import random
from polytask.agents import averaging
from polytask.agents.averaging import PolicyAverage
from polytask.agents.base import Agent
from polytask.online.config import TrainConfig
from polytask.online.episodes import EpisodeRecord
from polytask.replay import Replay, ReturnBounds
from polytask.runs import checkpoint, segments
from polytask.stepping import Stepper
from polytask.tasks import padding
from polytask.tasks.spaces import SetObservations
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import Saved


class Session:
    """Everything that changes while a run trains; `step` counts environment steps per task.

    At every scheduled checkpoint all environments are built anew from (seed, step). Between two of them the actions are
    logged, so that a checkpoint at any other step (an interruption, the end) can be continued by repeating them.
    """

    def __init__(self, config: TrainConfig, tasks: TaskSet, agent: Agent, stepper: Stepper, run: Path) -> None:
        self.config, self.tasks, self.agent, self.stepper, self.run = config, tasks, agent, stepper, run
        self.step = 0
        self.updated = 0  # the step whose update was the last; one ahead of `step` while the simulators work
        self.seconds: dict[str, float] = dict.fromkeys(("simulate", "sample", "update", "evaluate", "checkpoint"), 0.0)
        self.state: Any = None  # until `begin` or `load`
        self.average: PolicyAverage | None = None  # of the policy's weights, from the first update on, if asked for
        file = segments.folder(run) if config.replay_storage == "disk" else None
        sizes = (tasks.observation_dim, tasks.action_width, config.replay_capacity)
        n_step = getattr(config.agent, "n_step", 1)
        steps = None if config.keep else config.steps  # with the source's replay there are more
        self.replay = Replay(len(tasks), *sizes, file, steps, n_step, tasks.discounts, tasks.placed_images)
        self.bounds = ReturnBounds(tasks.discounts, tasks.horizon)
        self.episodes = EpisodeRecord(tasks)
        self.restarts = np.zeros(len(tasks), np.int64)
        self.observations = padding.zeros(tasks, len(tasks))
        self._boundary = 0
        self._sent = np.zeros((len(tasks), tasks.action_width), np.float32)
        self._actions: list[Float32[np.ndarray, "tasks action"]] = []
        self._segments: list[tuple[segments.SegmentRef, np.ndarray]] = []  # with the replay's heads at their end
        self._segments_step = 0
        self._segment_heads = self.replay.head.copy()

    def begin(self) -> None:
        """A fresh agent and first episodes: the simulators start while JAX compiles the initialisers."""
        with ThreadPoolExecutor(1) as thread:
            state = thread.submit(self.agent.init, random.key(self.config.seed, "init"))
            self.start_episodes()
            self.state = state.result()

    def start_episodes(self) -> None:
        """Builds every environment anew; what follows depends on (seed, step) and the actions."""
        self.replay.end_episodes()
        self.bounds.end_episodes()
        self.episodes.end_episodes()
        self._boundary, self._actions = self.step, []
        self.observations = self.stepper.reset(self._environment_seed())

    def keep(self, source: checkpoint.Checkpoint) -> None:
        """Takes over the replay, the bounds of returns and the scores of a source run, whose tasks are the first ones.

        The next checkpoint holds them, so that the source is not needed to go on.
        """
        for ref in source.segments:
            self.replay.load(segments.read_segment(source.run, ref))
        self.replay.end_episodes()
        found = checkpoint.read_arrays(source.path)
        for part, own in (("bounds", self.bounds.state()), ("episodes", self.episodes.state())):
            for name, array in own.items():
                if array.ndim == 1 and not name.startswith("running"):
                    array[: len(found[f"{part}/{name}"])] = found[f"{part}/{name}"]
            (self.bounds if part == "bounds" else self.episodes).load(own)
        self.bounds.end_episodes()

    def fresh(self, found: checkpoint.Checkpoint) -> dict[str, Any]:
        """What a checkpoint of these tasks would hold of a run that has learned nothing; averages as in `found`."""
        self.state = self.agent.init(random.key(self.config.seed, "init"))
        self.average = averaging.start(self.state) if found.counters.get(checkpoint.AVERAGED) else None
        return {name: part for name, part in self._saved().items() if name not in ("observations", "actions")}

    def grow(self, found: checkpoint.Checkpoint, learned: dict[str, Any]) -> None:
        """Goes on from a checkpoint of fewer tasks, which come first here, with what of it was `learned` and what of
        the other tasks is `fresh`. New episodes begin."""
        self.state, self.average = learned["agent"], learned["average"]
        self.bounds.load(learned["bounds"])
        self.episodes.load(learned["episodes"])
        self.restarts = learned["restarts"]
        self._load_replay(found)
        self.step, self.updated = found.step, found.counters.get("updated", found.step)
        self.start_episodes()

    def send(self, actions: Float32[np.ndarray, "tasks action"]) -> None:
        """Starts one step of every task; `receive` ends it."""
        self._sent = actions
        self.stepper.send(actions)

    def receive(self) -> None:
        """Takes the step into the replay and the statistics. Raises TaskFailure; then nothing has changed."""
        actions, result = self._sent, self.stepper.recv()
        valid = ~result.restarted
        self.replay.insert(
            self.observations,
            actions,
            result.rewards,
            result.terminated,
            result.truncated,
            result.next_observations,
            valid,
        )
        bootstrap = getattr(self.config.agent, "truncation_bootstrap", "reward-mean")
        value = self._truncation_value(result.next_observations) if bootstrap == "critic" else None
        self.bounds.update(result.rewards, result.terminated, result.truncated, valid, value)
        self.episodes.update(result)
        self.restarts += result.restarted
        self.observations = result.observations
        self._actions.append(actions)
        self.step += 1

    def saved(self) -> Saved:
        """What a checkpoint of this step holds, its segment of the replay written; ends the running episodes if it is a
        scheduled one."""
        if self.step % self.config.checkpoint_every == 0:
            self.start_episodes()
        if self._segments_step < self.step:
            new = self.replay.since(self._segment_heads)
            ref = segments.write_segment(self.run, self._segments_step, self.step, new)
            self._segments_step, self._segment_heads = self.step, self.replay.head.copy()
            self._segments = [*self._segments, (ref, self._segment_heads)]
            self._segments = [(ref, end) for ref, end in self._segments if not self.replay.overwritten(end)]
        counters = {
            "boundary": self._boundary,
            "actions": len(self._actions),
            "updated": self.updated,
            checkpoint.AVERAGED: self.average is not None,
        }
        return Saved(self._saved(), counters, [ref for ref, _ in self._segments])

    def load(self, found: checkpoint.Checkpoint, warn: Callable[[str], object]) -> None:
        """Takes over a checkpoint and brings the environments to where they were."""
        self._boundary = found.counters["boundary"]
        shape = (len(self.tasks), self.tasks.action_width)
        self._actions = [np.zeros(shape, np.float32)] * found.counters["actions"]
        self.state = eqx.filter_eval_shape(self.agent.init, random.key(self.config.seed, "init"))
        if found.counters.get(checkpoint.AVERAGED):
            self.average = eqx.filter_eval_shape(averaging.start, self.state)
        saved, counters = checkpoint.restore(found.path, self._saved())
        self.state, self._actions = self.agent.place(saved["agent"]), list(saved["actions"])
        self.average = saved["average"] if self.config.policy_average else None
        self.bounds.load(saved["bounds"])
        self.episodes.load(saved["episodes"])
        self.restarts, self.observations = saved["restarts"], saved["observations"]
        self._load_replay(found)
        self.step, self.seconds = found.step, counters["timing"]
        self.updated = counters.get("updated", found.step)  # a checkpoint that lacks it lies between two steps
        self._repeat_actions(warn)

    def _load_replay(self, found: checkpoint.Checkpoint) -> None:
        for ref in found.segments:
            self.replay.load(segments.read_segment(self.run, ref))
            self._segments.append((ref, self.replay.head.copy()))
        self._segments_step, self._segment_heads = found.step, self.replay.head.copy()

    def _repeat_actions(self, warn: Callable[[str], object]) -> None:
        observations = self.stepper.reset(self._environment_seed())
        for actions in self._actions:
            observations = self.stepper.step(actions).observations
        if not all(map(np.array_equal, padding.arrays(observations), padding.arrays(self.observations))):
            warn(
                f"a simulator did not repeat the {len(self._actions):,} steps before the checkpoint (was it restarted, "
                f"or is it random?): new episodes begin, and the run goes on, but not bit for bit"
            )
            self.start_episodes()

    def _environment_seed(self) -> int:
        return random.integer(self.config.seed, "environment", self._boundary)

    def _saved(self) -> dict[str, Any]:
        return {
            "agent": self.state,
            "average": self.average,
            "bounds": self.bounds.state(),
            "episodes": self.episodes.state(),
            "restarts": self.restarts,
            "observations": self.observations,
            "actions": np.array(self._actions, np.float32).reshape(-1, len(self.tasks), self.tasks.action_width),
        }

    def _truncation_value(self, last: SetObservations) -> Callable[[int], float]:
        def value(task: int) -> float:
            key = random.key(self.config.seed, "truncation", self.step)
            ids = np.array([task], np.int32)
            bound = self.bounds.bound
            own = jax.tree.map(lambda leaf: leaf[task : task + 1], last)
            return float(self.agent.values(self.state, own, ids, bound, key)[0])

        return value
