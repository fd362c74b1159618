"""Logged transitions of one task, whatever file they come from."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec

SUITE = "data"
"""The suite of a task that no simulator is known for."""


@dataclasses.dataclass(frozen=True)
class LoggedTask:
    """N transitions of a task in the order in which they were logged; actions are in the task's own units.

    `truncated` is true where an episode was cut off, and where the log breaks off. `success` is what the simulator said
    at each step, None where that is not known.
    """

    spec: TaskSpec
    observations: Float32[np.ndarray, "transitions observation"]
    actions: Float32[np.ndarray, "transitions action"]
    rewards: Float32[np.ndarray, " transitions"]
    terminated: Bool[np.ndarray, " transitions"]
    truncated: Bool[np.ndarray, " transitions"]
    next_observations: Float32[np.ndarray, "transitions observation"]
    success: Bool[np.ndarray, " transitions"] | None = None

    @property
    def ends(self) -> Bool[np.ndarray, " transitions"]:
        """Where an episode ends."""
        return self.terminated | self.truncated

    @property
    def episodes(self) -> list[slice]:
        """The transitions of each episode."""
        last = (np.flatnonzero(self.ends) + 1).tolist()
        return [slice(first, end) for first, end in zip([0, *last[:-1]], last, strict=True)]

    @property
    def simulated(self) -> bool:
        """Whether a simulator of the task is known."""
        return self.spec.suite != SUITE


def logged(arrays: Mapping[str, Any], spec: TaskSpec | None, source: str) -> LoggedTask:
    """A checked log from its arrays, under the names of `LoggedTask`'s fields; `source` names it in messages.

    Without `next_observations` they are the following observations, and the last transition of an episode that did not
    terminate is left out, since where it led is not known (as D4RL's own reader does). Without a `spec` the task is
    "data/<source>", its actions lie in [-1, 1] and its horizon is the longest episode.

    Raises ValueError, naming the source, for arrays that are missing, empty, of other lengths or shapes than they have
    to be, or not finite, and for actions outside of their bounds.
    """
    missing = [name for name in ("observations", "actions", "rewards", "terminated") if name not in arrays]
    if missing:
        raise ValueError(f"{source} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}")
    actions, rewards = _floats(arrays["actions"], "actions", source), _floats(arrays["rewards"], "rewards", source)
    observations, count = _floats(arrays["observations"], "observations", source), len(rewards)
    terminated = np.ravel(arrays["terminated"]).astype(bool)
    truncated = np.ravel(arrays.get("truncated", np.zeros(count))).astype(bool) & ~terminated
    found = {"observations": observations, "actions": actions, "rewards": rewards}
    found |= {"terminated": terminated, "truncated": truncated}
    if "next_observations" in arrays:
        found["next_observations"] = _floats(arrays["next_observations"], "next_observations", source)
    if arrays.get("success") is not None:
        found["success"] = np.ravel(arrays["success"]).astype(bool)
    _check_shapes(found, source)
    if "next_observations" not in found:
        found = _followed(found)
        if not len(found["rewards"]):
            raise ValueError(f"{source} has no transition whose next observation is known; give next_observations")
    # Where what follows is another observation the log was cut, or shuffled: an episode ends there.
    found["truncated"] |= ~found["terminated"] & ~_goes_on(found["observations"], found["next_observations"])
    if spec is None:
        shape, width = Vector(found["observations"].shape[1]), found["actions"].shape[1]
        spec = TaskSpec(f"{SUITE}/{source}", SUITE, shape, Box((-1.0,) * width, (1.0,) * width), 1)
    task = LoggedTask(spec, **found)
    if not task.simulated:
        longest = max(episode.stop - episode.start for episode in task.episodes)
        task = dataclasses.replace(task, spec=dataclasses.replace(spec, horizon=max(longest, spec.horizon)))
    _check_spec(task, source)
    return task


def joined(parts: Sequence[LoggedTask]) -> LoggedTask:
    """The logs of one task as one. `success` is known where it is known of all."""

    def column(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    return LoggedTask(parts[0].spec, *(column(field.name) for field in dataclasses.fields(LoggedTask)[1:]))


def _floats(value: Any, name: str, source: str) -> np.ndarray:
    try:
        array = np.atleast_1d(np.asarray(value, np.float32))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {name} is no array of numbers: {error}") from error
    array = array.ravel() if name == "rewards" else array.reshape(len(array), math.prod(array.shape[1:]))
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{source}: {name} of transition {row:,} is not finite; leave such episodes out of the set")
    return array


def _check_shapes(found: Mapping[str, np.ndarray], source: str) -> None:
    count = len(found["rewards"])
    if not count:
        raise ValueError(f"{source} holds no transition")
    wrong = [f"{len(value):,} {name}" for name, value in found.items() if len(value) != count]
    if wrong:
        raise ValueError(f"{source} has {count:,} rewards, but {' and '.join(wrong)}; they have to be equally many")
    if "next_observations" in found and found["next_observations"].shape != found["observations"].shape:
        shapes = found["next_observations"].shape, found["observations"].shape
        raise ValueError(f"{source}: next_observations have shape {shapes[0]}, and observations {shapes[1]}")


def _followed(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With the following observations as the next ones, as far as they are known."""
    following = np.roll(found["observations"], -1, axis=0)
    unknown = found["truncated"].copy()
    unknown[-1] |= not found["terminated"][-1]
    truncated = found["truncated"].copy()
    truncated[:-1] |= unknown[1:]  # what is left out here ends the episode one step before
    kept = {**found, "truncated": truncated & ~found["terminated"], "next_observations": following}
    return {name: value[~unknown] for name, value in kept.items()}


def _goes_on(observations: np.ndarray, next_observations: np.ndarray) -> Bool[np.ndarray, " transitions"]:
    return np.append((observations[1:] == next_observations[:-1]).all(axis=1), False)


def _check_spec(task: LoggedTask, source: str) -> None:
    spec = task.spec
    if not isinstance(spec.observation, Vector) or not isinstance(spec.action, Box):
        raise ValueError(f"{source}: sets with images or choices are not learned from; '{spec.name}' has them")
    for what, array, size in (
        ("observations", task.observations, spec.observation_dim),
        ("actions", task.actions, spec.action_dim),
    ):
        if array.shape[1] != size:
            raise ValueError(f"{source} has {what} of {array.shape[1]} numbers, and the task '{spec.name}' of {size}")
    low, high = spec.bounds
    slack = 1e-4 * (high - low)
    outside = ((task.actions < low - slack) | (task.actions > high + slack)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"{source}: {outside.mean():.0%} of the actions lie outside of {low.min():g} to {high.max():g}; name the "
            "task whose bounds they have: data:FILE@gym/<id>"
        )


def unit_actions(task: LoggedTask) -> Float32[np.ndarray, "transitions action"]:
    """The actions as agents take them, in [-1, 1]."""
    low, high = task.spec.bounds
    return np.clip((2 * task.actions - high - low) / np.maximum(high - low, 1e-12), -1, 1).astype(np.float32)


def slots(task: LoggedTask) -> Int[np.ndarray, " transitions"]:
    """Where each transition stands if every episode's last observation takes a place of its own behind it."""
    ends = task.ends.astype(np.int64)
    return np.arange(len(ends)) + np.cumsum(ends) - ends


def digest(task: LoggedTask) -> str:
    """Of everything that is learned from: the same for the same data, in whatever file."""
    found = hashlib.sha256(repr(task.spec).encode())
    for field in dataclasses.fields(LoggedTask)[1:7]:
        found.update(np.ascontiguousarray(getattr(task, field.name)).tobytes())
    return found.hexdigest()[:16]
