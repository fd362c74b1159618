"""Training from logged data as `polytask.training` runs it: one agent, for one seed or several one after another."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from polytask import random
from polytask.agents.factory import make_agent
from polytask.agents.moments import moments_of
from polytask.datasets.facts import facts_of
from polytask.datasets.filling import bounds_of, replay_of
from polytask.datasets.logged import digest
from polytask.datasets.names import load, task_set
from polytask.evaluation.rollouts import evaluate
from polytask.offline.config import OfflineConfig
from polytask.policies.axes import task_axes
from polytask.policies.records import evaluation, latest_scores, norm, shown_scores
from polytask.runs import checkpoint
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.progress import TaskRow
from polytask.runs.timing import timed
from polytask.stepping import Stepper, make_stepper
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import Record, Saved, TaskAxes, Tick

DIAGNOSE_BATCH = 256  # transitions per task behind each logged per-task figure


@dataclasses.dataclass
class _Seed:
    """What one seed has learned, and what it logged last."""

    seed: int
    state: Any
    metrics: dict[str, Any]
    scores: dict[str, float]
    seconds: dict[str, float]


class OfflineTrainer:
    """Agents that learn from sets; `step` counts gradient steps. A `polytask.training.trainer.Trainer`.

    Raises what reading the sets and making the agent raise, and ValueError for a run that cannot be.
    """

    selects = False
    saves_on: tuple[type[Exception], ...] = ()
    rate_of = 1

    def __init__(self, config: OfflineConfig[Any], runs: Mapping[int, Path]) -> None:
        if config.affinity_every:
            raise ValueError("affinity is measured while agents act: leave --affinity-every out")
        self.config, self.runs = config, dict(runs)
        self.logged = load(config.data)
        self.task_set = task_set(self.logged)
        self.agent = make_agent(config.agent, self.task_set)
        self.tasks, self.step = self.task_set.names, 0
        self.simulated = [row for row, task in enumerate(self.logged) if task.simulated]
        specs = [dataclasses.asdict(spec) for spec in self.task_set]
        held = [{"task": t.spec.name, "digest": digest(t), **facts_of(t)._asdict()} for t in self.logged]
        self.facts: Sequence[Mapping[str, Any]] = [{"specs": specs, "logged": held} for _ in runs]
        self.seeds: list[_Seed] = []  # until `start`
        self._stack = contextlib.ExitStack()
        self._steppers: dict[int, Stepper] = {}

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it; fills the replay, which all seeds draw from."""
        self.replay = replay_of(self.logged, self.task_set, getattr(self.config.agent, "n_step", 1))
        self.bound = bounds_of(self.logged, self.task_set).bound
        moments = moments_of([task.observations for task in self.logged], self.task_set.observation_dim)
        for i, (seed, run) in enumerate(self.runs.items()):
            key = random.key(seed, "init")
            seconds: dict[str, float] = dict.fromkeys(("sample", "update", "evaluate", "checkpoint"), 0.0)
            if found:
                like = eqx.filter_eval_shape(self.agent.init, key)
                saved, counters = checkpoint.restore(found[i].path, {"agent": like})
                state, seconds, self.step = saved["agent"], counters["timing"], found[i].step
            else:
                state = self.agent.init(key)
                if getattr(state, "moments", None) is not None:
                    state = dataclasses.replace(state, moments=jax.tree.map(jnp.copy, moments))
            self.seeds.append(_Seed(seed, state, {}, latest_scores(run), seconds))
        if self.config.eval_every and not self.simulated:
            message("no simulator is known of these tasks: nothing is evaluated")

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """Networks, targets and temperatures; optimisers begin afresh."""
        for i, one in enumerate(self.seeds):
            names = [part.name for part in dataclasses.fields(one.state) if "optimiser" not in part.name]
            learned = take(i, {"agent": {name: getattr(one.state, name) for name in names}})["agent"]
            one.state = dataclasses.replace(one.state, **learned)

    @property
    def seconds(self) -> list[dict[str, float]]:
        """As the protocol has it."""
        return [one.seconds for one in self.seeds]

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """The rows and heads that are a task's own."""
        return task_axes(self.seeds[0].state, specs)

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it."""
        while self.step < until:
            steps = min(self.config.stride, until - self.step)
            for one in self.seeds:
                self._learn(one, steps)
            self.step += steps
            if tick(self.step):
                break

    def _learn(self, one: _Seed, steps: int) -> None:
        agent = self.config.agent
        with timed(one.seconds, "sample"):
            draw = self.replay.sample_balanced if agent.combines else self.replay.sample
            batches = draw(steps, agent.batch_size, random.generator(one.seed, "sample", self.step))
        with timed(one.seconds, "update"):
            key = random.key(one.seed, "update", self.step)
            one.state, one.metrics = self.agent.update(one.state, batches, self.bound, key)
            jax.block_until_ready(one.metrics)

    def metrics(self) -> list[Record | None]:
        """As the protocol has it: losses of the last step, and of each task on transitions drawn for it."""
        return [self._record(one) for one in self.seeds]

    def _record(self, one: _Seed) -> Record:
        batches = self.replay.sample_per_task(DIAGNOSE_BATCH, random.generator(one.seed, "diagnose", self.step))
        figures = self.agent.diagnose(one.state, batches, self.bound, random.key(one.seed, "diagnose", self.step))
        named = {
            metric: dict(zip(self.tasks, np.asarray(values).astype(float).tolist(), strict=True))
            for metric, values in figures.items()
        }
        means = {name: float(np.mean(list(named[name].values()))) for name in named if name.endswith("_norm")}
        learned = {name: float(value) for name, value in one.metrics.items() if not np.ndim(value)}
        return {**learned, **means, "parameter_norm": norm(one.state.critic), "task": named}

    def evaluate(self) -> list[Record | None]:
        """Runs the policy's mode in the simulators that are known."""
        if not self.simulated:
            return [None] * len(self.seeds)
        found: list[Record | None] = []
        ids = np.array(self.simulated, np.int32)
        for one in self.seeds:
            stepper = self._simulators(one.seed)
            seed = random.integer(one.seed, "evaluate", self.step)
            episodes = evaluate(
                lambda observations, state=one.state: np.asarray(self.agent.act(state, observations, ids, None)),
                stepper,
                self.config.eval_episodes,
                seed,
            )
            embeddings = self.agent.embeddings(one.state)
            own = None if embeddings is None else embeddings[ids]
            found.append(evaluation(stepper.tasks, episodes, own))
            one.scores = shown_scores(found[-1])
        return found

    def _simulators(self, seed: int) -> Stepper:
        """Those of a seed, built when they are first asked for."""
        if seed not in self._steppers:
            specs = self.task_set.specs
            tasks = TaskSet(tuple(specs[row] for row in self.simulated), layout=specs)  # of the agent's sizes
            made = make_stepper(tasks, self.config.engine, goal_seed=random.integer(seed, "goals"))
            self._stack.callback(made.close)
            self._steppers[seed] = made
        return self._steppers[seed]

    def affinity(self) -> list[Mapping[str, Any]]:
        """None is measured."""
        return []

    def faults(self) -> list[str | None]:
        """What is not finite in each seed's losses or weights."""
        return [self._fault(one) for one in self.seeds]

    def _fault(self, one: _Seed) -> str | None:
        wrong = [name for name, value in one.metrics.items() if not np.isfinite(np.asarray(value)).all()]
        parts = {"critic": one.state.critic, "actor": one.state.actor}
        wrong += [f"{name}'s weights" for name, part in parts.items() if not np.isfinite(norm(part))]
        if not wrong:
            return None
        return (
            f"diverged at step {self.step:,}: {' and '.join(wrong)} not finite; lower --agent.learning-rate, or look "
            "at the size of the rewards. The last checkpoint is as it was"
        )

    def saved(self) -> list[Saved]:
        """As the protocol has it."""
        return [Saved({"agent": one.state}, {}) for one in self.seeds]

    def ended(self) -> bool:
        """An agent can always learn more."""
        return False

    def conclude(self) -> None:
        """Nothing is left to be said."""

    def rows(self) -> list[TaskRow]:
        """Those of the first seed: success where the task has it, else return."""
        scores = self.seeds[0].scores
        return [
            TaskRow(spec.name, "success" if spec.success != "none" else "return", scores.get(spec.name), None, 0)
            for spec in self.task_set
        ]

    def close(self) -> None:
        """Ends the simulators."""
        self._stack.close()
