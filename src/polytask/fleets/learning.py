"""REINFORCE for both policies, as pure functions of one batch."""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.fleets.allocator import Allocator, allocation_log_probs, allocations, encoded, swept, trips_of, whole_trip
from polytask.fleets.instance import Fleet
from polytask.fleets.model import FleetModel, most_sites, served
from polytask.fleets.router import Router, Trip, log_probs, tours
from polytask.losses import optimiser_step

Level = Literal["allocator", "router"]
Baseline = Literal["shared", "rollout"]
CLIP = 1.0  # of the gradient's norm


class Learned(NamedTuple):
    """What training keeps: the model, an optimiser for each of its policies, and those that baselines roll out."""

    model: FleetModel
    optimisers: dict[str, Any]
    best: FleetModel | None


def make_optimiser(learning_rate: float) -> optax.GradientTransformation:
    """Adam with the gradient's norm clipped."""
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(learning_rate))


def begin(model: FleetModel, learning_rate: float, baseline: Baseline) -> Learned:
    """Before the first step."""
    optimiser = make_optimiser(learning_rate)
    states = {
        level: optimiser.init(eqx.filter(policy, eqx.is_inexact_array))
        for level, policy in (("allocator", model.allocator), ("router", model.router))
    }
    return Learned(model, states, model if baseline == "rollout" else None)


def router_step(
    learned: Learned,
    learning_rate: float,
    fleet: Fleet,
    samples: int,
    allocated: bool,
    key: PRNGKeyArray,
) -> tuple[Learned, dict[str, Float[Array, ""]]]:
    """A step of the lower policy on the trips of a batch of instances, whose sites are in angular order.

    - `allocated`: whether the upper policy gives the sites, drawn from it; else they are swept into equal sectors. A
      policy of a single level has all sites, whichever it is.
    """
    give, draw = jax.random.split(key)
    allocator = learned.model.allocator
    if allocator is None:
        trip = whole_trip(fleet)
    else:
        given = allocations(allocator, encoded(allocator, fleet), 1, give) if allocated else swept(fleet, give)
        trip, _ = trips_of(fleet, given, most_sites(fleet))
        trip = Trip(*(leaf.reshape(-1, *leaf.shape[3:]) for leaf in trip))
    compared = None if learned.best is None else tours(learned.best.router(trip), trip, 1, None).value

    def loss(router: Router) -> tuple[Array, Array]:
        pairs = router(trip)
        found = tours(jax.lax.stop_gradient(pairs), trip, samples, draw)
        return reinforce(log_probs(pairs, found), advantages(found.value, compared)), found.value.mean()

    (value, reward), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(learned.model.router)
    learned = _stepped(learned, "router", gradient, learning_rate)
    return learned, {"router_loss": value, "router_value": reward, "gradient": optax.tree.norm(gradient)}


def allocator_step(
    learned: Learned, learning_rate: float, fleet: Fleet, samples: int, key: PRNGKeyArray
) -> tuple[Learned, dict[str, Float[Array, ""]]]:
    """A step of the upper policy, whose reward is what the lower one then serves; instances as in `router_step`."""
    assert learned.model.allocator is not None
    best, router = learned.best, learned.model.router
    compared = None
    if best is not None and best.allocator is not None:
        given = allocations(best.allocator, encoded(best.allocator, fleet), 1, None)
        compared = served(router, fleet, given)  # under the router of now, so that its progress is no advantage

    def loss(allocator: Allocator) -> tuple[Array, Array]:
        instance = encoded(allocator, fleet)
        given = allocations(*jax.lax.stop_gradient((allocator, instance)), samples, key)
        reward = served(router, fleet, given)
        return reinforce(allocation_log_probs(allocator, instance, given), advantages(reward, compared)), reward.mean()

    (value, reward), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(learned.model.allocator)
    learned = _stepped(learned, "allocator", gradient, learning_rate)
    return learned, {"allocator_loss": value, "allocator_value": reward, "gradient": optax.tree.norm(gradient)}


def advantages(
    values: Float[Array, "batch samples"], compared: Float[Array, "batch 1"] | None
) -> Float[Array, "batch samples"]:
    """What samples are worth beyond a baseline: the likeliest of an earlier policy (Kool et al., arXiv 1803.08475), or,
    where that is None, the mean of the samples (POMO, arXiv 2010.16011)."""
    return values - (values.mean(axis=-1, keepdims=True) if compared is None else compared)


def reinforce(log_probs: Float[Array, "batch samples"], advantage: Float[Array, "batch samples"]) -> Float[Array, ""]:
    """-mean(advantage log-probability): its gradient is that of minus the expected value."""
    return -(jax.lax.stop_gradient(advantage) * log_probs).mean()


def _stepped(learned: Learned, level: Level, gradient: Any, learning_rate: float) -> Learned:
    """The policy of a level after a step of its optimiser."""
    policy = getattr(learned.model, level)
    arrays, static = eqx.partition(policy, eqx.is_inexact_array)
    optimiser = make_optimiser(learning_rate)
    arrays, state = optimiser_step(optimiser, arrays, gradient, learned.optimisers[level])
    model = eqx.tree_at(lambda model: getattr(model, level), learned.model, eqx.combine(arrays, static))
    return learned._replace(model=model, optimisers={**learned.optimisers, level: state})
