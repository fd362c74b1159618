"""What a person sees while a sweep trains: a live table in a terminal, a line for each run that ends anywhere else."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from polytask.evaluation import text
from polytask.runs.folder import RunFolder
from polytask.runs.progress import LiveDisplay
from polytask.sweeps.config import LOGS, Trial
from polytask.sweeps.run import reached, score_at
from polytask.sweeps.trial import DONE, STOPPED

EVERY = 2.0  # seconds between two looks into the folders of the runs
_ORDER = ("failed", "trains", "done", "stopped", "waits")
_STYLE = {"failed": "red", "trains": "bold", "done": "green", "waits": "dim", "stopped": "dim"}


class SweepProgress(LiveDisplay):
    """Shows how the trials in a sweep's folder go; a context manager."""

    def __init__(self, trials: Sequence[Trial], folder: Path, console: Console | None = None) -> None:
        self._trials, self._folder = trials, folder
        self._console = console or Console(highlight=False)
        self._begin, self._looked = time.time(), 0.0
        self._outcomes: dict[str, str] = {}
        self._rows: dict[str, tuple[str, int, float]] = {trial.name: self._row(trial) for trial in trials}
        super().__init__(self._console, 1)

    def message(self, line: str) -> None:
        """Prints a line that stays."""
        self._console.print(Text(line), soft_wrap=self._live is None)

    def ended(self, name: str, outcome: str) -> None:
        """A trial has ended: shows how, and prints the line where there is no table, or where it failed."""
        self._outcomes[name] = outcome
        trial = next(trial for trial in self._trials if trial.name == name)
        self._rows[name] = state, step, score = self._row(trial)
        if state == "failed":
            self.message(f"failed   {name}: {outcome}\n         {self._folder / LOGS / f'{name}.txt'} has the rest")
        elif self._live is None:
            over = sum(self._rows[one.name][0] in ("done", "failed") for one in self._trials)
            self.message(f"{state:<8} {name}  step {step:,}  score {text.score(score)}  ({over}/{len(self._trials)})")

    def look(self) -> None:
        """Reads how far the runs that train have come; to be called often."""
        if self._live is not None and time.time() - self._looked >= EVERY:
            self._looked = time.time()
            for trial in self._trials:
                if self._rows[trial.name][0] in ("trains", "waits"):
                    self._rows[trial.name] = self._row(trial)

    def _row(self, trial: Trial) -> tuple[str, int, float]:
        """What a trial does, how far it is, and its latest score."""
        run, folder = self._folder / trial.name, RunFolder(self._folder / trial.name)
        log = self._folder / LOGS / f"{trial.name}.txt"
        outcome = self._outcomes.get(trial.name, "")
        if outcome not in ("", DONE, STOPPED):
            state = "failed"
        elif reached(run, trial.config.steps):
            state = "done"
        elif outcome:
            state = "stopped"
        else:
            state = "trains" if log.exists() and log.stat().st_mtime >= self._begin else "waits"
        logged = [line["step"] for line in folder.read_metrics()[-1:]]
        return state, max([0, folder.newest_step, *logged]), score_at(run, trial.config.steps)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> list[RenderableType]:
        counts = Counter(state for state, _, _ in self._rows.values())
        head = "  ".join(f"{counts[state]} {state}" for state in ("done", "trains", "waits", "stopped", "failed"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        table.add_row(*(Text(word, style="dim") for word in ("run", "", "step", "score")))
        ordered = sorted(self._trials, key=lambda trial: _ORDER.index(self._rows[trial.name][0]))
        for trial in ordered[: max(4, (options.height or options.size.height) - 4)]:
            state, step, score = self._rows[trial.name]
            share = f"{text.steps(step)}/{text.steps(trial.config.steps)}"
            table.add_row(trial.name, Text(state, style=_STYLE[state]), share, text.score(score))
        return [Group(Text(head, style="bold", no_wrap=True, overflow="ellipsis"), table)]
