"""A trained model that finds routes: what `polytask.load` gives of a run of fleets."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polytask import random
from polytask.fleets.config import FleetConfig
from polytask.fleets.heuristics import inserted
from polytask.fleets.instance import Fleet, Routes, batched, unit
from polytask.fleets.model import FleetModel, decode
from polytask.fleets.search import searched
from polytask.fleets.trainer import model_of
from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder
from polytask.training import kinds

_LARGEST = 40_000  # sites of all instances and ways that are decoded at once


@dataclasses.dataclass(frozen=True)
class FleetPolicy:
    """Finds routes by both policies.

    - `config`: of its training; `step`: of its checkpoint.
    """

    model: FleetModel
    config: FleetConfig
    step: int

    def routes(
        self,
        fleets: Sequence[Fleet],
        *,
        samples: int = 1,
        symmetric: bool = True,
        insert: bool = True,
        rounds: int = 0,
        seed: int = 0,
    ) -> list[Routes]:
        """Routes for instances of one size, of any numbers of sites and vehicles.

        - `samples`: allocations that are drawn for each instance; 1 takes the likeliest.
        - `symmetric`: whether each instance is also tried turned and mirrored, and the best is taken.
        - `insert`: whether sites that still fit are put where they add the least length.
        - `rounds`: of a search on top (`polytask.fleets.search`); 150 take a tenth of a second at 80 sites.

        Raises ValueError for samples below 1 or rounds below 0.
        """
        if samples < 1:
            raise ValueError(f"samples is a count of at least 1, not {samples}")
        found: list[Routes] = []
        at_once = max(1, _LARGEST // (len(fleets[0].values) * samples * (8 if symmetric else 1))) if fleets else 1
        for begin in range(0, len(fleets), at_once):
            some = [unit(fleet) for fleet in fleets[begin : begin + at_once]]
            key = random.key(seed, "fleets.decode", begin) if samples > 1 else None
            stops = np.asarray(decode(self.model, batched(some), samples, symmetric, key).stops)
            found += [tuple(tuple(int(site) for site in route if site >= 0) for route in one) for one in stops]
        if insert:
            found = [inserted(fleet, routes) for fleet, routes in zip(fleets, found, strict=True)]
        if rounds:
            found = [searched(fleet, routes, rounds, seed) for fleet, routes in zip(fleets, found, strict=True)]
        return found


def load(run: Path | str) -> FleetPolicy:
    """What a run's newest intact checkpoint holds.

    Raises RunFolderError or CheckpointError if the folder holds no such run, no checkpoint, or a damaged one.
    """
    config = kinds.config_of(RunFolder(run).read_config())
    found = checkpoint.find(Path(run))
    like = {"learned": {"model": model_of(config, config.seed)}}
    saved, _ = checkpoint.restore(found.path, like, partial=True)
    return FleetPolicy(saved["learned"]["model"], config, found.step)
