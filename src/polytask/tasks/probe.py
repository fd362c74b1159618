"""The facts of a task, read from its environment."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import contract
from polytask.tasks.acting import action_of, native
from polytask.tasks.observing import observation_of, reader
from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Box
from polytask.tasks.spec import TaskSpec


def _own_horizon(env: Any) -> int | None:
    """The horizon that an environment brings along: in its spec, or in a TimeLimit around it."""
    if env.spec is not None and env.spec.max_episode_steps is not None:
        return env.spec.max_episode_steps
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return None


def _reports_success(spec: TaskSpec, env: Any) -> bool:
    """Whether `info` holds success: found out by taking one step, since no space declares it."""
    read = reader(spec.name, env.observation_space, spec.observation)
    action = spec.action
    middle = np.add(action.low, action.high) / 2 if isinstance(action, Box) else np.zeros(len(action.sizes), int)
    first, before = contract.reset(spec.name, env, seed=0)
    following, _, _, _, after = contract.step(spec.name, env, native(env.action_space, middle))
    for observation in (first, following):
        read(observation)
    return bool({"success", "is_success"} & {*before, *after})


def spec_of(name: str, env: Any, options: TaskOptions, horizon: int | None = None, engine: Any = "serial") -> TaskSpec:
    """The facts of the task `name` ("<suite>/<task>"), read from an environment, which is closed afterwards.

    It is reset and takes one step, to see whether its `info` reports success. The horizon is the one of `options`, or
    `horizon`, or what the environment brings along.

    Raises ValueError, saying what to do, if the actions are neither a bounded box nor choices, the observations neither
    images nor flattened, no horizon is known, or the environment does not keep Gymnasium's contract.
    """
    contract.check_environment(name, env)
    try:
        action = action_of(name, env.action_space)
        horizon = options.horizon or horizon or _own_horizon(env)
        if horizon is None:
            raise ValueError(
                f"task '{name}' does not say how long its episodes are: wrap it in gymnasium.wrappers.TimeLimit, or "
                "give all tasks of the run a horizon with --task.horizon"
            )
        spec = TaskSpec(
            name=name,
            suite=name.partition("/")[0],
            observation=observation_of(name, env.observation_space, options.stack or 1),
            action=action,
            horizon=horizon,
            discount=options.discount_over(horizon),
            engine=engine,
        )
        return dataclasses.replace(spec, success="any-step") if _reports_success(spec, env) else spec
    finally:
        env.close()
