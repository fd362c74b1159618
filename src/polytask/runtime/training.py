"""A training from its configuration to its end."""

import contextlib
from pathlib import Path

from polytask import random
from polytask.agents.base import Agent
from polytask.agents.factory import make_agent
from polytask.replay.buffer import balanced_size
from polytask.runtime import checkpoint, provenance
from polytask.runtime.compilation import CompilingAhead
from polytask.runtime.config import MAY_CHANGE, TrainConfig, complete, to_json
from polytask.runtime.folder import RunFolder
from polytask.runtime.loggers import Loggers, make_loggers
from polytask.runtime.loop import DIAGNOSE_BATCH, Loop
from polytask.runtime.progress import Progress
from polytask.runtime.room import check_room
from polytask.runtime.session import Session
from polytask.runtime.stopping import stop_signal
from polytask.stepping import Stepper, make_stepper
from polytask.tasks.registry import resolve
from polytask.tasks.spec import TaskSet


def train(config: TrainConfig, run: Path | str) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    Returns whether the run reached its last step; False after Ctrl-C, with a checkpoint saved. Raises RunFolderError,
    CheckpointError, TaskFailure (after saving a checkpoint), and what `resolve` and `make_stepper` raise.
    """
    run = Path(run)
    tasks, agent = prepare(config, run)
    with contextlib.ExitStack() as stack:
        compiled = stack.enter_context(_compiling(agent, config))
        session, evaluation, folder, warnings = open_session(config, tasks, agent, run, stack)
        found = checkpoint.latest(run, warnings.append)
        start_session(session, folder, found, warnings)
        progress = stack.enter_context(Progress(config.steps, session.step))
        for text in warnings:
            progress.message(f"warning: {text}")
        if found is not None:
            progress.message(f"going on from step {session.step:,}")
        loggers = stack.enter_context(open_loggers(config, tasks, run, session.step if found else None))
        loop = Loop(session, evaluation, loggers, progress, folder, compiled)
        stop = stack.enter_context(stop_signal(progress.message))
        return loop.run(stop)


def prepare(config: TrainConfig, run: Path) -> tuple[TaskSet, Agent]:
    """The tasks and the agent, or the error that says why the run cannot be."""
    tasks = resolve(config.tasks, config.task)
    config.check_horizon(tasks)
    check_room(config, tasks, run)
    agent = make_agent(config.agent, tasks, config.mesh)
    if config.affinity_every and not agent.relates:
        raise ValueError(f"affinity is measured in brc, not in {config.agent.kind}: leave --affinity-every out")
    return tasks, agent


def open_session(
    config: TrainConfig, tasks: TaskSet, agent: Agent, run: Path, stack: contextlib.ExitStack
) -> tuple[Session, Stepper, RunFolder, list[str]]:
    """A session not yet begun, what steps its evaluations, the claimed folder, and warnings; `stack` closes them."""
    # Before the folder is claimed: what cannot be stepped as asked must not leave a run behind.
    goal_seed = random.integer(config.seed, "goals")
    steppers = [make_stepper(tasks, config.engine, goal_seed=goal_seed) for _ in range(2)]
    for stepper in steppers:
        stack.callback(stepper.close)
    folder = stack.enter_context(RunFolder(run))
    folder.claim(to_json(config, tasks), MAY_CHANGE, complete)
    return Session(config, tasks, agent, steppers[0], run), steppers[1], folder, provenance.record(run)


def start_session(
    session: Session, folder: RunFolder, found: checkpoint.Checkpoint | None, warnings: list[str]
) -> None:
    """Begins the session, or goes on from a checkpoint; drops what was logged after it."""
    if found is None:
        session.begin()
    else:
        session.load(found, warnings.append)
    folder.truncate_jsonl(session.step if found else -1)


def open_loggers(config: TrainConfig, tasks: TaskSet, run: Path, resumed_at: int | None) -> Loggers:
    """The loggers that the configuration asks for."""
    return make_loggers(run, to_json(config, tasks), config.tensorboard, config.wandb, resumed_at)


def _compiling(agent: Agent, config: TrainConfig) -> CompilingAhead:
    """What the run will need, in the order in which it will."""
    learns, logs = config.steps >= config.warmup_steps, config.steps >= config.log_every
    names = [name for name, needed in (("act", learns), ("update", learns), ("diagnose", learns and logs)) if needed]
    batch_size = config.agent.batch_size
    if config.agent.combines:
        batch_size = balanced_size(batch_size, len(agent.tasks))
    sizes = {"updates": config.agent.updates_per_step, "batch_size": batch_size}
    key = random.key(config.seed, "init")
    return CompilingAhead(lambda: agent.programs(key, **sizes, diagnosed=DIAGNOSE_BATCH), names)
