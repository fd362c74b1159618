"""`polytask train` and `polytask resume`."""

import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.agents.config import AGENT_CONFIGS
from polytask.runtime.config import MAY_CHANGE, AgentT, Preset, TrainConfig, preset
from polytask.tasks.options import TaskOptions

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.tasks.spec import TaskSet, TaskSpec

INTERRUPTED = 130
_KEPT = tyro.conf.arg(help_behavior_hint="(default: as in the run)")


@dataclasses.dataclass(frozen=True)
class TrainArguments(TrainConfig[AgentT]):
    """Trains one agent on many tasks; ends with a table and report.html.

    Without a task: preset quick, three Meta-World tasks in about ten minutes.

    Where the run folder already holds this run, it goes on from its checkpoint.

    Ctrl-C stops with a checkpoint, and says how to go on.

    --agent.kind sac takes the SAC baseline; with --help it lists its options.

    Task options also work without their prefix: --goals fixed, --horizon 500.
    """

    tasks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[TASK ...]", help_behavior_hint="")]
    """metaworld/mt10, dmc/cheetah-run, gym/Pendulum-v1, gym/my_module:make_env, ...; `polytask tasks` lists them."""
    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The run folder; by default runs/ with the names of tasks, agent, preset and seed."""
    preset: Preset = "cpu"
    """Where other values come from: cpu suits two cores, paper has the official code's sizes, quick is a first look."""


@dataclasses.dataclass(frozen=True)
class ResumeArguments:
    """Goes on with a run from its newest checkpoint as if it had not stopped.

    What is not given stays as it is in the run.
    """

    # The defaults here only mark the options as optional; the run's own values take their place.

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    steps: Annotated[int, _KEPT] = 0
    """Environment steps per task, in total."""
    eval_every: Annotated[int, _KEPT] = 0
    """Steps between evaluations; 0 evaluates never."""
    eval_episodes: Annotated[int, _KEPT] = 0
    """Episodes of each task in an evaluation."""
    log_every: Annotated[int, _KEPT] = 0
    """Steps between two lines of metrics."""
    tensorboard: Annotated[bool, _KEPT] = False
    """Log for TensorBoard."""
    wandb: Annotated[bool, _KEPT] = False
    """Log to Weights & Biases."""


def train(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.tasks.registry import resolve

    config, run, named = parse_train(arguments)
    tasks = resolve(config.tasks, config.task)
    config.check_horizon(tasks)
    return _train(config, tasks, run, named)


def resume(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.runtime.config import from_json
    from polytask.runtime.folder import RunFolder

    run = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments).run
    config, tasks = from_json(RunFolder(run).read_config())
    kept = ResumeArguments(run, **{name: getattr(config, name) for name in MAY_CHANGE})
    given = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments, default=kept)
    config = dataclasses.replace(config, **{name: getattr(given, name) for name in MAY_CHANGE})
    return _train(config, tasks, run, None)


def parse_train(arguments: list[str]) -> tuple[TrainConfig[Any], Path, Preset | None]:
    """The configuration, the run folder, and the preset if it is not the usual one."""
    arguments = [_full_name(argument) for argument in arguments]
    kind = _value(arguments, "--agent.kind", "brc")
    kinds = {agent().kind: agent for agent in AGENT_CONFIGS}
    if kind not in kinds:
        raise ValueError(f"--agent.kind is one of {', '.join(kinds)}, not '{kind}'")

    def parse(base: Preset) -> TrainArguments[Any]:
        default = TrainArguments(**{**_fields(preset(base, kind)), "tasks": (), "preset": base})
        return tyro.cli(TrainArguments[kinds[kind]], prog="polytask train", args=arguments, default=default)

    given = parse("cpu")
    if not given.tasks and not _value(arguments, "--preset", ""):
        given = parse("quick")
    elif given.preset != "cpu":
        given = parse(given.preset)
    config = preset(given.preset, kind)
    config = TrainConfig(**{**_fields(config, given), "tasks": given.tasks or config.tasks})
    named = None if given.preset == "cpu" else given.preset
    return config, given.run or default_folder(config, named), named


