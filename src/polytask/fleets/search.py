"""Better routes from routes: sites near one another are taken out and put back, many times; one instance, jitted."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask import random
from polytask.fleets.heuristics import inserted, nearest
from polytask.fleets.instance import Fleet, Routes, unit

ROUNDS = 150  # where nothing else is said
MOVES = 8  # are tried in a round, and the best is taken
OUT = 20  # sites at most that a move takes out
WINDOW = 40  # sites nearest to a move's middle: what it may put in, and where
NOISE = 0.3  # of the logarithm of what a site is worth for the length that it adds
WARM = 0.5  # the first round's temperature, in sites of mean value
LEFT = 0.5  # what an average leg of range that is left counts, in sites of mean value
_SLACK = 2e-6  # of a length in float32, taken off a range


class _Place(NamedTuple):
    """What stays: sites, then a node for each vehicle's depot."""

    x: Float[Array, " nodes"]
    y: Float[Array, " nodes"]
    values: Float[Array, " sites"]
    service: Float[Array, " nodes"]
    ranges: Float[Array, " vehicles"]
    near: Int[Array, "sites window"]
    rank: Int[Array, "sites nodes"]


class _Plan(NamedTuple):
    """What changes: the node after each, round by the depot, and the vehicle of each node, or -1."""

    after: Int[Array, " nodes"]
    of: Int[Array, " nodes"]


class _Measured(NamedTuple):
    """A plan, the value that it serves, and the range that is left of all vehicles."""

    plan: _Plan
    value: Float[Array, "*batch"]
    left: Float[Array, "*batch"]


def searched(fleet: Fleet, routes: Sequence[Sequence[int]], rounds: int, seed: int = 0) -> Routes:
    """The routes after a search, worth no less.

    Ruin and recreate (Schrimpf et al., 2000) as simulated annealing: a move takes out up to 20 sites near one
    another, whichever vehicles serve them, and puts in what fits there by value for added length, with noise. A round
    tries 8 moves and weighs the best of them. What counts is the value, and then the range that is left.

    The first call for numbers of sites and vehicles compiles, which takes seconds.
    Raises ValueError for rounds below 0.
    """
    if rounds < 0:
        raise ValueError(f"rounds is a count of at least 0, not {rounds}")
    sites = len(fleet.sites)
    after, of = np.arange(sites + len(routes)), np.full(sites + len(routes), -1)
    of[sites:] = np.arange(len(routes))
    for vehicle, route in enumerate(routes):
        path = [sites + vehicle, *route]
        after[path], of[list(route)] = [*path[1:], path[0]], vehicle
    start = _Plan(jnp.asarray(after, jnp.int32), jnp.asarray(of, jnp.int32))
    found = np.asarray(_search(_place(unit(fleet)), start, jnp.int32(rounds), random.key(seed, "fleets.search")))
    better: list[tuple[int, ...]] = []
    for vehicle in range(len(routes)):
        route, node = [], int(found[sites + vehicle])
        while node < sites:
            route.append(node)
            node = int(found[node])
        better.append(tuple(route))
    return tuple(better)


def searched_for(fleet: Fleet, seconds: float) -> Routes:
    """Searches of `ROUNDS` rounds one after another, from the nearest sites and insertion, until `seconds` are over.

    There is one at least, and compiling does not count.
    """
    routes = inserted(fleet, nearest(fleet))
    searched(fleet, routes, 0)
    begin, seed = time.perf_counter(), 0
    while not seed or time.perf_counter() - begin < seconds:
        routes, seed = searched(fleet, routes, ROUNDS, seed), seed + 1
    return routes


def _place(fleet: Fleet) -> _Place:
    between = np.linalg.norm(fleet.sites[:, None] - fleet.sites[None], axis=-1)
    near = between.argsort(axis=-1, kind="stable")
    rank = np.full((len(near), len(near) + len(fleet.ranges)), len(near) + 1)
    np.put_along_axis(rank, near, np.arange(len(near))[None], axis=-1)
    x, y = np.concatenate([fleet.sites, fleet.depots]).T
    return _Place(
        x=jnp.asarray(x, jnp.float32),
        y=jnp.asarray(y, jnp.float32),
        values=jnp.asarray(fleet.values, jnp.float32),
        service=jnp.asarray(np.concatenate([fleet.service, np.zeros(len(fleet.ranges))]), jnp.float32),
        ranges=jnp.asarray(fleet.ranges, jnp.float32) - _SLACK,
        near=jnp.asarray(near[:, :WINDOW], jnp.int32),
        rank=jnp.asarray(rank, jnp.int32),
    )


