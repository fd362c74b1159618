"""What an environment has to keep to, and what is said, by task, of one that does not."""

import re
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

_OLD = (
    "the interface of Gym before 0.26 (reset() gives the observation alone, step() gives observation, reward, done, "
    "info). Wrap it, in a callable that you name as gym/<module>:<callable>: "
    "TimeLimit(polytask.tasks.OldGym(env), horizon); or change it to Gymnasium's: reset(*, seed=None, options=None) "
    "gives observation, info and step(action) gives observation, reward, terminated, truncated, info"
)


def wrong_shape(task: str, what: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> ValueError:
    """The error for an environment that contradicts its TaskSpec."""
    return ValueError(
        f"task '{task}': its {what} has shape {got}, but its TaskSpec says {wanted}; the environment's {what}_space, "
        f"what the environment really takes and gives, and the TaskSpec have to agree"
    )


def unfit(task: str, space: gymnasium.Space, observation: Any, why: Exception | str) -> ValueError:
    """The error for an observation that its space does not describe."""
    why = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return ValueError(
        f"task '{task}': its observation, a {type(observation).__name__}, does not fit its observation_space "
        f"{space} ({why}); reset() and step() have to return what the space describes"
    )


def check_environment(task: str, env: Any) -> None:
    """Raises ValueError if what is to be an environment is none of Gymnasium's, or has no spaces."""
    if not isinstance(env, gymnasium.Env):
        old = f" If it has {_OLD}." if hasattr(env, "step") else " Return a gymnasium.Env."
        raise ValueError(f"task '{task}': its environment is a {type(env).__name__}, not a gymnasium.Env.{old}")
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name, None), gymnasium.Space):
            raise ValueError(
                f"task '{task}': its environment has no {name} of gymnasium.spaces; set self.{name} in its __init__"
            )


def leaves(space: gymnasium.Space) -> Iterator[gymnasium.Space]:
    """The spaces in dictionaries and tuples at any depth; another space is its own."""
    if isinstance(space, gymnasium.spaces.Dict | gymnasium.spaces.Tuple):
        for part in space.values() if isinstance(space, gymnasium.spaces.Dict) else space:
            yield from leaves(part)
    else:
        yield space


def flat_size(task: str, space: gymnasium.Space) -> int:
    """The size of an observation once it is flattened; raises ValueError where that cannot be done."""
    try:
        if any(isinstance(leaf, gymnasium.spaces.Text) for leaf in leaves(space)):
            raise NotImplementedError("it holds text")
        return gymnasium.spaces.flatdim(space)
    except (NotImplementedError, ValueError) as error:
        raise ValueError(
            f"task '{task}': its observations cannot be flattened: {error}; wrap it in a callable that gives arrays of "
            "one size (gymnasium.wrappers.TransformObservation), and name that: gym/<module>:<callable>"
        ) from error


def flat(task: str, space: gymnasium.Space, observation: Any, size: int) -> np.ndarray:
    """An observation as a flat float32 array of `size`; raises ValueError for what does not fit the space."""
    try:
        if not isinstance(space, gymnasium.spaces.Box):
            observation = gymnasium.spaces.flatten(space, observation)
        if observation is None:
            raise TypeError("it is None")
        array = np.asarray(observation, np.float32).ravel()
    except (TypeError, ValueError, KeyError, IndexError, AssertionError) as error:
        raise unfit(task, space, observation, error) from error
    if array.shape != (size,):
        raise wrong_shape(task, "observation", array.shape, (size,))
    return array


def number(task: str, value: Any, what: str) -> float:
    """A reward or a flag as one number; raises ValueError for None, and for arrays of several."""
    try:
        return float(value) if np.ndim(value) == 0 else float(np.reshape(value, ()))
    except (TypeError, ValueError) as error:
        found = f"an array of shape {np.shape(value)}" if isinstance(value, np.ndarray) else repr(value)[:60]
        raise ValueError(f"task '{task}': its {what} is {found}; return one number, as float({what})") from error


def _info(task: str, info: Any) -> dict[str, Any]:
    if not isinstance(info, dict):
        raise ValueError(
            f"task '{task}': its info is {info!r:.60}; return a dictionary, {{}} if there is nothing to say"
        )
    return info


def reset(
    task: str, env: gymnasium.Env, seed: int | None, options: dict[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """`env.reset`; raises ValueError, which names the wrapper that mends it, if it is not Gymnasium's."""
    try:
        result: Any = env.reset(seed=seed, options=options)
    except TypeError as error:
        if re.search(r"reset\(\) got an unexpected keyword argument '(seed|options)'", str(error)):
            raise ValueError(f"task '{task}': its reset() takes no seed or no options: {_OLD}") from error
        raise
    except ValueError as error:
        if "(expected 2" in str(error) and "values to unpack" in str(error):
            raise ValueError(f"task '{task}': its reset() gives no info: {_OLD}") from error
        raise
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"task '{task}': its reset() gives no info: {_OLD}")
    return result[0], _info(task, result[1])


def _not_five(task: str, got: str | None) -> ValueError:
    if got == "4":
        return ValueError(f"task '{task}': its step() gives 4 values: {_OLD}")
    return ValueError(
        f"task '{task}': its step() does not give five values; it has to return the tuple observation, reward, "
        "terminated, truncated, info"
    )


def step(task: str, env: gymnasium.Env, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """`env.step`; raises ValueError, which names what mends it, if it does not give Gymnasium's five values."""
    try:
        result: Any = env.step(action)
    except ValueError as error:
        # A wrapper of Gymnasium's around the environment was the first to unpack them.
        found = re.search(r"values to unpack \(expected 5(?:, got (\d+))?\)", str(error))
        if found:
            raise _not_five(task, found[1]) from error
        raise
    if not isinstance(result, tuple) or len(result) != 5:
        raise _not_five(task, str(len(result)) if isinstance(result, tuple) else None)
    observation, reward, terminated, truncated, info = result
    return (
        observation,
        number(task, reward, "reward"),
        bool(number(task, terminated, "terminated")),
        bool(number(task, truncated, "truncated")),
        _info(task, info),
    )
