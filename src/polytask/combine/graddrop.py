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
            total, absolute = leaf.sum(0), jnp.abs(leaf).sum(0)
            positive = 0.5 * (1 + total / jnp.where(absolute == 0, 1.0, absolute))
            keep_positive = positive > jax.random.uniform(leaf_key, total.shape)
            kept = jnp.where((leaf > 0) == keep_positive[None], leaf, leak * leaf)
            return kept.sum(0)

        keys = jax.random.split(key, len(leaves))
        return jax.tree.unflatten(form, list(map(one, leaves, keys))), state, {}

    return Aggregator(lambda params, tasks: (), aggregate, as_sum)
