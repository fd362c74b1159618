"""Fields of configurations: their ranges, whether a resumed run may change them, whether they tell methods apart."""

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
_RANGE = re.compile(r"([\[(])(\S+), (\S+)([\])])")


def field(
    default: Any = dataclasses.MISSING,
    *,
    default_factory: Any = dataclasses.MISSING,
    range: str = "",
    resumable: bool = False,
    compared: bool = True,
    before: Any = dataclasses.MISSING,
    choose: Callable[[Mapping[str, Any]], type] | None = None,
) -> Any:
    """A field of a frozen dataclass that is a configuration.

    - `range`: of a number, or of every number in a tuple: "[1, inf)" is at least 1 and finite.
    - `resumable`: whether a resumed run may change it, since nothing that is learned up to a given step depends on it.
    - `compared`: whether runs that differ in it are different methods.
    - `before`: its value in runs from before it existed, if that is not the default.
    - `choose`: the dataclass that its saved content is of, where the annotation does not say it.
    """
    said = {"range": range, "resumable": resumable, "compared": compared, "choose": choose}
    if before is not dataclasses.MISSING:
        said["before"] = before
    return dataclasses.field(default=default, default_factory=default_factory, metadata=said)


def check(config: Any, prefix: str = "") -> None:
    """Raises ValueError, with the flag and its range, for a number out of range and a word that is none of the choices.

    - `prefix`: of the flags, such as "agent." for a configuration that is the field `agent` of another.
    """
    hints = get_type_hints(type(config))
    for one in dataclasses.fields(config):
        value, flag = getattr(config, one.name), f"--{prefix}{one.name}".replace("_", "-")
        hint = hints[one.name]
        choices = [word for part in (hint, *get_args(hint)) if get_origin(part) is Literal for word in get_args(part)]
        if isinstance(value, str) and choices and value not in choices:
            number = "" if get_origin(hint) is Literal else "a number, or "
            raise ValueError(f"{flag} is {number}one of {', '.join(map(str, choices))}, not {value!r}")
        limits = one.metadata.get("range", "")
        for number in value if isinstance(value, tuple) else (value,):
            if limits and isinstance(number, int | float) and not _within(number, limits):
                raise ValueError(f"{flag} must be {_words(limits)}, not {number}")


def resumable(kind: type) -> tuple[str, ...]:
    """The fields that a resumed run may change, dotted."""
    return tuple(name for name, one in _all(kind) if one.metadata.get("resumable"))


def values_of(config: Any, kind: type | None = None) -> dict[str, Any]:
    """The fields of a configuration, or those of `kind` where it has more, with their values."""
    return {one.name: getattr(config, one.name) for one in dataclasses.fields(kind or type(config))}


def not_compared(kind: type) -> tuple[str, ...]:
    """The fields that do not tell methods apart, dotted."""
    return tuple(name for name, one in _all(kind) if not one.metadata.get("compared", True))


def ranges(kind: type) -> dict[str, str]:
    """The range of every field, dotted; empty where it has none."""
    return {name: one.metadata.get("range", "") for name, one in _all(kind)}


@functools.cache
def helps(kind: type) -> dict[str, str]:
    """What the docstring below each field says, by the field's name; inherited ones too."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        try:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        except (OSError, TypeError, SyntaxError):
            continue
        body = node.body if isinstance(node, ast.ClassDef) else []
        for statement, below in itertools.pairwise(body):
            if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
                continue
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                found[statement.target.id] = " ".join(text.split())
    return found


def from_json(kind: type[T], content: Mapping[str, Any], path: str = "") -> T:
    """A configuration from what `dataclasses.asdict` gave, at every depth with what came to be since.

    Raises ValueError naming fields that this version does not know, and as the configuration does.
    """
    known = {one.name: one for one in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    unknown = [f"{path}{name}" for name in content if name not in known]
    if unknown:
        raise ValueError(f"config.json has fields that this version does not know: {', '.join(sorted(unknown))}")
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, one in known.items():
        if name in content:
            values[name] = _value(one, hints[name], content[name], f"{path}{name}.")
        elif "before" in one.metadata:
            values[name] = one.metadata["before"]
    return kind(**values)


def _value(one: dataclasses.Field[Any], hint: Any, value: Any, path: str) -> Any:
    choose = one.metadata.get("choose")
    kind = choose(value) if choose else hint
    if isinstance(value, Mapping) and dataclasses.is_dataclass(kind):
        return from_json(kind, value, path)  # pyright: ignore[reportArgumentType]
    return tuple(value) if isinstance(value, list) else value


def _all(kind: type, path: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    hints = get_type_hints(kind)
    for one in dataclasses.fields(kind):
        yield f"{path}{one.name}", one
        if dataclasses.is_dataclass(hints[one.name]):
            yield from _all(hints[one.name], f"{path}{one.name}.")


def _parts(limits: str) -> tuple[str, float, float, str]:
    match = _RANGE.fullmatch(limits)
    if match is None:
        raise TypeError(f"a range is written as [1, inf), not {limits!r}")
    return match[1], float(match[2]), float(match[3]), match[4]


def _within(number: int | float, limits: str) -> bool:
    left, low, high, right = _parts(limits)
    above = number >= low if left == "[" else number > low
    return math.isfinite(number) and above and (number <= high if right == "]" else number < high)


def _words(limits: str) -> str:
    left, low, high, right = _parts(limits)
    words = [] if low == -math.inf else [f"{'at least' if left == '[' else 'above'} {low:.12g}"]
    words += ["finite"] if high == math.inf else [f"{'at most' if right == ']' else 'below'} {high:.12g}"]
    return " and ".join(words)
