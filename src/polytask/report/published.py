"""The learning curves published with the official BRC code, carried as means and spreads (published/*.json)."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int


@runtime_checkable
class Listed(Protocol):
    """A task by which published results are found."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def suite(self) -> str:
        """Where it is from."""
        ...


_FOLDER = Path(__file__).parent / "published"


@dataclasses.dataclass(frozen=True)
class Published:
    """What was published for some tasks: score curves by task, and their aggregates where all tasks are covered.

    `mean` is exact for any set of tasks. `iqm` and all bounds exist for the named groups only (mt10, mt25, mt50,
    dogs, humanoids), because they need the seeds, which the project does not carry.
    """

    label: str
    protocol: str
    source: str
    seeds: int
    steps: Int[np.ndarray, " points"]
    tasks: dict[str, Float[np.ndarray, " points"]]
    mean: Float[np.ndarray, " points"] | None
    iqm: Float[np.ndarray, " points"] | None
    mean_bounds: Float[np.ndarray, "2 points"] | None
    iqm_bounds: Float[np.ndarray, "2 points"] | None

    def index_at(self, step: int) -> int | None:
        """The last published point not after `step`; None if `step` comes before the first."""
        found = int(np.searchsorted(self.steps, step, side="right")) - 1
        return found if found >= 0 else None


def bare_name(name: str) -> str:
    """The name by which a task is published: "metaworld/reach-v3" as "reach", "dmc/dog-run" as "dog-run"."""
    return name.split("/", 1)[-1].removesuffix("-v3").removesuffix("-v2")


@functools.cache
def _load(suite: str, agents: str) -> dict[str, Any] | None:
    path = _FOLDER / f"{suite}_{agents}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _group(data: dict[str, Any], names: set[str]) -> dict[str, Any] | None:
    return next((g for g in data["groups"].values() if set(g["tasks"]) == names), None)


def published_for(specs: Sequence[Listed], agents: str) -> Published | None:
    """Published curves for these tasks, by `agents` "multi" (one agent for many) or "single"; None if there are none.

    Where the tasks come from several suites, the first suite that has any counts.
    """
    for suite in dict.fromkeys(s.suite for s in specs):
        data = _load(suite, agents)
        if data is None:
            continue
        known = {s.name: bare_name(s.name) for s in specs if s.suite == suite and bare_name(s.name) in data["tasks"]}
        if not known:
            continue
        tasks = {name: np.array(data["tasks"][bare]["mean"]) for name, bare in known.items()}
        complete = len(known) == len(specs)
        group = _group(data, set(known.values())) if complete else None
        return Published(
            label=data["label"],
            protocol=data["protocol"],
            source=f"{data['repository']} at {data['commit']}, {data['licence']} licence",
            seeds=data["seeds"],
            steps=np.array(data["steps"], int),
            tasks=tasks,
            mean=np.mean(list(tasks.values()), axis=0) if complete else None,
            iqm=np.array(group["iqm"]) if group else None,
            mean_bounds=np.array([group["mean_low"], group["mean_high"]]) if group else None,
            iqm_bounds=np.array([group["iqm_low"], group["iqm_high"]]) if group else None,
        )
    return None
