"""What one run of a sweep does, in a process of its own."""

import contextlib
import fcntl
import os
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from polytask.machine import keep_freed_memory
from polytask.runs.folder import RunInUseError
from polytask.training.config import RunConfig

DONE, STOPPED = "done", "stopped"
PATIENCE = 30.0
"""In seconds: how long the process of a sweep that was killed may take to give up a run."""


def train_trial(config: RunConfig, run: Path, log: Path, count: int) -> str:
    """Trains in the folder `run` on `count` cores, from its newest checkpoint if it has one; prints into `log`.

    Returns `DONE`, `STOPPED` after being asked to stop, or what went wrong.
    """
    keep_freed_memory()
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file), reserved(count):
        try:
            from polytask.runs.compilation import keep_compiled
            from polytask.training.start import train

            keep_compiled()
            begin = time.monotonic()
            while True:
                try:
                    return DONE if train(config, run) else STOPPED
                except RunInUseError:
                    if time.monotonic() - begin > PATIENCE:
                        raise
                    time.sleep(0.5)
        except KeyboardInterrupt:
            return STOPPED
        except Exception as error:
            traceback.print_exc()
            return "; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])])


@contextlib.contextmanager
def reserved(count: int) -> Iterator[None]:
    """Takes `count` cores for this process: such as no other run of a sweep has, while there are.

    So the runs do not crowd each other, and what one learns does not depend on how many run beside it. Where the system
    cannot say so, or has fewer cores, nothing is done.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with contextlib.ExitStack() as stack:
        if len(allowed) > count:
            mine: list[int] = []
            for core in allowed:
                if len(mine) < count and _locked(core, stack):
                    mine.append(core)
            os.sched_setaffinity(0, (mine + [core for core in allowed if core not in mine])[:count])
            stack.callback(os.sched_setaffinity, 0, allowed)
        yield


def _locked(core: int, stack: contextlib.ExitStack) -> bool:
    """Whether this core is now this process's; the system gives it back when the process ends."""
    folder = Path(tempfile.gettempdir()) / f"polytask-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / str(core)).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    stack.enter_context(file)
    return True
