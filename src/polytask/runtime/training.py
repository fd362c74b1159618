"""The training loop."""

import contextlib
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optax

from polytask import random
from polytask.agents.factory import make_agent
from polytask.evaluation.rollouts import Episodes, evaluate
from polytask.runtime import checkpoint, provenance
from polytask.runtime.config import MAY_CHANGE, TrainConfig, to_json
from polytask.runtime.folder import RunFolder
from polytask.runtime.loggers import JsonlLogger, Loggers, TensorBoardLogger, WandbLogger
from polytask.runtime.progress import Progress, TaskRow
from polytask.runtime.session import Session
from polytask.stepping import TaskFailure, make_stepper
from polytask.tasks.registry import resolve
from polytask.tasks.spec import TaskSet

DIAGNOSE_BATCH = 64  # transitions per task behind each logged per-task figure


def train(config: TrainConfig, run: Path | str) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    Returns whether the run reached its last step; False after Ctrl-C, with a checkpoint saved. Raises RunFolderError,
    CheckpointError, TaskFailure (after saving a checkpoint), and what `resolve` and `make_stepper` raise.
    """
    run = Path(run)
    tasks = resolve(config.tasks, config.task)
    config.check_horizon(tasks)
    with contextlib.ExitStack() as stack:
        # Before the folder is claimed: what cannot be stepped as asked must not leave a run behind.
        goal_seed = random.integer(config.seed, "goals")
        steppers = [make_stepper(tasks, config.engine, goal_seed=goal_seed) for _ in range(2)]
        for stepper in steppers:
            stack.callback(stepper.close)
        folder = stack.enter_context(RunFolder(run))
        existed = folder.claim(to_json(config, tasks), MAY_CHANGE)
        warnings = provenance.record(run)
        session = Session(config, tasks, make_agent(config.agent, tasks), steppers[0], run)
        found = checkpoint.latest(run, warnings.append) if existed else None
        if found is None:
            session.start_episodes()
        else:
            session.load(found, warnings.append)
        folder.truncate_jsonl(session.step if found else -1)
        progress = stack.enter_context(Progress(config.steps, session.step))
        for text in warnings:
            progress.message(f"warning: {text}")
        if found is not None:
            progress.message(f"going on from step {session.step:,}")
        loggers = stack.enter_context(_loggers(config, tasks, run, session.step if found else None))
        loop = Loop(session, steppers[1], loggers, progress, folder)
        stop = stack.enter_context(_stop_signal(progress.message))
        return loop.run(stop)


class Loop:
    """One step after another, with what happens in between."""

    def __init__(
        self, session: Session, evaluation_stepper: Any, loggers: Loggers, progress: Progress, folder: RunFolder
    ) -> None:
        self.session, self.evaluation_stepper = session, evaluation_stepper
        self.loggers, self.progress = loggers, progress
        self.config, self.tasks, self.agent = session.config, session.tasks, session.agent
        self.task_ids = np.arange(len(self.tasks), dtype=np.int32)
        self.metrics: dict[str, Any] = {}
        self.evaluated = _latest_scores(folder.read_evaluations())
        self.mark = (time.monotonic(), session.step)
        self.shown, self.rate = self.mark[0], 0.0

    def run(self, stop: Callable[[], bool]) -> bool:
        """Trains to the last step; False if `stop` said so before. A checkpoint is saved in either case."""
        config, session = self.config, self.session
        try:
            while session.step < config.steps and not stop():
                self.advance()
                self.show()
                if session.step % config.log_every == 0:
                    self.log()
                if config.eval_every and session.step % config.eval_every == 0:
                    self.evaluate()
                if session.step % config.checkpoint_every == 0:
                    with self.timed("checkpoint"):
                        session.save()
        except TaskFailure as failure:
            session.save()
            raise TaskFailure(failure.task, session.step + 1, failure.reason) from failure
        if session.step % config.checkpoint_every:
            session.save()
        return session.step >= config.steps

    def advance(self) -> None:
        """Acts once in every task, then learns."""
        config, session = self.config, self.session
        step = session.step + 1
        random_phase = step < config.warmup_steps
        with self.timed("update"):  # a policy's action waits for the update before it
            actions = self.warmup_actions(step) if random_phase else self.policy_actions(step)
        with self.timed("simulate"):
            session.simulate(actions)
        if random_phase:
            return
        if not self.metrics:
            self.progress.message("compiling the agent, which can take a minute")
        with self.timed("sample"):
            generator = random.generator(config.seed, "sample", step)
            batches = session.replay.sample(config.agent.updates_per_step, config.agent.batch_size, generator)
        with self.timed("update"):
            key = random.key(config.seed, "update", step)
            session.state, self.metrics = self.agent.update(session.state, batches, session.bounds.bound, key)

    def warmup_actions(self, step: int) -> np.ndarray:
        """Uniform in [-1, 1]."""
        mask = np.asarray(self.agent.facts.action_mask)
        uniform = random.generator(self.config.seed, "warmup", step).uniform(-1, 1, mask.shape)
        return (uniform * mask).astype(np.float32)

    def policy_actions(self, step: int) -> np.ndarray:
        """Drawn from the policy."""
        key = random.key(self.config.seed, "act", step)
        return np.asarray(self.agent.act(self.session.state, self.session.observations, self.task_ids, key))

    def show(self) -> None:
        """Lets the display move about once a second, however far apart the logs are."""
        now = time.monotonic()
        if now - max(self.shown, self.mark[0]) >= 1:
            self.shown = now
            self.rate = (self.session.step - self.mark[1]) * len(self.tasks) / (now - self.mark[0])
            self.progress.update(self.session.step, self.rate)

    def log(self) -> None:
        """Writes one record of metrics and refreshes the display."""
        session, now = self.session, time.monotonic()
        rate = (session.step - self.mark[1]) * len(self.tasks) / max(now - self.mark[0], 1e-9)
        self.mark, self.rate = (now, session.step), rate
        record = {
            "step": session.step,
            "seconds": sum(session.seconds.values()),
            "steps_per_second": rate,
            **{name: float(value) for name, value in self.metrics.items()},
            "parameter_norm": float(optax.tree.norm(session.state.critic)),
            "task": self.task_metrics(),
            "replay_transitions": session.replay.transitions,
            "replay_bytes": session.replay.nbytes,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts KiB
            "time": dict(session.seconds),
        }
        norms = record["task"]
        for name in ("critic_gradient_norm", "actor_gradient_norm"):
            if name in norms:
                record[name] = float(np.mean(list(norms[name].values())))
        self.loggers.metrics(record)
        self.progress.update(session.step, rate, self.rows())

    def task_metrics(self) -> dict[str, dict[str, float]]:
        """Every figure that is known per task."""
        session = self.session
        figures = {
            "episode_return": session.episodes.last_return,
            "return_bound": session.bounds.bound,
            "restarts": session.restarts,
        }
        if session.step >= self.config.warmup_steps:
            generator = random.generator(self.config.seed, "diagnose", session.step)
            batches = session.replay.sample_per_task(DIAGNOSE_BATCH, generator)
            key = random.key(self.config.seed, "diagnose", session.step)
            figures |= self.agent.diagnose(session.state, batches, session.bounds.bound, key)
        named = {
            metric: {name: float(value) for name, value in zip(self.tasks.names, np.asarray(values), strict=True)}
            for metric, values in figures.items()
        }
        successes = zip(self.tasks, session.episodes.last_success, strict=True)
        named["episode_success"] = {spec.name: float(s) for spec, s in successes if spec.success != "none"}
        return named

    def evaluate(self) -> None:
        """Evaluates the policy's mode in environments of its own; training does not notice."""
        session, config = self.session, self.config
        with self.timed("evaluate"):
            state = session.state
            episodes = evaluate(
                lambda observations: np.asarray(self.agent.act(state, observations, self.task_ids, None)),
                self.evaluation_stepper,
                config.eval_episodes,
                random.integer(config.seed, "evaluate", session.step),
            )
        record = evaluation_record(self.tasks, episodes)
        embeddings = self.agent.embeddings(session.state)
        if embeddings is not None:
            record["embedding"] = dict(zip(self.tasks.names, np.asarray(embeddings).tolist(), strict=True))
        record = {"step": session.step, "seconds": sum(session.seconds.values()), **record}
        self.loggers.evaluation(record)
        self.evaluated = _latest_scores([record])
        self.progress.update(session.step, self.rate, self.rows())
        self.mark = (time.monotonic(), session.step)

    def rows(self) -> list[TaskRow]:
        """The display's rows: success where the task has it, else return."""
        episodes, rows = self.session.episodes, []
        for i, spec in enumerate(self.tasks):
            kind = "success" if spec.success != "none" else "return"
            latest = episodes.last_success[i] if kind == "success" else episodes.last_return[i]
            training = None if np.isnan(latest) else float(latest)
            rows.append(
                TaskRow(spec.name, kind, self.evaluated.get(spec.name), training, int(self.session.restarts[i]))
            )
        return rows

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the time of its body to the run's accounts."""
        begin = time.monotonic()
        yield
        self.session.seconds[what] += time.monotonic() - begin


