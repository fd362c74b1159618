"""Aligned-MTL: independent components of the gradients, all made equally long (Senushkin et al. 2023, CVPR)."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask.combine.base import Info, Inputs, Weighting
from polytask.combine.eigen import Eigenpairs, graded_eigh
from polytask.combine.scale import as_mean
from polytask.combine.solvers import directions, precise

ScaleBy = Literal["min", "median", "rmse"]


def aligned(scale_by: ScaleBy = "min") -> Weighting:
    """d = sum_i w_i g_i with w = sqrt(s) V Lambda^(-1/2) V^T 1/n, G = V Lambda V^T (Algorithm 1, equal preferences).

    - `scale_by`: the common length, s: the smallest non-zero eigenvalue (the paper's), the median (the lower of two),
      or their mean ("rmse").

    In the aligned gradients all components are orthogonal and equally long; no claim of non-conflict with the
    original gradients follows. Eigenvalues at the rounding level of the cosines count as zero; how much longer one
    gradient is than another does not matter. Zero gradients have weight zero, but count in n.

    info["residual"]: how far from orthogonal the eigenvectors are, see `Eigenpairs`. Raises ValueError for another
    `scale_by`.
    """
    if scale_by not in get_args(ScaleBy):
        raise ValueError(f"aligned's scale_by is 'min', 'median' or 'rmse', not {scale_by!r}")

    @precise
    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        to = directions(inputs)
        pairs = graded_eigh(to)
        count = jnp.maximum(inputs.present.sum(), 1).astype(float)
        roots = jnp.sqrt(jnp.where(pairs.values > 0, pairs.values, 1.0))
        preferences = jnp.where(to.active, 1 / count, 0.0)
        weights = pairs.vectors @ (pairs.vectors.T @ preferences * jnp.sqrt(_length(pairs, scale_by)) / roots)
        return jnp.where(to.active, weights, 0.0), state, {"residual": pairs.residual}

    return Weighting("gramian", lambda tasks: (), weigh, as_mean)


def _length(pairs: Eigenpairs, scale_by: ScaleBy) -> Float[Array, ""]:
    """The common square length of the components."""
    kept = pairs.values > 0
    rank = kept.sum()
    if scale_by == "rmse":
        return pairs.values.sum() / jnp.maximum(rank, 1).astype(float)
    increasing = jnp.sort(jnp.where(kept, pairs.values, jnp.inf))
    index = (rank - 1) // 2 if scale_by == "median" else 0
    return jnp.where(rank == 0, 0.0, increasing[jnp.maximum(index, 0)])
