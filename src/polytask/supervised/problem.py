"""Problems: tasks with the rows to train, validate and test on; a row may lack the labels of some tasks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from polytask import random
from polytask.supervised.examples import Examples, Source, Stored
from polytask.supervised.spec import HeadGroup, HeadSpec, dense, groups

if TYPE_CHECKING:
    from polytask.supervised.tables.table import Table

Numbers = Shaped[np.ndarray, "..."] | Sequence[Any] | Array


class Rows(NamedTuple):
    """Data as a person holds it.

    - `inputs`: numbers of shape (rows, ...).
    - `targets`: by task name, (rows,) or (rows, outputs); for classes (rows,) integers from 0. A label that is NaN, or
      negative for classes, is missing; so are all labels of a task that is not named.
    - `present`: by task name, (rows,) booleans; False marks a missing label, whatever stands in its place.
    """

    inputs: Numbers
    targets: Mapping[str, Numbers]
    present: Mapping[str, Numbers] = {}


class Problem(eqx.Module):
    """T tasks over one kind of input, with disjoint rows for training, validation and test.

    `make_trunk(key)` may give a network of one's own in place of the configured one: a callable with
    (inputs, *, key) -> features, over a batch; `key` is None where nothing may be drawn. `table` is how the columns of
    a table were taken, where the rows are those of one. `mirror` says that half of the images that are trained on are
    mirrored, with their labels.
    """

    train: Examples | Stored
    validation: Examples | Stored
    test: Examples | Stored
    name: str = eqx.field(static=True)
    tasks: tuple[HeadSpec, ...] = eqx.field(static=True)
    make_trunk: Callable[..., Any] | None = eqx.field(static=True, default=None)
    table: "Table | None" = eqx.field(static=True, default=None)
    mirror: bool = eqx.field(static=True, default=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def only(self, names: Sequence[str]) -> "Problem":
        """The problem with some of its tasks, in the problem's order. Raises ValueError for an unknown one."""
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            known = ", ".join(self.names)
            raise ValueError(f"{self.name} has no task {', '.join(map(repr, unknown))}; it has {known}")
        kept = [i for i, task in enumerate(self.tasks) if task.name in names]
        tasks = tuple(self.tasks[i] for i in kept)
        return Problem(
            train=_only(self.train, self.tasks, kept),
            validation=_only(self.validation, self.tasks, kept),
            test=_only(self.test, self.tasks, kept),
            name=self.name,
            tasks=tasks,
            make_trunk=self.make_trunk,
            table=self.table,
            mirror=self.mirror,
        )


@overload
def make_problem(
    name: str,
    tasks: Sequence[HeadSpec],
    train: Rows,
    validation: Rows,
    test: Rows,
    make_trunk: Callable[..., Any] | None = None,
) -> Problem:
    """From arrays."""


@overload
def make_problem(
    name: str,
    tasks: Any,
    *,
    targets: Sequence[str] | str,
    drop: Sequence[str] | str = (),
    split: str = "random",
    kinds: Mapping[str, str] = {},
    seed: int = 0,
) -> Problem:
    """From a DataFrame."""


def make_problem(
    name: str,
    tasks: Any,
    train: Rows | None = None,
    validation: Rows | None = None,
    test: Rows | None = None,
    make_trunk: Callable[..., Any] | None = None,
    **options: Any,
) -> Problem:
    """A problem from a person's arrays: the facts of the tasks, and rows for each part.

    Or from a DataFrame of pandas or polars in the place of `tasks`, of which `targets` names the columns to predict:
    `polytask.supervised.tables.table_problem` has the other options.

    Raises ValueError, naming the task and the argument, where a shape, a label or an input cannot be.
    """
    if hasattr(tasks, "columns"):
        from polytask.supervised.tables.problem import table_problem

        return table_problem(name, tasks, **options)
    if train is None or validation is None or test is None or options:
        raise TypeError("make_problem takes tasks and rows for train, validation and test, or a DataFrame and targets=")
    return problem_of_rows(name, tuple(tasks), train, validation, test, make_trunk)


