"""The gradient of a solution: how the minimiser of one loss moves with another loss's parameters.

With theta* = argmin L(theta, phi), H the Hessian of L in theta and g the gradient of the outer loss at theta*,

    d outer / d phi = - u^T d^2 L / (d theta d phi),    H u = g.

The systems here are damped, (H H + ridge I) u = H g, since a network's H is singular or indefinite (TaskMet's code,
with ridge 1e-5 and five iterations).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from polytask.losses.precision import at_least_float32

HessianProduct = Callable[[Float[Array, " n"]], Float[Array, " n"]]
Solver = Callable[[HessianProduct, Float[Array, " n"]], Float[Array, " n"]]
"""From the product with H, and g, to u."""


def conjugate_gradient(steps: int = 5, ridge: float = 1e-5) -> Solver:
    """Conjugate gradients on the damped normal equations, two Hessian products for each of `steps` iterations.

    In the form of least squares (CGLS): the same iterates as conjugate gradients on H H + ridge I, without the loss of
    half the digits that squaring H costs in float32, and without division by a vanishing curvature.
    """
    if steps < 1 or ridge < 0:
        raise ValueError(f"conjugate gradients need steps >= 1 and ridge >= 0, not {steps} and {ridge}")

    def solve(product: HessianProduct, g: Array) -> Array:
        # Energies go with the fourth power of H, which float32 does not hold, so H is taken in units of what it does to
        # g, and g in units of its length. Below the root of the ridge H does not count.
        first, size = product(g), jnp.linalg.norm(g)
        size = jnp.where(size > 0, size, 1)
        unit = jnp.maximum(jnp.linalg.norm(first) / size, ridge**0.5)
        unit = jnp.where(unit > 0, unit, 1)
        damping = ridge / jnp.square(unit)
        # The gap g - H u, and the residual H gap - ridge u of the normal equations, both for g of length one.
        residual = first / (unit * size)
        start = (jnp.zeros_like(g), g / size, residual, jnp.sum(residual * residual))

        def step(_: Array, carry: Any) -> Any:
            u, gap, direction, energy = carry
            image = product(direction) / unit
            curvature = jnp.sum(image * image) + damping * jnp.sum(direction * direction)
            moved = curvature > 0
            length = jnp.where(moved, energy / jnp.where(moved, curvature, 1), 0)
            u, gap = u + length * direction, gap - length * image
            residual = product(gap) / unit - damping * u
            new_energy = jnp.sum(residual * residual)
            ratio = jnp.where(energy > 0, new_energy / jnp.where(energy > 0, energy, 1), 0)
            return u, gap, residual + ratio * direction, new_energy

        return jax.lax.fori_loop(0, steps, step, start)[0] * (size / unit)

    return solve


def direct(ridge: float = 1e-5) -> Solver:
    """The exact solution of the same damped equations, by the eigenvalues of H; for up to a few hundred parameters."""

    def solve(product: HessianProduct, g: Array) -> Array:
        hessian = at_least_float32(jax.vmap(product)(jnp.eye(g.shape[0], dtype=g.dtype)))
        values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
        filtered = values / jnp.maximum(values * values + ridge, jnp.finfo(values.dtype).tiny)
        return (vectors @ (filtered * (vectors.T @ g.astype(values.dtype)))).astype(g.dtype)

    return solve


def identity_inverse() -> Solver:
    """u = g: H taken for the identity. The default of OMD's code; the direction is no longer the gradient."""
    return lambda product, g: g


class Hypergradient(NamedTuple):
    """The gradient through the solution, and how far to trust it.

    - `gradient`: like phi, None where phi holds no array of floats.
    - `outer`: the outer loss.
    - `outer_gradient`: the norm of g; zero where the outer loss is flat in theta.
    - `inner`: the inner loss.
    - `inner_residual`: the norm of dL/dtheta, zero at the solution. The error of the gradient grows in proportion to
      it.
    - `solve_residual`: ||H u - g|| / ||g||. It stays away from zero where g leaves the range of H, and below the ridge.
    """

    gradient: PyTree
    outer: Float[Array, ""]
    outer_gradient: Float[Array, ""]
    inner: Float[Array, ""]
    inner_residual: Float[Array, ""]
    solve_residual: Float[Array, ""]


def hypergradient(
    inner: Callable[[PyTree, PyTree], Float[Array, ""]],
    outer: Callable[[PyTree], Float[Array, ""]],
    theta: PyTree,
    phi: PyTree,
    solver: Solver,
) -> Hypergradient:
    """d outer(theta*(phi)) / d phi at theta, taken for theta*(phi) = argmin inner(., phi).

    Where theta is not yet the minimiser this is the gradient of neither problem, but it tends to the right one with
    `inner_residual`. Leaves of theta and phi that are no arrays of floats are constants. One evaluation costs the
    solver's Hessian products, one gradient of `outer` and one mixed derivative.
    """
    moving, fixed = eqx.partition(theta, eqx.is_inexact_array)
    phi, fixed_phi = eqx.partition(phi, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(moving)

    def whole(vector: Array) -> PyTree:
        return eqx.combine(unravel(vector), fixed)

    def flat_inner(vector: Array, parameters: PyTree) -> Array:
        return inner(whole(vector), eqx.combine(parameters, fixed_phi))

    outer_value, g = jax.value_and_grad(lambda vector: outer(whole(vector)))(flat)
    (inner_value, residual), pushed = jax.linearize(
        lambda v: jax.value_and_grad(flat_inner)(v, phi),
        flat,
    )

    def product(v: Array) -> Array:
        return pushed(v)[1]

    u = solver(product, g)
    along = jax.grad(lambda parameters: jax.jvp(lambda v: flat_inner(v, parameters), (flat,), (u,))[1])(phi)
    norm = jnp.linalg.norm(g)
    return Hypergradient(
        gradient=jax.tree.map(jnp.negative, along),
        outer=outer_value,
        outer_gradient=norm,
        inner=inner_value,
        inner_residual=jnp.linalg.norm(residual),
        solve_residual=jnp.linalg.norm(product(u) - g) / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny),
    )
