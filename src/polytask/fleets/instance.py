"""Sites, and a fleet of vehicles that serves as many of them as their ranges allow: a team orienteering problem."""

import csv
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray, Shaped

Routes = tuple[tuple[int, ...], ...]
"""For each vehicle the sites that it serves, in order; it starts and ends at its depot."""

RANGE = 2.0


class Fleet(NamedTuple):
    """An instance, or a batch of them along leading axes; arrays are NumPy's or JAX's.

    Lengths, ranges and service are in one unit, at speed 1.

    - `sites`: places; `values`: what serving one is worth; `service`: how long it takes, out of the vehicle's range.
    - `depots`: where each vehicle starts and ends; `ranges`: how far it comes, service included.
    """

    sites: Shaped[Any, "*batch sites 2"]
    values: Shaped[Any, "*batch sites"]
    service: Shaped[Any, "*batch sites"]
    depots: Shaped[Any, "*batch vehicles 2"]
    ranges: Shaped[Any, "*batch vehicles"]


class Family(NamedTuple):
    """What instances are drawn from, in the unit square.

    - `depots`: whether all vehicles share one or each has its own; `values`: all 1, or uniform in [0.1, 1].
    - `ranges`: the lowest and the highest; `service`: the longest of a site, uniform from 0.
    """

    vehicles: int
    sites: int
    depots: Literal["one", "each"] = "one"
    values: Literal["equal", "uniform"] = "equal"
    ranges: tuple[float, float] = (RANGE, RANGE)
    service: float = 0.0


def draw(family: Family, key: PRNGKeyArray, count: int) -> Fleet:
    """`count` instances in float32: depots and sites uniform in the unit square (DL-DRL, arXiv 2208.02447)."""
    keys = jax.random.split(key, 5)
    sites, vehicles = family.sites, family.vehicles
    place = jax.random.uniform(keys[0], (count, vehicles if family.depots == "each" else 1, 2))
    values = jnp.ones((count, sites))
    if family.values == "uniform":
        values = jax.random.uniform(keys[2], (count, sites), minval=0.1, maxval=1.0)
    low, high = family.ranges
    return Fleet(
        sites=jax.random.uniform(keys[1], (count, sites, 2)),
        values=values,
        service=family.service * jax.random.uniform(keys[3], (count, sites)),
        depots=jnp.broadcast_to(place, (count, vehicles, 2)),
        ranges=jax.random.uniform(keys[4], (count, vehicles), minval=low, maxval=high)
        if high > low
        else jnp.full((count, vehicles), low),
    )


def unbatched(fleets: Fleet) -> list[Fleet]:
    """The instances of a batch, each as float64 arrays of NumPy."""
    return [Fleet(*(np.asarray(part[i], np.float64) for part in fleets)) for i in range(len(fleets.sites))]


def batched(fleets: list[Fleet]) -> Fleet:
    """Instances of one size as a batch in float32."""
    return Fleet(*(jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*fleets, strict=True)))


def distances(fleet: Fleet) -> tuple[Float[np.ndarray, "sites sites"], Float[np.ndarray, "vehicles sites"]]:
    """From site to site, and from each vehicle's depot to each site, of one instance."""
    between = np.linalg.norm(fleet.sites[:, None] - fleet.sites[None], axis=-1)
    return between, np.linalg.norm(fleet.depots[:, None] - fleet.sites[None], axis=-1)


def make_fleet(
    sites: Float[np.ndarray, "sites 2"],
    depots: Float[np.ndarray, "depots 2"],
    ranges: Float[np.ndarray, " ranges"],
    vehicles: int,
    values: Float[np.ndarray, " sites"] | None = None,
    service: Float[np.ndarray, " sites"] | None = None,
) -> Fleet:
    """One instance; one depot or range stands for all vehicles.

    Raises ValueError for counts that do not fit, and for numbers that are not finite, negative, or of no site.
    """
    count = len(sites)
    values = np.ones(count) if values is None else np.asarray(values, np.float64)
    service = np.zeros(count) if service is None else np.asarray(service, np.float64)
    if not count or vehicles < 1:
        raise ValueError(f"a fleet has at least one site and one vehicle, not {count} and {vehicles}")
    for name, given in (("depot", depots), ("range", ranges)):
        if len(given) not in (1, vehicles):
            raise ValueError(f"{vehicles} vehicles have one {name}, or {vehicles}, not {len(given)}")
    whole = Fleet(
        np.asarray(sites, np.float64),
        values,
        service,
        np.broadcast_to(np.asarray(depots, np.float64), (vehicles, 2)).copy(),
        np.broadcast_to(np.asarray(ranges, np.float64), (vehicles,)).copy(),
    )
    for name, part in whole._asdict().items():
        if not np.isfinite(part).all():
            raise ValueError(f"{name} holds a number that is not finite")
    for name in ("values", "service", "ranges"):
        if (getattr(whole, name) < 0).any():
            raise ValueError(f"{name} holds {getattr(whole, name).min():g}; it has to be at least 0")
    return whole


def unit(fleet: Fleet) -> Fleet:
    """The same instance in the square in which policies learn, with values up to 1."""
    places = np.concatenate([fleet.sites, fleet.depots])
    side = max(float(np.ptp(places, axis=0).max()), 1e-12)
    return Fleet(
        sites=fleet.sites / side,
        values=fleet.values / max(float(fleet.values.max()), 1e-12),
        service=fleet.service / side,
        depots=fleet.depots / side,
        ranges=fleet.ranges / side,
    )


def read_sites(file: Path) -> dict[str, Any]:
    """Sites from a CSV file with the columns x and y, and value and service where it has them.

    Returns `sites` (sites, 2), and `values` and `service` (sites,) or None. Raises ValueError naming the line or the
    column that is wrong.
    """
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines, skipinitialspace=True)
        columns = [name.strip() for name in reader.fieldnames or ()]
        known = ("x", "y", "value", "service")
        if missing := [name for name in known[:2] if name not in columns]:
            raise ValueError(
                f"{file} has no column {missing[0]}: its first line names x, y and, as you like, value, service"
            )
        rows = [
            [_number(file, number, name, row) for name in known if name in columns]
            for number, row in enumerate(reader, start=2)
        ]
    if not rows:
        raise ValueError(f"{file} holds no site: each line after the first is one")
    table = dict(zip((name for name in known if name in columns), np.array(rows, np.float64).T, strict=True))
    return {
        "sites": np.stack([table["x"], table["y"]], axis=-1),
        "values": table.get("value"),
        "service": table.get("service"),
    }


def _number(file: Path, line: int, column: str, row: dict[str, str]) -> float:
    text = next((text for name, text in row.items() if name and name.strip() == column), None)
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{file}, line {line}: {column} is {text!r}, which is no finite number")
    return number
