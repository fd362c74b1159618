"""Names to tasks: what a person types, and the TaskSpecs it stands for."""

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polytask.tasks import dmc, gym, metaworld
from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSet, TaskSpec, UnknownTaskError

if TYPE_CHECKING:
    import gymnasium

_DEFAULT = TaskOptions()


def named_sets() -> dict[str, tuple[str, ...]]:
    """The names that stand for several tasks, each with the full names of its tasks."""
    return {
        **{name: tuple(f"metaworld/{task}" for task in tasks) for name, tasks in metaworld.SETS.items()},
        **{name: tuple(f"dmc/{task}" for task in tasks) for name, tasks in dmc.SETS.items()},
    }


def _suite_names() -> list[str]:
    return [f"metaworld/{task}" for task in metaworld.TASKS] + [f"dmc/{task}" for task in dmc.TASKS]


def _spec(name: str, options: TaskOptions) -> TaskSpec:
    if name.startswith("gym/"):
        return gym.spec(name, options)
    known = _suite_names()
    if name not in known:
        hint = "`polytask tasks` lists them; your own environments are called gym/<id> or gym/<module>:<callable>."
        raise UnknownTaskError(name, [*named_sets(), *known], hint)
    return (metaworld if name.startswith("metaworld/") else dmc).spec(name, options)


def resolve(names: Sequence[str], options: TaskOptions = _DEFAULT) -> TaskSet:
    """The tasks that `names` stand for, in that order.

    `names` holds suite tasks ("metaworld/reach-v3", "dmc/cheetah-run"), named sets ("metaworld/mt10"), Gymnasium ids
    ("gym/Pendulum-v1") and own environments ("gym/my_module:make_env"). Suite tasks are looked up in tables; a `gym/`
    task is built once to read its spaces.

    Raises:
        UnknownTaskError: nothing answers to a name; the message names the nearest ones.
        ValueError: a task is named more than once, or its environment does not fit (see `polytask.tasks.gym.spec`).
    """
    sets = named_sets()
    full_names = [full for name in names for full in sets.get(name, (name,))]
    return TaskSet(tuple(_spec(name, options) for name in full_names))


def catalogue(pattern: str | None = None, options: TaskOptions = _DEFAULT) -> list[TaskSpec]:
    """The tasks of the suites whose names match `pattern` (a shell pattern, or a part of the name); None gives all.

    A pattern that begins with `gym/` looks through the ids that Gymnasium knows, and leaves out those that cannot be
    built here or whose actions are not continuous.
    """
    if pattern is not None and pattern.startswith("gym/"):
        return gym.catalogue(pattern, options)
    names = _suite_names()
    if pattern in named_sets():
        names = list(named_sets()[pattern])
    elif pattern is not None:
        names = [name for name in names if fnmatch.fnmatchcase(name, pattern) or pattern in name]
    return [_spec(name, options) for name in names]


def build_env(spec: TaskSpec, seed: int, render: bool = False) -> "gymnasium.Env":
    """The official or Gymnasium environment of a task, in which `seed` decides everything.

    With goals "fixed" every episode begins as the first one of this seed.
    """
    from polytask.tasks.adapter import TaskEnv

    if spec.suite == "gym":
        return TaskEnv(gym.build(spec.name, render), spec, seed)
    from polytask.tasks import official

    official.require(spec)
    if spec.suite == "metaworld":
        return TaskEnv(official.metaworld_env(spec, render), spec, seed)
    return TaskEnv(official.dmc_env(spec, seed, render), spec, seed)


def make_env(spec: TaskSpec, seed: int, goal_seed: int, render: bool = False) -> "gymnasium.Env":
    """The official or Gymnasium environment of one task, as a person or a video would use it.

    Its observations are a flat float32 Box of exactly `spec.observation_dim`, its actions a Box within the task's own
    bounds, its episodes truncated at `spec.horizon`, and `info["success"]` is a float where the task knows success.
    `goal_seed` fixes the goal of a task whose goals are "fixed", the one that `make_stepper` gives it, also in EnvPool.
    With `render`, `render()` gives an RGB frame.

    Raises ModuleNotFoundError, with the command that helps, if the official package is not installed.
    """
    if spec.goals == "fixed":
        seed = goal_environment_seed(spec, goal_seed)
    return build_env(spec, seed, render)


def goal_environment_seed(spec: TaskSpec, goal_seed: int) -> int:
    """The seed of every episode of a task whose goals are "fixed"."""
    from polytask import random  # brings JAX, which a worker process must not import

    return random.integer(goal_seed, f"goal/{spec.name}")
