"""The lower policy: in which order one vehicle, or one after another, serves which of the sites that it was given."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask.networks.attention import AttentionEncoder, Linear, Pairs, Pointer, point, rows

_SLACK = 1e-6  # of a length in float32, taken off the range
FEATURES = 5
Carry = tuple[Array, "Tour", tuple[Array, Array, Array, Array, Array, Array]]


class Trip(NamedTuple):
    """What one vehicle was given, or several that start in turn: sites, of which only those that are present count."""

    sites: Float[Array, "*batch sites 2"]
    values: Float[Array, "*batch sites"]
    service: Float[Array, "*batch sites"]
    present: Bool[Array, "*batch sites"]
    depot: Float[Array, "*batch 2"]
    reach: Float[Array, "*batch vehicles"]


class Tour(NamedTuple):
    """Tours of trips, several of each. Node 0 is the depot, where the next vehicle starts; node 1 + i is site i.

    A tour that has ended stays at 0.

    - `stops`: the nodes in order; `left`, `allowed`: before each, the range that was left and what could be chosen;
      `value`: of the sites served.
    """

    stops: Int[Array, "*batch samples steps"]
    left: Float[Array, "*batch samples steps"]
    allowed: Bool[Array, "*batch samples steps nodes"]
    value: Float[Array, "*batch samples"]


class Router(eqx.Module):
    """The attention model for orienteering (Kool et al., arXiv 1803.08475, appendix B.4).

    Coordinates are relative to the depot, and the depot can be chosen only where no site fits (ours: values are not
    negative, so that nothing is lost by it).
    """

    embed: Linear
    embed_depot: Linear
    encoder: AttentionEncoder
    context: Linear
    pointer: Pointer

    def __init__(self, width: int, depth: int, heads: int, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 5)
        self.embed = Linear(FEATURES, width, key=keys[0])
        self.embed_depot = Linear(1, width, key=keys[1])
        self.encoder = AttentionEncoder(width, depth, heads, key=keys[2])
        self.context = Linear(2 * width + 1, width, key=keys[3])
        self.pointer = Pointer(width, key=keys[4])

    def encode(self, trip: Trip) -> Float[Array, "*batch nodes width"]:
        """Embeddings of the depot and the sites."""
        offset = trip.sites - trip.depot[..., None, :]
        far = jnp.linalg.norm(offset, axis=-1)
        features = jnp.stack([*jnp.moveaxis(offset, -1, 0), far, trip.values, trip.service], axis=-1)
        depot = self.embed_depot(trip.reach.mean(axis=-1, keepdims=True))
        nodes = jnp.concatenate([depot[..., None, :], self.embed(features)], axis=-2)
        return self.encoder(nodes, _with_depot(trip.present))

    def __call__(self, trip: Trip) -> Pairs:
        """What choosing comes to, for each node where the vehicle is and each that may be next.

        A query is made of the mean of the nodes, the one where the vehicle is, and the range that is left.
        """
        nodes = self.encode(trip)
        there = _with_depot(trip.present)[..., None].astype(nodes.dtype)
        mean = (nodes * there).sum(axis=-2, keepdims=True) / there.sum(axis=-2, keepdims=True)
        parts = [jnp.broadcast_to(mean, nodes.shape), nodes, jnp.zeros_like(nodes[..., :1])]
        return self.pointer(nodes, self.context(jnp.concatenate(parts, axis=-1)), self.context.kernel[-1])


def tours(pairs: Pairs, trip: Trip, samples: int, key: PRNGKeyArray | None) -> Tour:
    """Tours of each trip by a router's `pairs`: drawn from the policy, or with key None always its likeliest node."""
    batch, sites, vehicles = trip.depot.shape[:-1], trip.values.shape[-1], trip.reach.shape[-1]
    steps = sites + vehicles - 1
    legs = _legs(trip)
    back = legs[..., 0]
    ranges = jnp.concatenate([trip.reach, jnp.zeros((*batch, 1))], axis=-1)  # none is left behind the last
    spent = jnp.concatenate([jnp.zeros((*batch, 1)), trip.service], axis=-1)
    worth = jnp.concatenate([jnp.zeros((*batch, 1)), trip.values], axis=-1)

    def allowed(there: Array, left: Array, free: Array) -> Array:
        fits = free & (there + (spent + back)[..., None, :] <= left[..., None] - _SLACK)
        return fits.at[..., 0].set(~fits[..., 1:].any(axis=-1))

    def choose(carry: Carry) -> Carry:
        step, found, (vehicle, at, there, left, free, can) = carry
        log_probs = point(pairs, at, left, can)
        if key is not None:
            log_probs = log_probs + jax.random.gumbel(jax.random.fold_in(key, step), log_probs.shape)
        node = jnp.argmax(log_probs, axis=-1)
        found = Tour(
            stops=found.stops.at[..., step].set(node),
            left=found.left.at[..., step].set(left),
            allowed=found.allowed.at[..., step, :].set(can),
            value=found.value + _at(worth, node),
        )
        vehicle = jnp.minimum(vehicle + (node == 0).astype(vehicle.dtype), vehicles)
        gone = jnp.take_along_axis(there, node[..., None], axis=-1)[..., 0] + _at(spent, node)
        left = jnp.where(node == 0, _at(ranges, vehicle), left - gone)
        free, there = free & ~jax.nn.one_hot(node, sites + 1, dtype=bool), rows(legs, node)
        return step + 1, found, (vehicle, node, there, left, free, allowed(there, left, free))

    shape = (*batch, samples)
    at, left = jnp.zeros(shape, int), jnp.broadcast_to(trip.reach[..., :1], shape)
    free = jnp.broadcast_to(_with_depot(trip.present).at[..., 0].set(False)[..., None, :], (*shape, sites + 1))
    none = jnp.zeros((*shape, steps, sites + 1), bool).at[..., 0].set(True)
    start = Tour(jnp.zeros((*shape, steps), int), jnp.zeros((*shape, steps)), none, jnp.zeros(shape))

    def going(carry: Carry) -> Array:
        step, _, (vehicle, *_, can) = carry
        return (step < steps) & ~(can[..., 0] & (vehicle >= vehicles - 1)).all()

    there = rows(legs, at)
    begin = (jnp.int32(0), start, (jnp.zeros(shape, int), at, there, left, free, allowed(there, left, free)))
    return jax.lax.while_loop(going, choose, begin)[1]


