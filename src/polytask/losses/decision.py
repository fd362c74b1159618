"""Decisions made from predictions: soft ones that differentiate, to train with, and hard ones, to evaluate with.

All are written for one instance; batch them with `jax.vmap`. Soft decisions approach the hard ones as the temperature
falls, and their gradients vanish with it: the temperature decides what a task loss can teach.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.losses.precision import at_least_float32

Temperature = Float[Array, ""] | float
"""May be traced, so that one program learns at many temperatures."""


def hard_top_k(scores: Float[Array, " items"], k: int) -> Float[Array, " items"]:
    """One for the k largest scores, zero elsewhere. Without gradient."""
    return jnp.zeros_like(scores).at[jax.lax.top_k(scores, k)[1]].set(1)


def _implicit_shift(
    logits: Float[Array, " items"], weights: Float[Array, " items"], shift: Float[Array, ""]
) -> Float[Array, ""]:
    """`shift` in value, and in derivative the solution t of sum_i w_i sigmoid(logits_i + t w_i) = constant."""
    logits_fixed, shift = jax.lax.stop_gradient(logits), jax.lax.stop_gradient(shift)
    share = jax.nn.sigmoid(logits_fixed + shift * weights)
    slope = share * (1 - share)
    total = jnp.sum(slope * jnp.square(weights))
    # Where every decision is saturated nothing moves, and 0 / tiny says so.
    moved = jnp.sum(slope * weights * (logits - logits_fixed)) / jnp.maximum(total, jnp.finfo(logits.dtype).tiny)
    return shift - moved


def _bisect(total: Callable[[Array], Array], target: Array | float, low: Array, high: Array) -> Array:
    """Where the increasing function `total` reaches `target`, to 2^-34 of the bracket."""

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        above = total(middle) > target
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = jax.lax.fori_loop(0, 34, halve, (low, high))
    return (low + high) / 2


def soft_top_k(scores: Float[Array, " items"], k: int, epsilon: Temperature = 0.01) -> Float[Array, " items"]:
    """How much of each item is among the k best: entropic optimal transport of the items to "in" and "out".

    min over G >= 0 of sum C G + epsilon sum G log G, with row sums 1/n and column sums k/n and 1 - k/n; the cost of
    item i at anchor a is (a + score_i)^2, a = 0 for in and 1 for out, divided by its largest entry (Xie et al. 2020,
    arXiv 2002.06504, in the form that LODL's code uses for Cubic). Returns n times the first column, whose sum is k.

    With two anchors the transport has one unknown, G_i = sigmoid(logit_i + t) / n, which is bisected to rounding; LODL
    and TaskMet take 200 Sinkhorn steps to the same point. The derivative is that of the solution, in all of C.

    - `epsilon`: the temperature, as a share of the largest cost; 0.01 in both codes. What is learned turns on it.
    """
    items = scores.shape[0]
    if not 0 < k < items:
        raise ValueError(f"k is {k}, of {items} items: it must be at least 1 and less than the number of items")
    cost = jnp.square(jnp.stack([scores, scores + 1]))
    logits = (cost[1] - cost[0]) / (epsilon * jnp.max(cost))
    fixed, even = jax.lax.stop_gradient(logits), jnp.log(jnp.asarray(k / (items - k), scores.dtype))
    low, high = even - jnp.max(fixed), even - jnp.min(fixed)
    shift = _bisect(lambda t: jnp.sum(jax.nn.sigmoid(fixed + t)), float(k), low, high)
    return jax.nn.sigmoid(logits + _implicit_shift(logits, jnp.ones_like(logits), shift))


def soft_knapsack(
    values: Float[Array, " items"],
    weights: Float[Array, " items"],
    capacity: Float[Array, ""] | float,
    temperature: Temperature = 0.1,
) -> Float[Array, " items"]:
    """max over 0 <= z <= 1, weights . z <= capacity, of values . z + temperature * (the entropy of z's entries).

    z_i = sigmoid((values_i - price * weights_i) / temperature), with the price at which the capacity just suffices, or
    zero if it does anyway. Weights are positive; `temperature` is in units of the values. With all weights one it is a
    choice of at most `capacity` items.
    """
    logits = values / temperature
    fixed = jax.lax.stop_gradient(logits)
    # At this price even the best item by value per weight has a share below 1e-7.
    highest = jnp.maximum(jnp.max(fixed / weights), 0) + 16 / jnp.min(weights)

    def load(shift: Array) -> Array:
        return jnp.sum(weights * jax.nn.sigmoid(fixed + shift * weights))

    shift = _bisect(load, capacity, -highest, jnp.zeros_like(highest))
    binding = load(jnp.zeros_like(highest)) > capacity
    shift = jnp.where(binding, _implicit_shift(logits, weights, shift), 0)
    return jax.nn.sigmoid(logits + shift * weights)


def soft_budget(
    objective: Callable[[Float[Array, " items"]], Float[Array, ""]],
    items: int,
    budget: int,
    temperature: Temperature = 0.05,
    steps: int = 30,
) -> Float[Array, " items"]:
    """max over 0 <= z <= 1, sum z <= budget, of objective(z) + temperature * (the entropy of z's entries).

    For objectives that grow less with more (multilinear extensions of submodular functions): z follows its own
    soft_knapsack under the objective's gradient, half of the way in each of `steps` steps, from an even split, and the
    gradient passes through these steps. Of an objective that is not concave it finds a local maximum.
    """
    # What has no type of its own takes that of what the objective holds.
    untyped = jax.ShapeDtypeStruct((items,), jnp.result_type(float), weak_type=True)
    ones = jnp.ones(items, jax.eval_shape(objective, untyped).dtype)

    def step(z: Array, _: None) -> tuple[Array, None]:
        return (z + soft_knapsack(jax.grad(objective)(z), ones, float(budget), temperature)) / 2, None

    return jax.lax.scan(step, ones * (budget / items), None, length=steps)[0]


def soft_simplex(scores: Float[Array, " items"], temperature: Temperature = 0.1) -> Float[Array, " items"]:
    """max over the simplex of scores . z + temperature * (entropy of z): softmax(scores / temperature)."""
    return jax.nn.softmax(scores / temperature)


def project_simplex(scores: Float[Array, " items"], total: float = 1.0) -> Float[Array, " items"]:
    """The nearest point to `scores` of {z >= 0, sum z = total}: sparse, and differentiable almost everywhere."""
    items = scores.shape[0]
    ordered = jnp.sort(scores)[::-1]
    thresholds = (jnp.cumsum(ordered) - total) / jnp.arange(1, items + 1, dtype=scores.dtype)
    return jnp.maximum(scores - thresholds[jnp.sum(ordered > thresholds) - 1], 0)


def quadratic_program(
    quadratic: Float[Array, "n n"],
    linear: Float[Array, " n"],
    equalities: tuple[Array, Array] | None = None,
    inequalities: tuple[Array, Array] | None = None,
    relaxation: float = 1e-2,
    tolerance: float = 1e-4,
) -> Float[Array, " n"]:
    """argmin of z^T Q z / 2 + q^T z subject to A z = b and G z <= h, by qpax (arXiv 2406.11749), in all its arguments.

    - `equalities`, `inequalities`: (A, b) and (G, h).
    - `relaxation`: the derivative is that of the problem with barriers of this size, and so does not vanish where the
      solution sits in a corner.
    - `tolerance`: of the interior-point method; not below 1e-5 in float32.

    Raises ImportError, naming the extra, if qpax is missing.
    """
    try:
        import qpax
    except ImportError as error:
        raise ImportError("quadratic_program needs qpax: pip install -e '.[decisions]' in the checkout") from error
    n = linear.shape[0]
    none = jnp.zeros((0, n), linear.dtype), jnp.zeros(0, linear.dtype)
    given = (quadratic, linear, *(equalities or none), *(inequalities or none))
    solve = functools.partial(qpax.solve_qp_primal, solver_tol=tolerance, target_kappa=relaxation)
    return _leniently(solve)(*map(at_least_float32, given)).astype(linear.dtype)


def _leniently(solve: Callable[..., Array]) -> Callable[..., Array]:
    """`solve`, traced forwards and backwards without JAX's strict promotion, which it may not have been written for."""

    @jax.custom_vjp
    def call(*arguments: Array) -> Array:
        return forwards(*arguments)[0]

    def forwards(*arguments: Array) -> tuple[Array, Any]:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return jax.vjp(solve, *arguments)

    def backwards(pull: Any, cotangent: Array) -> tuple[Array, ...]:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return pull(cotangent)

    call.defvjp(forwards, backwards)
    return call