def _fields(config: TrainConfig[Any], source: Any = None) -> dict[str, Any]:
    """The fields of a configuration, with their values there or in `source`."""
    return {field.name: getattr(source or config, field.name) for field in dataclasses.fields(config)}


def default_folder(config: TrainConfig[Any], named: Preset | None) -> Path:
    """`runs/metaworld-mt10-brc-seed0`: what a person would call the run, the same for the same command."""
    shown = config.tasks if len(config.tasks) <= 3 else (*config.tasks[:2], f"{len(config.tasks) - 2}-more")
    slugs = [re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-") for name in shown]
    parts = ["+".join(slugs), config.agent.kind, *([named] if named else []), f"seed{config.seed}"]
    return Path("runs") / "-".join(parts)


def _full_name(argument: str) -> str:
    """Task options under their full names: "--goals" is "--task.goals"."""
    flag, equals, value = argument.partition("=")
    names = {f"--{field.name}".replace("_", "-") for field in dataclasses.fields(TaskOptions)}
    return f"--task.{flag[2:]}{equals}{value}" if flag.replace("_", "-") in names else argument


def _value(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag that has to be known before the others can be parsed."""
    for argument, following in zip(arguments, [*arguments, default][1:], strict=True):
        if argument == flag:
            return following
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return default


def _train(config: TrainConfig[Any], tasks: "TaskSet", run: Path, named: Preset | None) -> int:
    """Trains, showing what, and ends with the table and the report."""
    _announce(config, tasks, run, named)
    go_on = f"polytask resume {shlex.quote(str(run))}"

    from polytask.commands.shared import conclude
    from polytask.runtime.training import train
    from polytask.stepping import TaskFailure

    try:
        finished = train(config, run)
    except TaskFailure as failure:
        if failure.step:  # 0: it did not even start
            failure.add_note(f"A checkpoint of the step before is saved. Once the task is mended: {go_on}")
        raise
    except KeyboardInterrupt:
        print(f"\nStopped at once, without a checkpoint. Go on from the last one with\n  {go_on}", file=sys.stderr)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # an orderly end may crash where JAX was cut off while it compiled
    if not finished:
        print(f"Stopped; a checkpoint is saved. Go on with\n  {go_on}", file=sys.stderr)
        return INTERRUPTED
    conclude([run], run / "report.html")
    print(f"run     {run}")
    return 0


def _announce(config: TrainConfig[Any], tasks: "TaskSet", run: Path, named: Preset | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_alike(config, tasks))
    agent = config.agent
    usual = type(agent)()
    changed = [
        f"{field.name}={getattr(agent, field.name)}"
        for field in dataclasses.fields(agent)
        if getattr(agent, field.name) != getattr(usual, field.name)
    ]
    evaluated = f"evaluated every {config.eval_every:,}" if config.eval_every else "never evaluated"
    lines = {
        "agent": ", ".join([agent.kind, *changed]),
        "steps": f"{config.steps:,} per task, the first {config.warmup_steps:,} with random actions",
        "": f"{evaluated}, saved every {config.checkpoint_every:,}",
        "preset": named,
        "seed": str(config.seed),
        "run": str(run),
    }
    console.print()
    for name, text in lines.items():
        if text:
            console.print(f"{name:<7} {text}", markup=False, soft_wrap=True)
    console.print()


def _alike(config: TrainConfig[Any], tasks: "TaskSet") -> "Table":
    """The facts of the tasks, one line for those that share them all."""
    from polytask.commands.shared import facts_table

    names: dict[TaskSpec, list[str]] = {}
    for spec in tasks:
        engine = spec.engine if config.engine == "auto" else config.engine
        unbounded = (0.0,) * spec.action_dim
        shown = dataclasses.replace(spec, name="", action_low=unbounded, action_high=unbounded, engine=engine)
        names.setdefault(shown, []).append(spec.name)
    labels = [same[0] if len(same) == 1 else f"{len(same)} tasks of {spec.suite}" for spec, same in names.items()]
    return facts_table(list(zip(labels, names, strict=True)))
