"""What a trunk is: the part of a network between what is observed and its heads."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Trunk(eqx.Module):
    """Features of observations and of the task: (batch, inputs), (batch, task features) -> (batch, width).

    Task features come apart from observations, since a trunk may use them in another way: to choose a route through
    its layers, or behind convolutions. One that only takes them for more inputs begins with `joined`.
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


def joined(
    inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
) -> Float[Array, "batch both"]:
    """Inputs with the task's features behind them."""
    return jnp.concatenate([inputs, task_features.astype(inputs.dtype)], axis=-1)
