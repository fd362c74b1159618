"""The second stage of MBML: what each task's reward is, learned by an ensemble, and where its members agree."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses import agreed, optimiser_step
from polytask.networks import Dense
from polytask.transfer.mbml.config import MBMLConfig
from polytask.transfer.mbml.data import Logs, Relabelled, check


class RewardNet(eqx.Module):
    """(s, a) -> r, by one hidden layer."""

    hidden: Dense
    out: Dense

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, " batch"]:
        return self.out(jax.nn.relu(self.hidden(x)))[:, 0]


def train_ensembles(config: MBMLConfig, logs: Logs, key: PRNGKeyArray) -> RewardNet:
    """`ensemble` networks of each task, stacked along axes (tasks, members). Raises ValueError as `check`."""
    check(logs)
    tasks, n = logs.rewards.shape
    inputs = jnp.concatenate([logs.observations, logs.actions], axis=-1)
    key_init, key_steps = jax.random.split(key)
    keys = jax.random.split(key_init, (tasks, config.ensemble))
    adam = optax.adam(config.learning_rate)

    def fresh(key: Array) -> RewardNet:
        one, two = jax.random.split(key)
        size = inputs.shape[-1]
        nets = Dense(size, config.ensemble_width, key=one), Dense(config.ensemble_width, 1, key=two, scale=1.0)
        return RewardNet(*nets)

    made = [[fresh(k) for k in own] for own in keys]
    stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *own) for own in made]
    nets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacked)

    def loss(net: RewardNet, x: Array, r: Array) -> Array:
        return jnp.square(net(x) - r).mean()

    def one_step(net: RewardNet, state: Any, x: Array, r: Array, key: Array) -> tuple[RewardNet, Any]:
        at = jax.random.randint(key, (config.ensemble_batch,), 0, n)
        return optimiser_step(adam, net, jax.grad(loss)(net, x[at], r[at]), state)

    members = jax.vmap(one_step, (0, 0, None, None, 0))
    every = jax.vmap(members, (0, 0, 0, 0, 0))

    def step(carry: tuple[RewardNet, Any], key: Array) -> tuple[tuple[RewardNet, Any], None]:
        return every(*carry, inputs, logs.rewards, jax.random.split(key, (tasks, config.ensemble))), None

    state = jax.vmap(jax.vmap(adam.init))(nets)
    steps = jax.random.split(key_steps, config.ensemble_steps)
    return jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])((nets, state), steps)[0]


def relabel(config: MBMLConfig, logs: Logs, ensembles: RewardNet) -> Relabelled:
    """The rewards of every task's transitions as every task's ensemble sees them, and where its members agree."""
    inputs = jnp.concatenate([logs.observations, logs.actions], axis=-1)

    def pair(nets: RewardNet, x: Array) -> tuple[Array, Array]:
        mean, same = agreed(jax.lax.map(lambda net: net(x), nets), config.threshold)
        return mean, jnp.cumsum(same)

    def of_task(nets: RewardNet) -> tuple[Array, Array]:
        return jax.lax.map(lambda x: pair(nets, x), inputs)

    return Relabelled(*jax.jit(lambda nets: jax.lax.map(of_task, nets))(ensembles))
