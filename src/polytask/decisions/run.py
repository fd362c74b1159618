"""A training for decisions in run folders, one for each seed: the loop, its logs and its checkpoints."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from polytask.decisions.case import Case, resolved, steps_of_update
from polytask.decisions.config import MAY_CHANGE, DecisionConfig
from polytask.decisions.facts import complete, task_name, to_json
from polytask.decisions.training import Found, Given, advance, begin, give
from polytask.losses.learner import LearnerError, State, raise_problems
from polytask.runtime import checkpoint, provenance, stacked
from polytask.runtime.folder import RunFolder
from polytask.runtime.loggers import Loggers, make_loggers
from polytask.runtime.progress import Progress, TaskRow
from polytask.runtime.room import peak_memory
from polytask.runtime.stopping import stop_signal
from polytask.runtime.timing import timed


def train(config: DecisionConfig, case: Case, runs: Mapping[int, Path]) -> bool:
    """Trains a run for each seed (`runs`: seed to folder) as one program, going on from their checkpoints.

    `config.seed` is not looked at. Each folder is a run like any other, which can go on alone: what it learns is what
    its seed learns alone, but for the order in which float32 numbers are summed.

    Returns whether the last step was reached; False after Ctrl-C, with checkpoints saved. Raises LearnerError, after
    the other seeds have gone on to the end and everything is saved, where a seed stopped learning; ValueError for a
    loss or steps that do not fit; RunFolderError, CheckpointError; ImportError for a package that the case needs.
    """
    config = resolved(case, config)
    each = [give(case, config, seed) for seed in runs]
    given = stacked.stack(each)
    contents = {
        seed: to_json(dataclasses.replace(config, seed=seed), case, own) for seed, own in zip(runs, each, strict=True)
    }
    with contextlib.ExitStack() as stack:
        folders, warnings = [], []
        for seed, run in runs.items():
            folder = stack.enter_context(RunFolder(run))
            folder.claim(contents[seed], MAY_CHANGE, complete)
            warnings += [f"{run.name}: {text}" if len(runs) > 1 else text for text in provenance.record(run)]
            folders.append(folder)
        newest = [checkpoint.latest(run, warnings.append) for run in runs.values()]
        found = [point for point in checkpoint.common(list(runs.values()), newest) if point]
        step = found[0].step if found else 0
        progress = stack.enter_context(Progress(config.steps, step))
        for text in warnings:
            progress.message(f"warning: {text}")
        progress.message(f"going on from step {step:,}" if step else "compiling, which can take a minute")
        loggers = []
        for folder, (seed, run) in zip(folders, runs.items(), strict=True):
            folder.truncate_jsonl(step or -1)
            resumed = step or None
            loggers.append(make_loggers(run, contents[seed], config.tensorboard, config.wandb, resumed))
            stack.enter_context(loggers[-1])
        loop = Loop(config, case, given, dict(runs))
        loop.start([point.path for point in found])
        stop = stack.enter_context(stop_signal(progress.message))
        return loop.run(loggers, progress, stop)


class Loop:
    """Steps of all seeds and an evaluation, again and again; `step` counts as `DecisionConfig.steps` does."""

    def __init__(self, config: DecisionConfig, case: Case, given: Given, runs: dict[int, Path]) -> None:
        self.config, self.case, self.given, self.runs = config, case, given, runs
        self.step = 0
        self.states: Any = None  # until `start`
        self.failed: list[int] = [0] * len(runs)  # the step at which a seed stopped learning
        self.seconds: dict[str, float] = dict.fromkeys(("compile", "update", "checkpoint"), 0.0)

    def start(self, checkpoints: list[Path]) -> None:
        """Fresh states, or those of one checkpoint for each seed."""
        learned = _learned(self.config)
        if not checkpoints:
            with timed(self.seconds, "compile"):
                self.states = jax.block_until_ready(_begun(self.case, learned, self.given))
            return
        shapes = eqx.filter_eval_shape(_begun, self.case, learned, self.given)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
        restored = [checkpoint.restore(path, {"learner": like}) for path in checkpoints]
        self.states = stacked.stack(saved["learner"] for saved, _ in restored)
        counters = [counters for _, counters in restored]
        self.step, self.seconds = counters[0]["step"], dict(counters[0]["timing"])
        self.failed = [one["failed"] for one in counters]

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or no seed learns any more."""
        return self.step >= self.config.steps or all(self.failed)

    def run(self, loggers: list[Loggers], progress: Progress, stop: Callable[[], bool]) -> bool:
        """Trains to the end; False if `stop` said so before. Checkpoints are saved in either case."""
        every, first, saved = self.config.checkpoint_every, self.step, self.step
        learned = _learned(self.config)
        while not self.ended and not stop():
            begin, before = time.monotonic(), self.step
            with timed(self.seconds, "compile" if before == first else "update"):
                done = jnp.int32(before // steps_of_update(self.case, self.config))
                self.states, found = _advanced(self.case, learned, self.states, self.given, done)
                found = jax.tree.map(np.asarray, found)
            self.step += self.config.eval_every
            self._log(loggers, found, self.config.eval_every / max(time.monotonic() - begin, 1e-9), progress)
            if self.step // every > before // every:
                saved = self._save()
        if saved != self.step:
            self._save()
        if self.ended:
            self._raise_problems()
        return self.ended

    def _save(self) -> int:
        with timed(self.seconds, "checkpoint"):
            for i, run in enumerate(self.runs.values()):
                counters = {"step": self.step, "failed": self.failed[i], "timing": self.seconds}
                checkpoint.save(run, self.step, {"learner": stacked.take(self.states, jnp.int32(i))}, counters)
        return self.step

    def _log(self, loggers: list[Loggers], found: Found, rate: float, progress: Progress) -> None:
        """A line of metrics and one of evaluations for each seed that learned, also for one that stopped just now."""
        unit = steps_of_update(self.case, self.config)
        updates = self.config.eval_every // unit
        for i, own in enumerate(loggers):
            if self.failed[i]:
                continue
            one = jax.tree.map(lambda leaf, i=i: leaf[i], found)
            if one.sound < updates:
                self.failed[i] = self.step - (updates - int(one.sound) - 1) * unit
            own.metrics(self._metrics(one, rate))
            own.evaluation(self._evaluation(one))
        several = len(self.runs) > 1
        names = [f"seed {seed}" if several else self.name for seed in self.runs]
        quality = zip(names, found.quality.decision, strict=True)
        progress.update(self.step, rate, [TaskRow(name, "score", float(value)) for name, value in quality])

    @property
    def name(self) -> str:
        """What the decision is called in tables."""
        return task_name(self.config)

    def _metrics(self, found: Found, rate: float) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": sum(self.seconds.values()),
            "steps_per_second": rate,
            **{name: float(value) for name, value in found.told.items()},
            "parameter_norm": float(found.norm),
            "peak_memory_bytes": peak_memory(),
            "time": dict(self.seconds),
        }

    def _evaluation(self, found: Found) -> dict[str, Any]:
        quality, tasks = found.quality, self.case.tasks or (self.name,)
        figures = {"score": quality.decision, "loss": quality.squared_error, "rows": len(self.given.test.y[0])}
        record: dict[str, Any] = {
            "step": self.step,
            "seconds": sum(self.seconds.values()),
            "task": {name: {self.name: float(value)} for name, value in figures.items()},
            **{name: float(getattr(quality, name)) for name in ("objective", "oracle", "random")},
            "squared_error": dict(zip(tasks, found.squared_error.tolist(), strict=True)),
        }
        if found.metric is not None:
            outputs = self.case.output_names or [str(i + 1) for i in range(self.case.outputs)]
            record["metric"] = {"tasks": list(tasks), "outputs": list(outputs), "weights": found.metric.tolist()}
        if found.by_truth is not None:
            record["metric"]["by_truth"] = found.by_truth.tolist()
        return record

    def _raise_problems(self) -> None:
        """Raises LearnerError for the seeds that stopped learning."""
        for i, (seed, run) in enumerate(self.runs.items()):
            if not self.failed[i]:
                continue
            try:
                raise_problems(self.states.problem[i])
            except LearnerError as error:
                which = [s for s, failed in zip(self.runs, self.failed, strict=True) if failed]
                others = f" Stopped: seeds {', '.join(map(str, which))} of {len(self.runs)}." if len(which) > 1 else ""
                raise LearnerError(
                    f"seed {seed} stopped learning at step {self.failed[i]:,}: {error}. In this command: a lower "
                    f"--learning-rate, a higher --temperature, or --trace 1 with --loss taskmet, and another --run."
                    f"{others} What was learned until then is in {run}"
                ) from error


def _learned(config: DecisionConfig) -> DecisionConfig:
    """What the program of a run depends on, so that runs which agree in it are compiled once."""
    others = ("problem", "steps", "seed", "checkpoint_every", "tensorboard", "wandb")
    usual = DecisionConfig()
    return dataclasses.replace(config, **{name: getattr(usual, name) for name in others})


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begun(case: Case, config: DecisionConfig, given: Given) -> State:
    return jax.vmap(lambda one: begin(case, config, one))(given)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _advanced(
    case: Case, config: DecisionConfig, states: State, given: Given, done: Int[Array, ""]
) -> tuple[State, Found]:
    return jax.vmap(lambda state, one: advance(case, config, state, one, done))(states, given)
