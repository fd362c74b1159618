"""Several seeds in one process: their simulators side by side, their agents as one vmapped program."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console

from polytask import random
from polytask.agents.averaging import PolicyAverage, start
from polytask.agents.base import Agent
from polytask.runtime import checkpoint, stacked
from polytask.runtime.config import TrainConfig
from polytask.runtime.loop import Loop
from polytask.runtime.progress import Progress
from polytask.runtime.stopping import stop_signal
from polytask.runtime.timing import timed
from polytask.runtime.training import open_loggers, open_session, prepare, start_session
from polytask.stepping import TaskFailure


def train_seeds(config: TrainConfig, runs: Mapping[int, Path]) -> bool:
    """Trains a run for each seed (`runs`: seed to folder), all in lockstep; `config.seed` is not looked at.

    Each folder is a run like any other, which can go on alone: what it learns is what its seed learns alone, but for
    the order in which float32 numbers are summed. The display shows the first. Returns and raises as `train`; also
    StorageError where the runs stand at different steps.
    """
    first = next(iter(runs.values()))
    tasks, agent = prepare(config, first)
    with contextlib.ExitStack() as stack:
        opened, found, texts = [], [], []
        for seed, run in runs.items():
            seeded = dataclasses.replace(config, seed=seed)
            session, evaluation, folder, warnings = open_session(seeded, tasks, agent, run, stack)
            found.append(checkpoint.latest(run, warnings.append))
            opened.append((session, evaluation, folder))
            texts.append(warnings)
        found = checkpoint.common(list(runs.values()), found)
        for (session, _, folder), point, warnings in zip(opened, found, texts, strict=True):
            start_session(session, folder, point, warnings)
        start = opened[0][0].step
        shown = stack.enter_context(Progress(config.steps, start))
        shown.message(f"{len(runs)} seeds as one program; the figures shown are those of seed {next(iter(runs))}")
        loops = []
        for (session, evaluation, folder), warnings in zip(opened, texts, strict=True):
            for text in warnings:
                shown.message(f"warning: seed {session.config.seed}: {text}")
            loggers = open_loggers(session.config, tasks, session.run, start if found[0] else None)
            progress = shown if not loops else Progress(config.steps, start, Console(quiet=True))
            loops.append(Loop(session, evaluation, stack.enter_context(loggers), progress, folder))
        if found[0] is not None:
            shown.message(f"going on from step {start:,}")
        stop = stack.enter_context(stop_signal(shown.message))
        return _Group(agent, loops).run(stop)


class _Group:
    """Loops that act, learn and step together; the stacked states are here, each session's own only when it is due."""

    def __init__(self, agent: Agent, loops: list[Loop]) -> None:
        self.agent, self.loops = agent, loops
        self.sessions = [loop.session for loop in loops]
        self.states = stacked.stack(session.state for session in self.sessions)
        self.update, self.act, self.follow = agent.over_seeds()
        self.averages = self.stacked_averages()

    def run(self, stop: Callable[[], bool]) -> bool:
        """As `Loop.run`, for all of them."""
        config = self.sessions[0].config
        try:
            while self.sessions[0].step < config.steps and not stop():
                self.advance()
                if self.loops[0].looks():
                    self.hand_out()
                for loop in self.loops:
                    loop.after_step()
        except TaskFailure as failure:
            self.hand_out()
            for session in self.sessions:
                session.save()
            raise TaskFailure(failure.task, self.sessions[0].step + 1, failure.reason) from failure
        self.hand_out()
        for loop in self.loops:
            loop.conclude()
        if self.sessions[0].step % config.checkpoint_every:
            for loop in self.loops:
                loop.check_finite()
            for session in self.sessions:
                session.save()
        return self.sessions[0].step >= config.steps

    def advance(self) -> None:
        """As `Loop.advance`, for all of them; no simulator is asked for its step before all have been set off."""
        step = self.sessions[0].step + 1
        random_phase = step < self.sessions[0].config.warmup_steps
        actions = self.actions(step, random_phase)
        ready = all(session.replay.counts.all() for session in self.sessions)
        if not random_phase and ready and step > self.sessions[0].updated:
            self.learn(step)
        actions = np.asarray(actions)
        if not np.isfinite(actions).all():
            self.hand_out()
            for loop, own in zip(self.loops, actions, strict=True):
                if not np.isfinite(own).all():
                    loop.check_finite()
                    raise loop.diverged("policy")
        for loop, own in zip(self.loops, actions, strict=True):
            loop.session.send(own)
        for loop in self.loops:
            with timed(loop.session.seconds, "simulate"):
                loop.session.receive()

    def actions(self, step: int, random_phase: bool) -> Array | np.ndarray:
        """Each seed's, along the leading axis; the policies' are not waited for."""
        if random_phase:
            return np.stack([loop.warmup_actions(step) for loop in self.loops])
        observations = np.stack([session.observations for session in self.sessions])
        keys = self.keys("act", step)
        return self.act(self.states, observations, self.loops[0].task_ids, keys)

    def learn(self, step: int) -> None:
        """As `Loop.learn`, for all of them."""
        batches = jax.tree.map(lambda *leaves: np.stack(leaves), *(loop.sample(step) for loop in self.loops))
        bounds = np.stack([session.bounds.bound for session in self.sessions])
        self.states, metrics = self.update(self.states, batches, bounds, self.keys("update", step))
        for i, loop in enumerate(self.loops):
            loop.metrics = {name: values[i] for name, values in metrics.items()}
            loop.session.updated = step
        window = self.sessions[0].config.policy_average
        if window:
            averages = jax.vmap(start)(self.states) if self.averages is None else self.averages
            self.averages = self.follow(averages, self.states, jnp.float32(window))

    def keys(self, purpose: str, step: int) -> jax.Array:
        """Each seed's key, as it would have it alone."""
        return jnp.stack([random.key(session.config.seed, purpose, step) for session in self.sessions])

    def stacked_averages(self) -> PolicyAverage | None:
        """Those of all sessions, or None if any has none yet (it was resumed from a run that kept none)."""
        averages = [session.average for session in self.sessions]
        if any(average is None for average in averages):
            return None
        return stacked.stack(averages)

    def hand_out(self) -> None:
        """Gives every session its own state."""
        for i, session in enumerate(self.sessions):
            session.state, session.average = stacked.take((self.states, self.averages), jnp.int32(i))
