"""Online training in the table of kinds: one agent for all tasks, in simulators."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.agents.registry import AGENTS
from polytask.config.fields import values_of
from polytask.online.config import AgentT, Preset, TrainConfig, preset
from polytask.online.schema import SCHEMA
from polytask.policies.facts import task_facts
from polytask.tasks.options import TaskOptions
from polytask.tasks.relevance import within
from polytask.training.arguments import Asked, Common, asked, parse, value_of, without
from polytask.training.kinds import Kind, Measured, Options
from polytask.training.overview import BETWEEN, RUN, Overview

if TYPE_CHECKING:
    from polytask.online.trainer import OnlineTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(TrainConfig[AgentT], Common):
    """Trains one agent on many tasks; ends with a table and report.html.

    Without a task: preset quick, three Meta-World tasks in about ten minutes.

    Where the run folder already holds this run, it goes on from its checkpoint.

    Ctrl-C stops with a checkpoint, and says how to go on.

    --agent.kind sac takes the SAC baseline; with --help-all it lists its options.

    Task options also work without their prefix: --goals fixed, --horizon 500.

    --combine pcgrad combines the tasks' gradients, of critics and actor.
    """

    tasks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[TASK ...]", help_behavior_hint="")]
    """metaworld/mt10, dmc/cheetah-run, gym/Pendulum-v1, gym/my_module:make_env, ...; `polytask tasks` lists them.
    Or one problem to learn from data: problems/multidigits; its options: polytask train problems/multidigits --help.
    Or one that ends in a decision: problems/newsvendor --loss taskmet"""
    preset: Preset = "cpu"
    """Where other values come from: cpu suits two cores, paper has the official code's sizes, quick is a first look."""


OVERVIEW = Overview(
    "polytask train [TASK ...] [OPTIONS]",
    (
        "Trains one agent on many tasks, or a model from data. Ctrl-C stops with a",
        "checkpoint; the same command goes on. Without a task: a first look.",
        "",
        "  metaworld/mt10, dmc/walker-walk, gym/Pendulum-v1, atari/pong: simulators;",
        "  sales.csv, problems/NAME, data:FILE, fleets/u4-n80: data, with options of",
        "  their own: polytask train sales.csv --help. `polytask tasks` lists them.",
    ),
    (
        (
            "how long and how often",
            (
                ("--steps INT", "environment steps of each task"),
                ("--eval-every INT", "steps between evaluations"),
                ("--eval-episodes INT", "episodes of each task in an evaluation"),
                ("--patience INT", "evaluations without progress before it stops"),
            ),
        ),
        (
            "the agent",
            (
                ("--preset PRESET", "cpu (two cores), paper, quick: other values"),
                ("--agent.kind KIND", "brc, sac, dqn"),
                ("--agent.critic-width INT", "units; the actor's: --agent.actor-width"),
                ("--agent.batch-size INT", "transitions in an update"),
                ("--agent.learning-rate FLOAT", "of Adam"),
            ),
        ),
        (
            "the tasks",
            (
                ("--goals GOALS", "Meta-World's goals: varying or fixed"),
                ("--horizon INT", "steps of an episode; by default the suite's"),
                ("--engine ENGINE", "auto, envpool, process, serial"),
                ("--from RUN, --keep", "begin from a trained run; keep its tasks too"),
            ),
        ),
        BETWEEN,
        RUN,
    ),
)


def parse_train(arguments: Sequence[str]) -> Asked:
    """What `polytask train` was asked for. Raises ValueError for an agent that is not known."""
    arguments = _in_full([_full_name(argument) for argument in arguments])
    kind = value_of(arguments, "--agent.kind", "brc")
    AGENTS.check(kind, "--agent.kind")

    def parsed(base: Preset) -> Arguments[Any]:
        fields = {**values_of(preset(base, kind)), "tasks": ()}
        return parse(Arguments[AGENTS[kind].config], arguments, Arguments(**fields, preset=base), OVERVIEW)

    given = parsed("cpu")
    tasks = given.tasks
    if given.groups is not None and not tasks:
        from polytask.training.groups import read_groups

        tasks = tuple(task for group in read_groups(given.groups) for task in group.serves)
    if not tasks and not value_of(arguments, "--preset", ""):
        given = parsed("quick")
    elif given.preset != "cpu":
        given = parsed(given.preset)
    tasks = tasks or preset(given.preset, kind).tasks
    if given.start_from:
        given, tasks = _transferred(given, tasks, arguments)
    found = asked(given, TrainConfig, tasks=tasks)
    return found._replace(named=None if given.preset == "cpu" else given.preset)


