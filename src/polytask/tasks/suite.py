"""What a suite is: a family of tasks under one prefix, from polytask or from a person's own package."""

import dataclasses
import importlib.util
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from polytask.tasks.options import TaskOptions
from polytask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import gymnasium

ENTRY_POINTS = "polytask.suites"
"""The group of entry points by which packages offer suites of theirs."""

PROBLEM_PREFIX = "problems/"
"""What the names of problems begin with, as those of tasks do with their suite."""


class EnvPoolTask(NamedTuple):
    """How EnvPool is asked for a task.

    `id` and `arguments` go to `envpool.make`; `read` makes the task's observation, of one frame, out of EnvPool's,
    whose arrays have a leading axis of 1.
    """

    id: str
    arguments: Mapping[str, Any] = {}
    read: Callable[[Any], Any] = operator.itemgetter(0)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A family of tasks, called `<name>/<task>`.

    To add one from a package, write a module with a `Suite` and name it in the package's pyproject.toml:

        [project.entry-points."polytask.suites"]
        maze = "my_package.polytask_suite:SUITE"

    The entry is called as the suite is; a function that returns the Suite will do as well. Three things have to be
    filled in, `name`, `spec` and `build`, and most suites also list their `tasks`:

    - `spec(task, options)` gives the facts of a task, named without the prefix: a TaskSpec of the full name. What it
      reads of `options` is what the suite heeds, and it should heed `horizon` and `discount`; what `build` needs to
      know of the others goes into `TaskSpec.options`. `polytask.tasks.probe.spec_of` reads the facts from an
      environment; a TaskSpec written out spares building one, and is what makes listing tasks quick.
    - `build(spec, seed, render)` gives the `gymnasium.Env` itself, in whatever process steps it: as its author made
      it, since polytask reads observations, rescales actions and keeps the horizon. It is reset with seeds; `seed`
      is for what is drawn while it is built. With `render`, its `render()` has to give an RGB frame.
    - `tasks` are the names that exist, and `groups` the names that stand for several of them ("mt10"). A suite without
      a list is open: `spec` is asked about every name, and raises `UnknownTaskError` for those that it does not know;
      `search(pattern, options)`, if there is one, finds what `polytask tasks <name>/...` shows.
    - `package` is the module that the environments need, and `install` the command that installs it, if they do not
      come along with the suite.
    - `envpool(spec)` says how EnvPool is asked for a task, in suites that it has; it raises ValueError for a task that
      EnvPool lacks.

    What steps a task unless a person says otherwise is a fact of the task: `TaskSpec.engine`.
    """

    name: str
    spec: Callable[[str, TaskOptions], TaskSpec]
    build: Callable[[TaskSpec, int, bool], "gymnasium.Env"]
    tasks: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    search: Callable[[str, TaskOptions], list[TaskSpec]] | None = None
    package: str | None = None
    install: str = ""
    envpool: Callable[[TaskSpec], EnvPoolTask] | None = None

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or ":" in self.name:
            raise ValueError(f"a suite's name is what stands before the / of its tasks' names, not '{self.name}'")
        unknown = sorted({task for members in self.groups.values() for task in members} - set(self.tasks))
        if unknown:
            raise ValueError(f"suite '{self.name}': its groups name tasks that it has not: {', '.join(unknown)}")
        both = sorted(set(self.groups) & set(self.tasks))
        if both:
            raise ValueError(f"suite '{self.name}': {', '.join(both)} names a task and a group; rename one of them")

    def full(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Names of the suite as a person types them: with its prefix."""
        return tuple(f"{self.name}/{task}" for task in tasks)

    def require(self, task: str) -> None:
        """Raises ModuleNotFoundError, with the command that helps, if what the environments need is not installed."""
        if self.package is None or importlib.util.find_spec(self.package) is not None:
            return
        has_envpool = (
            " EnvPool has the task too, but differs from the official one (docs/tasks.md): --engine envpool takes it "
            "at your own risk."
        )
        raise ModuleNotFoundError(
            f"task '{task}' is stepped by the package '{self.package}', which is not installed: "
            f"{self.install or f'pip install {self.package}'}.{has_envpool if self.envpool else ''}",
            name=self.package,
        )
