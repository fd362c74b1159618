"""One training over several processes, on one machine or several: JAX's distributed runtime."""

import atexit
import dataclasses
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

ADDRESS = "JAX_COORDINATOR_ADDRESS"


class HostLostError(RuntimeError):
    """Another process of this training has gone, and nothing can be computed any more."""


@dataclasses.dataclass
class _Here:
    """Which process this is, and of how many."""

    index: int = 0
    count: int = 1


_here = _Here()
_scratch: list[Path] = []


def several() -> bool:
    """Whether this training has more than one process."""
    return _here.count > 1


def first() -> bool:
    """Whether this is the process that writes the run folder and talks to a person; true of one alone."""
    return _here.index == 0


def _join() -> None:
    """Becomes one process of several, where JAX_COORDINATOR_ADDRESS names the first; to be called before JAX computes.

    JAX_NUM_PROCESSES and JAX_PROCESS_ID say which of how many; under SLURM, Open MPI or on TPUs JAX finds them itself.
    Returns where there is no such address, or this has been done. Raises ValueError where JAX does not find them.
    """
    address = os.environ.get(ADDRESS)
    if not address or several():
        return
    import jax

    count, index = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    jax.distributed.initialize(
        address,
        int(count) if count else None,
        int(index) if index else None,
        # JAX would listen on every interface.
        coordinator_bind_address=os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", address),
    )
    _here.index, _here.count = jax.process_index(), jax.process_count()
    if not first():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # one process tells how it goes


def places(config: Any, runs: Mapping[int, Path]) -> dict[int, Path]:
    """Where this process trains: the first in the run folders, each other in copies that go when it ends.

    So each can hold its replay where the configuration says, and one alone writes what others read. Joins the other
    processes where the configuration has a mesh and there are some.
    """
    if getattr(config, "mesh", ""):
        _join()
    if not several():
        return dict(runs)
    found = dict(runs)
    if not first():
        scratch = Path(tempfile.mkdtemp(prefix="polytask-host-"))
        _scratch.append(scratch)
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        found = {seed: scratch / str(seed) for seed in runs}
        for seed, run in runs.items():
            if run.exists():
                shutil.copytree(run, found[seed], ignore=shutil.ignore_patterns("lock", "tensorboard"))
    same("the folders to train in", len(runs))  # and the first one waits until the others have their copies
    return found


def lost(error: Exception) -> bool:
    """Whether an error is of XLA, which names a status first, in a training of several processes: one has gone."""
    return several() and re.match(r"[A-Z_]{5,}: ", str(error)) is not None


def leave(reason: str) -> NoReturn:
    """Says why, and ends this process at once: an orderly end would wait for the process that is lost."""
    print(f"error: {reason}", file=sys.stderr, flush=True)
    for folder in _scratch:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def any_of(flag: bool) -> bool:
    """Whether a flag is set in any process; all have to ask."""
    if not several():
        return flag
    return bool(_gathered(int(flag)).any())


def same(what: str, value: int) -> None:
    """Raises RuntimeError where a number differs between the processes; all have to ask."""
    if several() and len(set(_gathered(value).tolist())) > 1:
        raise RuntimeError(
            f"the processes of this training disagree about {what}: "
            "they need the same run folder, the same versions and the same kind of processor"
        )


def _gathered(value: int):
    import numpy as np
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(np.array(value, np.int32)))
