"""What proposes actions like those of a data set: a conditional variational autoencoder, and a small perturbation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.networks.layers import Dense, Head, TaskHead
from polytask.networks.trunk import Trunk

LEAST_LOG_STD, MOST_LOG_STD = -4.0, 15.0  # of the latent, as in BCQ's code
LATENT_RANGE = 0.5  # what is decoded without an action is drawn from a normal within +-this, as there


class ActionVAE(eqx.Module):
    """Encodes (observation, action) into a normal over a latent, and decodes latents to actions in (-1, 1)."""

    encoder: Trunk
    mean: Dense
    log_std: Dense
    decoder: Trunk
    action: Head

    def __init__(
        self, encoder: Trunk, decoder: Trunk, latent: int, action_dim: int, heads: int, *, key: PRNGKeyArray
    ) -> None:
        key_mean, key_std, key_action = jax.random.split(key, 3)
        self.encoder, self.decoder = encoder, decoder
        self.mean = Dense(encoder.width, latent, key=key_mean, scale=1.0)
        self.log_std = Dense(encoder.width, latent, key=key_std, scale=1.0)
        self.action = TaskHead(decoder.width, action_dim, heads, key=key_action, scale=1.0)

    @property
    def latent(self) -> int:
        """Dimensions of the latent."""
        return self.mean.bias.shape[-1]

    def encode(
        self,
        observations: Float[Array, "batch observation"],
        actions: Float[Array, "batch action"],
        task_features: Float[Array, "batch features"],
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """The mean and the log standard deviation of each latent."""
        hidden = self.encoder(jnp.concatenate([observations, actions], axis=-1), task_features)
        return self.mean(hidden), jnp.clip(self.log_std(hidden), LEAST_LOG_STD, MOST_LOG_STD)

    def decode(
        self,
        observations: Float[Array, "batch observation"],
        latents: Float[Array, "batch latent"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> Float[Array, "batch action"]:
        """The action of each latent."""
        hidden = self.decoder(jnp.concatenate([observations, latents], axis=-1), task_features)
        return jnp.tanh(self.action(hidden, task_ids))


class Perturbation(eqx.Module):
    """Moves an action by at most `most` in each dimension, within [-1, 1]."""

    trunk: Trunk
    move: Head
    most: float = eqx.field(static=True)

    def __init__(self, trunk: Trunk, action_dim: int, heads: int, most: float, *, key: PRNGKeyArray) -> None:
        self.trunk, self.most = trunk, most
        self.move = TaskHead(trunk.width, action_dim, heads, key=key, scale=1.0)

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        actions: Float[Array, "batch action"],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> Float[Array, "batch action"]:
        """The moved actions."""
        hidden = self.trunk(jnp.concatenate([observations, actions], axis=-1), task_features)
        return jnp.clip(actions + self.most * jnp.tanh(self.move(hidden, task_ids)), -1.0, 1.0)
