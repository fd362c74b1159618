"""Which suites there are: those of polytask, and those that other packages offer by entry points."""

import difflib
import functools
import warnings
from importlib import metadata

from polytask.tasks import dmc, gym, metaworld
from polytask.tasks.spec import TaskSpec
from polytask.tasks.suite import ENTRY_POINTS, Suite

_BUILT_IN = {suite.name: suite for suite in (metaworld.SUITE, dmc.SUITE, gym.SUITE)}
# What other names of polytask begin with.
_TAKEN = {*_BUILT_IN, "problems"}


@functools.cache
def _load(entry: metadata.EntryPoint) -> Suite:
    """The suite of an entry point; raises ImportError, which names the package, if it cannot be had."""
    whose = f"the suite '{entry.name}' of the package '{entry.dist.name if entry.dist else '?'}' ({entry.value})"
    if entry.name in _TAKEN:
        raise ImportError(f"{whose} has a name that polytask uses itself; its author has to give it another one")
    try:
        found = entry.load()
        suite = found if isinstance(found, Suite) else found()
    except Exception as error:
        raise ImportError(
            f"{whose} could not be loaded: {type(error).__name__}: {error}; mend the package, or uninstall it"
        ) from error
    if not isinstance(suite, Suite):
        raise ImportError(f"{whose} is a {type(suite).__name__}; its entry has to name a polytask.tasks.Suite")
    if suite.name != entry.name:
        raise ImportError(f"{whose} calls itself '{suite.name}'; its entry has to have the same name")
    return suite


def _offered() -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINTS)}


def find_suite(name: str) -> Suite | None:
    """The suite of that name; other packages are asked only for names that polytask has not. Raises ImportError."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    offered = _offered()
    return _load(offered[name]) if name in offered else None


def all_suites() -> list[Suite]:
    """Every suite; one of another package that cannot be loaded is left out, with a warning."""
    suites = list(_BUILT_IN.values())
    for entry in _offered().values():
        try:
            suites.append(_load(entry))
        except ImportError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return suites


def suite_of(spec: TaskSpec) -> Suite:
    """The suite of a task; raises ModuleNotFoundError if the package that it came from is not installed."""
    suite = find_suite(spec.suite)
    if suite is None:
        known = [*_BUILT_IN, *_offered()]
        close = difflib.get_close_matches(spec.suite, known, n=1)
        nearest = f" (is it '{close[0]}'?)" if close else ""
        raise ModuleNotFoundError(
            f"task '{spec.name}' is of the suite '{spec.suite}', which no installed package offers{nearest}; install "
            f"the package with its entry point '{spec.suite}' in {ENTRY_POINTS}"
        )
    return suite
