"""SDMGrad: MGDA pulled towards the mean, for stochastic gradients (Xiao, Ban & Ji 2023, arXiv 2305.18409)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.combine.solvers import precise


def sdmgrad(regularisation: float = 0.3, steps: int = 20, step_size: float = 10.0, momentum: float = 0.5) -> Weighting:
    """d = (g_w + lambda g_0) / (1 + lambda) with w in the simplex following argmin ||g_w + lambda g_0||^2 / 2
    (Algorithm 1), g_0 the mean gradient.

    - `regularisation`: lambda; 0 is MGDA, infinity the mean.
    - `steps`, `step_size`, `momentum`: of projected gradient descent on w, from the last w: v <- momentum v +
      A (w + lambda / n), w <- simplex(w - step_size v). As in the official code, A is divided by the squared mean of
      the gradients' norms, and its defaults are ours; the paper's text has no momentum.

    A is `inputs.cross`, J J'^T with an independent batch, which makes the direction of descent unbiased; without
    one it is the Gramian, and the method biased, as every other here. Zero gradients cost nothing and so attract
    weight. Absent tasks keep their w; those present start from its projection on their simplex.

    info["residual"]: how far from w = argmin the inner steps end, as a variational inequality: w^T F - min_i F_i with
    F = A (w + lambda / n), relative to max|A|. It is a measure of the method, not of an exact solver. Raises
    ValueError for a negative regularisation, step size or momentum, a momentum of 1 or more, or no step.
    """
    if regularisation < 0 or step_size <= 0 or not 0 <= momentum < 1 or steps < 1:
        raise ValueError("sdmgrad needs regularisation >= 0, step_size > 0, 0 <= momentum < 1 and steps >= 1")

    def init(tasks: int) -> Float[Array, " tasks"]:
        return jnp.full(tasks, 1 / tasks)

    @precise
    def weigh(
        inputs: Inputs, state: Float[Array, " tasks"]
    ) -> tuple[Float[Array, " tasks"], Float[Array, " tasks"], Info]:
        present = inputs.present
        matrix = inputs.gramian if inputs.cross is None else inputs.cross
        matrix = jnp.where(present[:, None] & present[None], matrix, 0.0)
        count = jnp.maximum(present.sum(), 1).astype(matrix.dtype)
        mean_norm = jnp.sqrt(jnp.maximum(jnp.diag(matrix), 0.0)).sum() / count
        size = jnp.where(mean_norm > 0, mean_norm, jnp.sqrt(jnp.max(jnp.abs(matrix))))
        matrix = matrix / jnp.where(size == 0, 1.0, size * size)
        pull = jnp.where(present, regularisation / count, 0.0)

        def descend(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            weights, velocity = carry
            velocity = momentum * velocity + matrix @ (weights + pull)
            return project_on_simplex(weights - step_size * velocity, present), velocity

        start = (project_on_simplex(state, present), jnp.zeros_like(state))
        weights, _ = jax.lax.fori_loop(0, steps, descend, start)
        force = matrix @ (weights + pull)
        gap = weights @ force - jnp.min(jnp.where(present, force, jnp.inf))
        largest = jnp.max(jnp.abs(matrix))
        residual = jnp.where(present.any(), gap, 0.0) / jnp.where(largest == 0, 1.0, largest)
        return (weights + pull) / (1 + regularisation), jnp.where(present, weights, state), {"residual": residual}

    return Weighting("gramian", init, weigh, as_mean, independent=True)


def project_on_simplex(values: Float[Array, " tasks"], present: Bool[Array, " tasks"]) -> Float[Array, " tasks"]:
    """The nearest w >= 0 with sum 1 over the present tasks, zero for the others (Duchi et al. 2008, Figure 1)."""
    # Only differences count; the largest at zero loses no digits to a common offset.
    values = values - jnp.max(jnp.where(present, values, -jnp.inf), initial=-jnp.inf, where=present)
    values = jnp.where(present, values, -jnp.inf)
    falling = -jnp.sort(-values)
    ranks = jnp.arange(1, values.shape[0] + 1, dtype=values.dtype)
    excess = (jnp.cumsum(jnp.where(falling > -jnp.inf, falling, 0.0)) - 1) / ranks
    kept = jnp.sum(falling > excess)
    shift = excess[jnp.maximum(kept - 1, 0)]
    return jnp.where(present, jnp.maximum(values - shift, 0.0), 0.0)
