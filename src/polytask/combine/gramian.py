"""Gramians of task gradients, whatever the gradients' scale and type; and weights applied to gradients.

Gramians are in JAX's default float type: float32, or float64 under `jax_enable_x64`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from polytask.losses.precision import at_least_float32

# Parameters at a time: a block of 40 tasks takes 1.3 MB, about what a core's cache holds.
BLOCK = 8192

# Between these the largest square of a norm leaves float32 room for gradients 1e-12 times as long, and for sums.
FITS = (1e-12, 1e24)


class Gramian(NamedTuple):
    """J J^T divided by its largest diagonal entry, scale**2; rows and columns of left-out tasks are zero.

    `finite` tells which tasks' gradients are finite. `cross` is J J'^T / scale**2 with the gradients J' of an
    independent batch, where there is one.
    """

    matrix: Float[Array, "tasks tasks"]
    scale: Float[Array, ""]
    finite: Bool[Array, " tasks"]
    cross: Float[Array, "tasks tasks"] | None = None


def inverse_scale(largest: Float[Array, " tasks"], used: Bool[Array, " tasks"]) -> Float[Array, ""]:
    """A power of two near 1 / max(largest): dividing by it loses no bit. 1 where all is zero."""
    _, exponent = jnp.frexp(jnp.max(jnp.where(used, largest, 0.0)))
    # Within +-126 (in float32) the power is a normal number; what is smaller still counts as zero.
    most = -int(jnp.finfo(largest.dtype).minexp)
    return jnp.ldexp(jnp.ones(()), -jnp.clip(exponent, -most, most))


def over_blocks(of: Callable[..., Array], join: Callable[[Array, Array], Array], start: Array, *arrays: Array) -> Array:
    """`start` joined with `of` each block of the arrays' columns, one block after another.

    What `of` computes on the way stays in the cache, and takes no memory of the arrays' size.

    - `arrays`: with a leading task axis.
    """
    arrays = tuple(array.reshape(array.shape[0], -1) for array in arrays)
    whole, rest = divmod(arrays[0].shape[1], BLOCK)

    def add(k: Array, so_far: Array) -> Array:
        return join(so_far, of(*(jax.lax.dynamic_slice_in_dim(a, k * BLOCK, BLOCK, axis=1) for a in arrays)))

    joined = join(start, of(*(a[:, -rest:] for a in arrays))) if rest else start
    return jax.lax.fori_loop(0, whole, add, joined) if whole else joined


def largest_entries(gradients: PyTree) -> Float[Array, " tasks"]:
    """Each task's largest absolute entry; infinite where the gradient is not finite."""

    def largest(block: Array) -> Array:
        # XLA's maximum on the CPU may lose a NaN, but not infinity.
        return jnp.max(jnp.where(jnp.isfinite(block), jnp.abs(block), jnp.inf), axis=1).astype(float)

    leaves = jax.tree.leaves(gradients)
    found = jnp.zeros(leaves[0].shape[0])
    for leaf in leaves:
        found = over_blocks(largest, jnp.maximum, found, leaf)
    return found


def norms(gradients: PyTree) -> Float[Array, " tasks"]:
    """Each task's norm, also where its square would not fit into float32."""
    largest = largest_entries(gradients)
    inverse = jax.vmap(lambda entry: inverse_scale(entry[None], jnp.isfinite(entry)[None]))(largest)

    def square(g: Array) -> Array:
        return jnp.sum(jnp.square(g.reshape(g.shape[0], -1).astype(float) * inverse[:, None]), axis=1)

    return jnp.sqrt(sum(map(square, jax.tree.leaves(gradients)), start=jnp.zeros(()))) / inverse


def products(left: PyTree, right: PyTree, factor: Float[Array, ""] | float = 1.0) -> Float[Array, "tasks others"]:
    """factor times the inner products of two sets of gradients, with all digits also where matrix units would round.

    Block by block along the parameters: XLA's matrix product on the CPU is twice as slow on such long rows.
    """

    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a.astype(float) * factor, b.astype(float).T, precision="highest")

    pairs = list(zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))
    total = jnp.zeros((pairs[0][0].shape[0], pairs[0][1].shape[0]))
    for a, b in pairs:
        total = over_blocks(product, jnp.add, total, a, b)
    return total


