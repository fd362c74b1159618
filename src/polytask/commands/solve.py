"""`polytask solve`: decisions with a trained model, or with what there is beside it."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from polytask.fleets.instance import Fleet, Routes

_Optional = tyro.conf.arg(help_behavior_hint="")


def solve(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_solve, prog="polytask solve", args=arguments)


def _solve(
    problem: Annotated[tyro.conf.Positional[Literal["fleets"]], tyro.conf.arg(metavar="fleets")],
    /,
    *,
    sites: Annotated[str, tyro.conf.arg(metavar="FILE|SIZE", help_behavior_hint="")],
    by: Annotated[
        str, tyro.conf.arg(name="with", metavar="RUN|NAME", help_behavior_hint="(default: greedy)")
    ] = "greedy",
    vehicles: Annotated[int | None, _Optional] = None,
    range: tuple[float, ...] = (2.0,),
    depot: Annotated[tuple[str, ...], tyro.conf.arg(metavar="X,Y ...", help_behavior_hint="")] = (),
    seconds: float = 1.0,
    samples: int = 1,
    rounds: int = 0,
    seed: int = 0,
    output: Annotated[Path | None, _Optional] = None,
    picture: Annotated[Path | None, _Optional] = None,
) -> int:
    """Finds routes for a fleet, checks them and prints them.

    Args:
        problem: What is solved.
        sites: A CSV file with the columns x and y, value and service as you like; or a size to draw, as u4-n80.
        by: The folder of a run, or greedy, kmeans, search, ortools, pyvrp.
        vehicles: How many there are; by default as many as ranges or depots.
        range: How far each vehicle comes, service included, or one number for all.
        depot: Where each vehicle starts and ends, or one for all; by default the middle of the sites.
        seconds: How long search, ortools and pyvrp search.
        samples: Allocations that a run's policy draws; 1 takes the likeliest.
        rounds: Of a search on top of a run's routes; 150 take a tenth of a second at 80 sites, once compiled.
        seed: Of an instance that is drawn, and of samples.
        output: A JSON file for the routes.
        picture: A PNG file for a drawing of them.
    """
    from polytask.fleets import check
    from polytask.report.routes import draw_routes

    fleet = _fleet(sites, vehicles, range, depot, seed)
    begin = time.perf_counter()
    routes = _routes(fleet, by, seconds, samples, rounds, seed)
    took = time.perf_counter() - begin
    checked = check(fleet, routes)
    for vehicle, (route, length) in enumerate(zip(routes, checked.lengths, strict=True)):
        print(f"vehicle {vehicle}  {len(route):>3} sites  {length:.3f} of {fleet.ranges[vehicle]:.3f}")
        print(f"  {' '.join(map(str, route)) or 'stays at home'}")
    total = float(fleet.values.sum())
    print(f"\n{checked.served} of {len(fleet.sites)} sites, value {checked.value:g} of {total:g}, {took:.2f} s")
    if output:
        content = {"routes": routes, "lengths": checked.lengths, "value": checked.value, "served": checked.served}
        output.write_text(json.dumps(content, indent=1))
        print(f"written {output}")
    if picture:
        draw_routes(fleet.sites, fleet.depots, routes, picture)
        print(f"written {picture}")
    return 0


def _fleet(sites: str, vehicles: int | None, ranges: tuple[float, ...], depots: tuple[str, ...], seed: int) -> "Fleet":
    """The instance that is asked for. Raises ValueError for what does not fit together."""
    import numpy as np

    from polytask import random
    from polytask.fleets.instance import Family, draw, make_fleet, read_sites, unbatched
    from polytask.fleets.names import size_of

    file = Path(sites)
    if not file.exists() and file.suffix:
        raise ValueError(f"--sites: there is no file {sites}")
    places = np.array([_place(text) for text in depots])
    if file.exists():
        table = read_sites(file)
        count = vehicles or max(len(ranges), len(depots))
        if not len(places):
            low, high = table["sites"].min(axis=0), table["sites"].max(axis=0)
            places = ((low + high) / 2)[None]
        return make_fleet(table["sites"], places, np.array(ranges), count, table["values"], table["service"])
    count, number = size_of(sites)
    if vehicles not in (None, count):
        raise ValueError(f"--sites {sites} has {count} vehicles, and --vehicles says {vehicles}: leave one of them out")
    (drawn,) = unbatched(draw(Family(count, number), random.key(seed, "fleets.solve"), 1))
    return make_fleet(drawn.sites, places if len(places) else drawn.depots, np.array(ranges), count)


def _place(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--depot is two numbers with a comma between them, such as 0.5,0.5, not {text}") from None
    return x, y


def _routes(fleet: "Fleet", by: str, seconds: float, samples: int, rounds: int, seed: int) -> "Routes":
    """Routes by a solver's name or a run's folder."""
    from polytask.fleets.solvers import SOLVERS
    from polytask.plugins import nearest

    if by in SOLVERS:
        return SOLVERS[by](fleet, seconds)
    if not Path(by).exists():
        raise ValueError(f"--with: '{by}' is no run folder and no solver: {nearest(by, SOLVERS)}")
    from polytask.fleets.policy import FleetPolicy
    from polytask.training import kinds

    policy = kinds.load(Path(by))
    if not isinstance(policy, FleetPolicy):
        raise ValueError(f"--with: {by} is a run of another kind; name one of polytask train fleets/u4-n80")
    return policy.routes([fleet], samples=samples, rounds=rounds, seed=seed)[0]
