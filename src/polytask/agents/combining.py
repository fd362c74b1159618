"""How an agent's gradient arises: from the batch's mean loss, or combined from one gradient per task."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.agents.config import BRCConfig
from polytask.combine import Combiner, PerTask, combined_gradient, make_combiner


class Combiners(NamedTuple):
    """None: the gradient of the batch's mean loss."""

    critic: Combiner | None
    actor: Combiner | None


def make_combiners(config: BRCConfig) -> Combiners:
    """Raises ValueError for an unknown name, and for a method that an actor's losses cannot serve."""

    def make(name: str) -> Combiner | None:
        return None if name == "none" else make_combiner(name, scale="mean")

    combiners = Combiners(make(config.critic_combiner), make(config.actor_combiner))
    if combiners.actor and combiners.actor.method.positive:
        raise ValueError(
            f"{config.actor_combiner} needs positive losses, and an actor's may be negative: "
            f"give it to the critic only (--agent.critic-combiner {config.actor_combiner})"
        )
    return combiners


def combined_or_mean(
    loss_fn: Callable[[Any, Any], tuple[Float[Array, ""], Any]],
    params: Any,
    inputs: Any,
    combiner: Combiner | None,
    combiner_state: Any,
    key: PRNGKeyArray,
    tasks: int,
    step: Callable[[Any, Any], Any],
) -> tuple[Float[Array, ""], Any, Any, Any, dict[str, Any]]:
    """The loss, what comes beside it, the gradient, the combiner's next state, and what the combiner tells.

    - `loss_fn(params, inputs)`: a mean over the samples along the leading axis of `inputs`, and anything per sample. A
      combiner needs equally many samples of each task, in the order of the tasks.
    - `step(params, gradient)`: the parameters after the optimiser's step, for combiners that try some, and for those
      that learn from the losses after it.

    A combiner that wants an independent batch takes half of each task's samples for it: both halves are drawn alike.
    """
    if combiner is None:
        (loss, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params, inputs)
        return loss, aux, gradient, combiner_state, {}
    by_task = jax.tree.map(lambda x: x.reshape(tasks, -1, *x.shape[1:]), inputs)
    losses_fn = PerTask(lambda params, _, inputs: loss_fn(params, inputs), by_task)
    independent, half = None, jax.tree.leaves(by_task)[0].shape[1] // 2
    if combiner.needs_independent and half:
        halves = [jax.tree.map(lambda x, part=part: x[:, part], by_task) for part in (slice(half), slice(half, None))]
        losses_fn, independent = (losses_fn._replace(batches=own) for own in halves)
    combined = combined_gradient(
        combiner, losses_fn, params, combiner_state, key=key, step=step, independent=independent
    )
    state, aux = combined.state, combined.aux
    if independent is not None:
        aux = jax.tree.map(lambda one, other: jnp.concatenate([one, other], 1), aux, independent(params)[1])
    if combiner.observes:
        state = combiner.observe(state, losses_fn(step(params, combined.gradient))[0])
    aux = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), aux)
    return combined.losses.mean(), aux, combined.gradient, state, dict(combined.info)


def named(part: str, info: dict[str, Any]) -> dict[str, Any]:
    """What a combiner tells, as metrics of a part: "critic_weight" by task, "critic_residual", ..."""
    names = {"weights": "weight"}
    return {f"{part}_{names.get(name, name)}": value.astype(jnp.float32) for name, value in info.items()}
