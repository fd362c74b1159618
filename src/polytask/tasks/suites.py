"""Which suites there are: those of polytask, and those that other packages offer by entry points."""

import warnings

from polytask.plugins import Table, nearest
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import ENTRY_POINTS, PROBLEM_PREFIX, Suite

_NAMES = ("metaworld", "dmc", "gym", "minatar", "atari", "minigrid", "procgen", "dmc-pixels")

SUITES: Table[Suite] = Table(
    what="suite",
    group=ENTRY_POINTS,
    built_in={name: f"polytask.tasks.{name.replace('-', '_')}:SUITE" for name in _NAMES},
    type=Suite,
    reserved=(PROBLEM_PREFIX.removesuffix("/"),),
)
"""The suites by name; another package's entry is NAME = "module:attribute", of a `Suite` of that name."""


def find_suite(name: str) -> Suite | None:
    """The suite of that name; other packages are asked only for names that polytask has not. Raises ImportError."""
    return _load(name) if name in SUITES else None


def all_suites() -> list[Suite]:
    """Every suite; one of another package that cannot be had is left out, with a warning."""
    for clash in SUITES.clashes():
        warnings.warn(f"left out: {clash}", stacklevel=2)
    suites = []
    for name in SUITES.names():
        try:
            suites.append(_load(name))
        except ImportError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return suites


def suite_of(spec: TaskSpec) -> Suite:
    """The suite of a task; raises ModuleNotFoundError if the package that it came from is not installed."""
    suite = find_suite(spec.suite)
    if suite is None:
        raise ModuleNotFoundError(
            f"task '{spec.name}' is of the suite '{spec.suite}', which no installed package offers "
            f"({nearest(spec.suite, SUITES.names())}); install the package with its entry point '{spec.suite}' in "
            f"{ENTRY_POINTS}"
        )
    return suite


def _load(name: str) -> Suite:
    suite = SUITES[name]
    if suite.name != name:
        raise ImportError(f"the suite '{name}' calls itself '{suite.name}'; its entry has to have the same name")
    return suite
