"""Gymnasium environments by id, and a person's own by `module:callable`."""

import fnmatch
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSpec, UnknownTaskError
from polytask.tasks.suite import Suite

# Packages that register ids when they are imported: how their ids begin, and the command that installs them.
_PLUGINS = {
    "gymnasium_robotics": (
        ("Hand", "Fetch", "Adroit", "PointMaze", "AntMaze", "FrankaKitchen"),
        "pip install -e '.[official]' in the checkout",
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


def _make(name: str, render: bool) -> Any:
    make, _ = _factory(name)
    try:
        return make(render_mode="rgb_array") if render else make()
    except Exception as error:
        raise RuntimeError(f"task '{name}' could not be built: {type(error).__name__}: {error}") from error


def build(spec: TaskSpec, seed: int, render: bool) -> Any:
    """The environment itself, as its author made it.

    Raises UnknownTaskError, or ModuleNotFoundError with the command that installs what is missing; what an environment
    raises while it is built is raised as a RuntimeError that names the task.
    """
    return _make(spec.name, render)


def spec(task: str, options: TaskOptions) -> TaskSpec:
    """The facts of `gym/<id>`, `gym/<module>:<id>` or `gym/<module>:<callable>`, from an environment built for it.

    Raises:
        UnknownTaskError: no such id; the message names the nearest ones.
        ModuleNotFoundError: the id belongs to a package that is not installed; the message says how to install it.
        ValueError: the environment does not fit; see `polytask.tasks.probe.spec_of`.
        RuntimeError: the environment raised while it was built.
    """
    from polytask.tasks.probe import spec_of

    name = f"gym/{task}"
    _, registered = _factory(name)
    return spec_of(name, _make(name, render=False), options, registered)


def catalogue(pattern: str, options: TaskOptions) -> list[TaskSpec]:
    """The registered ids that match a pattern such as "gym/Pend*" and can be trained on."""
    specs = []
    for identifier in _known_ids():
        name = f"gym/{identifier}"
        if fnmatch.fnmatchcase(name, pattern) or pattern in name:
            try:
                specs.append(spec(identifier, options))
            except (ValueError, RuntimeError, ModuleNotFoundError):
                # Of other spaces, without a horizon, or in need of a package: not something to train on here.
                continue
    return specs


SUITE = Suite(name="gym", spec=spec, build=build, search=catalogue)
