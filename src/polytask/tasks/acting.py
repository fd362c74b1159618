"""Actions of an environment: of which of polytask's spaces they are, and each as the environment takes it."""

from typing import Any

import gymnasium
import numpy as np

from polytask.tasks.contract import wrong_shape
from polytask.tasks.spaces import Action, Box, Choices

MOST_CHOICES = 1024
"""Combinations of discrete actions that agents choose among; all are outputs of their networks."""
_NAME_IT = "and name that: gym/<module>:<callable>"


def action_of(task: str, space: gymnasium.Space) -> Action:
    """The space of a task's actions. Raises ValueError, saying what to do, for those that agents cannot give."""
    if isinstance(space, gymnasium.spaces.Box):
        if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise ValueError(
                f"task '{task}' has unbounded actions {space}; wrap it in a callable with finite bounds "
                f"(gymnasium.wrappers.RescaleAction, ClipAction), {_NAME_IT}"
            )
        return Box(*(tuple(np.ravel(bound).astype(float).tolist()) for bound in (space.low, space.high)))
    choices = Choices(_sizes(space))
    if not choices.sizes:
        raise ValueError(
            f"task '{task}' has actions {space}, but agents act in a Box, or choose in a Discrete, MultiDiscrete or "
            f"MultiBinary; wrap it in a callable that turns one of these into its actions, {_NAME_IT}"
        )
    if not 1 < choices.count <= MOST_CHOICES:
        raise ValueError(
            f"task '{task}' has {choices.count:,} combinations of actions {space}, but agents choose among 2 to "
            f"{MOST_CHOICES:,}; wrap it in a callable with a Discrete of the combinations that matter, {_NAME_IT}"
        )
    return choices


def _sizes(space: gymnasium.Space) -> tuple[int, ...]:
    if isinstance(space, gymnasium.spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return tuple(np.ravel(space.nvec).tolist())
    return (2,) * int(np.prod(space.shape)) if isinstance(space, gymnasium.spaces.MultiBinary) else ()


def check_action(task: str, space: gymnasium.Space, wanted: Action) -> None:
    """Raises ValueError for an environment that does not take the actions of its TaskSpec."""
    sizes = _sizes(space)
    got = sizes or (int(np.prod(space.shape or (1,))),)
    of_spec = wanted.sizes if isinstance(wanted, Choices) else (len(wanted.low),)
    if got != of_spec or bool(sizes) != isinstance(wanted, Choices):
        raise wrong_shape(task, "action", got, of_spec)


def native(space: gymnasium.Space, action: Any) -> Any:
    """An action as the environment takes it, of its shape and type.

    Choices count from 0 and get the space's `start` added; a single one becomes an int.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(np.reshape(action, ())) + int(space.start)
    array = np.reshape(action, space.shape or ())
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        array = array + space.start
    return array.astype(space.dtype)
