"""Training from logged data in the table of kinds: one agent for all tasks, from sets of transitions."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.agents.registry import AGENTS, agent_config
from polytask.config.fields import values_of
from polytask.datasets.names import PREFIX, is_data
from polytask.offline.config import AgentT, OfflineConfig
from polytask.offline.schema import SCHEMA
from polytask.policies.facts import task_facts
from polytask.training.arguments import Asked, Common, asked, parse, value_of
from polytask.training.kinds import Kind, Measured, Options
from polytask.training.overview import RUN, Overview

if TYPE_CHECKING:
    from polytask.offline.trainer import OfflineTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(OfflineConfig[AgentT], Common):
    """Trains one agent from logged data; ends with a table and report.html.

    No simulator is needed. Where a set names one, the agent is evaluated in it.

    --agent.kind takes td3-bc, iql, bcq or brc-bc; --help-all lists its options.

    Where the run folder already holds this run, it goes on from its checkpoint.
    """

    data: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA ...", help_behavior_hint="")]
    """data:FILE of D4RL's form (.hdf5, .npz), data:FOLDER of Minari sets, or data:ID of one that Minari has here.
    data:FILE@gym/ID says which task it is of. Sets of one task are joined."""


OVERVIEW = Overview(
    "polytask train data:FILE ... [OPTIONS]",
    (
        "Trains one agent from logged transitions, without a simulator; where a set",
        "names its task, the agent is evaluated in it.",
        "",
        "  data:FILE of D4RL's form (.hdf5, .npz), data:FOLDER of Minari sets, data:ID",
        "  of one that Minari has here; data:FILE@gym/ID says which task it is of.",
    ),
    (
        (
            "how long and how often",
            (
                ("--steps INT", "gradient steps"),
                ("--eval-every INT", "steps between evaluations"),
                ("--eval-episodes INT", "episodes of each task in an evaluation"),
            ),
        ),
        (
            "the agent",
            (
                ("--agent.kind KIND", "td3-bc, iql, bcq, brc-bc"),
                ("--agent.batch-size INT", "transitions in an update"),
                ("--agent.learning-rate FLOAT", "of Adam"),
            ),
        ),
        RUN,
    ),
)


def parse_train(arguments: Sequence[str]) -> Asked:
    """What `polytask train data:...` was asked for. Raises ValueError for an agent or data that cannot be."""
    kind = value_of(arguments, "--agent.kind", "td3-bc")
    AGENTS.check(kind, "--agent.kind")
    usual = OfflineConfig((), agent_config(kind))
    given = parse(Arguments[AGENTS[kind].config], arguments, Arguments(**values_of(usual)), OVERVIEW)
    others = [name for name in given.data if not is_data(name)]
    if others:
        raise ValueError(f"{others[0]} is no {PREFIX}FILE; a run learns from logged data alone, or from none")
    if given.groups is not None:
        raise ValueError("a run from logged data has no groups: leave --groups out, and name the sets of one group")
    return asked(given, OfflineConfig)


def _folder(config: OfflineConfig[Any]) -> str:
    """`hopper-td3-bc`."""
    stems = [Path(name.removeprefix(PREFIX).partition("@")[0]) for name in config.data]
    names = [stem.parent.name if stem.name == "data" else stem.stem for stem in stems]
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2}-more"]
    slugs = [re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-") for name in shown]
    return f"data-{'+'.join(slugs)}-{config.agent.kind}"


def _make(config: OfflineConfig[Any], runs: Mapping[int, Path]) -> "OfflineTrainer":
    from polytask.offline.trainer import OfflineTrainer

    return OfflineTrainer(config, runs)


def _show(config: OfflineConfig[Any], trainer: "OfflineTrainer", runs: Mapping[int, Path]) -> None:
    from rich.console import Console

    from polytask.datasets.facts import table
    from polytask.training.show import print_lines

    console = Console(highlight=False)
    console.print(table(trainer.logged))
    usual = type(config.agent)()
    names = [field.name for field in dataclasses.fields(usual)]
    changed = [f"{n}={getattr(config.agent, n)}" for n in names if getattr(config.agent, n) != getattr(usual, n)]
    never = not config.eval_every or not trainer.simulated
    evaluated = "never evaluated" if never else f"evaluated every {config.eval_every:,}"
    lines = {
        "agent": ", ".join([config.agent.kind, *changed]),
        "steps": f"{config.steps:,} gradient steps, {evaluated}, saved every {config.checkpoint_every:,}",
    }
    console.print()
    print_lines(console, lines, config, runs)


def _tasks(config: OfflineConfig[Any]) -> tuple[str, ...]:
    from polytask.datasets.names import load

    return tuple(task.spec.name for task in load(config.data))


def _of_tasks(config: OfflineConfig[Any], tasks: tuple[str, ...]) -> OfflineConfig[Any]:
    raise ValueError("a run from logged data has no groups: name the sets of one group")


def _load(run: Path, seed: int = 0) -> Any:
    from polytask.policies.policy import load

    return load(run, seed)


def _measure(run: Path, options: Options) -> Measured:
    from polytask.datasets.logged import SUITE
    from polytask.policies.measure import measured
    from polytask.policies.policy import load

    unknown = [spec.name for spec in load(run).tasks if spec.suite == SUITE]
    if unknown:
        raise ValueError(
            f"no simulator is known of {', '.join(unknown)}: name one with data:FILE@gym/<id> when training, or use "
            "polytask.load(RUN).act where the task is"
        )
    return measured(run, options)


KIND = Kind(
    name="offline",
    config=OfflineConfig,
    facts=("specs", "logged"),
    accepts=lambda arguments: any(is_data(argument) for argument in arguments),
    parse=parse_train,
    folder=_folder,
    make=_make,
    show=_show,
    tasks=_tasks,
    of_tasks=_of_tasks,
    load=_load,
    measure=_measure,
    schema=SCHEMA,
    task_facts=task_facts,
)
