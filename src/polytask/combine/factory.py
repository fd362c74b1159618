"""Combiners by name."""

import difflib
import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

from polytask.combine.aligned import aligned
from polytask.combine.base import Aggregator, Combiner, Scale, Selector, Weighting
from polytask.combine.cagrad import cagrad
from polytask.combine.config_grad import config
from polytask.combine.dwa import dwa
from polytask.combine.excess_mtl import excess_mtl
from polytask.combine.fairgrad import fairgrad
from polytask.combine.famo import famo
from polytask.combine.graddrop import graddrop
from polytask.combine.gradnorm import gradnorm
from polytask.combine.gradvac import gradvac
from polytask.combine.imtl_g import imtl_g
from polytask.combine.it_mtl import Candidate, it_mtl
from polytask.combine.learned import imtl_l, uw
from polytask.combine.linear import constant, mean, sum_
from polytask.combine.mgda import mgda
from polytask.combine.modo import modo
from polytask.combine.nash import nash_mtl
from polytask.combine.pcgrad import pcgrad
from polytask.combine.projections import dual_proj, upgrad
from polytask.combine.rlw import rlw
from polytask.combine.scalarizations import gls, stch
from polytask.combine.sdmgrad import sdmgrad
from polytask.combine.tracked import db_mtl, moco

DIRECT: dict[str, Callable[..., Weighting | Aggregator]] = {
    "sum": sum_,
    "mean": mean,
    "constant": constant,
    "rlw": rlw,
    "uw": uw,
    "dwa": dwa,
    "gls": gls,
    "imtl_l": imtl_l,
    "stch": stch,
    "famo": famo,
    "gradnorm": gradnorm,
    "pcgrad": pcgrad,
    "gradvac": gradvac,
    "graddrop": graddrop,
    "mgda": mgda,
    "cagrad": cagrad,
    "imtl_g": imtl_g,
    "nash_mtl": nash_mtl,
    "fairgrad": fairgrad,
    "aligned": aligned,
    "upgrad": upgrad,
    "dual_proj": dual_proj,
    "config": config,
    "db_mtl": db_mtl,
    "moco": moco,
    "modo": modo,
    "sdmgrad": sdmgrad,
    "excess_mtl": excess_mtl,
}


def it_mtl_by_name(
    candidates: Sequence[str | Candidate] = ("sum", "each"),
    learning_rate: float | None = None,
    heads: Literal["stepped", "kept"] = "stepped",
) -> Selector:
    """`it_mtl` with combiners among the candidates by name, each with its default options."""

    def resolve(candidate: str | Candidate) -> Candidate:
        if not isinstance(candidate, str) or candidate == "each":
            return candidate
        if candidate not in DIRECT:
            raise ValueError(f"it_mtl has no candidate {candidate!r}: {_hint(candidate, ('each', *DIRECT))}")
        return DIRECT[candidate]()

    return it_mtl([resolve(candidate) for candidate in candidates], learning_rate, heads)


GROUP = "polytask.combiners"
"""The group of entry points by which other packages add combiners: NAME = "module:function", function(**options) to a
`Combiner`. It is asked for names that are not built in."""

METHODS: dict[str, Callable[..., Weighting | Aggregator | Selector]] = {**DIRECT, "it_mtl": it_mtl_by_name}

COMBINERS = tuple(METHODS)
"""The names that are built in."""


def make_combiner(name: str, *, scale: Scale = "sum", **options: Any) -> Combiner:
    """The combiner of that name.

    - `name`: built in, or added by another package, see `GROUP`. Options may stand behind it, as text: "cagrad:c=0.4",
      "constant:weights=1,2", "famo:learning_rate=0.01:decay=0"; so they are written on the command line.
    - `scale`: how long the combined gradient is, see `Scale`; the same for all methods, whatever their papers do.
    - `options`: the method's own, as its docstring says.

    Raises ValueError for an unknown name or scale, an unknown or missing option, or a text that is not its value.
    """
    name, _, text = name.partition(":")
    make = METHODS[name] if name in METHODS else _from_outside(name)
    if scale not in get_args(Scale):
        raise ValueError(f"scale is 'sum', 'mean' or 'paper', not {scale!r}")
    known = inspect.signature(make).parameters
    written = dict(_pair(name, part) for part in text.split(":")) if text else {}
    unknown = [option for option in (*written, *options) if option not in known]
    if unknown:
        valid = f"its options are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{name} has no option {unknown[0]!r}: {valid}")
    options = {option: _value(name, option, known[option].annotation, t) for option, t in written.items()} | options
    missing = [option for option, given in known.items() if given.default is given.empty and option not in options]
    if missing:
        raise ValueError(f"{name} needs the option {missing[0]!r}, such as {name}:{missing[0]}=...")
    made = make(**options)
    if isinstance(made, Combiner):
        made = made.method
    if not isinstance(made, Weighting | Aggregator | Selector):
        raise TypeError(f"the entry point {name!r} of {GROUP} must return a Combiner, not {type(made).__name__}")
    return Combiner(name, made, scale)


def _from_outside(name: str) -> Callable[..., Any]:
    """What another package has registered under that name. Raises ValueError for an unknown name."""
    found = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    if name not in found:
        raise ValueError(f"there is no combiner {name!r}: {_hint(name, (*COMBINERS, *found))}")
    return found[name].load()


def _pair(name: str, part: str) -> tuple[str, str]:
    option, equals, value = part.partition("=")
    if not equals:
        raise ValueError(f"options are written {name}:option=value, not {name}:{part}")
    return option, value


def _value(name: str, option: str, kind: Any, text: str) -> Any:
    """The value that a text stands for; commas separate the items of a list."""
    if get_origin(kind) is Sequence:
        return tuple(_value(name, option, get_args(kind)[0], item) for item in text.split(","))
    number = next((k for k in (int, float) if k is kind or k in get_args(kind)), None)
    if number is None:
        return text
    try:
        return number(text)
    except ValueError as error:
        what = "a whole number" if number is int else "a number"
        raise ValueError(f"{name}'s {option} is {what}, not {text!r}") from error


def _hint(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
