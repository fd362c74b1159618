"""Routes by packages made for it: OR-Tools and PyVRP, and the table of everything that finds routes without a model."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polytask.fleets.heuristics import clustered, nearest
from polytask.fleets.instance import Fleet, Routes, distances

UNITS = 10_000  # of a fleet's longest range: both packages count in integers
Solver = Callable[[Fleet, float], Routes]


def _matrix(fleet: Fleet) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Depots, then sites: lengths between all of them, and ranges, service and prizes, as integers.

    A prize is a site's value, at a scale on which one site more is worth any detour.
    Lengths and service are rounded up and ranges down, so that what fits in integers fits.
    """
    between, home = distances(fleet)
    depots = np.linalg.norm(fleet.depots[:, None] - fleet.depots[None], axis=-1)
    full = np.block([[depots, home], [home.T, between]])
    unit = UNITS / max(float(fleet.ranges.max()), 1e-12)
    values = np.round(fleet.values / max(float(fleet.values.max()), 1e-12) * 1_000)
    lengths, service = np.ceil(full * unit - 1e-9), np.ceil(fleet.service * unit - 1e-9)
    lengths = lengths.astype(int)
    prizes = np.maximum(values.astype(int), 1) * (int(lengths.max()) * 10) // 100
    return lengths, np.floor(fleet.ranges * unit).astype(int), service.astype(int), prizes


def ortools(fleet: Fleet, seconds: float) -> Routes:
    """OR-Tools' routing: sites as disjunctions whose penalty is their value; guided local search for `seconds`.

    Raises ImportError, saying what to install, without the package.
    """
    try:
        from ortools.constraint_solver import pywrapcp, routing_enums_pb2
    except ImportError as error:
        raise ImportError("this needs OR-Tools: pip install -e '.[fleets]' in the checkout") from error
    lengths, ranges, service, prizes = _matrix(fleet)
    vehicles = len(ranges)
    own = list(range(vehicles))
    manager = pywrapcp.RoutingIndexManager(len(lengths), vehicles, own, own)
    routing = pywrapcp.RoutingModel(manager)
    spent = np.concatenate([np.zeros(vehicles, int), service])
    costs = (lengths + spent[None]).tolist()

    def cost(a: int, b: int) -> int:
        return costs[manager.IndexToNode(a)][manager.IndexToNode(b)]

    transit = routing.RegisterTransitCallback(cost)
    routing.SetArcCostEvaluatorOfAllVehicles(transit)
    routing.AddDimensionWithVehicleCapacity(transit, 0, ranges.tolist(), True, "length")
    for site, prize in enumerate(prizes.tolist()):
        routing.AddDisjunction([manager.NodeToIndex(vehicles + site)], prize)
    search = pywrapcp.DefaultRoutingSearchParameters()
    search.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PATH_CHEAPEST_ARC
    search.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    search.time_limit.FromMilliseconds(max(1, int(seconds * 1000)))
    found = routing.SolveWithParameters(search)
    if found is None:
        return ((),) * vehicles
    routes = []
    for vehicle in range(vehicles):
        route, index = [], found.Value(routing.NextVar(routing.Start(vehicle)))
        while not routing.IsEnd(index):
            route.append(manager.IndexToNode(index) - vehicles)
            index = found.Value(routing.NextVar(index))
        routes.append(tuple(route))
    return tuple(routes)


def pyvrp(fleet: Fleet, seconds: float, start: Sequence[Sequence[int]] | None = None) -> Routes:
    """PyVRP's iterated local search with prizes, for `seconds` of its CPU time; from `start`, if it is given.

    Raises ImportError, saying what to install, without the package.
    """
    try:
        import pyvrp as package
    except ImportError as error:
        raise ImportError("this needs PyVRP: pip install -e '.[fleets]' in the checkout") from error
    lengths, ranges, service, prizes = _matrix(fleet)
    vehicles = len(ranges)
    places = np.round(np.concatenate([fleet.depots, fleet.sites]) * 1000)
    locations = [package.Location(float(x), float(y)) for x, y in places]
    clients = [
        package.Client(vehicles + site, service_duration=length, prize=prize, required=False)
        for site, (length, prize) in enumerate(zip(service.tolist(), prizes.tolist(), strict=True))
    ]
    alike: dict[tuple[float, ...], list[int]] = {}  # vehicles of one type, which the package need not tell apart
    for vehicle, reach in enumerate(ranges.tolist()):
        alike.setdefault((reach, *fleet.depots[vehicle].tolist()), []).append(vehicle)
    groups = list(alike.values())
    types = [
        package.VehicleType(len(group), start_depot=group[0], end_depot=group[0], shift_duration=int(ranges[group[0]]))
        for group in groups
    ]
    between: Any = [lengths]
    data = package.ProblemData(locations, clients, list(map(package.Depot, range(vehicles))), types, between, between)
    initial = None
    if start is not None:
        kind = {vehicle: i for i, group in enumerate(groups) for vehicle in group}
        made = [package.Route(data, list(route), kind[vehicle]) for vehicle, route in enumerate(start) if len(route)]
        initial = package.Solution(data, made)
    begin = time.thread_time()
    found = package.solve(
        data,
        lambda best_cost: time.thread_time() - begin >= seconds,
        collect_stats=False,
        display=False,
        initial_solution=initial,
    )
    best = found.best
    routes: list[tuple[int, ...]] = [()] * vehicles
    free = [list(group) for group in groups]
    for route in best.routes() if best.is_feasible() else ():
        routes[free[route.vehicle_type()].pop(0)] = tuple(stop.idx for stop in route if stop.is_client())
    return tuple(routes)


def _search(fleet: Fleet, seconds: float) -> Routes:
    from polytask.fleets.search import searched_for  # JAX, which the others do without

    return searched_for(fleet, seconds)


SOLVERS: dict[str, Solver] = {
    "greedy": lambda fleet, seconds: nearest(fleet),
    "kmeans": lambda fleet, seconds: clustered(fleet),
    "search": _search,
    "ortools": ortools,
    "pyvrp": pyvrp,
}
"""What finds routes without a model, by the name that `polytask solve fleets --with` takes."""
