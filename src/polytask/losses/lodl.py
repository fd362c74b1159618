"""LODL: locally optimised decision losses (Shah et al. 2022, arXiv 2203.16067).

Around each training instance the regret of decisions is sampled at perturbed predictions, a simple convex function of
the error is fitted to it, and the predictor then minimises these functions, which are frozen.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses.learner import Instances, Learner, TaskLoss, gradient_learner
from polytask.losses.optimiser import optimiser_step
from polytask.losses.precision import at_least_float32

Surrogate = Literal["weighted", "directed", "quadratic"]

_MINIMUM = 1e-3
"""The least weight of any error, as in LODL's code: the truth stays the minimum."""
_AT_ONCE = 16
"""Instances whose samples are held in memory together."""


class Surrogates(NamedTuple):
    """One fitted function of the error for each instance.

    - `parameters`: what the surrogate learned; its shape depends on the kind.
    - `scale`: the unit of the errors; `size`: the mean regret that was fitted.
    - `misfit`: mean squared misfit over the variance of the sampled regret; 1 says that it explains nothing.
    """

    parameters: Array
    scale: Float[Array, " instances"]
    size: Float[Array, " instances"]
    misfit: Float[Array, " instances"]


def surrogate_value(kind: Surrogate, parameters: Array, error: Float[Array, " n"]) -> Float[Array, ""]:
    """The surrogate at one error, with the positive weights w = softplus(parameters) + 0.001 where it has weights.

    weighted: mean_i w_i e_i^2; directed: the same with weights of their own for e > 0 and e < 0; quadratic:
    |L^T e|^2 + 0.1 mean_i e_i^2, L = `parameters` (n, rank).
    """
    if kind == "quadratic":
        return jnp.sum(jnp.square(parameters.T @ error)) + 0.1 * jnp.mean(jnp.square(error))
    weights = jax.nn.softplus(parameters) + _MINIMUM
    if kind == "directed":
        return jnp.mean(jnp.where(error > 0, weights[0], weights[1]) * jnp.square(error))
    return jnp.mean(weights * jnp.square(error))


def _start(kind: Surrogate, n: int, rank: int, dtype: Any, key: PRNGKeyArray) -> Array:
    if kind == "quadratic":
        return jax.random.uniform(key, (n, min(rank, n)), dtype) / n
    return jax.random.uniform(key, (2, n) if kind == "directed" else (n,), dtype)


def fit_surrogates(
    kind: Surrogate,
    decision_loss: TaskLoss,
    data: Instances,
    key: PRNGKeyArray,
    *,
    samples: int = 200,
    noise: float = 1.0,
    rank: int = 20,
    steps: int = 300,
) -> Surrogates:
    """Samples `samples` perturbed truths for each instance and fits a surrogate to their `decision_loss` by Adam.

    The perturbations are normal with `noise` times the standard deviation of the instance's truth (a batch of constants
    counts one). LODL takes up to 50 000 samples, weights that are clipped at 0.001 where ours are a softplus above it,
    and errors and regrets in their own units, where ours are scaled to one for the fit.
    """

    def one(y: Array, aux: Any, key: PRNGKeyArray) -> Surrogates:
        key_noise, key_start = jax.random.split(key)
        spread = jnp.std(y)
        scale = jnp.where(spread > 0, spread, 1) * noise
        errors = jax.random.normal(key_noise, (samples, y.size), y.dtype)
        regrets = jax.vmap(lambda e: decision_loss(y + scale * e.reshape(y.shape), y, aux))(errors)
        size = jnp.mean(jnp.abs(regrets))
        fitted, wanted = at_least_float32(errors), at_least_float32(regrets / jnp.where(size > 0, size, 1))

        def misfit(parameters: Array) -> Array:
            values = jax.vmap(lambda e: surrogate_value(kind, parameters, e))(fitted)
            return jnp.mean(jnp.square(values - wanted))

        def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], None]:
            parameters, state = carry
            return optimiser_step(optimiser, parameters, jax.grad(misfit)(parameters), state), None

        optimiser = optax.adam(0.05)
        start = _start(kind, y.size, rank, fitted.dtype, key_start)
        (parameters, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), length=steps)
        variance = jnp.var(wanted)
        unexplained = misfit(parameters) / jnp.where(variance > 0, variance, 1)
        return Surrogates(parameters.astype(y.dtype), scale, size, unexplained)

    return _in_batches(one, data.y, data.aux, jax.random.split(key, len(data.y)))


def _in_batches(one: Callable[..., Surrogates], *rows: Any) -> Surrogates:
    """`one` on every row, _AT_ONCE rows at a time.

    The last batch is filled up with first rows: `lax.map` would compile `one` a second time for what remains, and a
    quadratic program takes many seconds to compile.
    """
    count = len(jax.tree.leaves(rows)[0])
    batches = -(-count // _AT_ONCE)
    size = -(-count // batches)
    index = (jnp.arange(batches * size) % count).reshape(batches, size)
    fitted = jax.lax.map(lambda chosen: jax.vmap(one)(*jax.tree.map(lambda leaf: leaf[chosen], rows)), index)
    return jax.tree.map(lambda leaf: leaf.reshape(batches * size, *leaf.shape[2:])[:count], fitted)


def lodl(
    predictor: eqx.Module,
    decision_loss: TaskLoss,
    *,
    surrogate: Surrogate = "directed",
    samples: int = 200,
    noise: float = 1.0,
    optimiser: optax.GradientTransformation | None = None,
    batch: int | None = 10,
) -> Learner:
    """A predictor trained on surrogates fitted to `decision_loss` before it starts; see `fit_surrogates`.

    - `decision_loss(prediction, y, aux)`: the regret, which needs no gradient (`regret_of(problem)`).
    - `surrogate`: "weighted", "directed" (weights of their own above and below) or "quadratic" (low rank).
    """
    if surrogate not in ("weighted", "directed", "quadratic"):
        raise ValueError(f"surrogate is {surrogate!r}; it must be 'weighted', 'directed' or 'quadratic'")

    def prepare(data: Instances, key: PRNGKeyArray) -> Surrogates:
        return fit_surrogates(surrogate, decision_loss, data, key, samples=samples, noise=noise)

    def loss(prediction: Array, data: Instances, fitted: Surrogates) -> Array:
        def one(prediction: Array, y: Array, own: Surrogates) -> Array:
            return own.size * surrogate_value(surrogate, own.parameters, (prediction - y).reshape(-1) / own.scale)

        return jnp.mean(jax.vmap(one)(prediction, data.y, fitted))

    return gradient_learner(predictor, loss, optimiser or optax.adam(1e-3), batch, prepare)
