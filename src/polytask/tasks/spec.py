"""What a task is: facts as data, which travel to every place that needs them."""

import dataclasses
import difflib
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from polytask.tasks.spaces import Action, Box, Choices, Image, Observation, Vector, images, space_from, vectors


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

    `observation` and `action` are its spaces (`polytask.tasks.spaces`).
    `horizon` is in environment steps, after which an episode is truncated. `success` says how an episode is judged:
    "any-step" means that it counts as a success if the simulator reports success at any step of it; "none" that the
    task has no such notion and is judged by its return. `score_range` holds the returns that map to the normalised
    scores 0 and 1. `engine` is what steps the task unless a person asks for another one.
    `options` holds pairs of what else was asked for, (name, value), for the suite that builds the environment.
    """

    name: str
    suite: str
    observation: Observation
    action: Action
    horizon: int
    discount: float = 0.99
    success: Literal["any-step", "none"] = "none"
    score_range: tuple[float, float] | None = None
    reward_version: str | None = None
    goals: Literal["varying", "fixed"] | None = None
    engine: Literal["envpool", "process", "serial"] = "serial"
    options: tuple[tuple[str, Any] | list[Any], ...] = ()

    def __post_init__(self) -> None:
        # JSON gives lists, which have no hash.
        object.__setattr__(self, "options", tuple((name, value) for name, value in self.options))

    @property
    def task(self) -> str:
        """The name without its suite: "reach-v3" of "metaworld/reach-v3"."""
        return self.name.partition("/")[2]

    @property
    def observation_dim(self) -> int:
        """Numbers in the observation's vectors together; images do not count."""
        return sum(vector.size for vector in vectors(self.observation))

    @property
    def action_dim(self) -> int:
        """Continuous dimensions of the action; 0 where it is chosen."""
        return len(self.action.low) if isinstance(self.action, Box) else 0

    @property
    def bounds(self) -> tuple[Float32[np.ndarray, " actions"], Float32[np.ndarray, " actions"]]:
        """The lowest and highest continuous actions, in the task's own units."""
        low, high = (self.action.low, self.action.high) if isinstance(self.action, Box) else ((), ())
        return np.array(low, np.float32), np.array(high, np.float32)

    @property
    def choices(self) -> int:
        """Among how many an action is chosen; 1 where it is continuous."""
        return self.action.count if isinstance(self.action, Choices) else 1


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """An ordered set of T tasks trained by one agent; observations and actions are padded to the largest.

    Where no task has an image, observations are one array of `observation_dim`; else `Observations` with the images
    beside it. An action is a row of `action_dim` continuous dimensions and, where any task chooses among several, the
    chosen index behind them. `layout` are tasks that are not trained, to whose sizes they are padded as well: those
    that the networks were made for, where they come from another run.

    Raises ValueError if it is empty or a name stands in it twice.
    """

    specs: tuple[TaskSpec, ...]
    layout: tuple[TaskSpec, ...] = ()

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

    @functools.cached_property
    def observation_dim(self) -> int:
        return max(spec.observation_dim for spec in (*self.specs, *self.layout))

    @functools.cached_property
    def action_dim(self) -> int:
        return max(spec.action_dim for spec in (*self.specs, *self.layout))

    @functools.cached_property
    def placed_images(self) -> tuple[tuple[tuple[int, Image], ...], ...]:
        """Each task's images with their places in `images`; empty where no task has one."""
        if not self.images:
            return ()
        return tuple(
            tuple(zip(self.places(row), images(spec.observation), strict=True)) for row, spec in enumerate(self.specs)
        )

    @functools.cached_property
    def images(self) -> tuple[tuple[int, int, int], ...]:
        """The shapes of the images that observations hold, (height, width, channels of the whole stack).

        Images of one height and width share a place, with zeros for the channels that they lack; a task with several of
        that size takes several.
        """
        places: dict[tuple[int, int, int], int] = {}
        for spec in (*self.specs, *self.layout):
            for place, image in zip(_places(spec), images(spec.observation), strict=True):
                places[place] = max(places.get(place, 0), image.shape[2])
        return tuple((height, width, channels) for (height, width, _), channels in sorted(places.items()))

    def places(self, row: int) -> tuple[int, ...]:
        """Where in `images` the images of a task stand, in its own order."""
        return self._all_places[row]

    @functools.cached_property
    def _all_places(self) -> tuple[tuple[int, ...], ...]:
        every = sorted({place for spec in (*self.specs, *self.layout) for place in _places(spec)})
        return tuple(tuple(every.index(place) for place in _places(spec)) for spec in self.specs)

    @functools.cached_property
    def choices(self) -> int:
        """The most that a task chooses among; 1 where all act continuously."""
        return max(spec.choices for spec in (*self.specs, *self.layout))

    @property
    def choice_mask(self) -> Bool[np.ndarray, "tasks choices"]:
        """True where a choice really exists in the task; a continuous task has the first alone."""
        return np.arange(self.choices) < np.array([[spec.choices] for spec in self.specs])

    @property
    def action_width(self) -> int:
        """Entries of an action's row."""
        return self.action_dim + (self.choices > 1)

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


def _places(spec: TaskSpec) -> tuple[tuple[int, int, int], ...]:
    """Height, width, and which of the task's images of that size it is; of each of its images."""
    sizes = [(image.height, image.width) for image in images(spec.observation)]
    return tuple((*size, sizes[:i].count(size)) for i, size in enumerate(sizes))


def spec_from(facts: Mapping[str, Any]) -> TaskSpec:
    """A task from its facts as config.json holds them, as far as they are there and known."""
    known = {field.name for field in dataclasses.fields(TaskSpec)}
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items() if k in known}
    for space in ("observation", "action"):
        if isinstance(given.get(space), Mapping):
            given[space] = space_from(given[space])
    name = str(given.get("name", "?"))
    # Before there were spaces every task had a vector and a box.
    before = (Vector(facts.get("observation_dim", 0)), *(tuple(facts.get(f"action_{e}", ())) for e in ("low", "high")))
    spaces = {"observation": before[0], "action": Box(*before[1:]), "options": tuple(facts.get("choices", ()))}
    return TaskSpec(**{"name": name, "suite": name.partition("/")[0], "horizon": 0, **spaces, **given})
