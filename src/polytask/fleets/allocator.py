"""The upper policy: which vehicle each site is given to."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask.fleets.instance import Fleet
from polytask.fleets.router import Trip
from polytask.networks.attention import AttentionEncoder, Linear

SITE, VEHICLE = 5, 3  # features


class Allocator(eqx.Module):
    """Gives sites to vehicles one after another: a vehicle's state is the maximum over its sites' embeddings.

    DL-DRL's upper policy (arXiv 2208.02447), with differences: sites come in the order of their angle around the depots
    rather than of their index; vehicles are nodes beside the sites and are chosen by a key made of their state, so that
    there may be any number of them and none need be alike (there their states are joined, and a linear layer has an
    output for each of a fixed number); a state also holds the share of sites that were given.
    """

    embed: Linear
    embed_vehicle: Linear
    encoder: AttentionEncoder
    empty: Float[Array, " width"]
    queries: Linear
    states: Linear
    keys: Linear

    def __init__(self, width: int, depth: int, heads: int, *, key: PRNGKeyArray) -> None:
        parts = jax.random.split(key, 7)
        self.embed = Linear(SITE, width, key=parts[0])
        self.embed_vehicle = Linear(VEHICLE, width, key=parts[1])
        self.encoder = AttentionEncoder(width, depth, heads, key=parts[2])
        self.empty = 0.1 * jax.random.normal(parts[3], (width,))
        self.queries = Linear(width, width, key=parts[4])
        self.states = Linear(width + 1, width, key=parts[5])
        self.keys = Linear(width, width, key=parts[6])

    def encode(self, fleet: Fleet) -> tuple[Float[Array, "*batch sites width"], Float[Array, "*batch vehicles width"]]:
        """Embeddings of sites and of vehicles; places are relative to the middle of the depots."""
        middle = fleet.depots.mean(axis=-2, keepdims=True)
        offset, home = fleet.sites - middle, fleet.depots - middle
        far = jnp.linalg.norm(offset, axis=-1)
        sites = jnp.stack([*jnp.moveaxis(offset, -1, 0), far, fleet.values, fleet.service], axis=-1)
        vehicles = jnp.stack([*jnp.moveaxis(home, -1, 0), fleet.ranges], axis=-1)
        nodes = jnp.concatenate([self.embed_vehicle(vehicles), self.embed(sites)], axis=-2)
        encoded = self.encoder(nodes, jnp.ones(nodes.shape[:-1], bool))
        count = fleet.ranges.shape[-1]
        return encoded[..., count:, :], encoded[..., :count, :]

    def keys_of(
        self,
        vehicles: Float[Array, "*#batch width"],
        states: Float[Array, "*batch width"],
        shares: Float[Array, "*batch"],
    ) -> Float[Array, "*batch width"]:
        """By what vehicles in these states are chosen."""
        held = self.states(jnp.concatenate([states, shares[..., None]], axis=-1))
        return self.keys(jax.nn.relu(held + jnp.broadcast_to(vehicles, held.shape)))


class Encoded(NamedTuple):
    """What an allocator makes of an instance.

    - `sites`, `vehicles`: embeddings; `queries`: of the sites; `keys`: of vehicles that have none yet.
    """

    sites: Float[Array, "*batch sites width"]
    vehicles: Float[Array, "*batch vehicles width"]
    queries: Float[Array, "*batch sites width"]
    keys: Float[Array, "*batch vehicles width"]


def encoded(allocator: Allocator, fleet: Fleet) -> Encoded:
    """All that allocations of an instance have in common."""
    sites, vehicles = allocator.encode(fleet)
    empty = jnp.broadcast_to(allocator.empty, vehicles.shape)
    keys = allocator.keys_of(vehicles, empty, jnp.zeros(vehicles.shape[:-1]))
    return Encoded(sites, vehicles, allocator.queries(sites) / sites.shape[-1] ** 0.5, keys)


def angular_order(fleet: Fleet) -> Int[Array, "*batch sites"]:
    """The sites in the order of their angle around the middle of the depots."""
    offset = fleet.sites - fleet.depots.mean(axis=-2, keepdims=True)
    return jnp.argsort(jnp.arctan2(offset[..., 1], offset[..., 0]), axis=-1)


def allocations(
    allocator: Allocator, instance: Encoded, samples: int, key: PRNGKeyArray | None
) -> Int[Array, "*batch samples sites"]:
    """The vehicle of each site, in the order of the sites: drawn, or with key None always the likeliest."""
    batch, total, width = instance.sites.shape[:-2], *instance.sites.shape[-2:]
    count = instance.vehicles.shape[-2]
    vehicles = instance.vehicles[..., None, :, :]

    def give(carry: tuple[Array, Array, Array], one: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], Array]:
        (states, shares, keys), (site, query, i) = carry, one
        logits = 10 * jnp.tanh(jnp.einsum("...w,...svw->...sv", query, keys))
        if key is not None:
            logits = logits + jax.random.gumbel(jax.random.fold_in(key, i), logits.shape)
        vehicle = jnp.argmax(logits, axis=-1)
        chosen = jax.nn.one_hot(vehicle, count, dtype=states.dtype)
        shares = shares + chosen * (count / total)
        state = jnp.maximum(_taken(chosen, states), site[..., None, :])
        fresh = allocator.keys_of(_taken(chosen, vehicles), state, (chosen * shares).sum(axis=-1))
        now = chosen[..., None] > 0
        states, keys = (jnp.where(now, new[..., None, :], old) for new, old in ((state, states), (fresh, keys)))
        return (states, shares, keys), vehicle

    states = jnp.broadcast_to(allocator.empty, (*batch, samples, count, width))
    keys = jnp.broadcast_to(instance.keys[..., None, :, :], states.shape)
    each = (jnp.moveaxis(instance.sites, -2, 0), jnp.moveaxis(instance.queries, -2, 0), jnp.arange(total))
    _, found = jax.lax.scan(give, (states, jnp.zeros(states.shape[:-1]), keys), each)
    return jnp.moveaxis(found, 0, -1)


def allocation_log_probs(
    allocator: Allocator, instance: Encoded, given: Int[Array, "*batch samples sites"]
) -> Float[Array, "*batch samples"]:
    """The log-probability of each allocation, all sites at once but for the states of vehicles."""
    (count, width), total = instance.vehicles.shape[-2:], instance.sites.shape[-2]
    chosen = jax.nn.one_hot(given, count, dtype=instance.sites.dtype)  # samples, sites, vehicles

    def join(states: Array, one: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen, site = one
        state = jnp.maximum(_taken(chosen, states), site[..., None, :])
        return jnp.where(chosen[..., None] > 0, state[..., None, :], states), state

    empty = jnp.broadcast_to(allocator.empty, (*given.shape[:-1], count, width))
    _, states = jax.lax.scan(join, empty, (jnp.moveaxis(chosen, -2, 0), jnp.moveaxis(instance.sites, -2, 0)))
    states = jnp.moveaxis(states, 0, -2)  # of the vehicle that was chosen, with the site
    held = jnp.cumsum(chosen, axis=-2)
    shares = (held * chosen).sum(axis=-1) * (count / total)
    fresh = allocator.keys_of(jnp.einsum("...snv,...vw->...snw", chosen, instance.vehicles), states, shares)
    first = jnp.broadcast_to(instance.keys[..., None, :, :], (*given.shape[:-1], count, width))
    keys = jnp.concatenate([first, fresh], axis=-2)
    # A vehicle's key is that of its last site before, or the first one.
    number = jnp.arange(total)[:, None] + count
    last = jax.lax.cummax(jnp.where(chosen > 0, number, jnp.arange(count)[None]), axis=chosen.ndim - 2)
    last = jnp.concatenate([jnp.broadcast_to(jnp.arange(count), last[..., :1, :].shape), last[..., :-1, :]], axis=-2)
    logits = jnp.einsum("...nw,...skw->...snk", instance.queries, keys)
    logits = 10 * jnp.tanh(jnp.take_along_axis(logits, last, axis=-1))
    each = jax.nn.log_softmax(logits, axis=-1)
    return jnp.take_along_axis(each, given[..., None], axis=-1)[..., 0].sum(axis=-1)


def _taken(
    chosen: Float[Array, "*batch vehicles"], table: Float[Array, "*#batch vehicles width"]
) -> Float[Array, "*batch width"]:
    """The row of the vehicle that is chosen."""
    return (chosen[..., None] * table).sum(axis=-2)


def whole_trip(fleet: Fleet) -> Trip:
    """All sites for all vehicles in turn, from the first one's depot: what a policy of a single level is given."""
    present = jnp.ones(fleet.values.shape, bool)
    return Trip(fleet.sites, fleet.values, fleet.service, present, fleet.depots[..., 0, :], fleet.ranges)