def _transferred(given: Any, tasks: tuple[str, ...], arguments: list[str]) -> tuple[Any, tuple[str, ...]]:
    """The same arguments over the source's agent and task options, and the tasks with those that are kept.

    Where nobody says how, new tasks begin with everything that a BRC agent of other tasks has learned.
    """
    from polytask.tasks.registry import resolve
    from polytask.transfer import source as sources

    way = value_of(arguments, "--transfer", "")
    if not way and not given.keep:
        try:
            source = sources.read(Path(given.start_from))
        except (ValueError, OSError, RuntimeError):
            return given, tasks  # the warm start says what it is
        if given.agent.kind != "brc" or set(resolve(tasks, given.task).names) & set(source.names):
            return given, tasks
    elif way == "fit" and not given.keep:
        return given, tasks
    source = sources.read(Path(given.start_from))
    default = dataclasses.replace(given, **sources.with_defaults(source, way or "full"))
    given = parse(Arguments[AGENTS["brc"].config], arguments, default)
    if given.keep:
        tasks = (*source.names, *(name for name in tasks if name not in source.names))
    return given, tasks


def _folder(config: TrainConfig[Any]) -> str:
    """`metaworld-mt10-brc`."""
    shown = config.tasks if len(config.tasks) <= 3 else (*config.tasks[:2], f"{len(config.tasks) - 2}-more")
    slugs = [re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-") for name in shown]
    combiners = (getattr(config.agent, "critic_combiner", "none"), getattr(config.agent, "actor_combiner", "none"))
    combined = (
        [] if not config.agent.combines else [combiners[0]] if len(set(combiners)) == 1 else ["+".join(combiners)]
    )
    return "-".join(["+".join(slugs), config.agent.kind, *combined]).replace(":", "-").replace(",", "-")


def _in_full(arguments: list[str]) -> list[str]:
    """The shorthand --combine NAME as what it stands for; where gradients are combined, tasks are drawn alike."""
    name = value_of(arguments, "--combine", "")
    parts = ("--agent.critic-combiner", "--agent.actor-combiner")
    if name:
        arguments = [*without(arguments, "--combine"), *(word for part in parts for word in (part, name))]
    combines = any(value_of(arguments, part, "none") != "none" for part in parts)
    sampled = value_of(arguments, "--task-sampling", "")
    return [*arguments, "--task-sampling", "uniform"] if combines and not sampled else arguments


def _full_name(argument: str) -> str:
    """Task options under their full names: "--goals" is "--task.goals"."""
    flag, equals, value = argument.partition("=")
    names = {f"--{field.name}".replace("_", "-") for field in dataclasses.fields(TaskOptions)}
    return f"--task.{flag[2:]}{equals}{value}" if flag.replace("_", "-") in names else argument


def _make(config: TrainConfig[Any], runs: Mapping[int, Path]) -> "OnlineTrainer":
    from polytask.online.trainer import OnlineTrainer

    return OnlineTrainer(config, runs)


def _show(config: TrainConfig[Any], trainer: "OnlineTrainer", runs: Mapping[int, Path]) -> None:
    from polytask.online.show import show

    show(config, trainer.task_set, runs)


def _tasks(config: TrainConfig[Any]) -> tuple[str, ...]:
    from polytask.tasks.registry import resolve

    return resolve(config.tasks, config.task).names


def _of_tasks(config: TrainConfig[Any], tasks: tuple[str, ...]) -> TrainConfig[Any]:
    relevance = within(config.agent.relevance, tasks)
    agent = dataclasses.replace(config.agent, relevance=relevance) if relevance else config.agent
    return dataclasses.replace(config, tasks=tasks, agent=agent)


def _load(run: Path, seed: int = 0) -> Any:
    from polytask.policies.policy import load

    return load(run, seed)


def _measure(run: Path, options: Options) -> Measured:
    from polytask.policies.measure import measured

    return measured(run, options)


def _extend(run: Path, tasks: Sequence[str]) -> str:
    from polytask.online.extending import extend

    return extend(run, tasks)


KIND = Kind(
    name="online",
    config=TrainConfig,
    facts=("specs", "layout", "joined"),
    accepts=lambda arguments: True,
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
    extend=_extend,
)
