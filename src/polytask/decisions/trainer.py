"""Training for decisions as `polytask.training` runs it: all seeds as one program."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from polytask.decisions.case import Case, resolved, steps_of_update
from polytask.decisions.config import DecisionConfig
from polytask.decisions.schema import TASK_KIND, task_name
from polytask.decisions.training import Inputs, Outcome, advance, begin, make_inputs
from polytask.losses.learner import LearnerError, State, raise_failures
from polytask.runs import checkpoint, stacked
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.progress import TaskRow
from polytask.runs.provenance import fingerprint
from polytask.runs.timing import timed
from polytask.training.trainer import Record, Saved, SeedsStopped, TaskAxes, Tick


class DecisionTrainer:
    """Steps of all seeds and an evaluation, again and again. A `polytask.training.trainer.Trainer`.

    A seed that stops learning keeps what it had learned, and the others go on to the end. Raises ValueError for a loss
    or steps that do not fit the case, and ImportError for a package that it needs.
    """

    rate_of = 1
    selects = False
    saves_on: tuple[type[Exception], ...] = ()

    def __init__(self, config: DecisionConfig, case: Case, seeds: Sequence[int]) -> None:
        self.config, self.case, self.seeds = resolved(case, config), case, tuple(seeds)
        self.tasks = (task_name(config.problem),)
        each = [make_inputs(case, self.config, seed) for seed in self.seeds]
        self.facts: Sequence[Mapping[str, Any]] = [case_facts(self.config, case, one) for one in each]
        self.inputs: Inputs = stacked.stack(each)
        self.seconds: Sequence[dict[str, float]] = [
            dict.fromkeys(("compile", "update", "checkpoint"), 0.0) for _ in self.seeds
        ]
        self.step = 0
        self.states: Any = None  # until `start`
        self.failed: list[int] = [0] * len(self.seeds)  # the step at which a seed stopped learning
        self._found: list[Outcome | None] = [None] * len(self.seeds)
        self._compiled = False

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it."""
        learned = _learned(self.config)
        message("compiling, which can take a minute")
        if not found:
            with self._timed("compile"):
                self.states = jax.block_until_ready(_begun(self.case, learned, self.inputs))
            return
        shapes = eqx.filter_eval_shape(_begun, self.case, learned, self.inputs)
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
        restored = [checkpoint.restore(point.path, {"learner": like}) for point in found]
        self.states = stacked.stack(saved["learner"] for saved, _ in restored)
        counters = [counters for _, counters in restored]
        self.step, self.failed = found[0].step, [one["failed"] for one in counters]
        self.seconds = [dict(one["timing"]) for one in counters]

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """The predictor, and the metric where one is learned."""
        states = []
        for i in range(len(self.seeds)):
            state = stacked.take(self.states, jnp.int32(i))
            learned: dict[str, Any] = {"parameters": state.parameters}
            if self.config.loss == "taskmet":
                learned["own"] = {"metric": state.own.metric}
            learned = take(i, {"learner": learned})["learner"]
            if "own" in learned:
                state = state._replace(own=state.own._replace(metric=learned["own"]["metric"]))
            states.append(state._replace(parameters=learned["parameters"]))
        self.states = stacked.stack(states)

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """None: a decision is one task."""
        return {}

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it; `tick` is asked at the end only, since all steps are one program."""
        done = jnp.int32(self.step // steps_of_update(self.case, self.config))
        with self._timed("update" if self._compiled else "compile"):
            self.states, found = _advanced(self.case, _learned(self.config), self.states, self.inputs, done)
            found = jax.tree.map(np.asarray, found)
        self._compiled = True
        self.step += self.config.eval_every
        unit = steps_of_update(self.case, self.config)
        updates = self.config.eval_every // unit
        for i in range(len(self.seeds)):
            one: Outcome = jax.tree.map(lambda leaf, i=i: leaf[i], found)
            self._found[i] = None if self.failed[i] else one
            if not self.failed[i] and one.sound < updates:
                self.failed[i] = self.step - (updates - int(one.sound) - 1) * unit
        tick(self.step)

    def metrics(self) -> list[Record | None]:
        """As the protocol has it; also of a seed that stopped in these steps."""
        return [one and self._metrics(one) for one in self._found]

    def evaluate(self) -> list[Record | None]:
        """As the protocol has it; it was evaluated in the program that trained."""
        return [one and self._evaluation(one) for one in self._found]

    def affinity(self) -> list[Mapping[str, Any]]:
        """None: a decision is one task."""
        return []

    def faults(self) -> list[str | None]:
        """None: a step that would not be finite is not taken."""
        return [None] * len(self.seeds)

    def saved(self) -> list[Saved]:
        """As the protocol has it."""
        return [
            Saved({"learner": stacked.take(self.states, jnp.int32(i))}, {"step": self.step, "failed": failed})
            for i, failed in enumerate(self.failed)
        ]

    def ended(self) -> bool:
        """Whether no seed learns any more."""
        return all(self.failed)

    def conclude(self) -> None:
        """Raises SeedsStopped for the seeds that stopped learning."""
        for i, seed in enumerate(self.seeds):
            if not self.failed[i]:
                continue
            try:
                raise_failures(self.states.failure[i])
            except LearnerError as error:
                which = [s for s, failed in zip(self.seeds, self.failed, strict=True) if failed]
                others = f" Stopped: seeds {', '.join(map(str, which))} of {len(self.seeds)}." if len(which) > 1 else ""
                raise SeedsStopped(
                    f"seed {seed} stopped learning at step {self.failed[i]:,}: {error}. In this command: a lower "
                    f"--learning-rate, a higher --temperature, or --trace 1 with --loss taskmet, and another --run."
                    f"{others} What was learned until then is saved"
                ) from error

    def rows(self) -> list[TaskRow]:
        """The decision quality of each seed."""
        several = len(self.seeds) > 1
        names = [f"seed {seed}" if several else self.tasks[0] for seed in self.seeds]
        pairs = zip(names, self._found, strict=True)
        return [TaskRow(name, "score", float(one.quality.decision)) for name, one in pairs if one is not None]

    def close(self) -> None:
        """Nothing runs beside it."""

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        taken = {what: 0.0}
        with timed(taken, what):
            yield
        for seconds in self.seconds:
            seconds[what] += taken[what]

    def _metrics(self, found: Outcome) -> Record:
        return {**{name: float(value) for name, value in found.metrics.items()}, "parameter_norm": float(found.norm)}

    def _evaluation(self, found: Outcome) -> Record:
        quality, rows = found.quality, self.case.tasks or self.tasks
        figures = {
            "score": quality.decision,
            "squared_error": quality.squared_error,
            "rows": len(self.inputs.test.y[0]),
        }
        record: Record = {
            "task": {name: {self.tasks[0]: float(value)} for name, value in figures.items()},
            **{name: float(getattr(quality, name)) for name in ("objective", "oracle", "random")},
            "squared_error": dict(zip(rows, found.squared_error.tolist(), strict=True)),
        }
        if found.metric is not None:
            outputs = self.case.output_names or [str(i + 1) for i in range(self.case.outputs)]
            record["metric"] = {"tasks": list(rows), "outputs": list(outputs), "weights": found.metric.tolist()}
        if found.by_truth is not None:
            record["metric"]["by_truth"] = found.by_truth.tolist()
        return record


def case_facts(config: DecisionConfig, case: Case, inputs: Inputs) -> dict[str, Any]:
    """What config.json says of the decision under "specs", and under "drawn" of the seed's data."""
    spec = {
        "name": task_name(config.problem),
        "kind": TASK_KIND,
        "outputs": case.outputs,
        "rows": inputs.train.y.shape[1],
        "steps_of_update": steps_of_update(case, config),
    }
    drawn = {
        "train": len(inputs.train.y),
        "test": len(inputs.test.y),
        "sha256": fingerprint((inputs.train, inputs.test)),
    }
    return {"specs": [spec], "drawn": drawn}


def _learned(config: DecisionConfig) -> DecisionConfig:
    """What the program of a run depends on, so that runs which agree in it are compiled once."""
    kept = ("loss", "metric", "per_task", "trace", "temperature", "learning_rate", "batch_size", "eval_every")
    return DecisionConfig(**{name: getattr(config, name) for name in kept})


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begun(case: Case, config: DecisionConfig, inputs: Inputs) -> State:
    return jax.vmap(lambda one: begin(case, config, one))(inputs)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _advanced(
    case: Case, config: DecisionConfig, states: State, inputs: Inputs, done: Int[Array, ""]
) -> tuple[State, Outcome]:
    return jax.vmap(lambda state, one: advance(case, config, state, one, done))(states, inputs)
