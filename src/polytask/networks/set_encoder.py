"""What a set of transitions says of its task: a Gaussian over a latent, whatever the order of the set."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from polytask.losses.task_inference import gaussian_product
from polytask.networks.layers import Dense
from polytask.networks.mlp import MLP


class SetEncoder(eqx.Module):
    """Each transition (s, a, s', r) gives a Gaussian; a set gives the product of its transitions' (PEARL, MBML).

    Log variances are kept within +-10.
    """

    trunk: MLP
    mean: Dense
    log_variance: Dense

    def __init__(self, inputs: int, latent: int, width: int = 200, depth: int = 3, *, key: PRNGKeyArray) -> None:
        key_trunk, key_mean, key_variance = jax.random.split(key, 3)
        self.trunk = MLP(inputs, 0, width, depth, key=key_trunk)
        self.mean = Dense(width, latent, key=key_mean, scale=1.0)
        self.log_variance = Dense(width, latent, key=key_variance, scale=1.0)

    def __call__(
        self, transitions: Float[Array, "set inputs"], real: Bool[Array, " set"]
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """The mean and the log variance of the posterior over the latent; N(0, I) of a set without a real one."""
        hidden = self.trunk(transitions, jnp.zeros((len(transitions), 0), transitions.dtype))
        log_variances = 10 * jnp.tanh(self.log_variance(hidden) / 10)
        return gaussian_product(self.mean(hidden), log_variances, real)
