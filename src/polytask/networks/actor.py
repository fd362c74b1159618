"""A Gaussian policy over task-conditioned observations."""

import equinox as eqx
import jax
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