@jax.jit
def _search(place: _Place, start: _Plan, rounds: Int[Array, ""], key: PRNGKeyArray) -> Int[Array, " nodes"]:
    """The node after each node, of the best plan."""
    count = jnp.maximum((start.of >= 0).sum(), 1).astype(jnp.float32)
    leg = jnp.maximum(place.ranges.sum() / count, 1e-12)
    mean = jnp.maximum(place.values.mean(), 1e-12)

    def measured(plan: _Plan) -> tuple[Array, Array]:
        served = jnp.where(plan.of[: len(place.values)] >= 0, place.values, 0)
        return served.sum(), _left(place, plan).sum()

    def step(i: Array, carry: tuple[_Measured, _Measured]) -> tuple[_Measured, _Measured]:
        now, best = carry
        draw, accept = jax.random.split(jax.random.fold_in(key, i))
        plans = jax.vmap(lambda one: _moved(place, now.plan, one))(jax.random.split(draw, MOVES))
        values, lefts = jax.vmap(measured)(plans)
        gains = (values - now.value) / mean + LEFT * (lefts - now.left) / leg
        chosen = jnp.argmax(gains)
        new = jax.tree.map(lambda leaf: leaf[chosen], _Measured(plans, values, lefts))
        heat = WARM * jnp.square(1 - (i / rounds)) * jnp.log(jax.random.uniform(accept, minval=1e-9))
        now = jax.tree.map(lambda a, b: jnp.where(gains[chosen] > heat, a, b), new, now)
        better = (now.value > best.value) | ((now.value == best.value) & (now.left > best.left))
        return now, jax.tree.map(lambda a, b: jnp.where(better, a, b), now, best)

    begin = _Measured(start, *measured(start))
    return jax.lax.fori_loop(0, rounds, step, (begin, begin))[1].plan.after


def _left(place: _Place, plan: _Plan) -> Float[Array, " vehicles"]:
    """The range that each vehicle has left."""
    leg = _far(place.x, place.y, place.x[plan.after], place.y[plan.after]) + place.service
    own = plan.of[:, None] == jnp.arange(len(place.ranges))[None]
    return place.ranges - jnp.where(own, leg[:, None], 0).sum(axis=0)


def _moved(place: _Place, plan: _Plan, key: PRNGKeyArray) -> _Plan:
    """A plan after a move."""
    keys = jax.random.split(key, 3)
    sites, nodes = len(place.values), len(place.x)
    middle = jax.random.randint(keys[0], (), 0, sites)
    count = jax.random.randint(keys[1], (), 1, OUT + 1)
    plan = _without(plan, (place.rank[middle] < count) & (plan.of >= 0))
    window = place.near[middle]
    noise = jnp.exp(NOISE * jax.random.normal(keys[2], window.shape))
    x, y, worth = place.x[window], place.y[window], place.values[window] * noise
    starts = jnp.concatenate([window, jnp.arange(sites, nodes, dtype=window.dtype)])
    begins = place.x[starts], place.y[starts]
    to = _far(begins[0][:, None], begins[1][:, None], x[None], y[None]) + place.service[window][None]

    def added(after: Array, of: Array, left: Array) -> tuple[Array, Array]:
        ends = place.x[after[starts]], place.y[after[starts]]
        own = of[starts]
        saved = _far(*begins, *ends)
        room = jnp.where(own >= 0, left[own], -1.0)[:, None]
        cost = to + _far(ends[0][:, None], ends[1][:, None], x[None], y[None]) - saved[:, None]
        cost = jnp.where((cost <= room) & (of[window] < 0)[None], cost, jnp.inf)
        return cost, cost.min(axis=0)

    def put(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        after, of, left, cost, least = carry
        site = jnp.argmax(jnp.where(least < jnp.inf, worth / jnp.maximum(least, 1e-9), -1.0))
        begin = starts[jnp.argmin(jnp.take(cost, site, axis=1))]
        node, vehicle = window[site], of[begin]
        number = jnp.arange(nodes)
        after = jnp.where(number == node, after[begin], jnp.where(number == begin, node, after))
        of = jnp.where(number == node, vehicle, of)
        left = left - jnp.where(jnp.arange(len(left)) == vehicle, least[site], 0)
        return after, of, left, *added(after, of, left)

    left = _left(place, plan)
    begin = (*plan, left, *added(*plan, left))
    after, of, *_ = jax.lax.while_loop(lambda carry: (carry[-1] < jnp.inf).any(), put, begin)
    return _Plan(after, of)


def _without(plan: _Plan, out: Bool[Array, " nodes"]) -> _Plan:
    """A plan without at most `OUT` of its sites: each node's next is the first that stays."""
    after = plan.after
    for _ in range(OUT.bit_length()):  # each time jumps reach twice as far
        after = jnp.where(out[after], after[after], after)
    return _Plan(jnp.where(out, jnp.arange(len(out)), after), jnp.where(out, -1, plan.of))


def _far(
    x: Float[Array, "*#shape"], y: Float[Array, "*#shape"], to_x: Float[Array, "*#shape"], to_y: Float[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    return jnp.sqrt(jnp.square(x - to_x) + jnp.square(y - to_y))
