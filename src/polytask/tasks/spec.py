"""What a task is: facts as data, which travel to every place that needs them."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """ " Did you mean A or B?", of the nearest of the known names; empty if none is near."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if "/" not in name:  # "mt10" is meant to be "metaworld/mt10"
        bare = {full.rpartition("/")[2]: full for full in known}
        without_suite = [bare[match] for match in difflib.get_close_matches(name, bare, n=2)]
        close = list(dict.fromkeys([*without_suite, *close]))[:3]
    return f" Did you mean {' or '.join(close)}?" if close else ""


class UnknownTaskError(ValueError):
    """A task name that nothing answers to; the message names the nearest ones."""

    def __init__(self, name: str, known: Sequence[str], hint: str = "") -> None:
        super().__init__(f"unknown task '{name}'.{did_you_mean(name, known)}{' ' + hint if hint else ''}")


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """The facts of one task.

    `horizon` is in environment steps, after which an episode is truncated. `success` says how an episode is judged:
    "any-step" means that it counts as a success if the simulator reports success at any step of it; "none" that the
    task has no such notion and is judged by its return. `score_range` holds the returns that map to the normalised
    scores 0 and 1. `engine` is what steps the task unless a person asks for another one.
    `choices` holds pairs of what else was chosen, (name, value), for the suite that builds the environment.
    """

    name: str
    suite: str
    observation_dim: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    horizon: int
    discount: float = 0.99
    success: Literal["any-step", "none"] = "none"
    score_range: tuple[float, float] | None = None
    reward_version: str | None = None
    goals: Literal["varying", "fixed"] | None = None
    engine: Literal["envpool", "process", "serial"] = "serial"
    choices: tuple[tuple[str, Any] | list[Any], ...] = ()

    def __post_init__(self) -> None:
        # JSON gives lists, which have no hash.
        object.__setattr__(self, "choices", tuple((name, value) for name, value in self.choices))

    @property
    def task(self) -> str:
        """The name without its suite: "reach-v3" of "metaworld/reach-v3"."""
        return self.name.partition("/")[2]

    @property
    def action_dim(self) -> int:
        return len(self.action_low)


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """An ordered set of T tasks trained by one agent; observations and actions are padded to the largest.

    Raises ValueError if it is empty or a name stands in it twice.
    """

    specs: tuple[TaskSpec, ...]

    def __post_init__(self) -> None:
        if not self.specs:
            raise ValueError("a TaskSet needs at least one task")
        repeated = sorted({n for n in self.names if self.names.count(n) > 1})
        if repeated:
            raise ValueError(f"named more than once: {', '.join(repeated)}; name each task once")

    def __len__(self) -> int:
        return len(self.specs)

    def __iter__(self):
        return iter(self.specs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs)

    @property
    def observation_dim(self) -> int:
        return max(spec.observation_dim for spec in self.specs)

    @property
    def action_dim(self) -> int:
        return max(spec.action_dim for spec in self.specs)

    @property
    def horizon(self) -> int:
        """The longest horizon, in environment steps."""
        return max(spec.horizon for spec in self.specs)

    @property
    def action_mask(self) -> Bool[np.ndarray, "tasks actions"]:
        """True where a padded action dimension really exists in the task."""
        return np.arange(self.action_dim) < np.array([[spec.action_dim] for spec in self.specs])

    @property
    def discounts(self) -> Float[np.ndarray, " tasks"]:
        return np.array([spec.discount for spec in self.specs], np.float32)

    def index(self, name: str) -> int:
        """The position of a task; raises UnknownTaskError."""
        if name not in self.names:
            raise UnknownTaskError(name, self.names, f"This set holds: {', '.join(self.names)}.")
        return self.names.index(name)


def spec_from(facts: Mapping[str, Any]) -> TaskSpec:
    """A task from its facts as config.json holds them, as far as they are there and known."""
    known = {field.name for field in dataclasses.fields(TaskSpec)}
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items() if k in known}
    name = str(given.get("name", "?"))
    empty: dict[str, Any] = {"observation_dim": 0, "action_low": (), "action_high": (), "horizon": 0}
    return TaskSpec(**{"name": name, "suite": name.partition("/")[0], **empty, **given})