def evaluation_record(tasks: TaskSet, episodes: Episodes) -> dict[str, Any]:
    """Episodes in the form of evaluations.jsonl; success only for tasks that have it."""
    figures: dict[str, dict[str, Any]] = {
        "return": dict(zip(tasks.names, episodes.returns.tolist(), strict=True)),
        "length": dict(zip(tasks.names, episodes.lengths.tolist(), strict=True)),
        "success": {
            spec.name: row.astype(int).tolist()
            for spec, row in zip(tasks, episodes.successes, strict=True)
            if spec.success != "none"
        },
    }
    return {"episodes": episodes.returns.shape[1], "task": figures}


def _latest_scores(evaluations: list[dict[str, Any]]) -> dict[str, float]:
    """Each task's mean success, or mean return where it has none, in the last evaluation."""
    if not evaluations:
        return {}
    figures = evaluations[-1]["task"]
    return {name: float(np.mean(values)) for name, values in {**figures["return"], **figures["success"]}.items()}


def _loggers(config: TrainConfig, tasks: TaskSet, run: Path, resumed_at: int | None) -> Loggers:
    loggers: list[Any] = [JsonlLogger(run)]
    if config.tensorboard:
        loggers.append(TensorBoardLogger(run, resumed_at))
    if config.wandb:
        loggers.append(WandbLogger(run, to_json(config, tasks)))
    return Loggers(loggers)


@contextlib.contextmanager
def _stop_signal(announce: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop at the end of the step; a second one acts as usual."""
    asked = False
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])
        announce("stopping after this step, with a checkpoint; Ctrl-C again stops at once, without one")

    for number in signals:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
