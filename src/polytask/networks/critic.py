"""An ensemble of critics that share their task features."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.networks.conditioning import Conditioning
from polytask.networks.encoder import ImageFeatures
from polytask.networks.layers import Head
from polytask.networks.trunk import Trunk

ONE_BY_ONE = 1024
"""Rows from which members are computed apart, not in one batch: 5 to 8 % of BRC's update, and a loss with 256 rows."""


class CriticMember(eqx.Module):
    """A trunk and a head: values, or logits over value bins, of (state, action)."""

    trunk: Trunk
    head: Head

    def __call__(
        self,
        inputs: Float[Array, "batch inputs"],
        task_features: Float[Array, "batch task_features"],
        task_ids: Int[Array, " batch"],
    ) -> Float[Array, "batch outputs"]:
        return self.head(self.trunk(inputs, task_features), task_ids)


class CriticEnsemble(eqx.Module):
    """`members` holds all members stacked along a leading axis; `conditioning` is common to them.

    So is the `encoder`, where there are images: it is applied before, and what it gives is part of the observations
    here. Where the tasks choose among `choices` the outputs are those of all of them, the first choice's first.
    """

    conditioning: Conditioning
    members: CriticMember
    encoder: ImageFeatures | None
    size: int = eqx.field(static=True)
    choices: int = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        conditioning: Conditioning,
        make_member: Callable[[PRNGKeyArray], CriticMember],
        encoder: ImageFeatures | None = None,
        choices: int = 1,
        *,
        key: PRNGKeyArray,
    ) -> None:
        self.conditioning, self.encoder, self.size, self.choices = conditioning, encoder, size, choices
        # One after another and outside of jit: vmapped orthogonal initialisers can deadlock in XLA's small CPU pools.
        members = [make_member(k) for k in jax.random.split(key, size)]
        self.members = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)

    def __call__(
        self,
        observations: Float[Array, "batch observation"],
        actions: Float[Array, "batch action"],
        task_ids: Int[Array, " batch"],
    ) -> Float[Array, "members batch outputs"]:
        features = self.conditioning(task_ids).astype(observations.dtype)
        x = jnp.concatenate([observations, actions, features], axis=-1)
        # A copy for each, which XLA may not see through: of one input it would make one product for all first layers,
        # and turn that product and its gradient round, which takes 5 % of an update. It is one array for the same
        # reason; XLA sees that a trunk that joins the parts joins what was one.
        copies = jax.lax.optimization_barrier(jnp.broadcast_to(x[None], (self.size, *x.shape)))
        inputs = jnp.split(copies, [x.shape[1] - features.shape[1]], axis=-1)
        if x.shape[0] < ONE_BY_ONE:
            return jax.vmap(lambda member, inputs: member(*inputs, task_ids))(self.members, inputs)
        members = [jax.tree.map(lambda leaf, i=i: leaf[i], self.members) for i in range(self.size)]
        return jnp.stack([member(*parts, task_ids) for member, *parts in zip(members, *inputs, strict=True)])
