"""Components, the paths through them, and how a population of paths evolves; host-side bookkeeping without arrays.

Gesmundo and Dean 2022 (µ2Net, arXiv 2205.12755).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

LAYERS = 3
BLOCKS = tuple(f"block{i + 1}" for i in range(LAYERS))
ADAPTERS = tuple(f"adapter{i + 1}" for i in range(LAYERS))
SLOTS = ("stem", *(slot for pair in zip(BLOCKS, ADAPTERS, strict=True) for slot in pair), "norm", "head")
"""The places of a network that a component can take, in the order of computation."""
ALWAYS_TRAINED = ("norm", "head")

HYPERPARAMETERS: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    "layers": tuple(range(LAYERS + 1)),
    "mutation": tuple(i / 100 for i in range(10, 32, 2)),
    "noise": (0.0, 0.1, 0.2, 0.4),
}
"""The values of each, sorted: a mutation moves by one. "noise" is that of the inputs, in standardised units."""
FIRST = {"learning_rate": 3, "layers": 2, "mutation": 5, "noise": 0}
OF_DATA = ("noise",)  # mutated once for a generation, and shared by its children


class ComponentLocked(ValueError):
    """A component that an earlier task uses was to be trained."""


@dataclasses.dataclass(frozen=True)
class Component:
    """Parameters of one slot: `size` numbers, made while `made_by` was learned; `locks` are the tasks that use it.

    Nothing trains a component once a path of the population has it, and above all not one with locks.
    """

    slot: str
    size: int
    made_by: str
    locks: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Path:
    """A network for a task: which component is in which slot, and the index of each hyperparameter's value.

    - `quality`: the mean validation score over the task's heads, at least 0; `score`: with the size penalty.
    - `parent`: the path that it was mutated from, None for the first; `children`: of it, for the task being learned.
    """

    task: str
    components: Mapping[str, int]
    hyperparameters: Mapping[str, int]
    quality: float = 0.0
    score: float = 0.0
    parent: int | None = None
    children: int = 0

    def value(self, name: str) -> float:
        """A hyperparameter's value."""
        return HYPERPARAMETERS[name][self.hyperparameters[name]]


