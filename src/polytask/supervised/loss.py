"""What a supervised training minimises: `--loss`. What is measured stays as `model` has it, so that runs compare."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polytask.losses import squared_errors
from polytask.supervised.config import LOSSES, SupervisedConfig
from polytask.supervised.model import over_present
from polytask.supervised.problem import Examples
from polytask.supervised.spec import HeadGroup, HeadSpec
from polytask.tasks.relevance import relevance


def training_losses(
    config: SupervisedConfig, tasks: Sequence[HeadSpec], outputs: Float[Array, "batch outputs"], examples: Examples
) -> Float[Array, " tasks"]:
    """Each task's mean loss over the rows that have its label; 0 if none has.

    - likelihood: as `HeadSpec` says; task-weighted: the same times the task's relevance.
    - squared-error: the squared error of numbers and of probabilities (Brier's score), a mean over the outputs of
      regressions and of answers, a sum over classes.
    - another package's, see `polytask.supervised.config.LOSSES`. Raises ValueError if its shape is not (rows, tasks).
    """
    loss = LOSSES[config.loss]

    def rows(group: HeadGroup, given: Array, target: Array) -> Array:
        values = loss(group, given, target)
        if values.shape != given.shape[:2]:
            raise ValueError(
                f"the loss '{config.loss}' gave shape {values.shape}; it has to give {given.shape[:2]}, "
                "a number for every row and task"
            )
        return values

    losses = over_present(tasks, outputs, examples, rows)
    if config.loss == "task-weighted":
        return losses * jnp.asarray(relevances(config, [task.name for task in tasks]))
    return losses


def relevances(config: SupervisedConfig, names: Sequence[str]) -> Float[np.ndarray, " tasks"]:
    """The weight of each task. Raises ValueError for an unknown name and for weights that are not positive numbers."""
    return relevance(config.relevance, names, "--relevance")


def squared(group: HeadGroup, given: Float[Array, "rows tasks outputs"], target: Array) -> Float[Array, "rows tasks"]:
    """The squared error of every row in every task of a group; of probabilities where there are classes or answers."""
    if group.kind == "classes":
        return squared_errors(given, jax.nn.one_hot(target, group.outputs), "categorical").sum(-1)
    return squared_errors(given, target, "binary" if group.kind == "binary" else "real").mean(-1)
