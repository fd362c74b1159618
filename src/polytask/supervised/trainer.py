"""Supervised training as `polytask.training` runs it: one seed, or several as one program."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from polytask.combine import make_combiner
from polytask.runs import checkpoint, stacked
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.memory import available_memory
from polytask.runs.progress import TaskRow
from polytask.runs.provenance import fingerprint
from polytask.runs.storage import size
from polytask.runs.timing import timed
from polytask.supervised.class_scores import class_scores
from polytask.supervised.config import SupervisedConfig, TrainConfig
from polytask.supervised.fitting import seed_key
from polytask.supervised.incremental import Earlier, grown
from polytask.supervised.model import outputs_of
from polytask.supervised.pictures import drawn, no_pictures
from polytask.supervised.problem import Problem
from polytask.supervised.scaling import Scales, fit_scales, like, loss_units, scale_warnings, standardised
from polytask.supervised.spec import HeadSpec, columns, dense
from polytask.supervised.training import (
    Evaluation,
    Setup,
    State,
    advance,
    advance_unevaluated,
    init,
    make_setup,
    stopped,
)
from polytask.training.trainer import Diverged, Record, Saved, TaskAxes, Tick


class SupervisedTrainer:
    """Steps and an evaluation, again and again; `step` counts gradient steps. A `polytask.training.trainer.Trainer`.

    It trains on `problem`, which is in standardised units where the configuration asks for that; `scales` lead back.
    `earlier` is what an incremental run stands on. Raises ValueError for a combiner or a task that is unknown.
    """

    rate_of = 1
    selects = True
    saves_on: tuple[type[Exception], ...] = ()

    def __init__(
        self, config: TrainConfig, problem: Problem, seeds: Sequence[int], earlier: Earlier | None = None
    ) -> None:
        self._dense = dense(problem.tasks)
        if self._dense:
            if config.incremental:
                raise ValueError("--incremental is not for tasks of pixels: leave it")
            config = dataclasses.replace(config, standardise=False)  # their labels have units of their own
        self.config, self.seeds = config, tuple(seeds)
        self.given = problem.only(config.tasks) if config.tasks else problem
        self.tasks = self.given.names
        self.facts: Sequence[Mapping[str, Any]] = [data_facts(self.given)] * len(self.seeds)
        shape = problem.train.inputs.shape[1:]
        self._rescale(fit_scales(self.given) if config.standardise else like(self.given.tasks, shape))
        self._earlier = earlier
        if config.incremental:
            make_trunk, self._earlier = grown(config, self.problem, earlier)
            self.given = dataclasses.replace(self.given, make_trunk=make_trunk)
            self._rescale(self.scales)
        eqx.filter_eval_shape(_fresh, self.problem, _learned(config), seed_key(0))  # or why it cannot be
        self.states: list[State] = []  # until `start`
        self.seconds: Sequence[dict[str, float]] = [
            dict.fromkeys(("compile", "update", "checkpoint"), 0.0) for _ in self.seeds
        ]
        self._programs: dict[int, Any] = {}  # by the number of steps
        self._found: list[Evaluation | None] = [None] * len(self.seeds)
        self._message: Callable[[str], object] = print

    @property
    def step(self) -> int:
        """The gradient steps that the seed which got furthest has taken."""
        return max((int(state.step) for state in self.states), default=0)

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it."""
        self._message = message
        for text in scale_warnings(self.given, self.config.standardise):
            message(f"warning: {text}")
        keys = [jax.random.split(seed_key(seed)) for seed in self.seeds]
        self.states = [_fresh(self.problem, _learned(self.config), key) for key, _ in keys]
        self._keys = [key for _, key in keys]
        for i, point in enumerate(found or ()):
            saved, counters = checkpoint.restore(point.path, self._saved(i))  # pictures are drawn anew
            self.states[i] = saved["learner"]
            self.seconds[i].update(counters["timing"])
            if "scales" in saved:
                self._rescale(saved["scales"])

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """The parameters that the other run's validation rows have chosen become the first of this one."""
        for i, state in enumerate(self.states):
            best = take(i, {"learner": {"best": state.best}})["learner"]["best"]
            self.states[i] = eqx.tree_at(lambda s: (s.params, s.best), state, (best, best))

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """The columns of the heads."""
        return {"heads": (-1, columns([HeadSpec(**spec) for spec in specs]))}

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it; `tick` is asked at the end only, since all steps are one program."""
        before, count = self.step, until - self.step
        program = self._program(count)
        over = self._over()
        with self._timed("update"):
            if len(self.seeds) == 1:
                states, found = program(self.problem, _learned(self.config), self.states[0], self._keys[0], count)
                self.states, evaluations = [states], [jax.tree.map(np.asarray, found)]
            else:
                states = stacked.stack(self.states)
                keys = jnp.stack(self._keys)
                states, found = program(self.problem, _learned(self.config), states, keys, jnp.array(over), count)
                found = jax.tree.map(np.asarray, found)
                indices = range(len(self.seeds))
                self.states = [stacked.take(states, jnp.int32(i)) for i in indices]
                evaluations = [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in indices]
        self._found = [None if ended else one for ended, one in zip(over, evaluations, strict=True)]
        for seed, one in zip(self.seeds, self._found, strict=True):
            if one is not None:
                self._check_finite(seed, one, before)
        tick(self.step)

    def metrics(self) -> list[Record | None]:
        """As the protocol has it."""
        return [one and self._metrics(one, state) for one, state in zip(self._found, self.states, strict=True)]

    def evaluate(self) -> list[Record | None]:
        """As the protocol has it; it was evaluated in the program that trained."""
        return [one and self._evaluation(one, state) for one, state in zip(self._found, self.states, strict=True)]

    def affinity(self) -> list[Mapping[str, Any]]:
        """As the protocol has it."""
        return [{"model": one.affinity} if one and one.affinity else {} for one in self._found]

    def faults(self) -> list[str | None]:
        """None: `advance` has looked."""
        return [None] * len(self.seeds)

    def saved(self) -> list[Saved]:
        """As the protocol has it."""
        counters = {"earlier": self._earlier.specs} if self._earlier else {}
        return [Saved(self._saved(i) | self._pictures(i), counters) for i in range(len(self.seeds))]

    def ended(self) -> bool:
        """Whether the patience of every seed has run out."""
        return all(self._over())

    def conclude(self) -> None:
        """Nothing is left to be said."""

    def rows(self) -> list[TaskRow]:
        """Scores of the first seed: on the validation rows and on those it trains on."""
        found = self._found[0]
        if found is None or not self.config.eval_every:
            return []
        figures = zip(self.tasks, found.validation.score, found.train.score, strict=True)
        return [TaskRow(name, "score", float(validation), float(own)) for name, validation, own in figures]

    def close(self) -> None:
        """Nothing runs beside it."""

    def _saved(self, index: int) -> dict[str, Any]:
        earlier = {"earlier": self._earlier.arrays} if self._earlier else {}
        scales = {"scales": self.scales} if self.config.standardise else {}
        pictures = {"pictures": no_pictures(self.problem)} if self._dense else {}
        return {"learner": self.states[index], **scales, **earlier, **pictures}

    def _pictures(self, index: int) -> dict[str, Any]:
        """Test images with their labels and what the chosen parameters make of them, for the report."""
        if not self._dense:
            return {}
        examples = self.problem.test.take(np.arange(len(no_pictures(self.problem))))
        outputs = _predicted(self.problem, _learned(self.config), self.states[index].best, examples.inputs)
        return {"pictures": drawn(self.problem.tasks, examples, np.asarray(outputs))}

    def _rescale(self, scales: Scales) -> None:
        self.scales, self.problem = scales, self.given
        if self.config.standardise:
            self.problem = standardised(self.given, scales)
        self._units = loss_units(self.given.tasks, scales)

    def _over(self) -> list[bool]:
        return [bool(stopped(self.config, state)) for state in self.states]

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for seconds in self.seconds:
                stack.enter_context(timed(seconds, what))
            yield

    def _program(self, count: int) -> Any:
        """`count` steps and an evaluation, compiled."""
        if count not in self._programs:
            self._message("compiling, which can take a minute")
            learned = _learned(self.config)
            with self._timed("compile"):
                if len(self.seeds) == 1:
                    given = (self.problem, learned, self.states[0], self._keys[0], count)
                    program: Any = _advanced
                else:
                    over = jnp.zeros(len(self.seeds), bool)
                    states = stacked.stack(self.states)
                    given = (self.problem, learned, states, jnp.stack(self._keys), over, count)
                    program = _all_advanced
                self._programs[count] = program.lower(*given).compile()
            if self._dense:
                self._check_memory(self._programs[count])
        return self._programs[count]

    def _check_memory(self, program: Any) -> None:
        """Says what a step of images takes. Raises ValueError where that is more than there is, before it is begun."""
        needed, there = program.compiled.memory_analysis().temp_size_in_bytes, available_memory()
        self._message(f"{size(needed)} of memory for a step; images are read as they are needed")
        if needed > there:
            raise ValueError(
                f"a step takes {size(needed)} of memory, of which {size(there)} are left; lower --batch-size or "
                f"--trunk.width, or take smaller images"
            )

    def _check_finite(self, seed: int, found: Evaluation, before: int) -> None:
        # Once a step is lost, all tasks are in those that follow; at fault are those that were so for longest.
        share = found.metrics["nonfinite"]
        names = [name for name, bad in zip(self.tasks, share, strict=True) if bad == share.max() > 0]
        if names or not np.isfinite(found.metrics["gradient_norm"]):
            since = self.step - round(float(share.max()) * (self.step - before))
            whose = f" of {', '.join(names)}" if names else ""
            which = f"seed {seed} " if len(self.seeds) > 1 else ""
            raise Diverged(
                f"{which}diverged at step {since + 1:,}: a loss or a gradient{whose} is not finite; lower "
                f"--optimiser.learning-rate, or look at the size of the labels. The last checkpoint is as it was"
            )

    def _metrics(self, found: Evaluation, state: State) -> Record:
        """Losses in the units that are trained in."""
        record: Record = {
            "loss": float(found.loss.sum()),
            "parameter_norm": float(_norm(state.params)),
        }
        by_task = {"loss": self._named(found.loss)}
        if self.config.eval_every:
            record["validation_loss"] = float(found.validation.loss.sum())
            by_task["validation_loss"] = self._named(found.validation.loss)
        for name, value in found.metrics.items():
            if value.shape == (len(self.tasks),) and name != "nonfinite":
                by_task["weight" if name == "weights" else name] = self._named(value)
            elif not value.shape:
                record[name] = float(value)
        return {**record, "task": by_task}

    def _evaluation(self, found: Evaluation, state: State) -> Record:
        """Losses in units of the data."""
        figures = {
            "score": found.test.score,
            "loss": found.test.loss * self._units,
            "rows": found.test.rows,
            "validation_score": found.validation.score,
            "validation_loss": found.validation.loss * self._units,
            "train_score": found.train.score,
            "train_loss": found.train.loss * self._units,
        }
        best = int(state.best_step)
        by_task = {name: self._named(values) for name, values in figures.items()}
        if self.config.eval_every and not self._dense and any(task.kind != "regression" for task in self.given.tasks):
            outputs = np.asarray(_tested(self.problem, _learned(self.config), state.best))
            by_task |= class_scores(self.given.tasks, outputs, self.given.test.whole())
        return {"best_step": best, "task": by_task}

    def _named(self, values: Any) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.tasks, values, strict=True)}


def data_facts(problem: Problem) -> dict[str, Any]:
    """What config.json says of the tasks under "specs", and of the rows under "data"."""
    parts = {"train": problem.train, "validation": problem.validation, "test": problem.test}
    data = {
        "input_shape": list(problem.train.inputs.shape[1:]),
        **{which: part.inputs.shape[0] for which, part in parts.items()},
        "sha256": digest(problem),
    }
    table = {"table": dataclasses.asdict(problem.table)} if problem.table else {}
    return {"specs": [dataclasses.asdict(task) for task in problem.tasks], "data": data, **table}


def digest(problem: Problem) -> str:
    """By which all the rows are known again."""
    return fingerprint({"train": problem.train, "validation": problem.validation, "test": problem.test})


def _learned(config: TrainConfig) -> SupervisedConfig:
    """What the program of a run depends on, so that runs which agree in it are compiled once."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(SupervisedConfig)}
    return SupervisedConfig(**{**fields, "steps": 1, "patience": 0})


