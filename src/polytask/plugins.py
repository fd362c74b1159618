"""Names that stand for code: polytask's, and those that other packages add by entry points."""

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Table(Generic[T]):
    """Things of one kind by name. Nothing is imported before it is asked for.

    - `what`: what such a thing is called in messages.
    - `group`: the group of entry points by which other packages add things: NAME = "module:attribute". Other packages
      are asked only for names that are not built in.
    - `built_in`: the names of polytask, each with its "module:attribute" too.
    - `type`: what a thing has to be an instance of.
    - `reserved`: more names that other packages cannot have.
    """

    what: str
    group: str
    built_in: Mapping[str, str]
    type: Any
    reserved: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Every name: the built-in ones first."""
        return (*self.built_in, *(name for name in _offered(self.group) if name not in self._taken()))

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or (name not in self.reserved and name in _offered(self.group))

    def check(self, name: str, option: str = "") -> None:
        """Raises ValueError, with the nearest names, where there is no such thing; `option` names what asked for it."""
        if name not in self:
            where = f"{option}: " if option else ""
            raise ValueError(f"{where}there is no {self.what} '{name}': {nearest(name, self.names())}")

    def __getitem__(self, name: str) -> T:
        """The thing of that name.

        Raises ValueError, with the nearest names, where there is none, and ImportError, naming the package, where one
        of another package cannot be loaded, or is not what it has to be.
        """
        self.check(name)
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        entry = _offered(self.group)[name]
        whose = self._whose(entry)
        try:
            loaded = entry.load()
        except Exception as error:
            raise ImportError(
                f"{whose} could not be loaded: {type(error).__name__}: {error}; mend the package, or uninstall it"
            ) from error
        if not isinstance(loaded, self.type):
            wanted = f"{self.type.__module__}.{self.type.__qualname__}"
            raise ImportError(f"{whose} is a {type(loaded).__name__}; its entry in {self.group} has to name a {wanted}")
        return loaded

    def clashes(self) -> list[str]:
        """A sentence for each entry of another package that has a name of polytask's, and so is left out."""
        return [
            f"{self._whose(entry)} has a name that polytask uses itself; its author has to give it another one"
            for name, entry in _offered(self.group).items()
            if name in self._taken()
        ]

    def _whose(self, entry: metadata.EntryPoint) -> str:
        package = entry.dist.name if entry.dist else "?"
        return f"the {self.what} '{entry.name}' of the package '{package}' ({entry.value})"

    def _taken(self) -> set[str]:
        return {*self.built_in, *self.reserved}


def options_of(name: str, make: Callable[..., Any], text: str, reserved: Sequence[str] = ()) -> dict[str, Any]:
    """The options of a function as they stand behind its name on the command line: "c=0.4:weights=1,2".

    - `reserved`: parameters that are no options, since others give them.

    Raises ValueError for an option that the function lacks, and for a text that is not its value.
    """
    known = {option: one for option, one in inspect.signature(make).parameters.items() if option not in reserved}
    pairs = dict(_pair(name, part) for part in text.split(":")) if text else {}
    check_options(name, pairs, known)
    return {option: _value(name, option, known[option].annotation, written) for option, written in pairs.items()}


def check_options(name: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError, with all that there are, for an option that is not known."""
    valid = list(known)
    for option in asked:
        if option not in valid:
            there = f"its options are {', '.join(valid)}" if valid else "it has none"
            raise ValueError(f"{name} has no option {option!r}: {there}")


def _pair(name: str, part: str) -> tuple[str, str]:
    option, equals, value = part.partition("=")
    if not equals:
        raise ValueError(f"options are written {name}:option=value, not {name}:{part}")
    return option, value


def _value(name: str, option: str, kind: Any, text: str) -> Any:
    """The value that a text stands for; commas separate the items of a list."""
    if get_origin(kind) is Sequence:
        return tuple(_value(name, option, get_args(kind)[0], item) for item in text.split(","))
    if kind is bool:
        kind = Literal["true", "false"]
        return _value(name, option, kind, text) == "true"
    if get_origin(kind) is Literal and text not in get_args(kind):
        raise ValueError(f"{name}'s {option} is one of {', '.join(get_args(kind))}, not {text!r}")
    number = next((k for k in (int, float) if k is kind or k in get_args(kind)), None)
    if number is None:
        return text
    try:
        return number(text)
    except ValueError as error:
        what = "a whole number" if number is int else "a number"
        raise ValueError(f"{name}'s {option} is {what}, not {text!r}") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """What to do instead of using an unknown name: the names that look like it, or all."""
    names = list(names)
    close = difflib.get_close_matches(name.lower(), names, n=3)
    quoted = ", ".join(f"'{known}'" for known in close)
    return f"did you mean {quoted}?" if close else f"there are {', '.join(names)}"


def _offered(group: str) -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=group)}
