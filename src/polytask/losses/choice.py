"""Policies over choices. Functions are written for one state; batch them with `jax.vmap`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def soft_choice(
    q: Float[Array, " choices"], mask: Bool[Array, " choices"], temperature: Float[Array, ""]
) -> tuple[Float[Array, " choices"], Float[Array, ""]]:
    """softmax(q / temperature) over the choices that exist, and its entropy in nats.

    It maximises sum pi q + temperature * entropy (soft Q-learning, Haarnoja et al. 2017, arXiv 1702.08165, eq. 5; as
    the policy that discrete SAC learns a network for, Christodoulou 2019, arXiv 1910.07207).

    - `mask`: where a choice exists. The others have probability 0 and no influence.
    """
    tiny = jnp.finfo(q.dtype).tiny
    best = jnp.max(jnp.where(mask, q, -jnp.inf))
    logits = jnp.where(mask, (q - best) / jnp.maximum(temperature, tiny), -jnp.inf)
    probs = jax.nn.softmax(logits)
    return probs, -jnp.sum(jax.scipy.special.xlogy(probs, probs))


def epsilon_greedy(
    q: Float[Array, " choices"], mask: Bool[Array, " choices"], epsilon: Float[Array, ""]
) -> Float[Array, " choices"]:
    """With probability epsilon any choice that exists, each as likely; else the one of the largest value."""
    best = jax.nn.one_hot(greedy(q, mask), q.shape[0], dtype=q.dtype)
    exists = mask.astype(q.dtype)
    return (1 - epsilon) * best + epsilon * exists / exists.sum()


def greedy(q: Float[Array, " choices"], mask: Bool[Array, " choices"]) -> Array:
    """The choice of the largest value among those that exist, the first of several."""
    return jnp.argmax(jnp.where(mask, q, -jnp.inf)).astype(jnp.int32)
