"""What `polytask train --help` shows: the common options on two screens; `--help-all` lists every one."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

SHORT, ALL = ("-h", "--help"), "--help-all"
WIDTH = 80
_FLAGS = 28  # characters of the column of flags

Flags = tuple[tuple[str, str], ...]


class Overview(NamedTuple):
    """The help of a kind of training.

    - `usage`: what is typed; `about`: lines about it; `groups`: by heading, flags with what follows them, and a text.
    """

    usage: str
    about: tuple[str, ...]
    groups: tuple[tuple[str, Flags], ...]

    def text(self, default: Any) -> str:
        """The page; what a flag is by default is looked up in `default`, a configuration."""
        lines = [f"usage: {self.usage}", "", *self.about]
        for heading, options in self.groups:
            lines += ["", f"{heading}:"]
            for flag, about in options:
                lines += _option(flag, f"{about}{_default(flag, default)}")
        return "\n".join([*lines, "", f"All options: {ALL}", ""])


RUN: tuple[str, Flags] = (
    "the run",
    (
        ("--run DIR", "the folder; by default runs/ and what is trained"),
        ("--seed INT", "decides everything that is drawn"),
        ("--seeds N", "so many seeds at once, a run folder each"),
        ("--checkpoint-every INT", "steps between checkpoints"),
        ("--no-tensorboard, --wandb", "where metrics go beside metrics.jsonl"),
    ),
)
BETWEEN: tuple[str, Flags] = (
    "several tasks",
    (
        ("--combine NAME", "task gradients: pcgrad, cagrad:c=0.4, ..."),
        ("--affinity-every INT", "steps between measurements of task affinity"),
        ("--groups FILE", "a model for each group of `polytask group`"),
    ),
)


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether the overview is asked for."""
    return any(argument in SHORT for argument in arguments) and ALL not in arguments


def in_full(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--help` where they ask for the help of all options."""
    return ["--help" if argument == ALL else argument for argument in arguments]


def _option(flag: str, about: str) -> list[str]:
    lines = textwrap.wrap(about, WIDTH - _FLAGS - 2, break_on_hyphens=False)
    first, rest = (lines[:1], lines[1:]) if len(flag) < _FLAGS - 2 else ([""], lines)
    return [f"  {flag:<{_FLAGS}}{first[0]}".rstrip(), *(" " * (_FLAGS + 2) + line for line in rest)]


def _default(flag: str, default: Any) -> str:
    """In brackets the number or word that holds where the flag is not given."""
    value = default
    for part in flag.split(" ")[0].rstrip(",").removeprefix("--").replace("-", "_").split("."):
        value = getattr(value, part, None)
    shown = isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
    return f" ({value:,})" if shown and isinstance(value, int) else f" ({value})" if shown else ""
