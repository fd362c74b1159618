"""Both policies as one model, and routes by it: at its likeliest, by samples, by the square's symmetries."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.fleets.allocator import Allocator, allocations, angular_order, encoded, trips_of, whole_trip
from polytask.fleets.instance import Fleet
from polytask.fleets.router import Router, tours, vehicles_of

HEADS = 4


class FleetModel(eqx.Module):
    """The upper policy and the lower one; of a single level there is no upper one, and the lower one has all sites."""

    allocator: Allocator | None
    router: Router

    def __init__(self, width: int, depth: int, single: bool = False, *, key: PRNGKeyArray) -> None:
        first, second = jax.random.split(key)
        self.allocator = None if single else Allocator(width, depth, HEADS, key=first)
        self.router = Router(width, depth, HEADS, key=second)


class Found(NamedTuple):
    """The best of what was tried for each instance.

    - `value`: of the sites that are served; `stops`: these sites for each vehicle in order, and -1 elsewhere.
    """

    value: Float[Array, " batch"]
    stops: Int[Array, "batch vehicles steps"]


def most_sites(fleet: Fleet) -> int:
    """How many sites a vehicle can be given: half as many again as its share."""
    sites, vehicles = fleet.values.shape[-1], fleet.ranges.shape[-1]
    return min(sites, -(-3 * sites // (2 * vehicles)))


def in_order(fleet: Fleet, order: Int[Array, "*batch sites"]) -> Fleet:
    """The same fleet with its sites in another order."""
    return fleet._replace(
        sites=jnp.take_along_axis(jnp.asarray(fleet.sites), order[..., None], axis=-2),
        values=jnp.take_along_axis(jnp.asarray(fleet.values), order, axis=-1),
        service=jnp.take_along_axis(jnp.asarray(fleet.service), order, axis=-1),
    )


def by_angle(fleet: Fleet) -> Fleet:
    """The same fleet with its sites in the order in which the upper policy gives them."""
    return in_order(fleet, angular_order(fleet))


def served(router: Router, fleet: Fleet, given: Int[Array, "batch samples sites"]) -> Float[Array, "batch samples"]:
    """What allocations are worth: the value of what the lower policy, always at its likeliest, serves."""
    trip, _ = trips_of(fleet, given, most_sites(fleet))
    return tours(router(trip), trip, 1, None).value[..., 0].sum(axis=-1)


@eqx.filter_jit
def decode(model: FleetModel, fleet: Fleet, samples: int, symmetric: bool, key: PRNGKeyArray | None) -> Found:
    """Routes for a batch of instances.

    - `samples`: allocations, or tours of a single level, that are tried for each instance; with key None each is the
      likeliest, so that one is enough.
    - `symmetric`: whether each instance is also turned and mirrored in all eight ways (POMO, arXiv 2010.16011), and the
      best of them is taken.
    """
    batch = fleet.values.shape[0]
    ways = symmetries(fleet) if symmetric else fleet
    order = angular_order(ways)
    ways = in_order(ways, order)
    if model.allocator is None:
        trip = whole_trip(ways)
        found = tours(model.router(trip), trip, samples, key)
        value, vehicle = found.value, jnp.arange(fleet.ranges.shape[-1])[None, None, :, None]
        stops = jnp.where(vehicles_of(found)[:, :, None] == vehicle, found.stops[:, :, None], 0)
        numbers = order[:, None, None]
    else:
        given = allocations(model.allocator, encoded(model.allocator, ways), samples, key)
        trip, numbers = trips_of(ways, given, most_sites(fleet))
        found = tours(model.router(trip), trip, 1, None)
        stops, value = found.stops[..., 0, :], found.value[..., 0].sum(axis=-1)
        numbers = jnp.take_along_axis(order[:, None, None], numbers, axis=-1)  # as the instance counts them
    numbers = jnp.concatenate([jnp.full_like(numbers[..., :1], -1), numbers], axis=-1)
    sites = jnp.take_along_axis(jnp.broadcast_to(numbers, (*stops.shape[:-1], numbers.shape[-1])), stops, axis=-1)

    def by_instance(leaf: Array) -> Array:  # ways and samples of an instance along one axis
        apart = leaf.reshape(-1, batch, *leaf.shape[1:])
        return jnp.moveaxis(apart, 0, 1).reshape(batch, -1, *leaf.shape[2:])

    best = jnp.argmax(by_instance(value), axis=1)
    pick = jax.vmap(lambda leaf, i: leaf[i])
    return Found(pick(by_instance(value), best), pick(by_instance(sites), best))


def symmetries(fleet: Fleet) -> Fleet:
    """All instances turned and mirrored in the square's eight ways, the images of the first way first."""
    signs = [(x, y) for x in (1.0, -1.0) for y in (1.0, -1.0)]
    turns = jnp.array([m for x, y in signs for m in (((x, 0.0), (0.0, y)), ((0.0, x), (y, 0.0)))])

    def turned(places: Array) -> Array:
        return jnp.einsum("...i,wio->w...o", places, turns).reshape(-1, *places.shape[1:])

    repeated = jax.tree.map(lambda leaf: jnp.tile(leaf, (8, *[1] * (leaf.ndim - 1))), fleet)
    return repeated._replace(sites=turned(jnp.asarray(fleet.sites)), depots=turned(jnp.asarray(fleet.depots)))
