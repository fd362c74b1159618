"""What a supervised training minimises: `--loss`. What is measured stays as `model` has it, so that runs compare."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polytask.losses import squared_errors
from polytask.supervised.config import LOSSES, SupervisedConfig
from polytask.supervised.examples import Examples, Stored
from polytask.supervised.model import group_losses, over_present
from polytask.supervised.spec import DENSE, HeadGroup, HeadSpec, groups
from polytask.tasks.relevance import relevance

RowLosses = Callable[[HeadGroup, Array, Array], Array]
ClassWeights = Mapping[HeadGroup, Array]


def training_losses(
    config: SupervisedConfig,
    tasks: Sequence[HeadSpec],
    outputs: Float[Array, "batch *pixels outputs"],
    examples: Examples,
    weights: ClassWeights | None = None,
) -> Float[Array, " tasks"]:
    """Each task's mean loss over the rows that have its label, times `weights` of its class; 0 if none has.

    - likelihood: as `HeadSpec` says; task-weighted: the same times the task's relevance.
    - squared-error: the squared error of numbers and of probabilities (Brier's score), a mean over the outputs of
      regressions and of answers, a sum over classes.
    - another package's, see `polytask.supervised.config.LOSSES`. Raises ValueError if its shape is not (rows, tasks).
    """
    loss = LOSSES[config.loss]

    def rows(group: HeadGroup, given: Array, target: Array) -> Array:
        values = loss(group, given, target)
        expected = (len(given), len(group.tasks))
        if values.shape != expected:
            raise ValueError(
                f"the loss '{config.loss}' gave shape {values.shape}; it has to give {expected}, "
                "a number for every row and task"
            )
        return values

    losses = over_present(tasks, outputs, examples, weighted(rows, weights) if weights else rows)
    if config.loss == "task-weighted":
        return losses * jnp.asarray(relevances(config, [task.name for task in tasks]))
    return losses


def relevances(config: SupervisedConfig, names: Sequence[str]) -> Float[np.ndarray, " tasks"]:
    """The weight of each task. Raises ValueError for an unknown name and for weights that are not positive numbers."""
    return relevance(config.relevance, names, "--relevance")


def squared(group: HeadGroup, given: Float[Array, "rows tasks outputs"], target: Array) -> Float[Array, "rows tasks"]:
    """The squared error of every row in every task of a group; of probabilities where there are classes or answers.

    Raises ValueError for tasks of pixels.
    """
    if group.kind in DENSE:
        raise ValueError("--loss squared-error is not for tasks of pixels: leave it, or take task-weighted")
    if group.kind == "classes":
        return squared_errors(given, jax.nn.one_hot(target, group.outputs), "categorical").sum(-1)
    return squared_errors(given, target, "binary" if group.kind == "binary" else "real").mean(-1)


def class_weights(tasks: Sequence[HeadSpec], train: Examples | Stored) -> ClassWeights:
    """By which the classes of a task, and yes and no, come to count alike: rows / (classes * rows of the class), over
    the training rows that have its label; (tasks, classes) for each group that has classes. As scikit-learn's
    class_weight="balanced"; a class without a row is not counted.

    Raises ValueError for a binary task of several outputs, and for tasks of pixels.
    """
    if isinstance(train, Stored):
        raise ValueError("--class-weights balanced is not for tasks of pixels: leave it")
    found: dict[HeadGroup, Array] = {}
    for group, target in zip(groups(tasks), train.targets, strict=True):
        if group.kind == "regression":
            continue
        if group.kind == "binary" and group.outputs > 1:
            raise ValueError(
                f"--class-weights balanced: task '{tasks[group.tasks[0]].name}' has {group.outputs} answers in a row; "
                "give each a task of its own"
            )
        classes = jax.nn.one_hot(_class_numbers(group, target), 2 if group.kind == "binary" else group.outputs)
        there = train.present[:, np.array(group.tasks)]
        counts = jnp.where(there[:, :, None], classes, 0.0).sum(0)
        seen = jnp.maximum((counts > 0).sum(-1, keepdims=True), 1).astype(jnp.float32)
        found[group] = counts.sum(-1, keepdims=True) / (seen * jnp.maximum(counts, 1.0))
    return found


def weighted(rows: RowLosses, weights: ClassWeights) -> RowLosses:
    """Losses of rows, each times the weight of its class."""

    def losses(group: HeadGroup, given: Array, target: Array) -> Array:
        values = rows(group, given, target)
        if group not in weights:
            return values
        numbers = _class_numbers(group, target)
        return values * jnp.take_along_axis(weights[group][None], numbers[:, :, None], axis=-1)[:, :, 0]

    return losses


def balanced(weights: ClassWeights | None) -> RowLosses:
    """What an evaluation that chooses parameters takes for the loss of a row."""
    return weighted(group_losses, weights) if weights else group_losses


def _class_numbers(group: HeadGroup, target: Array) -> Array:
    return target if group.kind == "classes" else (target[:, :, 0] > 0.5).astype(jnp.int32)
