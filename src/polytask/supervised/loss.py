"""What a supervised training minimises: `--loss`. What is measured stays as `model` has it, so that runs compare."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polytask.losses import squared_errors
from polytask.supervised.config import SupervisedConfig
from polytask.supervised.model import over_present, task_losses
from polytask.supervised.problem import Examples
from polytask.supervised.spec import Group, HeadSpec


def training_losses(
    config: SupervisedConfig, tasks: Sequence[HeadSpec], outputs: Float[Array, "batch outputs"], examples: Examples
) -> Float[Array, " tasks"]:
    """Each task's mean loss over the rows that have its label; 0 if none has.

    - likelihood: as `HeadSpec` says; task-weighted: the same times the task's relevance.
    - squared-error: the squared error of numbers and of probabilities (Brier's score), a mean over the outputs of
      regressions and of answers, a sum over classes.
    """
    if config.loss == "squared-error":
        return over_present(tasks, outputs, examples, _squared)
    losses = task_losses(tasks, outputs, examples)
    if config.loss == "task-weighted":
        return losses * jnp.asarray(relevance(config, [task.name for task in tasks]))
    return losses


def relevance(config: SupervisedConfig, names: Sequence[str]) -> Float[np.ndarray, " tasks"]:
    """The weight of each task. Raises ValueError for an unknown name and for weights that are not positive numbers."""
    weights = np.ones(len(names), np.float32)
    for entry in config.relevance:
        name, _, given = entry.rpartition("=")
        if name not in names:
            raise ValueError(f"--relevance {entry}: there is no task '{name}'; give NAME=WEIGHT of {', '.join(names)}")
        try:
            weight = float(given)
        except ValueError:
            weight = -1.0
        if not 0 < weight < np.inf:
            raise ValueError(f"--relevance {entry}: the weight must be a number above 0; leave a task out with --tasks")
        weights[list(names).index(name)] = weight
    return weights


def _squared(group: Group, given: Float[Array, "rows tasks outputs"], target: Array) -> Float[Array, "rows tasks"]:
    if group.kind == "classes":
        return squared_errors(given, jax.nn.one_hot(target, group.outputs), "categorical").sum(-1)
    return squared_errors(given, target, "binary" if group.kind == "binary" else "real").mean(-1)
