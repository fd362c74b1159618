"""Rows of actions and a critic's outputs where some tasks choose: the index behind the continuous entries."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask.losses import epsilon_greedy

EPSILON = 0.05  # what remains of chance in an epsilon-greedy choice


def epsilon_after(updates: Int[Array, ""], over: int, dtype: jnp.dtype) -> Float[Array, ""]:
    """Linear from 1 to EPSILON over so many updates, and EPSILON from then on."""
    return (1 - (1 - EPSILON) * jnp.minimum(updates / over, 1)).astype(dtype)


def drawn(probs: Float[Array, "batch choices"], key: PRNGKeyArray) -> Int[Array, " batch"]:
    """A choice for each row, drawn from its probabilities."""
    return jax.random.categorical(key, jnp.log(probs)).astype(jnp.int32)


def drawn_epsilon_greedily(
    q: Float[Array, "batch choices"],
    mask: Bool[Array, "batch choices"],
    updates: Int[Array, ""],
    over: int,
    key: PRNGKeyArray,
) -> Int[Array, " batch"]:
    """The best of the choices that exist, or by chance any of them; epsilon as in `epsilon_after`."""
    return drawn(jax.vmap(epsilon_greedy, (0, 0, None))(q, mask, epsilon_after(updates, over, q.dtype)), key)


def split(
    actions: Float[Array, "*batch width"], dimensions: int
) -> tuple[Float[Array, "*batch action"], Int[Array, "*batch"] | None]:
    """The continuous entries of rows of actions, and the chosen index behind them, if there is one."""
    if actions.shape[-1] == dimensions:
        return actions, None
    return actions[..., :dimensions], actions[..., dimensions].astype(jnp.int32)


def joined(
    actions: Float[Array, "batch action"], chosen: Int[Array, " batch"], choices: int
) -> Float[Array, "batch width"]:
    """Rows of actions with the chosen index behind them."""
    check_countable(choices, actions.dtype)
    return jnp.concatenate([actions, chosen.astype(actions.dtype)[:, None]], axis=-1)


def check_countable(choices: int, dtype: jnp.dtype) -> None:
    """Raises ValueError where a float type cannot hold every index."""
    most = 2 ** (jnp.finfo(dtype).nmant + 1)
    if choices > most + 1:
        raise ValueError(
            f"{jnp.dtype(dtype).name} counts to {most} and the tasks have up to {choices} choices: keep the agent's "
            f"state in float32"
        )


def by_choice(outputs: Float[Array, "members batch outputs"], choices: int) -> Float[Array, "members batch choices _"]:
    """A critic's outputs apart for each choice."""
    return outputs.reshape(*outputs.shape[:2], choices, -1)


def of_chosen(
    outputs: Float[Array, "members batch outputs"], chosen: Int[Array, " batch"] | None, choices: int
) -> Float[Array, "members batch _"]:
    """A critic's outputs for the choice that was taken; all of them where there is but one."""
    if chosen is None:
        return outputs
    return jnp.take_along_axis(by_choice(outputs, choices), chosen[None, :, None, None], axis=2)[:, :, 0]
