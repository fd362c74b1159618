"""Evolution as `polytask.training` runs it: a step is a generation of one problem; each seed has its own population."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from polytask import random
from polytask.evolution import population as evolving
from polytask.evolution.config import EvolutionConfig
from polytask.evolution.network import Children, Network, Sizes, form, fresh, network, train
from polytask.evolution.population import FIRST, HYPERPARAMETERS, OF_DATA, SLOTS, Mutation, Population
from polytask.runs import checkpoint
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.progress import TaskRow
from polytask.runs.timing import timed
from polytask.supervised.model import Figures, evaluate
from polytask.supervised.problem import Problem
from polytask.supervised.scaling import fit_scales, standardised
from polytask.supervised.spec import groups
from polytask.supervised.trainer import data_facts
from polytask.training.trainer import Record, Saved, TaskAxes, Tick


@dataclasses.dataclass(frozen=True)
class Evolved:
    """A population and the parameters of its components, by number."""

    population: Population
    arrays: Mapping[int, PyTree]


class EvolutionTrainer:
    """Generations, one after another. A `polytask.training.trainer.Trainer`.

    `problems` by name, in units of the data. Raises ValueError for problems whose inputs differ in shape.
    """

    rate_of = 1
    selects = False
    saves_on: tuple[type[Exception], ...] = ()

    def __init__(self, config: EvolutionConfig, problems: Mapping[str, Problem], seeds: Sequence[int]) -> None:
        self.entries, self.tasks, self.seeds = config.entries, config.names, tuple(seeds)
        self.config = dataclasses.replace(config, steps=len(self.entries) * config.generations)
        shapes = {name: problem.train.inputs.shape[1:] for name, problem in problems.items()}
        if len(set(shapes.values())) > 1:
            shown = ", ".join(f"{shape} of {name}" for name, shape in shapes.items())
            raise ValueError(f"problems that share components need inputs of one shape, not {shown}")
        self.scales = {name: fit_scales(problem) for name, problem in problems.items()}
        self.problems = {name: standardised(problem, self.scales[name]) for name, problem in problems.items()}
        self.sizes = Sizes(int(np.prod(next(iter(shapes.values())))), config.width, config.adapter_rank)
        facts = {name: data_facts(problem) for name, problem in problems.items()}
        specs = [{"name": name, "heads": fact["specs"]} for name, fact in facts.items()]
        data = {name: fact["data"] for name, fact in facts.items()}
        self.facts: Sequence[Mapping[str, Any]] = [{"specs": specs, "data": data}] * len(self.seeds)
        self.seconds: Sequence[dict[str, float]] = [{"update": 0.0, "checkpoint": 0.0} for _ in self.seeds]
        self.evolved = [Evolved(Population(), {})] * len(self.seeds)
        self.step = 0
        self._seen: list[Record | None] = [None] * len(self.seeds)
        self._figures: dict[tuple[int, int], Figures] = {}  # by seed and path: neither ever changes

    def start(self, found: Sequence[Checkpoint] | None, message: Callable[[str], object]) -> None:
        """As the protocol has it."""
        for i, point in enumerate(found or ()):
            outputs = {name: heads(problem) for name, problem in self.problems.items()}
            self.evolved[i] = restored(point, self.sizes, outputs)
            self.step = point.step

    def warm(self, take: Callable[[int, PyTree], PyTree]) -> None:
        """Raises ValueError: an evolution is gone on with instead."""
        raise ValueError("an evolution begins from no other run: add problems to it with the same --run")

    def task_axes(self, specs: Sequence[Mapping[str, Any]]) -> TaskAxes:
        """None: see `warm`."""
        return {}

    def advance(self, until: int, tick: Tick) -> None:
        """As the protocol has it."""
        while self.step < until:
            for i, seed in enumerate(self.seeds):
                with timed(self.seconds[i], "update"):
                    self.evolved[i], self._seen[i] = self._generation(self.evolved[i], seed)
            self.step += 1
            if tick(self.step):
                return

    def _generation(self, evolved: Evolved, seed: int) -> tuple[Evolved, Record]:
        """One generation: children are mutated, trained side by side, and kept or not, in order."""
        number, place = divmod(self.step, self.config.generations)
        task, dropped = self.entries[number]
        problem, population = self.problems[task], evolved.population
        if place == 0:
            for name in dropped:
                population = evolving.drop(population, name)
            population = evolving.begin(population, task)
        draw = random.generator(seed, "evolution", self.step)
        mutations = mutated(population, task, self.config.children, draw)
        keys = random.key(seed, "evolution", self.step)
        starts = [self._start(evolved, m, jax.random.fold_in(keys, i)) for i, m in enumerate(mutations)]
        trained, qualities = train(
            problem,
            jax.tree.map(lambda *leaves: np.stack(leaves), *starts),
            jax.random.split(jax.random.fold_in(keys, len(starts)), len(starts)),
            self.config.child_steps,
            self.config.batch_size,
        )
        arrays, kept, best = dict(evolved.arrays), 0, float(qualities.max())
        sizes = {slot: size(starts[0].networks.parts[slot]) for slot in SLOTS}
        for i, (mutation, quality) in enumerate(zip(mutations, np.asarray(qualities), strict=True)):
            population, new = evolving.add(population, mutation, sizes, float(quality), self.config.size_base)
            for slot, component in (new or {}).items():
                arrays[component] = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], trained[slot])
            kept += new is not None
        if place == self.config.generations - 1:
            population = evolving.end(population, task)
        left = {component: arrays[component] for component in population.components}
        seen: Record = {
            "quality": best,
            "kept": kept,
            "components": len(left),
            "parameters": sum(c.size for c in population.components.values()),
        }
        return Evolved(population, left), seen

    def _start(self, evolved: Evolved, mutation: Mutation, key: jax.Array) -> Children:
        """A child as it begins."""
        outputs = heads(self.problems[mutation.task])
        parts = {
            slot: evolved.arrays[source]
            if source is not None
            else jax.tree.map(np.asarray, fresh(slot, self.sizes, outputs, jax.random.fold_in(key, SLOTS.index(slot))))
            for slot, source in mutation.sources.items()
        }
        values = {name: HYPERPARAMETERS[name][index] for name, index in mutation.hyperparameters.items()}
        trained = {slot: np.float32(slot in mutation.trained) for slot in SLOTS}
        rate, noise = np.float32(values["learning_rate"]), np.float32(values["noise"])
        return Children(network(parts, self.sizes, outputs), trained, rate, noise)

    def metrics(self) -> list[Record | None]:
        """As the protocol has it."""
        return list(self._seen)

    def evaluate(self) -> list[Record | None]:
        """As the protocol has it: of each problem the best path so far, on the test rows."""
        return [self._evaluation(i, evolved) for i, evolved in enumerate(self.evolved)]

    def _evaluation(self, index: int, evolved: Evolved) -> Record:
        population, found = evolved.population, {}
        for name, problem in self.problems.items():
            best = population.best(name)
            if best is None:
                found[name] = {"score": float("nan"), "loss": float("nan")}
                continue
            if (index, best) not in self._figures:
                self._figures[index, best] = _measured(problem, path_network(evolved, best, self.sizes, heads(problem)))
            figures = self._figures[index, best]
            found[name] = {"score": float(figures.score.mean()), "loss": float(figures.loss.sum())}
        task = {key: {name: one[key] for name, one in found.items()} for key in ("score", "loss")}
        return {"task": task, "population": population.to_json()}

    def affinity(self) -> list[Mapping[str, Any]]:
        """Nothing is measured."""
        return [{} for _ in self.seeds]

    def faults(self) -> list[str | None]:
        """None: a child whose parameters are not finite counts as it began, with quality 0."""
        return [None] * len(self.seeds)

    def saved(self) -> list[Saved]:
        """As the protocol has it."""
        return [
            Saved(
                {"components": {str(n): tree for n, tree in one.arrays.items()}, "scales": self.scales},
                {"population": one.population.to_json()},
            )
            for one in self.evolved
        ]

    def ended(self) -> bool:
        """Never before the last generation."""
        return False

    def conclude(self) -> None:
        """Nothing is left to be said."""

    def rows(self) -> list[TaskRow]:
        """Validation scores of the first seed's best paths."""
        population = self.evolved[0].population
        best = {name: population.best(name) for name in self.tasks}
        return [
            TaskRow(name, "score", population.paths[path].quality, population.paths[path].score)
            for name, path in best.items()
            if path is not None
        ]

    def close(self) -> None:
        """Nothing runs beside it."""


