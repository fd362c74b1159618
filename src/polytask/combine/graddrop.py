"""GradDrop: gradient sign dropout (Chen et al. 2020, arXiv 2010.06808)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from polytask.combine.base import Aggregator, Info
from polytask.combine.scale import as_sum


def graddrop(leak: float = 0.0) -> Aggregator:
    """d = sum_i (leak + (1 - leak) M_i) g_i, coordinate by coordinate: M_i keeps the positive entries with probability
    P = (1 + sum_i g_i / sum_i |g_i|) / 2, and the negative ones otherwise (Algorithm 1).

    - `leak`: the share of the dropped sign that passes.

    The paper acts on the gradient by a shared representation (`representation_gradient`), multiplied by the
    representation's sign and summed over the batch; ours acts on every coordinate of what it is given, as TorchJD's.
    Raises ValueError unless 0 <= leak <= 1.
    """
    if not 0 <= leak <= 1:
        raise ValueError(f"graddrop's leak is a share, from 0 to 1, not {leak}")

    def aggregate(
        gradients: PyTree,
        losses: Float[Array, " tasks"],
        present: Bool[Array, " tasks"],
        key: PRNGKeyArray,
        state: tuple[()],
    ) -> tuple[PyTree, tuple[()], Info]:
        del losses, present
        leaves, form = jax.tree.flatten(gradients)

        def one(leaf: Array, leaf_key: PRNGKeyArray) -> Array:
            def add(sums: tuple[Array, Array], gradient: Array) -> tuple[tuple[Array, Array], None]:
                return (sums[0] + jnp.maximum(gradient, 0), sums[1] + jnp.minimum(gradient, 0)), None

            # Task after task: XLA's sum over a leading axis takes some ten times as long on the CPU.
            nothing = jnp.zeros_like(leaf[0])
            (positive, negative), _ = jax.lax.scan(add, (nothing, nothing), leaf)
            absolute = positive - negative
            share = positive / jnp.where(absolute == 0, 1.0, absolute)  # P
            # 16 random bits decide as well as 32, in half the time.
            drawn = jax.random.bits(leaf_key, share.shape, jnp.uint16).astype(share.dtype) / 2**16
            keep_positive = share > drawn
            return jnp.where(keep_positive, positive + leak * negative, negative + leak * positive)

        keys = jax.random.split(key, len(leaves))
        return jax.tree.unflatten(form, list(map(one, leaves, keys))), state, {}

    return Aggregator(lambda params, tasks: (), aggregate, as_sum)
