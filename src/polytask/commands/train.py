"""`polytask train` and `polytask resume`."""

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from polytask.agents.config import AGENT_CONFIGS
from polytask.commands import decisions, supervised
from polytask.commands.shared import INTERRUPTED, KEPT, affinity_in_full, finished, value_of, without
from polytask.decisions.config import is_decision_run
from polytask.runtime.config import MAY_CHANGE, AgentT, Preset, TrainConfig, preset
from polytask.tasks.options import TaskOptions

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.tasks.spec import TaskSet, TaskSpec


@dataclasses.dataclass(frozen=True)
class TrainArguments(TrainConfig[AgentT]):
    """Trains one agent on many tasks; ends with a table and report.html.

    Without a task: preset quick, three Meta-World tasks in about ten minutes.

    Where the run folder already holds this run, it goes on from its checkpoint.

    Ctrl-C stops with a checkpoint, and says how to go on.

    --agent.kind sac takes the SAC baseline; with --help it lists its options.

    Task options also work without their prefix: --goals fixed, --horizon 500.

    --combine pcgrad combines the tasks' gradients, of critics and actor.
    """

    tasks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[TASK ...]", help_behavior_hint="")]
    """metaworld/mt10, dmc/cheetah-run, gym/Pendulum-v1, gym/my_module:make_env, ...; `polytask tasks` lists them.
    Or one problem to learn from data: problems/multidigits; its options: polytask train problems/multidigits --help.
    Or one that ends in a decision: problems/newsvendor --loss taskmet"""
    run: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The run folder; by default runs/ with the names of tasks, agent, preset and seed."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N", help_behavior_hint="")] = 1
    """Train N seeds, from --seed on, as one program; each gets a run folder (with --run DIR: DIR/seed0, ...)."""
    groups: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """One agent for each group of the file that `polytask group` wrote, one after another, reported as one."""
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
    steps: Annotated[int, KEPT] = 0
    """Environment steps per task, in total."""
    mesh: Annotated[str, KEPT] = ""
    """Devices to train on, as data=4,model=2."""
    replay_storage: Annotated[Literal["memory", "disk"], KEPT] = "memory"
    """Where the replay is held while training; disk takes a file in the run folder."""
    eval_every: Annotated[int, KEPT] = 0
    """Steps between evaluations; 0 evaluates never."""
    eval_episodes: Annotated[int, KEPT] = 0
    """Episodes of each task in an evaluation."""
    policy_average: Annotated[int, KEPT] = 0
    """Steps over which the weights of the policy that is evaluated and used are averaged; 0 takes the last weights."""
    log_every: Annotated[int, KEPT] = 0
    """Steps between two lines of metrics."""
    affinity_every: Annotated[int, KEPT] = 0
    """Steps between measurements of what tasks do to each other; 0 measures never."""
    tensorboard: Annotated[bool, KEPT] = False
    """Log for TensorBoard."""
    wandb: Annotated[bool, KEPT] = False
    """Log to Weights & Biases."""


def train(arguments: list[str]) -> int:
    """Parses and runs."""
    if decisions.is_asked(arguments):
        return decisions.train(arguments)
    if supervised.is_supervised(arguments):
        return supervised.train(arguments)
    from polytask.tasks.registry import resolve

    file = value_of(arguments, "--groups", "")
    if file:
        return _train_groups(arguments, Path(file))
    config, run, named = parse_train(arguments)
    tasks = resolve(config.tasks, config.task)
    config.check_horizon(tasks)
    count = int(value_of(arguments, "--seeds", "1"))
    if count == 1:
        return _train(config, tasks, {config.seed: run}, named)
    if count < 1:
        raise ValueError(f"--seeds is a count of at least 1, not {count}")
    if config.mesh:
        raise ValueError("--seeds trains on one device: leave --mesh out, or train one seed at a time")
    given = bool(value_of(arguments, "--run", ""))

    def folder(seed: int) -> Path:
        return run / f"seed{seed}" if given else default_folder(dataclasses.replace(config, seed=seed), named)

    return _train(config, tasks, {seed: folder(seed) for seed in range(config.seed, config.seed + count)}, named)


def resume(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.runtime.config import from_json
    from polytask.runtime.folder import RunFolder

    run = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments).run
    content = RunFolder(run).read_config()
    if is_decision_run(content):
        return decisions.resume(arguments, run, content)
    if "problem" in content:
        return supervised.resume(arguments, run, content)
    config, tasks = from_json(content)
    kept = ResumeArguments(run, **{name: getattr(config, name) for name in MAY_CHANGE})
    given = tyro.cli(ResumeArguments, prog="polytask resume", args=arguments, default=kept)
    config = dataclasses.replace(config, **{name: getattr(given, name) for name in MAY_CHANGE})
    return _train(config, tasks, {config.seed: run}, None)


