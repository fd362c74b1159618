"""`polytask evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from polytask.commands.shared import warn
from polytask.decisions.config import is_decision_run

if TYPE_CHECKING:
    from rich.table import Table

    from polytask.evaluation.protocol import Evaluation
    from polytask.evaluation.statistics import Estimate
    from polytask.policy import Policy

FILE = "evaluation.json"


def evaluate(arguments: list[str]) -> int:
    """Parses and runs."""
    return tyro.cli(_evaluate, prog="polytask evaluate", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def _evaluate(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    episodes: int = 10,
    seed: int = 0,
    video: bool = False,
) -> int:
    """Measures a run's newest checkpoint, with deterministic actions.

    Prints success, return and score with 95 % intervals over the episodes.

    Of a run from data: score and loss, with intervals over the test rows.

    Of a predictor that decides: decision quality and squared error.

    Writes evaluation.json into the run folder; training is never touched.

    Args:
        run: The run folder.
        episodes: Episodes of each task.
        seed: Seed of the environments.
        video: Also film an episode of each task into RUN/videos; needs pip install -e '.[official]' in the checkout.
    """
    from rich.console import Console

    from polytask.evaluation import protocol
    from polytask.policy import load
    from polytask.runtime.compilation import keep_compiled
    from polytask.runtime.folder import RunFolder

    keep_compiled()
    content = RunFolder(run).read_config()
    if "problem" in content:
        if video or episodes != 10 or seed:
            raise ValueError("a run from data is measured on its test data: leave --episodes, --seed and --video out")
        return _test_decisions(run, content) if is_decision_run(content) else _test(run, content)
    policy = load(run)
    if video:  # find out what is missing before the long part
        from polytask.evaluation.video import prepare

        prepare(policy.tasks.specs)
    console = Console()
    with console.status(f"{len(policy.tasks)} tasks, {episodes} episodes of each ..."):
        evaluation = protocol.evaluate_policy(policy, episodes, seed)
    console.print(_table(policy, evaluation))
    _write(run, protocol.to_json(evaluation))
    if video:
        return _film(policy, run / "videos", seed)
    return 0


def _write(run: Path, content: dict[str, Any]) -> None:
    from polytask.runtime import storage

    file = run / FILE
    with storage.writing(file, run):
        storage.replace(file, json.dumps(content, indent=1, allow_nan=False).encode())
    print(f"\nwritten {file}")


def _cells(estimate: "Estimate") -> list[str]:
    shown = [f"{x:.4f}" if abs(x) < 10 else f"{x:.4g}" for x in estimate]
    return [shown[0], f"{shown[1]} to {shown[2]}"] if estimate.has_interval else [shown[0], ""]


def _test_decisions(run: Path, config: dict[str, Any]) -> int:
    """Measures a predictor that decides on its test data."""
    from rich.console import Console
    from rich.table import Table

    from polytask.decisions import testing
    from polytask.problems import resolve_decision

    tested = testing.measure_run(run, resolve_decision(config["problem"]))
    title = f"step {tested.step:,}, {tested.instances:,} test instances"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in ("mean", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {
        "decision quality": tested.decision,
        "squared error": tested.squared_error,
        "objective": tested.objective,
        "of who knows the truth": tested.oracle,
        "of random decisions": tested.random,
    }
    for name, estimate in rows.items():
        table.add_row(name, *_cells(estimate))
    Console().print(table)
    _write(run, testing.to_json(tested))
    return 0


def _test(run: Path, config: dict[str, Any]) -> int:
    """Measures a run from data on its test rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from polytask.problems import resolve
    from polytask.supervised import testing

    tested = testing.measure_run(run, resolve(config["problem"], config["data_seed"]))
    table = Table(title=f"step {tested.step:,}, test rows", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("task", overflow="fold")
    for heading in ("rows", "score", "95 %", "loss", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("score is", no_wrap=True)
    for test in tested.tasks:
        judged = "R²" if test.task.kind == "regression" else "accuracy"
        row = (test.task.name, f"{test.rows:,}", *_cells(test.score), *_cells(test.loss), judged)
        table.add_row(*map(Text, row))
    Console().print(table)
    _write(run, testing.to_json(tested))
    return 0


def _film(policy: "Policy", folder: Path, seed: int) -> int:
    """A video of each task; one that cannot be filmed does not keep the others from it, but gives exit code 1."""
    from polytask.evaluation.video import VideoError, file_name, record_episode

    code = 0
    for spec in policy.tasks:
        out = folder / file_name(spec.name)
        try:
            returned, success = record_episode(policy, spec.name, out, seed)
        except VideoError as error:
            warn(str(error))
            code = 1
            continue
        outcome = f"return {returned:,.4g}" + (", success" if success else "")
        print(f"video   {out}  ({outcome})", flush=True)
    return code


def _table(policy: "Policy", evaluation: "Evaluation") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from polytask.report.text import MISSING, bounds, number, score, short_names

    def interval(estimate: "Estimate | None", show=number) -> str:
        if estimate is None or not estimate.has_interval:
            return MISSING
        return f"{show(estimate.low)} to {show(estimate.high)}"

    count = evaluation.episodes.returns.shape[1]
    title = Text(f"step {evaluation.step:,}, {count} episodes of each task")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="fold")
    for heading in ("success", "95 %", "return", "95 %", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, task in zip(short_names(policy.tasks.names), evaluation.tasks, strict=True):
        success = task.success
        table.add_row(
            Text(name),
            MISSING if success is None else score(success.value),
            MISSING if success is None else bounds(success),
            number(task.returned.value),
            interval(task.returned),
            MISSING if task.score is None else score(task.score.value),
        )
    if evaluation.mean is not None and len(evaluation.tasks) > 1:
        table.add_row(Text("mean score"), "", "", "", interval(evaluation.mean, score), score(evaluation.mean.value))
    return table
