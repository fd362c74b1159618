"""Combiners by name."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from polytask.combine.base import Aggregator, Combiner, Scale, Selector, Weighting
from polytask.combine.it_mtl import Candidate, it_mtl
from polytask.plugins import Table, check_options, nearest, options_of

METHODS: Table[Callable[..., Any]] = Table(
    what="combiner",
    group="polytask.combiners",
    built_in={
        name: f"polytask.combine.{where}"
        for name, where in {
            "sum": "linear:sum_",
            "mean": "linear:mean",
            "constant": "linear:constant",
            "rlw": "rlw:rlw",
            "uw": "learned:uw",
            "dwa": "dwa:dwa",
            "lps": "lps:lps",
            "gls": "scalarizations:gls",
            "imtl_l": "learned:imtl_l",
            "stch": "scalarizations:stch",
            "famo": "famo:famo",
            "gradnorm": "gradnorm:gradnorm",
            "pcgrad": "pcgrad:pcgrad",
            "gradvac": "gradvac:gradvac",
            "graddrop": "graddrop:graddrop",
            "mgda": "mgda:mgda",
            "cagrad": "cagrad:cagrad",
            "imtl_g": "imtl_g:imtl_g",
            "nash_mtl": "nash:nash_mtl",
            "fairgrad": "fairgrad:fairgrad",
            "aligned": "aligned:aligned",
            "upgrad": "projections:upgrad",
            "dual_proj": "projections:dual_proj",
            "config": "config_grad:config",
            "db_mtl": "tracked:db_mtl",
            "moco": "tracked:moco",
            "modo": "modo:modo",
            "sdmgrad": "sdmgrad:sdmgrad",
            "excess_mtl": "excess_mtl:excess_mtl",
            "it_mtl": "factory:it_mtl_by_name",
        }.items()
    },
    type=Callable,
)
"""The methods by name; another package's entry is NAME = "module:function", function(**options) to a `Combiner`."""

COMBINERS = tuple(METHODS.built_in)
"""The names that are built in."""


def it_mtl_by_name(
    candidates: Sequence[str | Candidate] = ("sum", "each"),
    learning_rate: float | None = None,
    heads: Literal["stepped", "kept"] = "stepped",
) -> Selector:
    """`it_mtl` with combiners among the candidates by name, each with its default options."""

    def resolve(candidate: str | Candidate) -> Candidate:
        if not isinstance(candidate, str) or candidate == "each":
            return candidate
        known = [name for name in COMBINERS if name != "it_mtl"]
        if candidate not in known:
            raise ValueError(f"it_mtl has no candidate '{candidate}': {nearest(candidate, ['each', *known])}")
        return METHODS[candidate]()

    return it_mtl([resolve(candidate) for candidate in candidates], learning_rate, heads)


def make_combiner(name: str, *, scale: Scale = "sum", **options: Any) -> Combiner:
    """The combiner of that name.

    - `name`: built in, or added by another package, see `METHODS`. Options may stand behind it, as text,
      as on the command line: "cagrad:c=0.4", "constant:weights=1,2", "famo:learning_rate=0.01:decay=0".
    - `scale`: how long the combined gradient is, see `Scale`; the same for all methods, whatever their papers do.
    - `options`: the method's own, as its docstring says.

    Raises ValueError for an unknown name or scale, an unknown or missing option, or a text that is not its value.
    """
    name, _, text = name.partition(":")
    make = METHODS[name]
    if scale not in get_args(Scale):
        raise ValueError(f"scale is 'sum', 'mean' or 'paper', not {scale!r}")
    known = inspect.signature(make).parameters
    check_options(name, options, known)
    options = options_of(name, make, text) | options
    missing = [option for option, given in known.items() if given.default is given.empty and option not in options]
    if missing:
        raise ValueError(f"{name} needs the option {missing[0]!r}, such as {name}:{missing[0]}=...")
    made = make(**options)
    if isinstance(made, Combiner):
        made = made.method
    if not isinstance(made, Weighting | Aggregator | Selector):
        raise TypeError(
            f"the entry point {name!r} of {METHODS.group} must return a Combiner, not {type(made).__name__}"
        )
    return Combiner(name, made, scale)