def parse_train(arguments: list[str]) -> tuple[TrainConfig[Any], Path, Preset | None]:
    """The configuration, the run folder, and the preset if it is not the usual one."""
    arguments = _in_full([_full_name(argument) for argument in arguments])
    kind = value_of(arguments, "--agent.kind", "brc")
    kinds = {agent().kind: agent for agent in AGENT_CONFIGS}
    if kind not in kinds:
        raise ValueError(f"--agent.kind is one of {', '.join(kinds)}, not '{kind}'")

    def parse(base: Preset) -> TrainArguments[Any]:
        default = TrainArguments(**{**_fields(preset(base, kind)), "tasks": (), "preset": base})
        return tyro.cli(TrainArguments[kinds[kind]], prog="polytask train", args=arguments, default=default)

    given = parse("cpu")
    if not given.tasks and not value_of(arguments, "--preset", ""):
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
    combiners = (getattr(config.agent, "critic_combiner", "none"), getattr(config.agent, "actor_combiner", "none"))
    combined = (
        [] if not config.agent.combines else [combiners[0]] if len(set(combiners)) == 1 else ["+".join(combiners)]
    )
    parts = ["+".join(slugs), config.agent.kind, *combined, *([named] if named else []), f"seed{config.seed}"]
    return Path("runs") / "-".join(parts).replace(":", "-").replace(",", "-")


def _in_full(arguments: list[str]) -> list[str]:
    """Shorthands as what they stand for: --combine NAME, and --affinity every=N."""
    name = value_of(arguments, "--combine", "")
    if name:
        both = ["--agent.critic-combiner", name, "--agent.actor-combiner", name]
        arguments = [*without(arguments, "--combine"), *both]
    return affinity_in_full(arguments)


def _full_name(argument: str) -> str:
    """Task options under their full names: "--goals" is "--task.goals"."""
    flag, equals, value = argument.partition("=")
    names = {f"--{field.name}".replace("_", "-") for field in dataclasses.fields(TaskOptions)}
    return f"--task.{flag[2:]}{equals}{value}" if flag.replace("_", "-") in names else argument


def _train(config: TrainConfig[Any], tasks: "TaskSet", runs: Mapping[int, Path], named: Preset | None) -> int:
    """Trains a run for each seed, showing what, and ends with the table and the report."""
    _announce(config, tasks, runs, named)
    first = next(iter(runs.values()))
    go_on = f"polytask resume {shlex.quote(str(first))}" if len(runs) == 1 else "the same command"

    from polytask.commands.shared import conclude
    from polytask.runtime.seeds import train_seeds
    from polytask.runtime.training import train

    if not _finished(lambda: train(config, first) if len(runs) == 1 else train_seeds(config, runs), go_on):
        return INTERRUPTED
    alone = first / "report.html"
    together = first.with_name(f"{first.name}-and-{len(runs) - 1}-more.html")
    conclude(list(runs.values()), alone if len(runs) == 1 else together)
    for run in runs.values():
        print(f"run     {run}")
    return 0


def _finished(training: Callable[[], bool], go_on: str) -> bool:
    """As `finished`; where a task fails, the error says how to go on too."""
    from polytask.stepping import TaskFailure

    try:
        return finished(training, go_on)
    except TaskFailure as failure:
        if failure.step:  # 0: it did not even start
            failure.add_note(f"A checkpoint of the step before is saved. Once the task is mended: {go_on}")
        raise


def _train_groups(arguments: list[str], file: Path) -> int:
    """Trains an agent for each group, and reports them as one."""
    from polytask.commands.shared import conclude
    from polytask.runtime.groups import read_groups, train_groups
    from polytask.tasks.registry import resolve

    if value_of(arguments, "--seeds", "1") != "1":
        raise ValueError("--groups trains one seed: leave --seeds out, and give each seed a command with its --seed")
    groups = read_groups(file)
    served = tuple(task for group in groups for task in group.serves)
    config, run, named = parse_train([*arguments, "--preset", value_of(arguments, "--preset", "cpu")])
    given = resolve(config.tasks, config.task).names if any(a in config.tasks for a in arguments) else served
    if set(given) != set(served):
        raise ValueError(f"{file} is about other tasks: {', '.join(served)}; leave the tasks out, or name just these")
    config = dataclasses.replace(config, tasks=tuple(given))
    if not value_of(arguments, "--run", ""):
        run = default_folder(config, named).with_name(f"{default_folder(config, named).name}-groups")
    for i, group in enumerate(groups):
        print(f"group{i + 1}  {', '.join(group.tasks)}")
    if not _finished(lambda: train_groups(config, groups, run), "the same command"):
        return INTERRUPTED
    conclude([run], run / "report.html")
    print(f"run     {run}")
    return 0


def _announce(config: TrainConfig[Any], tasks: "TaskSet", runs: Mapping[int, Path], named: Preset | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_alike(config, tasks))
    agent = config.agent
    usual = type(agent)()
    fields = [(field.name, getattr(agent, field.name)) for field in dataclasses.fields(agent)]
    changed = [
        f"{name}={'+'.join(value) if isinstance(value, tuple) else value}"
        for name, value in fields
        if value != getattr(usual, name)
    ]
    averaged = f" by weights averaged over {config.policy_average:,}" if config.policy_average else ""
    evaluated = f"evaluated every {config.eval_every:,}{averaged}" if config.eval_every else "never evaluated"
    lines = {
        "agent": ", ".join([agent.kind, *changed]),
        "steps": f"{config.steps:,} per task, the first {config.warmup_steps:,} with random actions",
        "": f"{evaluated}, saved every {config.checkpoint_every:,}",
        "preset": named,
        "seed": ", ".join(map(str, runs)),
        "run": ", ".join(map(str, runs.values())),
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
