"""One combined gradient: from per-task gradients at hand, or from a loss function by an engine."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from polytask.combine.base import Combined, Combiner, Info, Inputs, Selector, Weighting
from polytask.combine.engines import Engine, Losses, LossesFn, PerTask, columnwise_gramian, jacobian, prefers_loop
from polytask.combine.finite import keep_state, poison, sound_losses
from polytask.combine.gramian import Gramian, gramian, largest_entries, masked, weighted_sum
from polytask.combine.outputs import split_parameters, with_constants, with_constants_step, with_info
from polytask.combine.scale import own_factor, scale_factor


def combine_gradients(
    combiner: Combiner,
    gradients: PyTree,
    losses: Losses,
    state: PyTree,
    *,
    key: PRNGKeyArray,
    present: Bool[Array, " tasks"] | None = None,
    independent: PyTree | None = None,
    losses_after: Callable[[PyTree], Losses] | None = None,
) -> Combined:
    """One gradient from per-task gradients at hand.

    - `gradients`: like the parameters, with a leading task axis; leaves that are no arrays of floats stay as they are.
    - `present`: the tasks that take part (all, if None); what the others hold is never looked at, even if it is NaN.
    - `independent`: the task gradients on an independent batch, for the methods that double sampling makes unbiased
      (MoDo, SDMGrad).
    - `losses_after(gradient)`: the task losses after a step along a gradient; IT-MTL needs it.

    If the loss or gradient of a present task is not finite, the whole gradient is NaN, the state stays as it was and
    info["nonfinite"] marks the task: nothing is averaged away. `check_finite` turns that into an error with the
    task's name.
    """
    losses = losses.astype(float)
    present = jnp.ones(losses.shape, bool) if present is None else present
    method = combiner.method
    gradients, rest = eqx.partition(gradients, eqx.is_inexact_array)
    independent = eqx.filter(independent, eqx.is_inexact_array)
    if isinstance(method, Weighting):
        # In one shape for all that follows: what XLA sees in two it may compute twice.
        rows = jax.tree.map(lambda g: g.reshape(g.shape[0], -1), gradients)
        if method.needs == "gramian":
            seen = gramian(rows, present, independent)
        else:
            seen = _no_gramian(jnp.isfinite(largest_entries(rows)))
        weights, new_state, info = _weigh(combiner, method, seen, losses, present, key, state)
        summed = weighted_sum(weights, rows, seen.finite)
        gradient = jax.tree.map(lambda s, g: s.reshape(g.shape[1:]), summed, gradients)
        return Combined(eqx.combine(poison(gradient, info), rest), losses, None, new_state, info)

    finite = jnp.isfinite(largest_entries(gradients))
    sound, nonfinite = sound_losses(losses, finite, present, method.positive)
    used = present & finite
    rows = jax.tree.map(lambda g: g.astype(float), masked(used, gradients))

    def typed(gradient: PyTree) -> PyTree:
        return jax.tree.map(lambda d, g: d.astype(g.dtype), gradient, gradients)

    if isinstance(method, Selector):
        if losses_after is None:
            raise ValueError(f"{combiner.name} tries steps: give combine_gradients its losses_after(gradient)")

        def after(gradient: PyTree) -> Losses:
            return losses_after(eqx.combine(typed(gradient), rest)).astype(float)

        gradient, new_state, info = method.select(combiner.scale, rows, sound, present, key, state, after)
    else:
        gradient, new_state, info = method.aggregate(rows, sound, present, key, state)
        factor = scale_factor(combiner.scale, method.response, info.get("weights"), present)
        gradient = jax.tree.map(lambda g: g * factor, gradient)
        if "weights" in info:
            info = {**info, "weights": info["weights"] * factor}
    info = {**info, "nonfinite": nonfinite}
    gradient = eqx.combine(poison(typed(gradient), info), rest)
    return Combined(gradient, losses, None, keep_state(nonfinite, state, new_state), info)


def combined_gradient(
    combiner: Combiner,
    losses_fn: LossesFn,
    params: PyTree,
    state: PyTree,
    *,
    key: PRNGKeyArray,
    present: Bool[Array, " tasks"] | None = None,
    shared: PyTree | None = None,
    engine: Engine = "auto",
    chunk: int | None = None,
    independent: LossesFn | None = None,
    step: Callable[[PyTree, PyTree], PyTree] | None = None,
) -> Combined:
    """One gradient of all task losses.

    - `losses_fn(params)`: the losses (tasks,), a list of them or a dictionary by name (see `LossesFn`), and anything
      beside them; `PerTask` where each task has its own batch.
    - `params`: float arrays of any type are differentiated, and the gradient has their types. All else (functions,
      integers, Python numbers) is handed through, with None for its gradient, as by `equinox.filter_grad`.
    - `present`: the tasks that take part (all, if None). The loss of an absent task may be anything, but where one
      backward pass serves all tasks (methods that look at losses only, the Gramian engine) its derivative must not be
      NaN: write sum / max(count, 1), not sum / count.
    - `shared`: a tree of booleans (or a prefix of one) marking the parameters that the tasks share; None: all. Only
      these are combined. The others (heads) get the gradient of the sum of losses (of their mean, at scale "mean"), or
      of the weighted losses if the method weighs losses, as in the papers.
    - `engine`, `chunk`: see `polytask.combine.engines`; all give the same gradient. "auto" takes one backward pass for
      methods that look at losses only; else "vmapped" for tasks with batches of their own or off the CPU, "looped" for
      tasks on the same rows on the CPU, where it is measured to be faster (docs/combine.md).
    - `independent`: the losses on an independent batch, for the methods that double sampling makes unbiased (MoDo,
      SDMGrad); not with the Gramian engine.
    - `step(params, gradient)`: the parameters after the optimiser's step, for IT-MTL to try; gradient descent with the
      combiner's `learning_rate`, if None.

    Weights are computed in JAX's default float type. Non-finite losses and gradients: as in `combine_gradients`. Raises
    ValueError for an engine or an argument that the method cannot work with, and for losses of another form.
    """
    _check(combiner, engine, independent, step)
    method = combiner.method
    params, constant = split_parameters(params)
    losses_fn = with_constants(losses_fn, constant)
    independent = independent and with_constants(independent, constant)
    step = step and with_constants_step(step, constant)
    if isinstance(method, Weighting) and method.needs == "losses":
        return with_info(_by_losses(combiner, method, losses_fn, params, state, key, present))
    if present is None:
        present = jnp.ones(jax.eval_shape(losses_fn, params)[0].shape, bool)
    common, own = (params, None) if shared is None else eqx.partition(params, shared)
    restricted = losses_fn if own is None else _restrict(losses_fn, own)
    own_gradient = None if own is None else _own_gradient(combiner, losses_fn, common, own, present)
    if isinstance(method, Weighting) and engine == "gramian":
        seen, losses, aux, pull = columnwise_gramian(restricted, common, present, chunk or 1)
        weights, new_state, info = _weigh(combiner, method, seen, losses, present, key, state)
        combined = Combined(poison(pull(weights), info), losses, aux, new_state, info)
    else:
        chunk = 1 if engine == "looped" or (engine == "auto" and prefers_loop(losses_fn)) else chunk
        rows = jacobian(restricted, common, chunk)
        other = None
        if independent is not None:
            other = jacobian(independent if own is None else _restrict(independent, own), common, chunk).gradients
        after = None
        if isinstance(method, Selector):
            after = _lookahead(method, losses_fn, common, own, own_gradient, step)
        combined = combine_gradients(
            combiner,
            rows.gradients,
            rows.losses,
            state,
            key=key,
            present=present,
            independent=other,
            losses_after=after,
        )._replace(aux=rows.aux)
    if own is not None:
        gradient = eqx.combine(combined.gradient, poison(own_gradient, combined.info))
        combined = combined._replace(gradient=gradient)
    return with_info(combined)


def _check(combiner: Combiner, engine: str, independent: LossesFn | None, step: Callable | None) -> None:
    """Raises ValueError where the arguments of `combined_gradient` do not fit."""
    method = combiner.method
    if engine not in ("auto", "looped", "vmapped", "gramian"):
        raise ValueError(f"engine is 'auto', 'looped', 'vmapped' or 'gramian', not {engine!r}")
    if engine == "gramian" and not isinstance(method, Weighting):
        raise ValueError(f"{combiner.name} needs each task's gradient, not only the Gramian: use engine='vmapped'")
    if engine == "gramian" and independent is not None:
        raise ValueError("the Gramian engine knows no independent batch: use engine='vmapped'")
    if isinstance(method, Selector) and step is None and method.learning_rate is None:
        raise ValueError(f"{combiner.name} tries steps: give it a learning_rate, or combined_gradient a step")


def _by_losses(
    combiner: Combiner,
    method: Weighting,
    losses_fn: LossesFn,
    params: PyTree,
    state: PyTree,
    key: PRNGKeyArray,
    present: Bool[Array, " tasks"] | None,
) -> Combined:
    """One backward pass: the weights depend on the losses alone."""
    losses, pull, aux = jax.vjp(losses_fn, params, has_aux=True)
    present = jnp.ones(losses.shape, bool) if present is None else present
    seen = _no_gramian(jnp.ones(losses.shape, bool))
    weights, new_state, info = _weigh(combiner, method, seen, losses, present, key, state)
    return Combined(poison(pull(weights)[0], info), losses, aux, new_state, info)


def _no_gramian(finite: Bool[Array, " tasks"]) -> Gramian:
    return Gramian(jnp.zeros((finite.shape[0],) * 2), jnp.ones(()), finite)


def _restrict(losses_fn: LossesFn, own: PyTree) -> LossesFn:
    """The losses as a function of the shared parameters only."""
    if isinstance(losses_fn, PerTask):
        inner = losses_fn.loss_fn
        return losses_fn._replace(loss_fn=lambda common, *rest: inner(eqx.combine(common, own), *rest))
    return lambda common: losses_fn(eqx.combine(common, own))


def _own_gradient(
    combiner: Combiner, losses_fn: LossesFn, common: PyTree, own: PyTree, present: Bool[Array, " tasks"]
) -> PyTree:
    """The gradient of what tasks do not share."""
    _, pull, _ = jax.vjp(lambda o: losses_fn(eqx.combine(common, o)), own, has_aux=True)
    return pull(own_factor(combiner.scale, present))[0]


def _lookahead(
    method: Selector,
    losses_fn: LossesFn,
    common: PyTree,
    own: PyTree,
    own_gradient: PyTree,
    step: Callable[[PyTree, PyTree], PyTree] | None,
) -> Callable[[PyTree], Losses]:
    """The losses after a step along a gradient of the shared parameters."""
    rate = method.learning_rate

    def descend(params: PyTree, gradient: PyTree) -> PyTree:
        return jax.tree.map(lambda p, g: p - rate * g, params, gradient)

    def after(gradient: PyTree) -> Losses:
        params = common if own is None else eqx.combine(common, own)
        full = gradient if own is None else eqx.combine(gradient, own_gradient)
        moved = (step or descend)(params, full)
        if own is not None and not method.step_own:
            marks = jax.tree.map(lambda leaf: leaf is None, own, is_leaf=lambda leaf: leaf is None)
            moved = eqx.combine(eqx.filter(moved, marks), own)
        return losses_fn(moved)[0]

    return after


def _weigh(
    combiner: Combiner,
    method: Weighting,
    seen: Gramian,
    losses: Losses,
    present: Bool[Array, " tasks"],
    key: PRNGKeyArray,
    state: PyTree,
) -> tuple[Float[Array, " tasks"], PyTree, Info]:
    """The weights at the combiner's scale, the next state, and what there is to tell."""
    sound, nonfinite = sound_losses(losses, seen.finite, present, method.positive)
    weights, new_state, info = method.weigh(Inputs(seen.matrix, sound, present, key, seen.scale, seen.cross), state)
    weights = jnp.where(present, weights, 0.0)
    weights = weights * scale_factor(combiner.scale, method.response, weights, present)
    info: dict[str, Any] = {**info, "weights": weights, "nonfinite": nonfinite}
    return weights, keep_state(nonfinite, state, new_state), info
