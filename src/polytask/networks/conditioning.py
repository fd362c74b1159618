"""How a network learns which task it is at: features joined to its input."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class TaskEmbedding(eqx.Module):
    """A learned vector for each task, divided by its norm (BRC; the code divides by L2, the paper says L1).

    Entries are drawn from a normal distribution of deviation 1/sqrt(dim), as Flax's `Embed` does.
    """

    table: Float[Array, "tasks dim"]
    norm: Literal["l2", "l1"] = eqx.field(static=True)

    def __init__(self, tasks: int, dim: int, norm: Literal["l2", "l1"], *, key: PRNGKeyArray) -> None:
        self.table = jax.random.normal(key, (tasks, dim)) / math.sqrt(dim)
        self.norm = norm

    @property
    def dim(self) -> int:
        return self.table.shape[1]

    def __call__(self, task_ids: Int[Array, " batch"]) -> Float[Array, "batch dim"]:
        rows = self.table[task_ids]
        return rows / jnp.linalg.norm(rows, ord=2 if self.norm == "l2" else 1, axis=-1, keepdims=True)


class OneHotTasks(eqx.Module):
    """The task id as a one-hot vector."""

    tasks: int = eqx.field(static=True)

    @property
    def dim(self) -> int:
        return self.tasks

    def __call__(self, task_ids: Int[Array, " batch"]) -> Float[Array, "batch dim"]:
        return jax.nn.one_hot(task_ids, self.tasks)


class NoTaskFeatures(eqx.Module):
    """No features: for one task, for heads of their own, or as an ablation."""

    @property
    def dim(self) -> int:
        return 0

    def __call__(self, task_ids: Int[Array, " batch"]) -> Float[Array, "batch 0"]:
        return jnp.zeros((task_ids.shape[0], 0))


Conditioning = TaskEmbedding | OneHotTasks | NoTaskFeatures


def make_conditioning(
    kind: Literal["embedding", "one-hot", "multi-head", "one-hot-multi-head", "none"],
    tasks: int,
    dim: int,
    norm: Literal["l2", "l1"],
    *,
    alone: bool,
    key: PRNGKeyArray,
) -> Conditioning:
    """The features for `kind`; a task that the networks learned `alone` has none, as in BRC's code."""
    if alone or kind in ("multi-head", "none"):
        return NoTaskFeatures()
    if kind in ("one-hot", "one-hot-multi-head"):
        return OneHotTasks(tasks)
    return TaskEmbedding(tasks, dim, norm, key=key)
