"""What a trunk is: the part of a network between what is observed and its heads."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Trunk(eqx.Module):
    """Features of observations and of the task: (batch, inputs), (batch, task features) -> (batch, width).

    Task features come apart from observations, since a trunk may use them in another way: to choose a route through
    its layers, or behind convolutions. One that only takes them for more inputs begins with `joined`.
    """

    by_task: ClassVar[bool] = False
    """Whether it is made for several tasks that their features tell apart, so that it is refused where there are none.
    """

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """How many features a row has: what heads have to be made for."""

    @abc.abstractmethod
    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        """The features of each row. `task_features` may have no columns."""

    def routes(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        """For each layer that mixes what parts of the trunk give: the weights of the parts in each mixture, by row.

        Each has the shape (batch, mixtures, parts). Empty where nothing is mixed.
        """
        return ()


def joined(
    inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
) -> Float[Array, "batch both"]:
    """Inputs with the task's features behind them."""
    return jnp.concatenate([inputs, task_features.astype(inputs.dtype)], axis=-1)


def task_or_one(
    inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
) -> Float[Array, "batch _"]:
    """The task's features in the type of the inputs; where there are none a column of ones, as of a single task."""
    if task_features.shape[-1]:
        return task_features.astype(inputs.dtype)
    return jnp.ones((inputs.shape[0], 1), inputs.dtype)
