"""Gymnasium environments by id, and a person's own by `module:callable`."""

import fnmatch
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSpec, UnknownTaskError

# Packages that register ids when they are imported: how their ids begin, and the command that installs them.
_PLUGINS = {
    "gymnasium_robotics": (
        ("Hand", "Fetch", "Adroit", "PointMaze", "AntMaze", "FrankaKitchen"),
        "pip install 'polytask[official]'",
    ),
    "humanoid_bench": (
        ("h1-", "h1hand-", "h1simplehand-", "h1strong-", "h1touch-", "g1-"),
        "pip install git+https://github.com/carlosferrazza/humanoid-bench (it is not on PyPI)",
    ),
    "shimmy": (("dm_control/",), "pip install 'shimmy[dm-control]'"),
    "myosuite": (("myo", "mot"), "pip install myosuite"),
}


def import_own(module: str) -> Any:
    """Imports a person's module or an optional package; what lies in the working directory is found as well."""
    here = str(Path.cwd())
    if here not in sys.path:
        # A console script, unlike `python -m`, does not look there, and own environments usually live there.
        sys.path.append(here)
    return importlib.import_module(module)


def _plugin(identifier: str) -> str | None:
    """The package that registers such an id, if one is known for it."""
    for package, (prefixes, _) in _PLUGINS.items():
        if identifier.startswith(prefixes):
            return package
    return None


def _known_ids() -> list[str]:
    import gymnasium

    return sorted(gymnasium.registry)


def _factory(name: str) -> tuple[Callable[..., Any], int | None]:
    """What builds the environment of `gym/...`, and the horizon it is registered with, if any."""
    import gymnasium

    target = name.removeprefix("gym/")
    module, colon, identifier = target.rpartition(":")
    if colon:
        try:
            found = import_own(module)
        except ModuleNotFoundError as error:
            hint = _PLUGINS[module][1] if module in _PLUGINS else "is the module's folder on PYTHONPATH?"
            raise ModuleNotFoundError(f"task '{name}': {error}; {hint}", name=error.name) from error
        if callable(getattr(found, identifier, None)):
            return getattr(found, identifier), None
    elif identifier not in gymnasium.registry and (plugin := _plugin(identifier)):
        if importlib.util.find_spec(plugin) is None:
            command = _PLUGINS[plugin][1]
            raise ModuleNotFoundError(f"task '{name}' needs the package '{plugin}': {command}", name=plugin)
        import_own(plugin)
    if identifier not in gymnasium.registry:
        hint = f"Module '{module}' has no such callable and registers no such id." if colon else ""
        raise UnknownTaskError(name, [f"gym/{known}" for known in _known_ids()], hint)

    def make(**kwargs: Any) -> Any:
        # TaskEnv keeps the horizon, and Gymnasium's checker only repeats at every step what was seen at the first.
        return gymnasium.make(identifier, max_episode_steps=-1, disable_env_checker=True, **kwargs)

    return make, gymnasium.spec(identifier).max_episode_steps


def build(name: str, render: bool) -> Any:
    """The environment itself, as its author made it.

    Raises UnknownTaskError, or ModuleNotFoundError with the command that installs what is missing; what an environment
    raises while it is built is raised as a RuntimeError that names the task.
    """
    make, _ = _factory(name)
    try:
        return make(render_mode="rgb_array") if render else make()
    except Exception as error:
        raise RuntimeError(f"task '{name}' could not be built: {type(error).__name__}: {error}") from error


def _action_bounds(name: str, space: Any) -> tuple[np.ndarray, np.ndarray]:
    import gymnasium

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
    import gymnasium

    if env.spec is not None and env.spec.max_episode_steps is not None:
        return env.spec.max_episode_steps
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env._max_episode_steps
        env = env.env
    return None


def _reports_success(env: Any, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether `info` holds success: found out by taking one step, since no space declares it."""
    _, first = env.reset(seed=0)
    space = env.action_space
    _, _, _, _, info = env.step(((low + high) / 2).reshape(space.shape).astype(space.dtype))
    return bool({"success", "is_success"} & {*first, *info})


def spec(name: str, options: TaskOptions) -> TaskSpec:
    """The facts of `gym/<id>`, `gym/<module>:<id>` or `gym/<module>:<callable>`, from an environment built for it.

    Raises:
        UnknownTaskError: no such id; the message names the nearest ones.
        ModuleNotFoundError: the id belongs to a package that is not installed; the message says how to install it.
        ValueError: the actions are not a bounded box, the observations cannot be flattened, or no horizon is known.
        RuntimeError: the environment raised while it was built.
    """
    import gymnasium

    _, registered = _factory(name)
    env = build(name, render=False)
    try:
        low, high = _action_bounds(name, env.action_space)
        horizon = options.horizon or registered or _own_horizon(env)
        if horizon is None:
            raise ValueError(
                f"task '{name}' does not say how long its episodes are: wrap it in gymnasium.wrappers.TimeLimit, or "
                "give all tasks of the run a horizon with --task.horizon"
            )
        try:
            observation_dim = gymnasium.spaces.flatdim(env.observation_space)
        except (NotImplementedError, ValueError) as error:
            raise ValueError(f"task '{name}': its observations cannot be flattened: {error}") from error
        success = _reports_success(env, low, high)
    finally:
        env.close()
    return TaskSpec(
        name=name,
        suite="gym",
        observation_dim=observation_dim,
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
        horizon=horizon,
        discount=options.discount,
        success="any-step" if success else "none",
        engine="serial",
    )


def catalogue(pattern: str, options: TaskOptions) -> list[TaskSpec]:
    """The registered ids that match a pattern such as "gym/Pend*" and can be trained on."""
    specs = []
    for identifier in _known_ids():
        name = f"gym/{identifier}"
        if fnmatch.fnmatchcase(name, pattern) or pattern in name:
            try:
                specs.append(spec(name, options))
            except (ValueError, RuntimeError, ModuleNotFoundError):
                # Discrete, without a horizon, or in need of a package: not something to train on here.
                continue
    return specs
