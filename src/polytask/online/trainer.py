"""Online training as `polytask.training` runs it: one seed, or several whose agents are one vmapped program."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from polytask import random
from polytask.agents import averaging
from polytask.agents.affinity import AffinityAverages, fresh_averages
from polytask.agents.averaging import PolicyAverage, acting
from polytask.agents.base import Agent
from polytask.agents.factory import make_agent
from polytask.agents.registry import AGENTS
from polytask.evaluation.rollouts import evaluate
from polytask.online import records, transferring
from polytask.online.config import TrainConfig
from polytask.online.exploration import draw_of
from polytask.online.forgetting import write_forgotten
from polytask.online.memory import check_memory
from polytask.online.session import Session
from polytask.policies.axes import task_axes
from polytask.policies.records import evaluation, latest_scores, norm, shown_scores
from polytask.replay.batch import Batch
from polytask.replay.buffer import balanced_size
from polytask.runs import stacked
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.compilation import CompilingAhead
from polytask.runs.progress import TaskRow
from polytask.runs.timing import timed
from polytask.stepping import Stepper, TaskFailure, make_stepper
from polytask.tasks.registry import resolve
from polytask.tasks.spec import TaskSet
from polytask.training.trainer import Diverged, Record, Saved, TaskAxes, Tick
from polytask.transfer.agents import copied, random_actions

DIAGNOSE_BATCH = 64  # transitions per task behind each logged per-task figure


class OnlineTrainer:
    """Agents that act and learn; `step` counts environment steps per task. A `polytask.training.trainer.Trainer`.

    With several seeds their simulators stand side by side and their states are stacked; each session has its own state
    only when it is due. Raises what `resolve` and `make_stepper` raise, and ValueError for a run that cannot be.
    """

    selects = False
    saves_on: tuple[type[Exception], ...] = (TaskFailure,)

    def __init__(self, config: TrainConfig[Any], runs: Mapping[int, Path]) -> None:
        self.config, self.runs = config, dict(runs)
        self.task_set, self.agent = prepare(config, next(iter(runs.values())))
        if config.mesh and len(runs) > 1:
            raise ValueError("--seeds trains on one device: leave --mesh out, or train one seed at a time")
        self.tasks, self.rate_of = self.task_set.names, len(self.task_set)
        self.task_ids = np.arange(len(self.task_set), dtype=np.int32)
        came = [transferring.joined(config, self.task_set, run) for run in runs.values()]
        self.facts: Sequence[Mapping[str, Any]] = [facts_of(self.task_set, own) for own in came]
        self._random_until = transferring.random_until(config, self.task_set, came[0])
        self.sessions: list[Session] = []  # until `start`
        self.several = len(runs) > 1
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as failing:
            failing.callback(self._stack.close)
            self._steppers = [(self._stepper(seed), self._stepper(seed)) for seed in runs]
            failing.pop_all()

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it; builds the environments, the second time for a run that goes on."""
        self._message = message
        self.compiled = CompilingAhead(dict, ()) if self.several else compiling(self.agent, self.config)
        self._stack.callback(self.compiled.close)
        for i, ((seed, run), (stepper, _)) in enumerate(zip(self.runs.items(), self._steppers, strict=True)):
            config = dataclasses.replace(self.config, seed=seed)
            session = Session(config, self.task_set, self.agent, stepper, run)
            if found:
                which = f"seed {seed}: " if self.several else ""
                session.load(found[i], lambda text, which=which: message(f"warning: {which}{text}"))
            else:
                session.begin()
            self.sessions.append(session)
        self._metrics: list[dict[str, Any]] = [{} for _ in self.sessions]
        self._affinity_averages: list[AffinityAverages | None] = [None] * len(self.sessions)
        self._scores: list[dict[str, float]] = [latest_scores(run) for run in self.runs.values()]
        if self.several:
            message(
                f"{len(self.runs)} seeds as one program; the figures shown are those of seed {next(iter(self.runs))}"
            )
            self._update, self._act, self._follow = self.agent.over_seeds()
            self._stack_up()

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """Networks, targets and temperatures; optimisers begin afresh, and so does the average of the policy.

        Where new tasks begin from another run's networks, as `polytask.transfer` says.
        """
        for i, (session, (_, stepper)) in enumerate(zip(self.sessions, self._steppers, strict=True)):
            names = copied(session.state, self.config.transfer, self.config.keep)
            learned = take(i, {"agent": {name: getattr(session.state, name) for name in names}})["agent"]
            session.state = dataclasses.replace(session.state, **learned)
            if self.config.transfers:
                transferring.begin(session, stepper, self._message)
            session.state = self.agent.place(session.state)
        if self.several:
            self._stack_up()

    @property
    def step(self) -> int:
        """Environment steps per task; all seeds go in lockstep."""
        return self.sessions[0].step if self.sessions else 0

    @property
    def seconds(self) -> list[dict[str, float]]:
        """As the protocol has it."""
        return [session.seconds for session in self.sessions]

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """As the protocol has it."""
        return task_axes(self.sessions[0].state, specs)

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it. Raises TaskFailure, with what was learned until then whole."""
        try:
            while self.step < until:
                self._advance_once()
                every = self.config.affinity_every
                if every and self.step % every == 0:
                    self._measure_affinity()
                if tick(self.step):
                    break
        except TaskFailure as failure:
            self._hand_out()
            raise TaskFailure(failure.task, self.step + 1, failure.reason) from failure
        self._hand_out()

    def metrics(self) -> list[Record | None]:
        """As the protocol has it."""
        return [
            records.metrics(self.agent, session, metrics, self._diagnosed(session))
            for session, metrics in zip(self.sessions, self._metrics, strict=True)
        ]

    def evaluate(self) -> list[Record | None]:
        """Runs the policy's mode in environments of its own."""
        found: list[Record | None] = []
        for i, (session, (_, stepper)) in enumerate(zip(self.sessions, self._steppers, strict=True)):
            state = acting(session.state, session.average)
            episodes = evaluate(
                lambda observations, state=state: np.asarray(self.agent.act(state, observations, self.task_ids, None)),
                stepper,
                self.config.eval_episodes,
                random.integer(session.config.seed, "evaluate", session.step),
            )
            routes = self.agent.routes(state, self._observed(session)) if self.agent.has_routes(state) else ()
            found.append(evaluation(self.task_set, episodes, self.agent.embeddings(state), routes))
            self._scores[i] = shown_scores(found[-1])
        return found

    def affinity(self) -> list[Mapping[str, Any]]:
        """As the protocol has it."""
        found: list[Mapping[str, Any]] = [
            jax.device_get(averages) if averages is not None else {} for averages in self._affinity_averages
        ]
        self._affinity_averages = [None] * len(self.sessions)
        return found

    def faults(self) -> list[str | None]:
        """What is not finite in each seed's losses or weights."""
        return [self._fault(session, metrics) for session, metrics in zip(self.sessions, self._metrics, strict=True)]

    def saved(self) -> list[Saved]:
        """As the protocol has it; at a scheduled checkpoint every running episode ends."""
        return [session.saved() for session in self.sessions]

    def ended(self) -> bool:
        """An agent can always learn more."""
        return False

    def conclude(self) -> None:
        """Says what was forgotten of the tasks of another run that gave its networks, if anything was evaluated."""
        if self.config.transfer == "fit" or self.config.keep or not self.config.eval_every:
            return
        before = self.task_axes(self.facts[0]["specs"])
        for session in self.sessions:
            write_forgotten(session, before, self.task_axes, self._message)

    def rows(self) -> list[TaskRow]:
        """Those of the first seed: success where the task has it, else return."""
        return records.rows(self.sessions[0], self._scores[0])

    def close(self) -> None:
        """Ends the simulators, and the thread that compiles."""
        self._stack.close()

    def _stepper(self, seed: int) -> Stepper:
        stepper = make_stepper(self.task_set, self.config.engine, goal_seed=random.integer(seed, "goals"))
        self._stack.callback(stepper.close)
        return stepper

    def _advance_once(self) -> None:
        """Acts once in every task, and learns from what was seen before while the simulators step.

        Acting and the update are started together, while the update of the step before may still run: so the device has
        work all the time, and only the actions are waited for.
        """
        first = self.sessions[0]
        step = first.step + 1
        random_phase = step < self.config.warmup_steps
        if not random_phase and self.compiled.busy("update"):
            self._message("compiling the agent, which can take a minute")
        at_random = step < self._random_until
        actions = self._warmup_actions(step) if at_random.all() else self._policy_actions(step)
        ready = all(session.replay.counts.all() for session in self.sessions)
        # After a TaskFailure the update of this step has been done already.
        if not random_phase and ready and step > first.updated:
            self._learn(step)
        with timed(first.seconds, "update"):  # a policy's action waits for the update before it
            actions = np.asarray(actions)
        if at_random.any() and not at_random.all():
            actions = np.where(at_random[:, None], self._warmup_actions(step), actions)
        each = actions if self.several else actions[None]
        if not np.isfinite(actions).all():
            self._hand_out()
            bad = next(i for i, own in enumerate(each) if not np.isfinite(own).all())
            raise Diverged(self._fault(self.sessions[bad], self._metrics[bad]) or self._diverged(step, "policy"))
        for session, own in zip(self.sessions, each, strict=True):
            with timed(session.seconds, "simulate"):
                session.send(own)
        for session in self.sessions:
            with timed(session.seconds, "simulate"):
                session.receive()

    def _warmup_actions(self, step: int) -> np.ndarray:
        """Uniform in [-1, 1], and over the task's own choices."""
        seeds = [session.config.seed for session in self.sessions]
        drawn = [random_actions(self.agent, seed, draw_of(self.config.exploration, seed, step)) for seed in seeds]
        return np.stack(drawn) if self.several else drawn[0]

    def _policy_actions(self, step: int) -> Array:
        """Drawn from the policy; not waited for."""
        first = self.sessions[0]
        with timed(first.seconds, "update"):
            self.compiled.wait("act")
            if not self.several:
                key = self._acting_key(first, step)
                return self.agent.act(first.state, first.observations, self.task_ids, key)
            observations = jax.tree.map(lambda *leaves: np.stack(leaves), *(one.observations for one in self.sessions))
            keys = jnp.stack([self._acting_key(session, step) for session in self.sessions])
            return self._act(self._states, observations, self.task_ids, keys)

    def _learn(self, step: int) -> None:
        """Starts the update of a step; whoever needs what it learned, waits for it."""
        first, window = self.sessions[0], self.config.policy_average
        batches = [self._sample(session, step) for session in self.sessions]
        with timed(first.seconds, "update"):
            self.compiled.wait("update")
            if not self.several:
                key = random.key(first.config.seed, "update", step)
                first.state, self._metrics[0] = self.agent.update(first.state, batches[0], first.bounds.bound, key)
                if window:
                    first.average = self.agent.follow(first.average, first.state, window)
            else:
                joined = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
                bounds = np.stack([session.bounds.bound for session in self.sessions])
                self._states, metrics = self._update(self._states, joined, bounds, self._keys("update", step))
                self._metrics = [
                    {name: values[i] for name, values in metrics.items()} for i in range(len(self.sessions))
                ]
                if window:
                    averages = jax.vmap(averaging.start)(self._states) if self._averages is None else self._averages
                    self._averages = self._follow(averages, self._states, jnp.float32(window))
        for session in self.sessions:
            session.updated = step

    def _sample(self, session: Session, step: int) -> Batch:
        """The batches of a step."""
        agent = self.config.agent
        with timed(session.seconds, "sample"):
            generator = random.generator(session.config.seed, "sample", step)
            sizes = (agent.updates_per_step, agent.batch_size, generator)
            if agent.combines:
                return session.replay.sample_balanced(*sizes)
            unsolved = self.config.task_sampling == "unsolved"
            return session.replay.sample(*sizes, session.episodes.shares() if unsolved else None)

    def _acting_key(self, session: Session, step: int) -> Array:
        """The key of a seed's action noise."""
        seed = session.config.seed
        return random.key(seed, "act", draw_of(self.config.exploration, seed, step))

    def _keys(self, purpose: str, step: int) -> Array:
        """Each seed's key, as it would have it alone."""
        return jnp.stack([random.key(session.config.seed, purpose, step) for session in self.sessions])

    def _stack_up(self) -> None:
        """The sessions' states as one; averages only if all have one (a run that kept none may go on)."""
        self._states = stacked.stack(session.state for session in self.sessions)
        averages = [session.average for session in self.sessions]
        known = all(average is not None for average in averages)
        self._averages: PolicyAverage | None = stacked.stack(averages) if known else None

    def _hand_out(self) -> None:
        """Gives every session its own state."""
        if self.several:
            for i, session in enumerate(self.sessions):
                session.state, session.average = stacked.take((self._states, self._averages), jnp.int32(i))

    def _measure_affinity(self) -> None:
        """Measures what the tasks do to each other; training does not notice."""
        self._hand_out()
        for i, session in enumerate(self.sessions):
            if session.step < self.config.warmup_steps or not session.replay.counts.all():
                continue
            with timed(session.seconds, "evaluate"):
                seed, step = session.config.seed, session.step
                batches = session.replay.sample_per_task(DIAGNOSE_BATCH, random.generator(seed, "relate", step))
                before = self._affinity_averages[i] or fresh_averages(len(self.task_set))
                key, bound = random.key(seed, "relate", step), session.bounds.bound
                self._affinity_averages[i] = self.agent.measure_affinity(session.state, batches, bound, key, before)

    def _diagnosed(self, session: Session) -> dict[str, Any]:
        """Figures of each task on transitions drawn for it; none before learning has begun."""
        if session.step < self.config.warmup_steps or not session.replay.counts.all():
            return {}
        seed, step = session.config.seed, session.step
        batches = session.replay.sample_per_task(DIAGNOSE_BATCH, random.generator(seed, "diagnose", step))
        self.compiled.wait("diagnose")
        return self.agent.diagnose(session.state, batches, session.bounds.bound, random.key(seed, "diagnose", step))

    def _observed(self, session: Session) -> Any:
        """Observations of each task, drawn from the replay."""
        draw = random.generator(session.config.seed, "routing", session.step)
        return session.replay.sample_per_task(DIAGNOSE_BATCH, draw).observations

    def _fault(self, session: Session, metrics: Mapping[str, Any]) -> str | None:
        state = session.state
        for name in ("critic_loss", "actor_loss"):
            if not np.isfinite(np.asarray(metrics.get(name, 0.0))).all():
                return self._diverged(session.step, name.replace("_", " "))
        for name, network in (("critic's weights", state.critic), ("actor's weights", state.actor)):
            if not np.isfinite(float(norm(network))):
                return self._diverged(session.step, name)
        return None

    def _diverged(self, step: int, what: str) -> str:
        verb = "are" if what.endswith("weights") else "is"
        return (
            f"diverged at step {step:,}: the {what} {verb} not finite; lower --agent.learning-rate, or look at the "
            f"size of the rewards. The last checkpoint is as it was"
        )


