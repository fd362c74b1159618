"""What `polytask train` shows before agents learn."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytask.tasks.spaces import Box, size_of
from polytask.training.show import print_lines

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.online.config import TrainConfig
    from polytask.tasks.spec import TaskSet, TaskSpec


def show(config: "TrainConfig[Any]", tasks: "TaskSet", runs: Mapping[int, Path]) -> None:
    """Prints the tasks, and how they are learned."""
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
    patience = f", patience {config.patience}" if config.patience else ""
    evaluated = f"evaluated every {config.eval_every:,}{averaged}{patience}" if config.eval_every else "never evaluated"
    lines = {
        "agent": ", ".join([agent.kind, *changed]),
        "steps": f"{config.steps:,} per task, the first {config.warmup_steps:,} with random actions",
        "": f"{evaluated}, saved every {config.checkpoint_every:,}",
    }
    console.print()
    print_lines(console, lines, config, runs)


def task_table(rows: "list[tuple[str, TaskSpec]]") -> "Table":
    """Facts under a label each, and options that all have below; fits in 80 columns with the suites' longest names."""
    from rich.table import Table
    from rich.text import Text

    options = {spec.options for _, spec in rows}
    of_all = _text(options.pop()) if len(options) == 1 else ""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, caption=of_all or None, caption_justify="left")
    table.add_column("task", overflow="fold", min_width=24)
    table.add_column("obs", justify="right", overflow="fold")
    for heading in ("act", "steps"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("judged", "engine"):
        table.add_column(heading, no_wrap=True)
    table.add_column("goals, rew.", overflow="fold")
    for label, spec in rows:
        sizes = [size_of(spec.observation), size_of(spec.action), str(spec.horizon)]
        judged = "success" if spec.success != "none" else "return"
        chosen = [spec.goals, spec.reward_version, "" if of_all else _text(spec.options)]
        variant = ", ".join(fact for fact in chosen if fact)
        table.add_row(*map(Text, (label, *sizes, judged, spec.engine, variant)))
    return table


def _text(options: "tuple[tuple[str, Any] | list[Any], ...]") -> str:
    return ", ".join(f"{name}={value}" for name, value in options)


def _alike(config: "TrainConfig[Any]", tasks: "TaskSet") -> "Table":
    """The facts of the tasks, one line for those that share them all."""
    names: dict[TaskSpec, list[str]] = {}
    for spec in tasks:
        engine = spec.engine if config.engine == "auto" else config.engine
        unbounded = (0.0,) * spec.action_dim
        action = Box(unbounded, unbounded) if isinstance(spec.action, Box) else spec.action
        shown = dataclasses.replace(spec, name="", action=action, engine=engine)
        names.setdefault(shown, []).append(spec.name)
    labels = [same[0] if len(same) == 1 else f"{len(same)} tasks of {spec.suite}" for spec, same in names.items()]
    return task_table(list(zip(labels, names, strict=True)))
