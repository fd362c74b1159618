"""A Gaussian policy over task-conditioned observations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.losses import squash_log_std
from polytask.networks.critic import Trunk
from polytask.networks.layers import TaskHead


class GaussianActor(eqx.Module):
    """A trunk with two heads: mean and log standard deviation, before tanh."""

    trunk: Trunk
    mean: TaskHead
    log_std: TaskHead

    def __init__(self, trunk: Trunk, width: int, action_dim: int, heads: int, *, key: PRNGKeyArray) -> None:
        key_mean, key_std = jax.random.split(key)
        self.trunk = trunk
        self.mean = TaskHead(width, action_dim, heads, key=key_mean)
        self.log_std = TaskHead(width, action_dim, heads, key=key_std, scale=1.0)

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """The mean and the log standard deviation (in [-10, 2]) of the Gaussian before tanh."""
        hidden = self.trunk(jnp.concatenate([observations, task_features], axis=-1))
        return self.mean(hidden, task_ids), squash_log_std(self.log_std(hidden, task_ids))