def swept(fleet: Fleet, key: PRNGKeyArray) -> Int[Array, "batch 1 sites"]:
    """An allocation of sites in angular order without a policy: equal sectors, from an angle that is drawn."""
    batch, sites, vehicles = *fleet.values.shape, fleet.ranges.shape[-1]
    first = jax.random.randint(key, (batch, 1), 0, sites)
    return ((((jnp.arange(sites)[None] + first) % sites) * vehicles) // sites)[:, None]


def trips_of(
    fleet: Fleet, given: Int[Array, "batch samples sites"], most: int
) -> tuple[Trip, Int[Array, "batch samples vehicles most"]]:
    """What each vehicle was given, and the numbers of these sites; of more than `most` the farthest are left out."""
    vehicles = fleet.ranges.shape[-1]
    member: Bool[Array, "batch samples vehicles sites"] = given[:, :, None] == jnp.arange(vehicles)[None, None, :, None]
    far = jnp.linalg.norm(fleet.sites[:, None] - fleet.depots[:, :, None], axis=-1)
    order = jnp.argsort(jnp.where(member, far[:, None], jnp.inf), axis=-1)[..., :most]

    def gathered(values: Array) -> Array:
        spread = jnp.broadcast_to(values[:, None, None], (*order.shape[:3], *values.shape[1:]))
        index = order if values.ndim == 2 else order[..., None]
        return jnp.take_along_axis(spread, index, axis=3)

    shape = order.shape[:3]
    trip = Trip(
        sites=gathered(fleet.sites),
        values=gathered(fleet.values),
        service=gathered(fleet.service),
        present=jnp.take_along_axis(member, order, axis=-1),
        depot=jnp.broadcast_to(fleet.depots[:, None], (*shape, 2)),
        reach=jnp.broadcast_to(fleet.ranges[:, None], shape)[..., None],
    )
    return trip, order
