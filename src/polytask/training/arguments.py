"""The command line of `polytask train` and `polytask resume`: what every kind of training takes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import tyro

from polytask.config.fields import helps, values_of
from polytask.training import kinds
from polytask.training.config import RunConfig
from polytask.training.overview import Overview, asked_for, in_full

KEPT = "(default: as in the run)"


class Asked(NamedTuple):
    """What `polytask train` was asked for: a configuration, where it is trained, how often, in which groups.

    - `run`: the folder that was named; `named`: what the usual folder's name says beside the configuration.
    """

    config: RunConfig
    run: Path | None
    seeds: int
    groups: Path | None
    named: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Flags of `polytask train` that are no part of a configuration."""

    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The run folder; by default runs/ with the names of what is trained and the seed."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N", help_behavior_hint="")] = 1
    """Train N seeds, from --seed on, as one program; each gets a run folder (with --run DIR: DIR/seed0, ...)."""
    groups: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """One model for each group of the file that `polytask group` wrote, one after another, reported as one."""


def parse(form: Any, arguments: Sequence[str], default: Any, overview: Overview | None = None) -> Any:
    """The arguments of `polytask train` as a `form`, over the values of `default`.

    Raises SystemExit after help: the `overview`, or all options.
    """
    if overview and asked_for(arguments):
        print(overview.text(default), end="")
        raise SystemExit(0)
    given = affinity_in_full(in_full(arguments))
    return tyro.cli(form, prog="polytask train", args=given, default=default)


def asked(given: Any, kind: type[RunConfig], **changes: Any) -> Asked:
    """What a form, which is a `Common` and a configuration of `kind`, asks for. Raises ValueError for seeds below 1."""
    if given.seeds < 1:
        raise ValueError(f"--seeds is a count of at least 1, not {given.seeds}")
    return Asked(kind(**{**values_of(given, kind), **changes}), given.run, given.seeds, given.groups)


def resumed(config: RunConfig, arguments: Sequence[str]) -> RunConfig:
    """The configuration of a run with what `polytask resume` may change."""
    hints, texts = get_type_hints(type(config)), helps(type(config))
    names = [name for name in kinds.resumable(config) if "." not in name]
    positional = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN", help="The run folder.")]
    fields: list[Any] = [("run", positional)]
    for name in names:
        about = tyro.conf.arg(help=texts.get(name, ""), help_behavior_hint=KEPT)
        fields.append((name, Annotated[hints[name], about], dataclasses.field(default=getattr(config, name))))
    form = dataclasses.make_dataclass("ResumeArguments", fields, frozen=True)
    form.__doc__ = (
        "Goes on with a run from its newest checkpoint as if it had not stopped.\n\n"
        "What is not given stays as it is in the run."
    )
    given: Any = tyro.cli(form, prog="polytask resume", args=affinity_in_full(arguments))
    return dataclasses.replace(config, **{name: getattr(given, name) for name in names})


def folders(asked: Asked) -> dict[int, Path]:
    """The run folder of each seed that was asked for."""
    kind = kinds.kind_for(asked.config)
    found: dict[int, Path] = {}
    for seed in range(asked.config.seed, asked.config.seed + asked.seeds):
        config = dataclasses.replace(asked.config, seed=seed)
        name = "-".join(part for part in (kind.folder(config), asked.named, f"seed{seed}") if part)
        usual = Path("runs") / (f"{name}-groups" if asked.groups else name)
        found[seed] = usual if asked.run is None else asked.run if asked.seeds == 1 else asked.run / f"seed{seed}"
    return found


def value_of(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag that has to be known before, or beside, the parsing of the others."""
    for argument, following in zip(arguments, [*arguments, default][1:], strict=True):
        if argument == flag:
            return following
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return default


def without(arguments: Sequence[str], flag: str) -> list[str]:
    """The arguments without a flag and its value."""
    at = next(i for i, argument in enumerate(arguments) if argument.partition("=")[0] == flag)
    return [*arguments[:at], *arguments[at + (1 if "=" in arguments[at] else 2) :]]


def affinity_in_full(arguments: Sequence[str]) -> list[str]:
    """The shorthand --affinity every=N as what it stands for."""
    every = value_of(arguments, "--affinity", "")
    if not every:
        return list(arguments)
    return [*without(arguments, "--affinity"), "--affinity-every", every.removeprefix("every=")]
