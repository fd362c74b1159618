"""The facts of a task, read from its environment."""

from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import contract
from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Box, Vector
from polytask.tasks.spec import TaskSpec


def _action_bounds(name: str, space: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(space, gymnasium.spaces.Box):
        raise ValueError(
            f"task '{name}' has actions {space}, but polytask's agents act in continuous boxes; wrap it in a callable "
            "that turns a Box action into one of these, and name that: gym/<module>:<callable>"
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"task '{name}' has unbounded actions {space}; wrap it in a callable with finite bounds "
            "(gymnasium.wrappers.RescaleAction, ClipAction), and name that: gym/<module>:<callable>"
        )
    return np.ravel(space.low).astype(float), np.ravel(space.high).astype(float)


def _own_horizon(env: Any) -> int | None:
    """The horizon that an environment brings along: in its spec, or in a TimeLimit around it."""
    if env.spec is not None and env.spec.max_episode_steps is not None:
        return env.spec.max_episode_steps
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return None


def _reports_success(name: str, env: Any, size: int, middle: np.ndarray) -> bool:
    """Whether `info` holds success: found out by taking one step, since no space declares it."""
    first, before = contract.reset(name, env, seed=0)
    space = env.action_space
    following, _, _, _, after = contract.step(name, env, middle.reshape(space.shape).astype(space.dtype))
    for observation in (first, following):
        contract.flat(name, env.observation_space, observation, size)
    return bool({"success", "is_success"} & {*before, *after})


def spec_of(name: str, env: Any, options: TaskOptions, horizon: int | None = None, engine: Any = "serial") -> TaskSpec:
    """The facts of the task `name` ("<suite>/<task>"), read from an environment, which is closed afterwards.

    It is reset and takes one step, to see whether its `info` reports success. The horizon is the one of `options`, or
    `horizon`, or what the environment brings along.

    Raises ValueError, saying what to do, if the actions are not a bounded box, the observations cannot be flattened, no
    horizon is known, or the environment does not keep Gymnasium's contract.
    """
    contract.check_environment(name, env)
    try:
        low, high = _action_bounds(name, env.action_space)
        horizon = options.horizon or horizon or _own_horizon(env)
        if horizon is None:
            raise ValueError(
                f"task '{name}' does not say how long its episodes are: wrap it in gymnasium.wrappers.TimeLimit, or "
                "give all tasks of the run a horizon with --task.horizon"
            )
        size = contract.flat_size(name, env.observation_space)
        success = _reports_success(name, env, size, (low + high) / 2)
    finally:
        env.close()
    return TaskSpec(
        name=name,
        suite=name.partition("/")[0],
        observation=Vector(size),
        action=Box(tuple(low.tolist()), tuple(high.tolist())),
        horizon=horizon,
        discount=options.discount,
        success="any-step" if success else "none",
        engine=engine,
    )