def problem_of_rows(
    name: str,
    tasks: tuple[HeadSpec, ...],
    train: Rows,
    validation: Rows,
    test: Rows,
    make_trunk: Callable[..., Any] | None = None,
    table: "Table | None" = None,
) -> Problem:
    """As `make_problem`; `table` is where the rows are from."""
    groups(tasks)  # raises for tasks that cannot be
    if dense(tasks):
        raise ValueError(f"{tasks[0].name} is a task of pixels; make_image_problem takes those")
    given = {"train": train, "validation": validation, "test": test}
    parts = {which: _examples(tasks, rows, which) for which, rows in given.items()}
    shapes = {which: part.inputs.shape[1:] for which, part in parts.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{shape} in {which}" for which, shape in shapes.items())
        raise ValueError(f"a row of inputs has shape {found}; they must be alike")
    untrained = [task.name for i, task in enumerate(tasks) if not bool(parts["train"].present[:, i].any())]
    if untrained:
        raise ValueError(f"no row of train has a label for {', '.join(untrained)}; leave the task out, or give labels")
    return Problem(parts["train"], parts["validation"], parts["test"], name, tasks, make_trunk, table)


def make_image_problem(
    name: str,
    tasks: Sequence[HeadSpec],
    images: Numbers,
    labels: Mapping[str, Numbers],
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    digest: str,
    units: Mapping[str, float] | None = None,
    mirror: bool = True,
) -> Problem:
    """A problem whose labels are those of pixels, from arrays that may be mapped from files: only what a step needs is
    read.

    - `images`: bytes of shape (count, height, width, 3); `labels`: by task as `polytask.supervised.HeadSpec` says,
      (count, height, width), for normals (count, height, width, 3), of any type of numbers; `units`: what the labels of
      a task are multiplied by, 1 where it is not named.
    - `parts`: which images are for training, validation and test.
    - `digest`: hexadecimal, changes with the data, which are known again by it.

    Raises ValueError, naming the task, where a shape cannot be or labels are missing.
    """
    tasks = tuple(tasks)
    groups(tasks)  # raises for tasks that cannot be
    held = {task: np.asanyarray(values) for task, values in labels.items()}
    pixels = np.asanyarray(images)
    if not dense(tasks):
        raise ValueError(f"{tasks[0].name} is a task of whole rows; make_problem takes those")
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise ValueError(f"images are {pixels.dtype} of shape {pixels.shape}; give bytes (count, height, width, 3)")
    for task in tasks:
        shape = (*pixels.shape[:3], *((3,) if task.kind == "normals" else ()))
        if task.name not in held or held[task.name].shape != shape:
            found = held[task.name].shape if task.name in held else "not there"
            raise ValueError(f"task '{task.name}': labels are {found}; {task.kind} needs {shape}")
    source = Source(pixels, held, units or {}, bytes.fromhex(digest))

    def stored(index: np.ndarray) -> Stored:
        present = jnp.ones((len(index), len(tasks)), bool)
        known = jnp.asarray(np.frombuffer(source.digest, np.uint8))
        return Stored(jnp.asarray(index, jnp.int32), present, known, source, tasks)

    if not all(len(part) for part in parts):
        raise ValueError(f"{name}: there must be images to train, to validate and to test, not {[*map(len, parts)]}")
    train, validation, test = map(stored, parts)
    return Problem(train, validation, test, name, tasks, mirror=mirror)


def split(
    rows: Rows, seed: int = 0, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
) -> tuple[Rows, Rows, Rows]:
    """Rows at random into train, validation and test, each in one of them; the same seed gives the same split."""
    count = len(np.asarray(rows.inputs))
    order = random.generator(seed, "split").permutation(count)
    shares = np.array(fractions, np.float64)
    ends = np.round(np.cumsum(shares / shares.sum()) * count).astype(int)
    first, second, third = (order[a:b] for a, b in zip((0, *ends[:2]), ends, strict=True))
    return _taken(rows, first), _taken(rows, second), _taken(rows, third)


def gather(batches: Iterable[tuple[str, Numbers, Numbers]]) -> Rows:
    """Rows from batches of single tasks, (task name, inputs, labels), as a loader may yield them; held in memory.

    Every row has the label of its own task only. Raises ValueError if there is no batch.
    """
    held = [(task, np.asarray(inputs), np.asarray(labels)) for task, inputs, labels in batches]
    if not held:
        raise ValueError("there is no batch to gather; yield (task name, inputs, labels)")
    for task, inputs, labels in held:
        if inputs.shape[:1] != labels.shape[:1]:
            raise ValueError(f"task '{task}': a batch has {len(inputs)} inputs and {len(labels)} labels")
    ends = np.cumsum([len(inputs) for _, inputs, _ in held])
    targets: dict[str, np.ndarray] = {}
    present: dict[str, np.ndarray] = {}
    for (task, inputs, labels), end in zip(held, ends, strict=True):
        if task not in targets:
            targets[task] = np.zeros((ends[-1], *labels.shape[1:]), labels.dtype)
            present[task] = np.zeros(ends[-1], bool)
        targets[task][end - len(inputs) : end] = labels
        present[task][end - len(inputs) : end] = True
    return Rows(np.concatenate([inputs for _, inputs, _ in held]), targets, present)


def _taken(rows: Rows, index: np.ndarray) -> Rows:
    def chosen(by_task: Mapping[str, Numbers]) -> dict[str, Numbers]:
        return {name: np.asarray(values)[index] for name, values in by_task.items()}

    return Rows(np.asarray(rows.inputs)[index], chosen(rows.targets), chosen(rows.present))


def _only(examples: Examples | Stored, tasks: Sequence[HeadSpec], kept: Sequence[int]) -> Examples | Stored:
    if isinstance(examples, Stored):
        return examples.only(kept)
    targets = []
    for group, values in zip(groups(tasks), examples.targets, strict=True):
        columns = [i for i, task in enumerate(group.tasks) if task in kept]
        if columns:
            targets.append(values[:, jnp.array(columns)])
    return Examples(examples.inputs, tuple(targets), examples.present[:, jnp.array(kept)])


def _examples(tasks: tuple[HeadSpec, ...], rows: Rows, which: str) -> Examples:
    inputs = np.asarray(rows.inputs, np.float32)
    if inputs.ndim < 2 or not len(inputs):
        raise ValueError(f"inputs of {which} have shape {inputs.shape}; give at least one row, and (rows, features)")
    if not np.isfinite(inputs).all():
        raise ValueError(f"inputs of {which} hold NaN or infinity; fill them in, or leave those rows out")
    known = [task.name for task in tasks]
    for argument, given in (("targets", rows.targets), ("present", rows.present)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(f"{argument} of {which} name {', '.join(unknown)}; the tasks are {', '.join(known)}")
    columns = [_labels(task, rows, len(inputs), which) for task in tasks]
    stacked = [_stacked(group, columns) for group in groups(tasks)]
    present = np.stack([there for _, there in columns], axis=1)
    return Examples(jnp.asarray(inputs), tuple(map(jnp.asarray, stacked)), jnp.asarray(present))


def _stacked(group: HeadGroup, columns: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.stack([columns[task][0] for task in group.tasks], axis=1)


def _labels(task: HeadSpec, rows: Rows, count: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """One task's labels, with zeros where they are missing, and where they are not."""
    there = np.ones(count, bool)
    about = f"task '{task.name}': targets of {which}"
    wide = () if task.kind == "classes" else (task.outputs,)
    given = rows.targets.get(task.name)
    if given is None:
        there[:] = False
        values = np.zeros((count, *wide), np.float64)
    else:
        values = np.asarray(given).astype(np.float64)
        if wide == (1,) and values.shape == (count,):
            values = values[:, None]
        if values.shape != (count, *wide):
            expected = f"({count},) or ({count}, 1)" if wide == (1,) else f"{(count, *wide)}"
            raise ValueError(f"{about} have shape {values.shape}; {task.kind} of {task.outputs} needs {expected}")
        there &= values >= 0 if task.kind == "classes" else np.isfinite(values).all(axis=1)
    mask = rows.present.get(task.name)
    if mask is not None:
        if np.shape(mask) != (count,):
            raise ValueError(f"task '{task.name}': present of {which} has shape {np.shape(mask)}, not ({count},)")
        there &= np.asarray(mask, bool)
    values = np.where(there.reshape(-1, *[1] * len(wide)), values, 0.0)
    _check_range(task, values, about)
    return values.astype(np.int32 if task.kind == "classes" else np.float32), there


def _check_range(task: HeadSpec, values: np.ndarray, about: str) -> None:
    if task.kind == "binary" and not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{about} go from {values.min():g} to {values.max():g}; binary labels are 0 and 1")
    if task.kind == "classes" and not ((values < task.outputs) & (values == np.round(values))).all():
        raise ValueError(f"{about} go up to {values.max():g}; {task.outputs} classes are 0 to {task.outputs - 1}")
