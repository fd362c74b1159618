"""Policies over task-conditioned observations: Gaussian or deterministic before tanh."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.losses import squash_log_std
from polytask.networks.layers import Head, TaskHead
from polytask.networks.trunk import Trunk


class GaussianActor(eqx.Module):
    """A trunk with two heads: mean and log standard deviation, before tanh."""

    trunk: Trunk
    mean: Head
    log_std: Head

    def __init__(self, trunk: Trunk, action_dim: int, heads: int, *, key: PRNGKeyArray) -> None:
        key_mean, key_std = jax.random.split(key)
        self.trunk = trunk
        self.mean = TaskHead(trunk.width, action_dim, heads, key=key_mean)
        self.log_std = TaskHead(trunk.width, action_dim, heads, key=key_std, scale=1.0)

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """The mean and the log standard deviation (in [-10, 2]) of the Gaussian before tanh."""
        hidden = self.trunk(observations, task_features)
        return self.mean(hidden, task_ids), squash_log_std(self.log_std(hidden, task_ids))


class DeterministicActor(eqx.Module):
    """A trunk with one head: the action before tanh. Called as `GaussianActor`, of which it is the limit."""

    trunk: Trunk
    mean: Head

    def __init__(self, trunk: Trunk, action_dim: int, heads: int, *, key: PRNGKeyArray) -> None:
        self.trunk, self.mean = trunk, TaskHead(trunk.width, action_dim, heads, key=key, scale=0.01)

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """The mean, and -inf for the log standard deviation: nothing is drawn."""
        mean = self.mean(self.trunk(observations, task_features), task_ids)
        return mean, jnp.full_like(mean, -jnp.inf)


class TaskGaussianActor(eqx.Module):
    """A trunk with a head for the mean, and a log standard deviation that depends on the task alone."""

    trunk: Trunk
    mean: Head
    task_log_std: Float[Array, "tasks action"]

    def __init__(self, trunk: Trunk, action_dim: int, heads: int, tasks: int, *, key: PRNGKeyArray) -> None:
        self.trunk, self.mean = trunk, TaskHead(trunk.width, action_dim, heads, key=key, scale=0.01)
        self.task_log_std = jnp.zeros((tasks, action_dim))

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """The mean before tanh, and the log standard deviation around its tanh, in [-5, 2]."""
        mean = self.mean(self.trunk(observations, task_features), task_ids)
        return mean, jnp.clip(self.task_log_std, -5.0, 2.0)[task_ids]