def _setup(problem: Problem, config: SupervisedConfig) -> Setup:
    return make_setup(problem, config, make_combiner(config.combine, scale=config.combine_scale))


_norm = jax.jit(optax.tree.norm)


@eqx.filter_jit
def _fresh(problem: Problem, config: SupervisedConfig, key: jax.Array) -> State:
    return init(_setup(problem, config), key)


@eqx.filter_jit
def _tested(problem: Problem, config: SupervisedConfig, params: Any) -> jax.Array:
    """A model's outputs for the test rows."""
    return outputs_of(_setup(problem, config).model(params), problem.test.whole().inputs)


@eqx.filter_jit
def _predicted(problem: Problem, config: SupervisedConfig, params: PyTree, inputs: jax.Array) -> jax.Array:
    return _setup(problem, config).model(params)(inputs)


@eqx.filter_jit
def _advanced(
    problem: Problem, config: SupervisedConfig, state: State, key: jax.Array, count: int
) -> tuple[State, Evaluation]:
    go_on = advance if config.eval_every else advance_unevaluated
    return go_on(_setup(problem, config), state, key, count)


@eqx.filter_jit
def _all_advanced(
    problem: Problem, config: SupervisedConfig, states: State, keys: jax.Array, over: jax.Array, count: int
) -> tuple[State, Evaluation]:
    """As `_advanced` for each seed; one that is over stays as it is."""
    setup = _setup(problem, config)
    go_on = advance if config.eval_every else advance_unevaluated

    def one(state: State, key: jax.Array, over: jax.Array) -> tuple[State, Evaluation]:
        new, found = go_on(setup, state, key, count)
        return jax.tree.map(lambda old, new: jnp.where(over, old, new), state, new), found

    return jax.vmap(one)(states, keys, over)