@dataclasses.dataclass(frozen=True)
class Population:
    """All components and paths by number; numbers are never given twice. `reference` is the size of the first path."""

    components: Mapping[int, Component] = dataclasses.field(default_factory=dict)
    paths: Mapping[int, Path] = dataclasses.field(default_factory=dict)
    reference: int = 0
    next_number: int = 0

    def best(self, task: str) -> int | None:
        """The path of a task with the highest score, the earliest among equals."""
        own = [number for number, path in self.paths.items() if path.task == task]
        return max(own, key=lambda number: (self.paths[number].score, -number), default=None)

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        components = {str(n): {**vars(c), "locks": sorted(c.locks)} for n, c in self.components.items()}
        paths = {str(n): {**vars(p), "components": dict(p.components)} for n, p in self.paths.items()}
        return {**vars(self), "components": components, "paths": paths}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Population":
        """What `to_json` gave."""
        components = {
            int(n): Component(**{**c, "locks": frozenset(c["locks"])}) for n, c in content["components"].items()
        }
        paths = {int(n): Path(**p) for n, p in content["paths"].items()}
        return Population(components, paths, content["reference"], content["next_number"])


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A child to be trained: its hyperparameters, and by slot which component it begins with (None: fresh) and whether
    it trains a copy of that or refers to it as it is."""

    task: str
    parent: int | None
    hyperparameters: Mapping[str, int]
    sources: Mapping[str, int | None]
    trained: frozenset[str]


def choose_parent(population: Population, task: str, draw: np.random.Generator) -> int | None:
    """A path to mutate: those of the task, the best first, each taken with probability 0.5^(its children for this
    task); then those of other tasks likewise; then any, uniformly. None where there is no path."""
    paths = population.paths
    by_score = sorted(paths, key=lambda number: (-paths[number].score, number))
    for group in (True, False):
        for number in by_score:
            if (paths[number].task == task) == group and draw.random() < 0.5 ** paths[number].children:
                return number
    return by_score[draw.integers(len(by_score))] if by_score else None


def moved(hyperparameters: Mapping[str, int], name: str, draw: np.random.Generator) -> int:
    """The index one up or down, within the list."""
    step = 1 if draw.random() < 0.5 else -1
    return int(np.clip(hyperparameters[name] + step, 0, len(HYPERPARAMETERS[name]) - 1))


def mutate(
    population: Population, parent: int | None, task: str, shared: Mapping[str, int], draw: np.random.Generator
) -> Mutation:
    """A child of a path, or the first path.

    With the parent's mutation probability each: a component is cloned and trained, else referred to; a hyperparameter
    moves by one; an adapter is added. Norm and head are always trained; the head of another task's path is not taken.
    `shared` are the indices of the hyperparameters in `OF_DATA`.
    """
    if parent is None:
        own = {**FIRST, **shared}
        slots = dict.fromkeys(("stem", *BLOCKS[: own["layers"]], *ALWAYS_TRAINED))
        return Mutation(task, None, own, slots, frozenset(slots))
    path = population.paths[parent]
    rate = path.value("mutation")
    own = {
        name: moved(path.hyperparameters, name, draw) if draw.random() < rate else index
        for name, index in path.hyperparameters.items()
        if name not in OF_DATA
    } | dict(shared)
    slots: dict[str, int | None] = {}
    trained: set[str] = set()
    for slot in SLOTS:
        there, cloned = path.components.get(slot), draw.random() < rate
        outside = slot in (*BLOCKS, *ADAPTERS) and int(slot[-1]) > own["layers"]
        if outside or (slot in ADAPTERS and there is None and not cloned):
            continue
        slots[slot] = None if slot == "head" and path.task != task else there
        if cloned or there is None or slot in ALWAYS_TRAINED:
            trained.add(slot)
    return Mutation(task, parent, own, slots, frozenset(trained))


def score(population: Population, mutation: Mutation, sizes: Mapping[str, int], quality: float, base: float) -> float:
    """q b^(sum over components of size / |locks and the task| / reference): a component that others use costs less."""
    cost = 0.0
    for slot, source in mutation.sources.items():
        locks = population.components[source].locks if source is not None and slot not in mutation.trained else set()
        cost += sizes[slot] / len({*locks, mutation.task})
    reference = population.reference or sum(sizes[slot] for slot in mutation.sources)
    return quality * base ** (cost / reference)


def add(
    population: Population, mutation: Mutation, sizes: Mapping[str, int], quality: float, base: float
) -> tuple[Population, dict[str, int] | None]:
    """The population after a child was trained, and the numbers of its new components by slot; None for a child that
    was not kept, because its score is below that of its parent of the same task."""
    paths = dict(population.paths)
    if mutation.parent is not None:
        parent = paths[mutation.parent]
        paths[mutation.parent] = dataclasses.replace(parent, children=parent.children + 1)
    found = score(population, mutation, sizes, quality, base)
    parent = population.paths.get(mutation.parent) if mutation.parent is not None else None
    if parent and parent.task == mutation.task and found < parent.score:
        return dataclasses.replace(population, paths=paths), None
    number = population.next_number
    new = {slot: number + 1 + i for i, slot in enumerate(s for s in SLOTS if s in mutation.trained)}
    components = {n: Component(slot, sizes[slot], mutation.task) for slot, n in new.items()}
    taken = {slot: new.get(slot, source) for slot, source in mutation.sources.items()}
    paths[number] = Path(
        mutation.task,
        {slot: n for slot, n in taken.items() if n is not None},
        mutation.hyperparameters,
        quality,
        found,
        mutation.parent,
    )
    return (
        Population(
            {**population.components, **components},
            paths,
            population.reference or sum(sizes[slot] for slot in mutation.sources),
            number + 1 + len(new),
        ),
        new,
    )


def begin(population: Population, task: str) -> Population:
    """Before a task is learned, for the first time or again: nobody has children for it, and only its own locks go."""
    paths = {number: dataclasses.replace(path, children=0) for number, path in population.paths.items()}
    return _unlocked(dataclasses.replace(population, paths=paths), task)


def end(population: Population, task: str) -> Population:
    """After a task is learned: its best path is kept and locked, its others and what only they used are gone."""
    best = population.best(task)
    paths = {n: path for n, path in population.paths.items() if path.task != task or n == best}
    population = _unlocked(dataclasses.replace(population, paths=paths), task)
    components = dict(population.components)
    if best is not None:
        for number in paths[best].components.values():
            own = components[number]
            components[number] = dataclasses.replace(own, locks=own.locks | {task})
    return _swept(dataclasses.replace(population, components=components))


def drop(population: Population, task: str) -> Population:
    """The population without a task. Raises ValueError where there is no such task."""
    known = list(dict.fromkeys(path.task for path in population.paths.values()))
    if task not in known:
        raise ValueError(f"there is no task {task} to drop; there are {', '.join(known) or 'none yet'}")
    paths = {number: path for number, path in population.paths.items() if path.task != task}
    return _swept(_unlocked(dataclasses.replace(population, paths=paths), task))


def check_trainable(population: Population, number: int) -> None:
    """Raises ComponentLocked for a component that a task has locked: clone it, and train the clone."""
    locks = population.components[number].locks
    if locks:
        raise ComponentLocked(
            f"component {number} ({population.components[number].slot}) is locked by {', '.join(sorted(locks))}: "
            "clone it and train the clone, or drop those tasks"
        )


def added_sizes(population: Population) -> Iterator[tuple[str, int]]:
    """By task, the numbers in the components that were made for it and are still there."""
    for task in dict.fromkeys(path.task for path in population.paths.values()):
        yield task, sum(c.size for c in population.components.values() if c.made_by == task)


def _unlocked(population: Population, task: str) -> Population:
    components = {n: dataclasses.replace(c, locks=c.locks - {task}) for n, c in population.components.items()}
    return dataclasses.replace(population, components=components)


def _swept(population: Population) -> Population:
    """Without components that no path uses."""
    used = {number for path in population.paths.values() for number in path.components.values()}
    return dataclasses.replace(population, components={n: c for n, c in population.components.items() if n in used})
