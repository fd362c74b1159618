"""Names to tasks: what a person types, and the TaskSpecs it stands for."""

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSet, TaskSpec, UnknownTaskError
from polytask.tasks.suite import Suite
from polytask.tasks.suites import all_suites, find_suite, suite_of

if TYPE_CHECKING:
    import gymnasium

_DEFAULT = TaskOptions()
_HINT = "`polytask tasks` lists them; your own environments are called gym/<id> or gym/<module>:<callable>."


def named_sets() -> dict[str, tuple[str, ...]]:
    """The names that stand for several tasks, each with the full names of its tasks."""
    return {
        f"{suite.name}/{group}": suite.full(members)
        for suite in all_suites()
        for group, members in suite.groups.items()
    }


def _suite_names() -> list[str]:
    return [name for suite in all_suites() for name in suite.full(suite.tasks)]


def known_names() -> list[str]:
    """Every name that can be listed: of groups, and of tasks."""
    return [*named_sets(), *_suite_names()]


def _spec(suite: Suite, task: str, options: TaskOptions) -> TaskSpec:
    name = f"{suite.name}/{task}"
    if suite.tasks and task not in suite.tasks:
        raise UnknownTaskError(name, known_names(), _HINT)
    spec = suite.spec(task, options)
    if (spec.name, spec.suite) != (name, suite.name):
        raise ValueError(
            f"suite '{suite.name}': its spec gave a TaskSpec of name '{spec.name}' and suite '{spec.suite}' for the "
            f"task '{name}'; it has to give these: name='{name}', suite='{suite.name}'"
        )
    return spec


def _specs(name: str, options: TaskOptions) -> list[TaskSpec]:
    """What one name stands for: a task, or those of a group."""
    prefix, slash, task = name.partition("/")
    suite = find_suite(prefix) if slash else None
    if suite is None:
        others = f"There are the suites {', '.join(suite.name for suite in all_suites())}: " if slash else ""
        raise UnknownTaskError(name, known_names(), others + _HINT)
    return [_spec(suite, member, options) for member in suite.groups.get(task, (task,))]


def resolve(names: Sequence[str], options: TaskOptions = _DEFAULT) -> TaskSet:
    """The tasks that `names` stand for, in that order.

    `names` holds suite tasks ("metaworld/reach-v3", "dmc/cheetah-run"), groups of them ("metaworld/mt10"), Gymnasium
    ids ("gym/Pendulum-v1"), own environments ("gym/my_module:make_env"), and tasks of suites that other packages offer
    (see `polytask.tasks.Suite`). Suite tasks are looked up in tables; a `gym/` task is built once to read its spaces.

    Raises:
        UnknownTaskError: nothing answers to a name; the message names the nearest ones.
        ValueError: a task is named more than once, or its environment does not fit (see `polytask.tasks.probe`).
        ImportError: the package that offers a suite is broken.
    """
    return TaskSet(tuple(spec for name in names for spec in _specs(name, options)))


def catalogue(pattern: str | None = None, options: TaskOptions = _DEFAULT) -> list[TaskSpec]:
    """The tasks whose names match `pattern` (a shell pattern, a part of the name, or a group); None gives all.

    A group may be named without its suite ("mt10"). A pattern that begins with `gym/` looks through the ids that
    Gymnasium knows, and leaves out those that cannot be built here or whose spaces are none of polytask's.
    """
    prefix, slash, _ = (pattern or "").partition("/")
    suite = find_suite(prefix) if slash else None
    if pattern is not None and suite is not None and suite.search is not None:
        return suite.search(pattern, options)
    called = [members for group, members in named_sets().items() if pattern in (group, group.partition("/")[2])]
    found = [name for members in called for name in members] or [n for n in _suite_names() if matches(n, pattern)]
    return [spec for name in dict.fromkeys(found) for spec in _specs(name, options)]


def matches(name: str, pattern: str | None) -> bool:
    """Whether a name is what a person looks for with a shell pattern, or a part of it."""
    return pattern is None or fnmatch.fnmatchcase(name, pattern) or pattern in name


def build_env(spec: TaskSpec, seed: int, render: bool = False) -> "gymnasium.Env":
    """The official or Gymnasium environment of a task, in which `seed` decides everything.

    With goals "fixed" every episode begins as the first one of this seed.
    """
    from polytask.tasks.adapter import TaskEnv

    suite = suite_of(spec)
    suite.require(spec.name)
    return TaskEnv(suite.build(spec, seed, render), spec, seed)


def make_env(spec: TaskSpec, seed: int, goal_seed: int, render: bool = False) -> "gymnasium.Env":
    """The official or Gymnasium environment of one task, as a person or a video would use it.

    Its observations and actions are as `polytask.tasks.adapter.TaskEnv` says, its episodes truncated at
    `spec.horizon`, and `info["success"]` is a float where the task knows success.
    `goal_seed` fixes the goal of a task whose goals are "fixed", the one that `make_stepper` gives it, also in EnvPool.
    With `render`, `render()` gives an RGB frame.

    Raises ModuleNotFoundError, with the command that helps, if the package it needs is not installed.
    """
    if spec.goals == "fixed":
        seed = goal_environment_seed(spec, goal_seed)
    return build_env(spec, seed, render)


def goal_environment_seed(spec: TaskSpec, goal_seed: int) -> int:
    """The seed of every episode of a task whose goals are "fixed"."""
    from polytask import random  # brings JAX, which a worker process must not import

    return random.integer(goal_seed, f"goal/{spec.name}")
