"""Routes without learning: nearest site first, and insertion; of one instance, in NumPy."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2

from polytask import random
from polytask.fleets.instance import Fleet, Routes, distances

_EPSILON = 1e-9  # of a range, so that what is exactly as long as it fits


def nearest(fleet: Fleet) -> Routes:
    """Vehicle after vehicle goes to the nearest site that it can serve and come back from."""
    between, home = distances(fleet)
    free = np.ones(len(fleet.sites), bool)
    routes = []
    for vehicle, reach in enumerate(fleet.ranges):
        route, far, left = [], home[vehicle], float(reach) * (1 + _EPSILON)
        while True:
            fits = free & (far + fleet.service + home[vehicle] <= left)
            if not fits.any():
                break
            site = int(np.where(fits, far, np.inf).argmin())
            left -= far[site] + fleet.service[site]
            route.append(site)
            free[site], far = False, between[site]
        routes.append(tuple(route))
    return tuple(routes)


def clustered(fleet: Fleet, seed: int = 0) -> Routes:
    """Sites by k-means into a cluster for each vehicle, and cheapest insertion in each."""
    vehicles = len(fleet.ranges)
    if vehicles == 1 or len(fleet.sites) < vehicles:
        return inserted(fleet, ((),) * vehicles)
    generator = random.generator(seed, "fleets.clusters")
    _, cluster = kmeans2(fleet.sites, vehicles, minit="++", rng=generator)
    return inserted(fleet, ((),) * vehicles, cluster)


def inserted(fleet: Fleet, routes: Sequence[Sequence[int]], of: Int[np.ndarray, " sites"] | None = None) -> Routes:
    """The routes with more sites in them: always the one of most value for the length that it adds.

    - `of`: the vehicle that each site is for; None where it may be any.
    """
    between, home = distances(fleet)
    found = [list(route) for route in routes]
    free = np.ones(len(fleet.sites), bool)
    free[[site for route in found for site in route]] = False
    left = np.array([reach * (1 + _EPSILON) for reach in fleet.ranges]) - lengths(fleet, found)
    best = [_cheapest(fleet, between, home, vehicle, route) for vehicle, route in enumerate(found)]
    while True:
        gains = np.full((len(found), len(free)), -np.inf)
        for vehicle, (added, _) in enumerate(best):
            fits = free & (added <= left[vehicle])
            if of is not None:
                fits &= of == vehicle
            gains[vehicle] = np.where(fits, fleet.values / np.maximum(added, 1e-12), -np.inf)
        vehicle, site = np.unravel_index(gains.argmax(), gains.shape)
        if gains[vehicle, site] == -np.inf:
            return tuple(map(tuple, found))
        added, at = best[vehicle]
        left[vehicle] -= added[site]
        found[vehicle].insert(int(at[site]), int(site))
        free[site] = False
        best[vehicle] = _cheapest(fleet, between, home, int(vehicle), found[vehicle])


def lengths(fleet: Fleet, routes: Sequence[Sequence[int]]) -> Float[np.ndarray, " vehicles"]:
    """How far each vehicle comes, service included."""
    found = []
    for vehicle, route in enumerate(routes):
        path = np.concatenate([fleet.depots[vehicle][None], fleet.sites[list(route)], fleet.depots[vehicle][None]])
        found.append(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum() + fleet.service[list(route)].sum())
    return np.array(found)


def _cheapest(
    fleet: Fleet,
    between: Float[np.ndarray, "sites sites"],
    home: Float[np.ndarray, "vehicles sites"],
    vehicle: int,
    route: Sequence[int],
) -> tuple[Float[np.ndarray, " sites"], Int[np.ndarray, " sites"]]:
    """For each site the least length that it would add to a route, and the place in it."""
    to = np.stack([home[vehicle], *(between[site] for site in route), home[vehicle]])
    legs = np.array([0.0])
    if len(route):
        stops = list(route)
        legs = np.array([home[vehicle][stops[0]], *between[stops[:-1], stops[1:]], home[vehicle][stops[-1]]])
    added = to[:-1] + to[1:] - legs[:, None]
    at = added.argmin(axis=0)
    return added[at, np.arange(added.shape[1])] + fleet.service, at
