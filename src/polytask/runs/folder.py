"""The folder of a run: its configuration, a lock so that only one training writes into it, and its logs."""

import fcntl
import json
import os
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from polytask.runs import storage

METRICS = "metrics.jsonl"
EVALUATIONS = "evaluations.jsonl"
AFFINITY = "affinity.jsonl"
CONFIG = "config.json"
LOCK = "lock"
CHECKPOINTS = "checkpoints"
PREFIX = "step_"  # of the folder of a checkpoint
GROUPED = "groups"  # the field by which the configuration of a run that joins those of groups differs


def video_file(run: Path, task: str) -> Path:
    """Where the video of a task is: "RUN/videos/metaworld-reach-v3.mp4"."""
    return run / "videos" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', task)}.mp4"


class RunFolderError(storage.StorageError):
    """A run folder cannot be used as asked: in use, of another configuration, not writable, or not a run."""


class RunInUseError(RunFolderError):
    """Another training writes into the folder."""


class RunFolder:
    """A run's folder. Reading needs nothing more; `claim` it (and release it, or use `with`) to train into it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / CONFIG).exists()

    @property
    def newest_step(self) -> int:
        """The step of the newest checkpoint, intact or not; -1 where there is none."""
        found = (self.path / CHECKPOINTS).glob(f"{PREFIX}*")
        return max((int(path.name.removeprefix(PREFIX)) for path in found), default=-1)

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run; raises RunFolderError if there is none or it is not valid JSON."""
        file = self.path / CONFIG
        try:
            return json.loads(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunFolderError(f"{self.path} is not a run folder: it has no {CONFIG}") from error
        except ValueError as error:
            raise RunFolderError(f"{file} is not valid JSON ({error}); restore it, or start a new run") from error

    def claim(
        self,
        config: Mapping[str, Any],
        may_change: Collection[str] = (),
        complete: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    ) -> bool:
        """Creates or opens the folder for a training with `config`; returns whether a run already existed there.

        `may_change` names the fields, dotted ("agent.kind"), that may differ from the existing run's; a name also
        covers what lies below it. `complete` gives the existing configuration the fields that came to be after it was
        written, with their defaults. The configuration on disk is then replaced by `config`.

        Raises RunFolderError if another training holds the folder, if it holds a run of another configuration (the
        message lists the fields and both values), if it holds files but no run, or if it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.exists:
                self._refuse_foreign()
            self._acquire()
            existed = self.exists
            if existed:
                self._refuse_other(config, may_change, complete)
            storage.replace(self.path / CONFIG, json.dumps(config, indent=2).encode())
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                raise RunFolderError(f"cannot use the run folder: {storage.reason(error, self.path, 0)}") from error
            raise
        return existed

    def release(self) -> None:
        """Gives up the lock; the folder stays."""
        if self._lock in _held:
            os.close(self._lock)
            _held.discard(self._lock)
        self._lock = None

    def truncate_jsonl(self, step: int) -> None:
        """Drops the lines of the logs that were written after environment step `step`, to go on from there.

        With -1 everything goes. A last line torn by a kill goes too.
        Raises RunFolderError if a log cannot be read or written.
        """
        for name in (METRICS, EVALUATIONS, AFFINITY):
            file = self.path / name
            if file.exists():
                kept = [line for line in read_jsonl(file) if line.get("step", 0) <= step]
                try:
                    write_jsonl(file, kept)
                except OSError as error:
                    raise RunFolderError(storage.reason(error, self.path, file.stat().st_size)) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, without one that is torn; empty if there are none yet."""
        return read_jsonl(self.path / METRICS)

    def read_evaluations(self) -> list[dict[str, Any]]:
        """The lines of evaluations.jsonl, without one that is torn; empty if there are none yet."""
        return read_jsonl(self.path / EVALUATIONS)

    def _acquire(self) -> None:
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise RunInUseError(
                f"another training (process {holder}) is writing into {self.path}; "
                f"wait for it, stop it, or choose another folder with --run"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        _held.add(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _refuse_other(
        self,
        config: Mapping[str, Any],
        may_change: Collection[str],
        complete: Callable[[dict[str, Any]], Mapping[str, Any]],
    ) -> None:
        saved, asked = (_flat(json.loads(json.dumps(c))) for c in (complete(self.read_config()), config))
        differing = [
            f"{name}: {_shown(saved, name)} in the run, {_shown(asked, name)} now"
            for name in [*saved, *(name for name in asked if name not in saved)]
            if _shown(saved, name) != _shown(asked, name)
            and not any(name == free or name.startswith(f"{free}.") for free in may_change)
        ]
        if differing:
            more = f"\n  and {len(differing) - 8} more" if len(differing) > 8 else ""
            raise RunFolderError(
                f"{self.path} holds a run of another configuration:\n  "
                + "\n  ".join(differing[:8])
                + more
                + "\nChoose another folder with --run, or go on with the run's own configuration: "
                f"polytask resume {self.path}"
            )

    def _refuse_foreign(self) -> None:
        foreign = [p.name for p in self.path.iterdir() if p.name != LOCK and not p.name.startswith(storage.TEMPORARY)]
        if foreign:
            raise RunFolderError(
                f"{self.path} holds files ({', '.join(sorted(foreign)[:3])}) but no run; name a new or empty folder"
            )


def write_jsonl(file: Path, records: Iterable[dict[str, Any]]) -> None:
    """A file of one JSON object per line, replaced as a whole. Raises OSError."""
    storage.replace(file, "".join(json.dumps(record) + "\n" for record in records).encode())


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; one that does not exist is empty, a torn last line (a kill) is left out.

    Raises RunFolderError, with the line's number, if another line is not a JSON object.
    """
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    objects = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if number == len(lines):
                break
            raise RunFolderError(f"{file}, line {number} is damaged ({error}); remove that line") from error
        objects.append(value)
    return objects


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested configuration as dotted names; lists of objects are followed, other lists are values."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = ((str(index), item) for index, item in enumerate(value))
    else:
        return {name: value}
    return {key: leaf for part, item in items for key, leaf in _flat(item, f"{name}.{part}" if name else part).items()}


def _shown(flat: Mapping[str, Any], name: str) -> str:
    return json.dumps(flat[name]) if name in flat else "not set"


_held: set[int] = set()


def _close_in_child() -> None:
    """A forked worker that outlives a killed training would otherwise keep the lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
