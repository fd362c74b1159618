"""How long the combined gradient is: the factor between a method's own scale and the one asked for."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from polytask.combine.base import Response, Scale


def as_sum(tasks: Float[Array, ""]) -> Float[Array, ""]:
    """The response of a method that adds up: n equal gradients g give n g."""
    return tasks


def as_mean(tasks: Float[Array, ""]) -> Float[Array, ""]:
    """The response of a method that averages: n equal gradients g give g."""
    return jnp.ones_like(tasks)


def scale_factor(
    scale: Scale, response: Response | None, weights: Float[Array, " tasks"] | None, present: Bool[Array, " tasks"]
) -> Float[Array, ""]:
    """What the method's own gradient is multiplied by, so that n present tasks with one gradient g give n g or g.

    Methods whose own length depends on the data (Nash-MTL's does not even grow with the gradients) have no `response`:
    their weights are divided by their sum. Weights that sum to zero stay zero.
    """
    if scale == "paper":
        return jnp.ones(())
    tasks = present.sum().astype(float)
    if response is not None:
        own = response(tasks)
    else:
        assert weights is not None, "a method without a response must tell its weights"
        own = weights.sum()
    wanted = tasks if scale == "sum" else jnp.ones(())
    return jnp.where(own == 0, 0.0, wanted / jnp.where(own == 0, 1.0, own))


def own_factor(scale: Scale, present: Bool[Array, " tasks"]) -> Float[Array, " tasks"]:
    """The weights of the losses in the gradient of what tasks do not share: 1 each, or 1/n at scale "mean"."""
    weights = present.astype(float)
    return weights / jnp.maximum(weights.sum(), 1) if scale == "mean" else weights
