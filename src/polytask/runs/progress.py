"""What a person sees while a run trains: a live display in a terminal or a notebook, plain lines anywhere else."""

import abc
import dataclasses
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Literal, TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from polytask.runs.notebook import NotebookDisplay

PLAIN_SECONDS = 10.0  # at most one plain line in this time, so that a log stays short
NOTEBOOK_SECONDS = 0.5  # at most one drawing in this time
RATE_SECONDS = 600.0  # the time left is judged from this stretch, long enough to hold evaluations
CELL_WIDTH = 25  # of one task where several stand side by side; three of them fit in 80 columns


@dataclasses.dataclass(frozen=True)
class TaskRow:
    """The latest figures of one task, None where there is none yet.

    As `kind` says they are success in [0, 1], return, or the score of a supervised task, at most 1; its `evaluation` is
    on the validation rows.
    """

    name: str
    kind: Literal["success", "return", "score"]
    evaluation: float | None = None
    training: float | None = None
    restarts: int = 0


DisplayT = TypeVar("DisplayT", bound="LiveDisplay")


class LiveDisplay(abc.ABC):
    """What is drawn again and again in a terminal, and nowhere else (then `_live` is None); a context manager."""

    def __init__(self, console: Console, refresh_per_second: int) -> None:
        # FORCE_COLOR makes Rich take a log file for a terminal, but a display that moves the cursor is no use in one.
        terminal = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
        self._live = Live(self, console=console, refresh_per_second=refresh_per_second) if terminal else None

    @abc.abstractmethod
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What is drawn."""

    def __enter__(self: DisplayT) -> DisplayT:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()


class Progress(LiveDisplay):
    """Shows how a run of `total` environment steps per task goes; a context manager.

    `start` is the step that a resumed run goes on from, `clock` counts seconds.
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._clock = clock
        self._console = console or Console()
        self._step = start
        self._rate = 0.0
        self._rows: tuple[TaskRow, ...] = ()
        self._history: deque[tuple[float, int]] = deque([(clock(), start)])
        self._printed = -PLAIN_SECONDS
        super().__init__(self._console, 2)
        self._notebook = NotebookDisplay(self) if self._console.is_jupyter else None

    def update(self, step: int, steps_per_second: float, task_rows: Sequence[TaskRow] | None = None) -> None:
        """Shows that `step` environment steps per task are done, at so many steps per second of all tasks together.

        Without `task_rows` the tasks' figures stay. Outside a terminal and a notebook a line is printed if the last is
        ten seconds old, and at the end.
        """
        now = self._clock()
        self._step, self._rate = step, steps_per_second
        if task_rows is not None:
            self._rows = tuple(task_rows)
        if now - self._history[-1][0] >= 1:
            self._history.append((now, step))
        while now - self._history[0][0] > RATE_SECONDS and len(self._history) > 2:
            self._history.popleft()
        if self._live:
            return
        if now - self._printed >= (NOTEBOOK_SECONDS if self._notebook else PLAIN_SECONDS) or step >= self._total:
            self._printed = now
            if self._notebook:
                self._notebook.refresh()
            else:
                self._print(self._line())

    def message(self, text: str) -> None:
        """Prints a line that stays: above the display, or among the plain lines."""
        self._print(text)

    def seconds_left(self) -> float | None:
        """An estimate from the last ten minutes, evaluations included; None before there is anything to judge by."""
        time_then, step_then = self._history[0]
        if self._step <= step_then:
            return None
        since = self._clock() - time_then
        return max(0.0, (self._total - self._step) * since / (self._step - step_then))

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[Text | ProgressBar | Segment | Table]:
        yield self._head()
        yield ProgressBar(total=self._total, completed=self._step, width=options.max_width)
        yield Segment.line()
        if self._rows:
            yield _aggregate_text(self._rows)
            yield _tasks(self._rows, options)
        restarts = _restarts(self._rows)
        if restarts:
            yield Text(restarts, style="yellow", no_wrap=True, overflow="ellipsis")

    def _head(self) -> Text:
        parts = [
            f"step {self._step:,}/{self._total:,}",
            f"{self._step / max(self._total, 1):.0%}",
            f"{self._rate:,.0f} steps/s",
            f"{_duration(self.seconds_left())} left",
        ]
        return Text("  ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")

    def _line(self) -> str:
        parts = [f"step {self._step:,}/{self._total:,}", f"{self._rate:,.0f} steps/s"]
        parts.append(f"left {_duration(self.seconds_left())}")
        parts += [f"{kind} {_latest(found)}" for kind, found in _by_kind(self._rows) if _latest(found) != "-"]
        restarts = sum(row.restarts for row in self._rows)
        return "  ".join([*parts, f"restarts {restarts}"] if restarts else parts)

    def _print(self, text: str) -> None:
        # Without a terminal Rich assumes 80 columns and would break paths and lines that programs read.
        self._console.print(Text(text), soft_wrap=self._live is None)


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the suite and the version ("metaworld/reach-v3" -> "reach"), as far as they stay distinct."""
    for shorten in (lambda n: re.sub(r"-v\d+$", "", n.rpartition("/")[2]), lambda n: n.rpartition("/")[2]):
        short = [shorten(name) for name in names]
        if len(set(short)) == len(names):
            return short
    return list(names)


def _tasks(rows: Sequence[TaskRow], options: ConsoleOptions) -> Table:
    """All tasks with evaluation and training; side by side, and read downwards, where they are many."""
    spare = max(8, (options.height or options.size.height) - 6)  # lines beside the head, the bar and so on
    wanted = -(-len(rows) // spare)
    columns = max(1, min(wanted, (options.max_width + 2) // (CELL_WIDTH + 2)))
    lines = -(-len(rows) // columns)
    cell = (options.max_width - 2 * (columns - 1)) // columns
    width = min(cell - 12, max(len(name) for name in short_names([row.name for row in rows])))
    table = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(columns):
        table.add_column(width=max(4, width), no_wrap=True)
        table.add_column(width=5, justify="right", no_wrap=True)
        table.add_column(width=5, justify="right", no_wrap=True)
    names = short_names([row.name for row in rows])
    table.add_row(*[Text(title, style="dim") for title in ("task", "eval", "train")] * columns)
    for line in range(lines):
        cells: list[Text] = []
        for index in range(line, len(rows), lines):
            name = _fitted(names[index], max(4, width), options.ascii_only)
            cells += [Text(name), _figure(rows[index], "evaluation"), _figure(rows[index], "training")]
        table.add_row(*cells)
    return table


def _figure(row: TaskRow, which: Literal["evaluation", "training"]) -> Text:
    value = row.evaluation if which == "evaluation" else row.training
    style = ""
    if value is not None and row.kind != "return":
        style = "green" if value >= 0.8 else "yellow" if value >= 0.3 else "red"
    return Text(_number(value, row.kind), style=style if which == "evaluation" else f"{style} dim".strip())


def _number(value: float | None, kind: str) -> str:
    """At most five characters: 0.94 for a success; 7.25, 512, -9999, 12k, 3M for a return."""
    if value is None or not math.isfinite(value):
        return "-"
    if kind == "success" or abs(value) < 9.995:
        return f"{value:.2f}"
    for scale, unit, limit in ((1, "", 9999.5), (1e3, "k", 999.5e3), (1e6, "M", 999.5e6)):
        if abs(value) < limit:
            return f"{value / scale:.0f}{unit}"
    return f"{value:.0e}"


def _fitted(name: str, width: int, ascii_only: bool) -> str:
    """Cut in the middle where it is too long: tasks of a suite often differ only in how they end."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return name[: width - 1 - tail] + ("~" if ascii_only else "…") + name[len(name) - tail :]


def _by_kind(rows: Sequence[TaskRow]) -> list[tuple[str, list[TaskRow]]]:
    kinds = [(kind, [row for row in rows if row.kind == kind]) for kind in ("success", "return", "score")]
    return [(kind, found) for kind, found in kinds if found]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _latest(rows: Sequence[TaskRow]) -> str:
    """The mean over tasks of the evaluation, or of the training before the first one."""
    evaluation = _mean([row.evaluation for row in rows])
    return _number(_mean([row.training for row in rows]) if evaluation is None else evaluation, rows[0].kind)


def _aggregate_text(rows: Sequence[TaskRow]) -> Text:
    parts = [
        f"mean {kind}: eval {_number(_mean([row.evaluation for row in found]), kind)} "
        f"train {_number(_mean([row.training for row in found]), kind)}"
        for kind, found in _by_kind(rows)
    ]
    return Text("   ".join(parts), no_wrap=True, overflow="ellipsis")


def _restarts(rows: Sequence[TaskRow]) -> str:
    names = short_names([row.name for row in rows])
    counts = [f"{name} {row.restarts}" for name, row in zip(names, rows, strict=True) if row.restarts]
    return f"environments restarted: {', '.join(counts)}" if counts else ""


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
