"""The loop of a training: one step after another, with what happens in between."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from polytask import random
from polytask.agents.averaging import acting
from polytask.agents.relations import Relations, fresh_relations
from polytask.evaluation.rollouts import Episodes, evaluate
from polytask.replay.batch import Batch
from polytask.runtime.affinity_log import AffinityLog
from polytask.runtime.compilation import CompilingAhead
from polytask.runtime.folder import RunFolder
from polytask.runtime.loggers import Loggers
from polytask.runtime.progress import Progress, TaskRow
from polytask.runtime.room import peak_memory
from polytask.runtime.session import Session
from polytask.runtime.timing import timed
from polytask.stepping import TaskFailure
from polytask.tasks.spec import TaskSet

DIAGNOSE_BATCH = 64  # transitions per task behind each logged per-task figure


class Loop:
    """One step after another, with what happens in between."""

    def __init__(
        self,
        session: Session,
        evaluation_stepper: Any,
        loggers: Loggers,
        progress: Progress,
        folder: RunFolder,
        compiled: CompilingAhead | None = None,
    ) -> None:
        self.session, self.evaluation_stepper = session, evaluation_stepper
        self.loggers, self.progress = loggers, progress
        self.compiled = compiled or CompilingAhead(dict, ())
        self.config, self.tasks, self.agent = session.config, session.tasks, session.agent
        self.task_ids = np.arange(len(self.tasks), dtype=np.int32)
        self.metrics: dict[str, Any] = {}
        self.relations: Relations | None = None  # since the last log
        self.evaluated = _latest_scores(folder.read_evaluations())
        self.started = session.step
        self.mark = (time.monotonic(), session.step)
        self.shown, self.rate = self.mark[0], 0.0

    def run(self, stop: Callable[[], bool]) -> bool:
        """Trains to the last step; False if `stop` said so before. A checkpoint is saved in either case."""
        config, session = self.config, self.session
        try:
            while session.step < config.steps and not stop():
                self.advance()
                self.after_step()
        except TaskFailure as failure:
            session.save()
            raise TaskFailure(failure.task, session.step + 1, failure.reason) from failure
        self.conclude()
        if session.step % config.checkpoint_every:
            self.check_finite()
            session.save()
        return session.step >= config.steps

    def conclude(self) -> None:
        """What every run ends with, whatever its length: a line of metrics, and an evaluation unless there are none."""
        config, step = self.config, self.session.step
        if step >= config.steps and self.started < step:
            if step % config.log_every:
                self.log()
            if config.eval_every and step % config.eval_every:
                self.evaluate()

    def check_finite(self) -> None:
        """Raises FloatingPointError, saying what is not finite, before that could reach a checkpoint."""
        state = self.session.state
        for name in ("critic_loss", "actor_loss"):
            if not np.isfinite(np.asarray(self.metrics.get(name, 0.0))).all():
                raise self.diverged(name.replace("_", " "))
        for name, network in (("critic's weights", state.critic), ("actor's weights", state.actor)):
            if not np.isfinite(float(optax.tree.norm(network))):
                raise self.diverged(name)

    def diverged(self, what: str) -> FloatingPointError:
        """The error about something that is not finite."""
        verb = "are" if what.endswith("weights") else "is"
        return FloatingPointError(
            f"diverged at step {self.session.step:,}: the {what} {verb} not finite; "
            f"lower --agent.learning-rate, or look at the size of the rewards. The last checkpoint is as it was"
        )

    def looks(self) -> bool:
        """Whether `after_step` looks at the state at this step."""
        config = self.config
        due = (config.affinity_every, config.log_every, config.eval_every, config.checkpoint_every)
        return any(every and self.session.step % every == 0 for every in due)

    def after_step(self) -> None:
        """Shows, logs, evaluates and saves where it is time to."""
        config, session = self.config, self.session
        self.show()
        if config.affinity_every and session.step % config.affinity_every == 0:
            self.relate()
        if session.step % config.log_every == 0:
            self.log()
        if config.eval_every and session.step % config.eval_every == 0:
            self.evaluate()
        if session.step % config.checkpoint_every == 0:
            self.check_finite()
            with timed(self.session.seconds, "checkpoint"):
                session.save()

    def advance(self) -> None:
        """Acts once in every task, and learns from what was seen before while the simulators step.

        Acting and the update are set off together, while the update of the step before may still run: so the device
        has work all the time, and only the actions are waited for.
        """
        session = self.session
        step = session.step + 1
        random_phase = step < self.config.warmup_steps
        if not random_phase and self.compiled.busy("update"):
            self.progress.message("compiling the agent, which can take a minute")
        actions = self.warmup_actions(step) if random_phase else self.policy_actions(step)
        # After a TaskFailure the update of this step has been done already.
        if not random_phase and step > session.updated and session.replay.counts.all():
            self.learn(step)
        with timed(self.session.seconds, "update"):  # a policy's action waits for the update before it
            actions = np.asarray(actions)
        if not np.isfinite(actions).all():
            self.check_finite()
            raise self.diverged("policy")
        with timed(self.session.seconds, "simulate"):
            session.send(actions)
            session.receive()

    def learn(self, step: int) -> None:
        """Sets off the update of a step; whoever needs what it learned, waits for it."""
        session = self.session
        batches = self.sample(step)
        with timed(self.session.seconds, "update"):
            self.compiled.wait("update")
            key = random.key(self.config.seed, "update", step)
            session.state, self.metrics = self.agent.update(session.state, batches, session.bounds.bound, key)
            session.updated = step
            if self.config.policy_average:
                session.average = self.agent.follow(session.average, session.state, self.config.policy_average)

    def sample(self, step: int) -> Batch:
        """The batches of a step."""
        agent, replay = self.config.agent, self.session.replay
        with timed(self.session.seconds, "sample"):
            generator = random.generator(self.config.seed, "sample", step)
            sample = replay.sample_balanced if agent.combines else replay.sample
            return sample(agent.updates_per_step, agent.batch_size, generator)

    def warmup_actions(self, step: int) -> np.ndarray:
        """Uniform in [-1, 1]."""
        mask = np.asarray(self.agent.facts.action_mask)
        uniform = random.generator(self.config.seed, "warmup", step).uniform(-1, 1, mask.shape)
        return (uniform * mask).astype(np.float32)

    def policy_actions(self, step: int) -> jax.Array:
        """Drawn from the policy; not waited for."""
        with timed(self.session.seconds, "update"):
            self.compiled.wait("act")
            key = random.key(self.config.seed, "act", step)
            return self.agent.act(self.session.state, self.session.observations, self.task_ids, key)

    def show(self) -> None:
        """Lets the display move about once a second, however far apart the logs are."""
        now = time.monotonic()
        if now - max(self.shown, self.mark[0]) >= 1:
            self.shown = now
            self.rate = (self.session.step - self.mark[1]) * len(self.tasks) / (now - self.mark[0])
            self.progress.update(self.session.step, self.rate)

    def relate(self) -> None:
        """Measures what the tasks do to each other; training does not notice."""
        session = self.session
        if session.step < self.config.warmup_steps or not session.replay.counts.all():
            return
        with timed(self.session.seconds, "evaluate"):
            batches = session.replay.sample_per_task(
                DIAGNOSE_BATCH, random.generator(self.config.seed, "relate", session.step)
            )
            key = random.key(self.config.seed, "relate", session.step)
            relations = self.relations or fresh_relations(len(self.tasks))
            self.relations = self.agent.relate(session.state, batches, session.bounds.bound, key, relations)

    def write_relations(self) -> None:
        """Ends a period of measurements."""
        if self.relations is not None:
            period = (self.session.step - self.config.log_every, self.session.step)
            with AffinityLog(self.session.run) as log:
                for part, averages in jax.device_get(self.relations).items():
                    log.period(period, averages, self.tasks.names, part)
            self.relations = None

    def log(self) -> None:
        """Writes one record of metrics and refreshes the display."""
        session, now = self.session, time.monotonic()
        rate = (session.step - self.mark[1]) * len(self.tasks) / max(now - self.mark[0], 1e-9)
        self.mark, self.rate = (now, session.step), rate
        record = {
            "step": session.step,
            "seconds": sum(session.seconds.values()),
            "steps_per_second": rate,
            **{name: float(value) for name, value in self.metrics.items() if not np.ndim(value)},
            "parameter_norm": float(optax.tree.norm(session.state.critic)),
            "task": self.task_metrics(),
            "replay_transitions": session.replay.transitions,
            "replay_bytes": session.replay.nbytes,
            "peak_memory_bytes": peak_memory(),
            "time": dict(session.seconds),
        }
        norms = record["task"]
        for name in ("critic_gradient_norm", "actor_gradient_norm"):
            if name in norms:
                record[name] = float(np.mean(list(norms[name].values())))
        self.loggers.metrics(record)
        self.write_relations()
        self.progress.update(session.step, rate, self.rows())

    def task_metrics(self) -> dict[str, dict[str, float]]:
        """Every figure that is known per task."""
        session = self.session
        figures = {
            "episode_return": session.episodes.last_return,
            "return_bound": session.bounds.bound,
            "restarts": session.restarts,
            **{name: value for name, value in self.metrics.items() if np.shape(value) == (len(self.tasks),)},
        }
        if session.step >= self.config.warmup_steps:
            generator = random.generator(self.config.seed, "diagnose", session.step)
            batches = session.replay.sample_per_task(DIAGNOSE_BATCH, generator)
            key = random.key(self.config.seed, "diagnose", session.step)
            self.compiled.wait("diagnose")
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
        state = acting(session.state, session.average)
        with timed(self.session.seconds, "evaluate"):
            episodes = evaluate(
                lambda observations: np.asarray(self.agent.act(state, observations, self.task_ids, None)),
                self.evaluation_stepper,
                config.eval_episodes,
                random.integer(config.seed, "evaluate", session.step),
            )
        record = evaluation_record(self.tasks, episodes)
        embeddings = self.agent.embeddings(state)
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