def mutated(population: Population, task: str, count: int, draw: np.random.Generator) -> list[Mutation]:
    """A generation's children; hyperparameters of the data move once, from those of the best path, for all of them."""
    best = population.best(task)
    path = population.paths[best] if best is not None else None
    before = path.hyperparameters if path else FIRST
    rate = path.value("mutation") if path else 0.0
    shared = {name: evolving.moved(before, name, draw) if draw.random() < rate else before[name] for name in OF_DATA}
    parents = [evolving.choose_parent(population, task, draw) for _ in range(count)]
    return [evolving.mutate(population, parent, task, shared, draw) for parent in parents]


def heads(problem: Problem) -> int:
    """The outputs of all heads of a problem."""
    return groups(problem.tasks)[-1].stop


def size(parts: PyTree) -> int:
    """How many numbers a component has."""
    return sum(leaf.size for leaf in jax.tree.leaves(parts))


def path_network(evolved: Evolved, path: int, sizes: Sizes, outputs: int) -> Network:
    """The network of a path."""
    parts = {slot: evolved.arrays[n] for slot, n in evolved.population.paths[path].components.items()}
    return network(parts, sizes, outputs)


def restored(found: Checkpoint, sizes: Sizes, outputs: Mapping[str, int]) -> Evolved:
    """What a checkpoint holds; `outputs` are those of the heads of each problem."""
    population = Population.from_json(found.counters["population"])
    forms = {
        str(n): form(c.slot, sizes, outputs[c.made_by] if c.slot == "head" else 1)
        for n, c in population.components.items()
    }
    saved, _ = checkpoint.restore(found.path, {"components": forms}, partial=True)
    return Evolved(population, {int(n): jax.tree.map(np.asarray, tree) for n, tree in saved["components"].items()})


@eqx.filter_jit
def _measured(problem: Problem, model: Network) -> Figures:
    return evaluate(problem.tasks, model, problem.test)
