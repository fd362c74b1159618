"""Checks routes. It shares no code with what finds them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from polytask.fleets.instance import Fleet

SLACK = 1e-6  # of a range: solvers of integers and of float32 round


class Checked(NamedTuple):
    """What routes come to: the value and the number of the sites that they serve, and the length of each, service
    included."""

    value: float
    served: int
    lengths: tuple[float, ...]


def check(fleet: Fleet, routes: Sequence[Sequence[int]]) -> Checked:
    """What the routes of one instance are worth.

    Raises ValueError where there are not as many as vehicles, a site is not one or is served twice, or a route is
    longer than its vehicle's range (but for 1e-6 of it).
    """
    sites, vehicles = len(fleet.sites), len(fleet.ranges)
    if len(routes) != vehicles:
        raise ValueError(f"{vehicles} vehicles have {vehicles} routes, not {len(routes)}")
    seen: dict[int, int] = {}
    lengths: list[float] = []
    for vehicle, route in enumerate(routes):
        place = home = (float(fleet.depots[vehicle][0]), float(fleet.depots[vehicle][1]))
        length = 0.0
        for site in route:
            if not 0 <= site < sites:
                raise ValueError(f"vehicle {vehicle} serves site {site}, and sites are 0 to {sites - 1}")
            if site in seen:
                raise ValueError(f"vehicle {vehicle} serves site {site}, which vehicle {seen[site]} serves too")
            seen[site] = vehicle
            there = (float(fleet.sites[site][0]), float(fleet.sites[site][1]))
            length += math.dist(place, there) + float(fleet.service[site])
            place = there
        length += math.dist(place, home)
        if length > float(fleet.ranges[vehicle]) * (1 + SLACK):
            raise ValueError(
                f"vehicle {vehicle} would come {length:g} far, and its range is {float(fleet.ranges[vehicle]):g}"
            )
        lengths.append(length)
    return Checked(math.fsum(float(fleet.values[site]) for site in seen), len(seen), tuple(lengths))
