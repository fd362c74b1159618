"""The concrete problems that verify methods, and a person's own data, by name."""

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from polytask.supervised.config import OptimiserConfig, SupervisedConfig, TrunkConfig

if TYPE_CHECKING:
    from polytask.supervised.problem import Problem

PREFIX = "problems/"

SUMMARIES = {
    "multidigits": "two overlaid digits, to be read both: 2 tasks of ten classes",
    "digit-attributes": "things to tell from one digit: 10 heads, or digit-attributes-2 to digit-attributes-40",
    "planted-clusters": "6 regressions in 2 clusters on a trunk of four units: the best grouping is known",
}

# How a problem is trained unless a person says otherwise.
_SETTINGS = {
    "planted-clusters": SupervisedConfig(
        trunk=TrunkConfig(width=4, depth=1, activation="tanh"),
        optimiser=OptimiserConfig(learning_rate=1e-2),
        batch_size=0,
        steps=1_500,
        eval_every=25,
    ),
}


def settings(name: str) -> SupervisedConfig:
    """How the problem of that name is trained by default."""
    return _SETTINGS.get(name.removeprefix(PREFIX), SupervisedConfig())


def resolve(name: str, seed: int = 0) -> "Problem":
    """The problem that a name stands for.

    `name` is one of `SUMMARIES`, "digit-attributes-<heads>", or "my_module:make_problem" for a function that returns a
    `polytask.supervised.Problem`; "problems/" before it may be left out. `seed` decides the data: splits, pairs, noise;
    a person's function is given it if it has a parameter of that name.

    Raises ValueError for an unknown problem (with the nearest names)
    or a function that returns something else, ModuleNotFoundError for an unknown module, and ImportError, with the
    command that installs it, for a package that the data needs.
    """
    bare = name.removeprefix(PREFIX)
    if ":" in bare:
        return _own(bare, seed)
    heads = re.fullmatch(r"digit-attributes-(\d+)", bare)
    if heads:
        from polytask.problems.digit_attributes import digit_attributes

        return digit_attributes(seed, int(heads[1]))
    if bare not in SUMMARIES:
        import difflib

        close = difflib.get_close_matches(bare, SUMMARIES, n=1)
        nearest = (
            f"did you mean {PREFIX}{close[0]}?" if close else f"there are {', '.join(PREFIX + n for n in SUMMARIES)}."
        )
        raise ValueError(f"unknown problem '{name}': {nearest} Your own is called {PREFIX}my_module:make_problem")
    return _make(bare)(seed)


def _make(bare: str) -> Callable[[int], "Problem"]:
    if bare == "multidigits":
        from polytask.problems.multidigits import multidigits as make
    elif bare == "digit-attributes":
        from polytask.problems.digit_attributes import digit_attributes as make
    else:
        from polytask.problems.planted import planted_clusters as make
    return make


def _own(bare: str, seed: int) -> "Problem":
    from polytask.supervised.problem import Problem
    from polytask.tasks.gym import import_own

    module, _, attribute = bare.rpartition(":")
    try:
        found = import_own(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"problem '{PREFIX}{bare}': {error}; is the module's folder on PYTHONPATH?", name=error.name
        ) from error
    function: Any = getattr(found, attribute, None)
    if not callable(function):
        raise ValueError(f"module '{module}' has no function '{attribute}'; name one that returns a Problem")
    problem = function(seed=seed) if "seed" in inspect.signature(function).parameters else function()
    if not isinstance(problem, Problem):
        raise ValueError(
            f"{module}:{attribute} returned {type(problem).__name__}; return polytask.supervised.make_problem(...)"
        )
    return problem