def normalise(
    matrix: Float[Array, "tasks tasks"], inverse: Float[Array, ""], used: Bool[Array, " tasks"]
) -> tuple[Float[Array, "tasks tasks"], Float[Array, ""]]:
    """The Gramian with largest diagonal one, and its scale; `matrix` is inverse**2 J J^T."""
    matrix = jnp.where(used[:, None] & used[None], (matrix + matrix.T) / 2, 0.0)
    largest = jnp.max(jnp.diag(matrix))
    empty = largest == 0
    scale = jnp.where(empty, 1.0, jnp.sqrt(largest) / inverse)
    return matrix / jnp.where(empty, 1.0, largest), scale


def gramian(gradients: PyTree, present: Bool[Array, " tasks"], independent: PyTree | None = None) -> Gramian:
    """The Gramian of gradients with a leading task axis, of any scale.

    - `independent`: the gradients on an independent batch, for `cross`.
    """
    plain = products(gradients, gradients)
    squares = jnp.where(present, jnp.diag(plain), 0.0)
    # Where squares of norms fit well into float32, nothing need be scaled, which saves a pass over the gradients. A
    # gradient that is not finite shows in its square.
    fits = jnp.isfinite(squares).all() & (squares.max() > FITS[0]) & (squares.max() < FITS[1])

    def scaled() -> tuple[Array, Array, Array]:
        largest = largest_entries(gradients)
        inverse = inverse_scale(largest, present & jnp.isfinite(largest))
        return products(gradients, gradients, inverse) * inverse, inverse, jnp.isfinite(largest)

    matrix, inverse, finite = jax.lax.cond(fits, lambda: (plain, jnp.ones(()), jnp.isfinite(jnp.diag(plain))), scaled)
    if independent is not None:
        finite &= jnp.isfinite(largest_entries(independent))
    used = present & finite
    matrix, scale = normalise(matrix, inverse, used)
    if independent is None:
        return Gramian(matrix, scale, finite)
    cross = products(gradients, independent, inverse) / (inverse * scale) / scale
    return Gramian(matrix, scale, finite, jnp.where(used[:, None] & used[None], cross, 0.0))


def weighted_sum(
    weights: Float[Array, " tasks"], gradients: PyTree, finite: Bool[Array, " tasks"] | None = None
) -> PyTree:
    """sum_i w_i g_i over the leading axis, in the gradients' type; added up in float32 at least.

    - `finite`: the tasks whose gradients are finite (None: all are); the others are left out, whatever their weight.
    """

    def plain(g: Array) -> Array:
        wide = at_least_float32(g)
        return jnp.tensordot(weights.astype(wide.dtype), wide, 1, precision="highest").astype(g.dtype)

    if finite is None:
        return jax.tree.map(plain, gradients)

    def careful(g: Array) -> Array:
        """Block by block: all gradients masked at once would take their memory again, also where this never runs."""
        rows = g.reshape(g.shape[0], -1)
        whole = rows.shape[1] // BLOCK

        def sum_block(k: Array) -> Array:
            return plain(masked(finite, jax.lax.dynamic_slice_in_dim(rows, k * BLOCK, BLOCK, axis=1)))

        rest = plain(masked(finite, rows[:, whole * BLOCK :]))
        blocks = [jax.lax.map(sum_block, jnp.arange(whole)).reshape(-1)] if whole else []
        return jnp.concatenate([*blocks, rest]).reshape(g.shape[1:])

    return jax.lax.cond(finite.all(), lambda g: jax.tree.map(plain, g), lambda g: jax.tree.map(careful, g), gradients)


def masked(used: Bool[Array, " tasks"], gradients: PyTree) -> PyTree:
    """The gradients with zeros for the tasks that are not used, whatever those hold."""
    return jax.tree.map(lambda g: jnp.where(used.reshape(-1, *[1] * (g.ndim - 1)), g, 0.0), gradients)
