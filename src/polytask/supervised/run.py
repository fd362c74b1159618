"""A supervised training in a run folder: the loop, its logs and its checkpoints."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

from polytask.combine import make_combiner
from polytask.runtime import checkpoint, provenance
from polytask.runtime.affinity_log import AffinityLog, reopen
from polytask.runtime.config import GROUPED
from polytask.runtime.folder import AFFINITY, RunFolder
from polytask.runtime.loggers import Loggers, make_loggers
from polytask.runtime.progress import Progress, TaskRow
from polytask.runtime.room import peak_memory
from polytask.runtime.stopping import stop_signal
from polytask.runtime.timing import timed
from polytask.supervised.config import MAY_CHANGE, OptimiserConfig, RunConfig, SupervisedConfig, TrunkConfig
from polytask.supervised.fitting import seed_key
from polytask.supervised.problem import Problem
from polytask.supervised.spec import HeadSpec
from polytask.supervised.training import Evaluation, Learner, State, advance, init, make_learner, stopped


def train(config: RunConfig, problem: Problem, run: Path | str) -> bool:
    """Trains in the folder `run`, going on from its newest intact checkpoint if it has one.

    Returns whether the training ended; False after Ctrl-C, with a checkpoint saved. Raises RunFolderError (also if the
    folder's run had other data), CheckpointError, ValueError for a combiner or a task that is unknown, and
    FloatingPointError, naming the tasks, if a loss is not finite.
    """
    run = Path(run)
    chosen = problem.only(config.tasks) if config.tasks else problem
    content = to_json(config, chosen)
    loop = Loop(config, chosen)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(RunFolder(run))
        existed = folder.claim(content, MAY_CHANGE, complete)
        warnings = provenance.record(run)
        found = checkpoint.latest(run, warnings.append) if existed else None
        if found is not None:
            loop.load(found.path)
        folder.truncate_jsonl(loop.step if found else -1)
        reopen(run)
        progress = stack.enter_context(Progress(config.steps, loop.step))
        for text in warnings:
            progress.message(f"warning: {text}")
        if found is not None:
            progress.message(f"going on from step {loop.step:,}")
        loggers = stack.enter_context(
            make_loggers(run, content, config.tensorboard, config.wandb, loop.step if found else None)
        )
        stop = stack.enter_context(stop_signal(progress.message))
        evaluations = folder.read_evaluations()
        return loop.run(run, loggers, progress, stop, evaluations[-1] if evaluations else None)


class Loop:
    """Steps and an evaluation, again and again; `step` counts gradient steps."""

    def __init__(self, config: RunConfig, problem: Problem) -> None:
        self.config, self.problem = config, problem
        key_init, self._key = jax.random.split(seed_key(config.seed))
        self.state = _fresh(problem, _learned(config), key_init)
        self.seconds: dict[str, float] = dict.fromkeys(("compile", "update", "checkpoint"), 0.0)
        self._shown = 0.0

    @property
    def step(self) -> int:
        return int(self.state.step)

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        return self.step >= self.config.steps or bool(stopped(self.config, self.state))

    def run(
        self,
        run: Path,
        loggers: Loggers,
        progress: Progress,
        stop: Callable[[], bool],
        last: dict[str, Any] | None,
    ) -> bool:
        """Trains to the end; False if `stop` said so before. A checkpoint is saved in either case.

        `last` is the record of the evaluation that a resumed run goes on from.
        """
        compiled = None
        saved = self.step
        while not self.ended and not stop():
            compiled = compiled or self._compile(progress)
            begin, before = time.monotonic(), self.step
            with timed(self.seconds, "update"):
                self.state, found = compiled(self.problem, _learned(self.config), self.state, self._key)
                found = jax.tree.map(np.asarray, found)
            self._check_finite(found)
            rate = (self.step - before) / max(time.monotonic() - begin, 1e-9)
            loggers.metrics(self._metrics(found, rate))
            last = self._evaluation(found)
            loggers.evaluation(last)
            if found.affinity:
                with AffinityLog(run) as log:
                    log.period((before, self.step), found.affinity, self.problem.names)
            self._show(progress, rate, found)
            if self.step // self.config.checkpoint_every > before // self.config.checkpoint_every:
                saved = self._save(run)
        if saved != self.step:
            self._save(run)
        best = int(self.state.best_step)
        if self.ended and 0 < best < self.step and (run / AFFINITY).exists():
            with AffinityLog(run) as log:
                log.stopped_early(self.step, best)
        if self.ended and self.step < self.config.steps and last is not None:
            # Patience ran out. What was chosen stays chosen, so the figures hold to the last step that was asked for.
            loggers.evaluation({**last, "step": self.config.steps, "stopped_at": self.step})
            progress.message(f"no better evaluation since step {best:,}: stopped at {self.step:,}")
        return self.ended

    def load(self, path: Path) -> None:
        """Takes over a checkpoint."""
        saved, counters = checkpoint.restore(path, {"learner": self.state})
        self.state, self.seconds = saved["learner"], dict(counters["timing"])

    def _compile(self, progress: Progress) -> Any:
        progress.message("compiling, which can take a minute")
        with timed(self.seconds, "compile"):
            program: Any = _advanced
            return program.lower(self.problem, _learned(self.config), self.state, self._key).compile()

    def _save(self, run: Path) -> int:
        with timed(self.seconds, "checkpoint"):
            checkpoint.save(run, self.step, {"learner": self.state}, {"timing": self.seconds})
        return self.step

    def _check_finite(self, found: Evaluation) -> None:
        # Once a step is lost, all tasks are in those that follow; at fault are those that were so for longest.
        share = found.metrics["nonfinite"]
        names = [name for name, bad in zip(self.problem.names, share, strict=True) if bad == share.max() > 0]
        if names or not np.isfinite(found.metrics["gradient_norm"]):
            since = self.step - round(float(share.max()) * self.config.eval_every)
            whose = f" of {', '.join(names)}" if names else ""
            raise FloatingPointError(
                f"a loss or a gradient{whose} was not finite at step {since + 1:,}; try a smaller "
                f"--optimiser.learning-rate, or look at the size of the labels. The last checkpoint is as it was"
            )

    def _metrics(self, found: Evaluation, rate: float) -> dict[str, Any]:
        record: dict[str, Any] = {
            "step": self.step,
            "seconds": sum(self.seconds.values()),
            "steps_per_second": rate,
            "loss": float(found.loss.sum()),
            "validation_loss": float(found.validation.loss.sum()),
            "parameter_norm": float(optax.tree.norm(self.state.params)),
        }
        by_task = {"loss": self._named(found.loss), "validation_loss": self._named(found.validation.loss)}
        for name, value in found.metrics.items():
            if value.shape == (len(self.problem.tasks),) and name != "nonfinite":
                by_task["weight" if name == "weights" else name] = self._named(value)
            elif not value.shape:
                record[name] = float(value)
        return {**record, "task": by_task, "peak_memory_bytes": peak_memory(), "time": dict(self.seconds)}

    def _evaluation(self, found: Evaluation) -> dict[str, Any]:
        figures = {
            "score": found.test.score,
            "loss": found.test.loss,
            "rows": found.test.rows,
            "validation_score": found.validation.score,
            "validation_loss": found.validation.loss,
            "train_score": found.train.score,
            "train_loss": found.train.loss,
        }
        return {
            "step": self.step,
            "seconds": sum(self.seconds.values()),
            "best_step": int(self.state.best_step),
            "task": {name: self._named(values) for name, values in figures.items()},
        }

    def _named(self, values: Any) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.problem.names, values, strict=True)}

    def _show(self, progress: Progress, rate: float, found: Evaluation) -> None:
        now = time.monotonic()
        if now - self._shown < 0.5 and self.step < self.config.steps:
            return
        self._shown = now
        figures = zip(self.problem.names, found.validation.score, found.train.score, strict=True)
        rows = [TaskRow(name, "score", float(validation), float(own)) for name, validation, own in figures]
        progress.update(self.step, rate, rows)


def _learned(config: RunConfig) -> SupervisedConfig:
    """What the program of a run depends on, so that runs which agree in it are compiled once."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(SupervisedConfig)}
    return SupervisedConfig(**{**fields, "steps": config.eval_every, "patience": 0})


def _learner(problem: Problem, config: SupervisedConfig) -> Learner:
    return make_learner(problem, config, make_combiner(config.combine, scale=config.combine_scale))


@eqx.filter_jit
def _fresh(problem: Problem, config: SupervisedConfig, key: jax.Array) -> State:
    return init(_learner(problem, config), key)


@eqx.filter_jit
def _advanced(problem: Problem, config: SupervisedConfig, state: State, key: jax.Array) -> tuple[State, Evaluation]:
    return advance(_learner(problem, config), state, key)


def to_json(config: RunConfig, problem: Problem) -> dict[str, Any]:
    """What config.json holds: the configuration, under "specs" the tasks' facts, under "data" those of the rows."""
    parts = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    data = {
        "input_shape": list(problem.train.inputs.shape[1:]),
        **{which: part.inputs.shape[0] for which, part in parts.items()},
        "sha256": fingerprint(problem),
    }
    specs = [dataclasses.asdict(task) for task in problem.tasks]
    return {**_plain(dataclasses.asdict(config)), "specs": specs, "data": data}


def fingerprint(problem: Problem) -> str:
    """A digest of all the rows."""
    return provenance.fingerprint({"train": problem.train, "validation": problem.validation, "test": problem.test})


def complete(content: dict[str, Any]) -> dict[str, Any]:
    """What `to_json` gave an older version, with the fields that came to be since, at their defaults."""
    return _filled(dataclasses.asdict(RunConfig()), content)


def from_json(content: dict[str, Any]) -> tuple[RunConfig, tuple[HeadSpec, ...]]:
    """The configuration and the tasks of a run. Raises ValueError naming fields that this version does not know."""
    given = {name: value for name, value in content.items() if name not in ("specs", "data", GROUPED)}
    unknown = given.keys() - {field.name for field in dataclasses.fields(RunConfig)}
    if unknown:
        raise ValueError(f"config.json has fields that this version does not know: {', '.join(sorted(unknown))}")
    given["tasks"], given["relevance"] = tuple(given["tasks"]), tuple(given.get("relevance", ()))
    given["trunk"], given["optimiser"] = TrunkConfig(**given["trunk"]), OptimiserConfig(**given["optimiser"])
    return RunConfig(**given), tuple(HeadSpec(**spec) for spec in content["specs"])


def _filled(usual: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    parts = {name: _filled(usual[name], value) for name, value in content.items() if isinstance(usual.get(name), dict)}
    return {**usual, **content, **parts}


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """The problem first, since that is what a person looks for."""
    return {"problem": content["problem"], **content}