def prepare(config: TrainConfig[Any], run: Path) -> tuple[TaskSet, Agent]:
    """The tasks and the agent, or the error that says why the run cannot be."""
    tasks = transferring.laid_out(config, resolve(config.tasks, config.task), run)
    config.check_horizon(tasks)
    config.check_sampling()
    check_memory(config, tasks, run)
    if AGENTS[config.agent.kind].from_data:
        raise ValueError(
            f"'{config.agent.kind}' learns from logged data: `polytask record RUN` writes some, and "
            f"`polytask train data:FILE --agent.kind {config.agent.kind}` learns from it"
        )
    agent = make_agent(config.agent, tasks, config.mesh)
    if config.affinity_every and not agent.measures_affinity:
        raise ValueError(f"affinity is measured in brc, not in {config.agent.kind}: leave --affinity-every out")
    return tasks, agent


def facts_of(tasks: TaskSet, joined: Mapping[str, int]) -> dict[str, Any]:
    """What config.json says of the tasks: those that the networks were made for, and which came later, if any did."""
    facts = {"specs": [dataclasses.asdict(spec) for spec in tasks]}
    if tasks.layout:
        facts["layout"] = [dataclasses.asdict(spec) for spec in tasks.layout]
    return {**facts, "joined": dict(joined)} if joined else facts


def compiling(agent: Agent, config: TrainConfig[Any]) -> CompilingAhead:
    """What a run will need, compiled in the order in which it will."""
    learns, logs = config.steps >= config.warmup_steps, config.steps >= config.log_every
    names = [name for name, needed in (("act", learns), ("update", learns), ("diagnose", learns and logs)) if needed]
    batch_size = config.agent.batch_size
    if config.agent.combines:
        batch_size = balanced_size(batch_size, len(agent.tasks))
    sizes = {"updates": config.agent.updates_per_step, "batch_size": batch_size}
    key = random.key(config.seed, "init")
    return CompilingAhead(lambda: agent.programs(key, **sizes, diagnosed=DIAGNOSE_BATCH), names)