def vehicles_of(found: Tour) -> Int[Array, "*batch samples steps"]:
    """Which of a trip's vehicles makes each stop."""
    home = (found.stops == 0).astype(found.stops.dtype)
    return jnp.cumsum(home, axis=-1) - home


def log_probs(pairs: Pairs, found: Tour) -> Float[Array, "*batch samples"]:
    """The log-probability of each tour, all steps at once: what was done and allowed is known."""
    before = jnp.concatenate([jnp.zeros_like(found.stops[..., :1]), found.stops[..., :-1]], axis=-1)
    shape = found.stops.shape

    def flat(x: Array) -> Array:
        return x.reshape(*shape[:-2], shape[-2] * shape[-1], *x.shape[len(shape) :])

    each = point(pairs, flat(before), flat(found.left), flat(found.allowed))
    chosen = jnp.take_along_axis(each, flat(found.stops)[..., None], axis=-1)
    return chosen.reshape(shape).sum(axis=-1)


def _with_depot(present: Bool[Array, "*batch sites"]) -> Bool[Array, "*batch nodes"]:
    return jnp.concatenate([jnp.ones((*present.shape[:-1], 1), bool), present], axis=-1)


def _legs(trip: Trip) -> Float[Array, "*batch nodes nodes"]:
    """Lengths between all nodes."""
    places = jnp.concatenate([trip.depot[..., None, :], trip.sites], axis=-2)
    return jnp.sqrt(jnp.square(places[..., :, None, :] - places[..., None, :, :]).sum(axis=-1))


def _at(table: Float[Array, "*batch nodes"], node: Int[Array, "*batch samples"]) -> Float[Array, "*batch samples"]:
    return jnp.take_along_axis(table, node, axis=-1)
