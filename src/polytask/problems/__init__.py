"""The concrete problems that verify methods, and a person's own data, by name."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from polytask.decisions.config import LOSSES as DECISION_LOSSES
from polytask.plugins import Table, nearest
from polytask.supervised.config import LOSSES as HEAD_LOSSES
from polytask.supervised.config import OptimiserConfig, SupervisedConfig, TrunkConfig
from polytask.tasks.suite import PROBLEM_PREFIX

if TYPE_CHECKING:
    from polytask.decisions.case import Case
    from polytask.supervised.problem import Problem

__all__ = [
    "DECISIONS",
    "DECISION_LOSSES",
    "HEAD_LOSSES",
    "PROBLEMS",
    "SUMMARIES",
    "is_decision",
    "resolve",
    "resolve_decision",
    "settings",
]

SUMMARIES = {
    "multidigits": "two overlaid digits, to be read both: 2 tasks of ten classes",
    "digit-attributes": "things to tell from one digit: 10 heads, or digit-attributes-2 to digit-attributes-40",
    "scenes": "synthetic rooms, six labels for every pixel: 64 that ship, or scenes-64x96-3000 and so on once made",
    "planted-clusters": "6 regressions in 2 clusters on a trunk of four units: the best grouping is known",
}

# Those in which a prediction feeds a decision.
DECISIONS = {
    "cubic": "the best of fifty items, by a line that cannot fit",
    "newsvendor": "orders of three shops with their own costs, on the diabetes data",
    "knapsack": "items within a capacity, by predicted values",
    "shortest-path": "the cheapest path over a grid, by predicted costs",
    "web-advertising": "two of five sites for ten users, by predicted click rates",
    "portfolio": "a day in twenty stocks, by predicted returns: a quadratic program",
}

PROBLEMS: Table[Callable[..., Any]] = Table(
    what="problem",
    group="polytask.problems",
    built_in={},
    type=Callable,
    reserved=(*SUMMARIES, *DECISIONS),
)
"""The problems of other packages: NAME = "module:function", a function as `resolve` takes it of a person."""

# How a problem is trained unless a person says otherwise.
_SETTINGS = {
    "planted-clusters": SupervisedConfig(
        trunk=TrunkConfig(width=4, depth=1, activation="tanh"),
        optimiser=OptimiserConfig(learning_rate=1e-2),
        batch_size=0,
        steps=1_500,
        eval_every=25,
    ),
    "scenes": SupervisedConfig(
        trunk=TrunkConfig(width=16, depth=4),
        optimiser=OptimiserConfig(learning_rate=2e-3),
        batch_size=16,
        steps=2_000,
        eval_every=200,
    ),
}


def settings(name: str) -> SupervisedConfig:
    """How the problem of that name is trained by default."""
    bare = name.removeprefix(PROBLEM_PREFIX)
    return _SETTINGS.get("scenes" if bare.startswith("scenes-") else bare, SupervisedConfig())


def resolve(name: str, seed: int = 0) -> "Problem":
    """The problem that a name stands for.

    `name` is one of `SUMMARIES`, "digit-attributes-<heads>", "scenes-<height>x<width>-<count>" for a set that was made
    (docs/scenes.md), one that another package has registered in `PROBLEMS`, or
    "my_module:make_problem" for a function that returns a `polytask.supervised.Problem`; "problems/" before it may be
    left out. `seed` decides the data: splits, pairs, noise; a person's or a package's function is passed it if it has a
    parameter of that name.

    Raises ValueError for an unknown problem (with the nearest names), one that ends in a decision (`resolve_decision`),
    or a function that returns something else, FileNotFoundError for scenes that are not made,
    ModuleNotFoundError for an unknown module, and ImportError, with the
    command that installs it, for a package that the data needs.
    """
    bare = name.removeprefix(PROBLEM_PREFIX)
    if is_decision(bare, seed):
        raise ValueError(
            f"{PROBLEM_PREFIX}{bare} ends in a decision and has no heads to train; resolve_decision gives it"
        )
    if _is_made(bare):
        return _made(bare, seed)
    heads = re.fullmatch(r"digit-attributes-(\d+)", bare)
    if heads:
        from polytask.problems.digit_attributes import digit_attributes

        return digit_attributes(seed, int(heads[1]))
    if bare.startswith("scenes-"):
        from polytask.problems.scenes import files, scenes

        which = files.named(bare.removeprefix("scenes-"))
        if which is None:
            raise ValueError(f"'{name}' is no set of scenes; they are called {PROBLEM_PREFIX}scenes-64x96-3000")
        return scenes(seed, which)
    if bare not in SUMMARIES:
        instead = nearest(
            PROBLEM_PREFIX + bare, [PROBLEM_PREFIX + known for known in (*SUMMARIES, *DECISIONS, *PROBLEMS.names())]
        )
        instead += "" if instead.endswith("?") else "."
        raise ValueError(
            f"unknown problem '{name}': {instead} Your own is called {PROBLEM_PREFIX}my_module:make_problem"
        )
    return _make(bare)(seed)


def is_decision(name: str, seed: int = 0) -> bool:
    """Whether the problem of that name is a `polytask.decisions.Case`.

    The function of a person, or of another package, is called to find out.
    """
    bare = name.removeprefix(PROBLEM_PREFIX)
    if not _is_made(bare):
        return bare in DECISIONS
    made = _made(bare, seed)
    from polytask.decisions.case import Case

    return isinstance(made, Case)


def resolve_decision(name: str) -> "Case":
    """The decision problem that a name stands for: one of `DECISIONS`, or a function that returns a `Case`.

    Raises as `resolve`, but not for data or solvers that are not installed: these say so when they are used.
    """
    bare = name.removeprefix(PROBLEM_PREFIX)
    if not is_decision(bare):
        resolve(bare)
        raise ValueError(
            f"{PROBLEM_PREFIX}{bare} ends in no decision; there are {', '.join(PROBLEM_PREFIX + n for n in DECISIONS)}"
        )
    if _is_made(bare):
        return _made(bare, 0)
    from polytask.problems.decisions import make_case

    return make_case(bare.replace("-", " "))


def _make(bare: str) -> Callable[[int], "Problem"]:
    if bare == "scenes":
        from polytask.problems.scenes import scenes as make
    elif bare == "multidigits":
        from polytask.problems.multidigits import multidigits as make
    elif bare == "digit-attributes":
        from polytask.problems.digit_attributes import digit_attributes as make
    else:
        from polytask.problems.planted import planted_clusters as make
    return make


@functools.lru_cache(maxsize=1)  # it is asked what it is before it is asked for its data
def _made(bare: str, seed: int) -> Any:
    """What the function of a person or of another package returns: a Problem or a Case."""
    from polytask.decisions.case import Case
    from polytask.supervised.problem import Problem

    function = _function(bare) if ":" in bare else PROBLEMS[bare]
    problem = function(seed=seed) if "seed" in inspect.signature(function).parameters else function()
    if not isinstance(problem, Problem | Case):
        where = bare if ":" in bare else f"the problem '{bare}' of {PROBLEMS.group}"
        raise ValueError(
            f"{where} returned {type(problem).__name__}; return polytask.supervised.make_problem(...), or "
            f"a polytask.decisions.Case(...)"
        )
    return problem


def _is_made(bare: str) -> bool:
    return ":" in bare or bare in PROBLEMS


def _function(bare: str) -> Callable[..., Any]:
    """A person's function."""
    from polytask.tasks.gym import import_own

    module, _, attribute = bare.rpartition(":")
    try:
        found = import_own(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"problem '{PROBLEM_PREFIX}{bare}': {error}; is the module's folder on PYTHONPATH?", name=error.name
        ) from error
    function: Any = getattr(found, attribute, None)
    if not callable(function):
        raise ValueError(f"module '{module}' has no function '{attribute}'; name one that returns a Problem or a Case")
    return function
