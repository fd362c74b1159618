"""affinity.jsonl of a run folder: what tasks did to each other, one line per period, measure and part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from polytask.affinity import record
from polytask.affinity.record import Record
from polytask.runs.folder import AFFINITY, RunFolderError, read_jsonl, write_jsonl
from polytask.runs.loggers import append


class AffinityLog:
    """Appends periods to affinity.jsonl; a context manager. What was written survives a kill.

    Raises StorageError, saying what to do, if a line cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self._file = (run / AFFINITY).open("ab", buffering=0)

    def __enter__(self) -> "AffinityLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def period(
        self, period: tuple[int, int], averages: Mapping[str, Any], tasks: Sequence[str], part: str = "model"
    ) -> None:
        """Writes the averages (`polytask.affinity.averages.Averages` by measure) of the steps `period`, at its end."""
        for measure, running in averages.items():
            line = record.from_averages(running, period[1], period, measure, tasks, part)
            if line.count.any():
                append(self._file, record.to_line(line))

    def stopped_early(self, step: int, until: int) -> None:
        """Notes, at `step`, that the model is that of step `until`: readers average up to there."""
        append(self._file, {"step": step, "until": until})

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def reopen(run: Path) -> None:
    """Drops what was noted of early stopping, since training goes on. Raises RunFolderError for a damaged file."""
    file = run / AFFINITY
    lines = read_jsonl(file)
    kept = [line for line in lines if "until" not in line]
    if len(kept) < len(lines):
        write_jsonl(file, kept)


def read_affinity(run: Path) -> tuple[list[Record], int | None, list[int]]:
    """The records of a run, the step of early stopping if one is noted, and the numbers of lines that are damaged.

    Raises RunFolderError if nothing was recorded.
    """
    file = run / AFFINITY
    if not file.exists():
        why = "it holds no measurements of affinity" if run.is_dir() else "there is no such folder"
        raise RunFolderError(f"{run} has no {AFFINITY}: {why}; train with affinity recorded")
    records, until, damaged = record.parse(file.read_text(encoding="utf-8", errors="replace").splitlines())
    if not records:
        raise RunFolderError(f"{file} holds no record yet; wait for the first period to end")
    return records, until, damaged
