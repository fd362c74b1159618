"""IT-MTL: at every step the candidate gradient that lowers all losses most, by trying each."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from polytask.combine.base import Aggregator, Info, Inputs, Scale, Selector, Weighting
from polytask.combine.gramian import gramian, weighted_sum
from polytask.combine.scale import scale_factor

Method = Weighting | Aggregator
Candidate = Method | Sequence[int] | Literal["each"]


def it_mtl(
    candidates: Sequence[Candidate],
    learning_rate: float | None = None,
    heads: Literal["stepped", "kept"] = "stepped",
) -> Selector:
    """d = the candidate xi with the largest sum_j Z_{xi -> j}, where Z_{xi -> j} = 1 - L_j(after a step along xi) / L_j
    is its transference to task j on the same batch (Fifty et al. 2020, "Measuring and harnessing transference in
    multi-task learning", arXiv 2010.15413).

    - `candidates`: "each" (every single task), a sequence of task numbers (their sum), or another combiner (in
      `make_combiner` by its name).
    - `learning_rate`: of the step of gradient descent that is tried; or give `combined_gradient` the optimiser's own
      `step`.
    - `heads`: whether the tried step also changes what tasks do not share, along its own gradient ("stepped", as in the
      paper; the denominator has the heads as they are), or is that of the shared parameters only ("kept", as in TAG).

    All candidates are tried at the combiner's scale: at "sum" or "mean" a subset of k among n tasks is n/k times as
    long as in the paper (scale "paper"), so that candidates differ in direction, not by how many tasks they add up.
    Ties go to the first. A candidate without a present task is not chosen. Costs a forward pass for each candidate.
    Losses must be positive.

    info: "transference" (candidates, tasks), NaN for absent tasks; "pick", the number of the candidate; "weights", zero
    where the candidate picked has none. Raises ValueError for an empty or wrong candidate.
    """
    if heads not in ("stepped", "kept"):
        raise ValueError(f"it_mtl's heads are 'stepped' or 'kept', not {heads!r}")
    if not candidates:
        raise ValueError("it_mtl needs candidates, such as ('sum', 'each') or ('sum', 'pcgrad')")

    def init(params: PyTree, tasks: int) -> tuple[PyTree, ...]:
        return tuple(
            method.init(tasks) if isinstance(method, Weighting) else method.init(params, tasks)
            for method in _methods(candidates, tasks)
        )

    def select(
        scale: Scale,
        gradients: PyTree,
        losses: Float[Array, " tasks"],
        present: Bool[Array, " tasks"],
        key: PRNGKeyArray,
        state: tuple[PyTree, ...],
        losses_after: Callable[[PyTree], Float[Array, " tasks"]],
    ) -> tuple[PyTree, tuple[PyTree, ...], Info]:
        seen = gramian(gradients, present)
        inputs = Inputs(seen.matrix, losses, present, key, seen.scale)
        rows, others, states = [], {}, []
        for number, (method, own) in enumerate(zip(_methods(candidates, losses.shape[0]), state, strict=True)):
            if isinstance(method, Weighting):
                weights, after, _ = method.weigh(inputs, own)
                weights = jnp.where(present, weights, 0.0)
                rows.append(weights * scale_factor(scale, method.response, weights, present))
            else:
                gradient, after, info = method.aggregate(gradients, losses, present, key, own)
                factor = scale_factor(scale, method.response, info.get("weights"), present)
                others[number] = jax.tree.map(lambda g, factor=factor: factor * g, gradient)
                rows.append(jnp.zeros_like(losses))
            states.append(after)

        weights = jnp.stack(rows)
        tried = jax.lax.map(lambda row: losses_after(weighted_sum(row, gradients)), weights)
        for number, gradient in others.items():
            tried = tried.at[number].set(losses_after(gradient))
        transference = jnp.where(present[None], 1 - tried / losses[None], jnp.nan)
        possible = (weights != 0).any(1).at[jnp.array(list(others), int)].set(True)
        pick = best(transference, present, possible)
        gradient = weighted_sum(weights[pick], gradients)
        for number, other in others.items():
            gradient = jax.tree.map(lambda g, o, number=number: jnp.where(pick == number, o, g), gradient, other)
        info = {"transference": transference, "pick": pick, "weights": weights[pick]}
        return gradient, tuple(states), info

    return Selector(init, select, learning_rate, heads == "stepped")


def best(
    transference: Float[Array, "candidates tasks"], present: Bool[Array, " tasks"], possible: Bool[Array, " candidates"]
) -> Array:
    """The possible candidate with the largest finite sum over present tasks, the first among equals."""
    total = jnp.where(present[None], transference, 0.0).sum(1)
    return jnp.argmax(jnp.where(possible & jnp.isfinite(total), total, -jnp.inf))


def subset(members: Sequence[int]) -> Weighting:
    """d = the sum of the gradients of some tasks, by number."""

    def init(tasks: int) -> tuple[()]:
        if not members or not all(0 <= member < tasks for member in members):
            raise ValueError(f"it_mtl's candidate {tuple(members)} must name tasks from 0 to {tasks - 1}")
        return ()

    def weigh(inputs: Inputs, state: tuple[()]) -> tuple[Float[Array, " tasks"], tuple[()], Info]:
        chosen = jnp.zeros(inputs.present.shape, bool).at[jnp.array(members)].set(True)
        return (chosen & inputs.present).astype(float), state, {}

    return Weighting("losses", init, weigh)


def _methods(candidates: Sequence[Candidate], tasks: int) -> list[Method]:
    """The candidates in order, "each" as so many."""
    found: list[Method] = []
    for candidate in candidates:
        if isinstance(candidate, Weighting | Aggregator):
            found.append(candidate)
        elif isinstance(candidate, str):
            found += [subset((task,)) for task in range(tasks)]
        else:
            found.append(subset(candidate))
    return found
