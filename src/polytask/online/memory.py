"""Whether the replay that a run will fill fits into memory and onto the disk, asked before it starts."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

from polytask.online.config import TrainConfig
from polytask.replay.buffer import slot_bytes
from polytask.runs import segments, storage
from polytask.runs.memory import available_memory
from polytask.tasks.spaces import images
from polytask.tasks.spec import TaskSet

OTHERS = 3 * 2**29  # bytes of memory for what is not replay: JAX and its programs, the agent, the simulators


def needs(config: TrainConfig, tasks: TaskSet) -> tuple[int, int]:
    """Bytes of memory and of disk that the replay takes at the end of the run.

    A run claims only what its steps fill: one slot each, and one at the end of an episode. On the disk the checkpoints
    hold every transition as well. Episodes are taken to last for their horizon.
    """
    slots = [min(config.replay_capacity, config.steps + config.steps // spec.horizon + 2) for spec in tasks]
    sizes = (slot_bytes(tasks.observation_dim, tasks.action_width, images(spec.observation)) for spec in tasks)
    filled, whole = sum(slots), sum(n * size for n, size in zip(slots, sizes, strict=True))
    saved = whole + 4 * filled
    return (whole, saved) if config.replay_storage == "memory" else (filled, saved + whole - filled)


def check_memory(config: TrainConfig, tasks: TaskSet, run: Path) -> None:
    """Raises ValueError, with what would fit, if the replay will not fit into memory or onto the disk of `run`."""
    free = shutil.disk_usage(storage.existing(run)).free
    free += sum(path.stat().st_size for path in segments.folder(run).glob("*.npz"))
    memory = available_memory()
    memory = max(memory - OTHERS, memory // 2)
    problems = [
        f"{storage.size(needed)} of {what} and {storage.size(there)} are there for it"
        for needed, there, what in zip(needs(config, tasks), (memory, free), ("memory", "disk"), strict=True)
        if needed > there
    ]
    if not problems:
        return
    fitting = ", ".join(_fitting(config, tasks, memory, free)) or "a smaller --replay-capacity or fewer --steps"
    raise ValueError(f"the replay would take {' and '.join(problems)}. What fits: {fitting}")


def _fitting(config: TrainConfig, tasks: TaskSet, memory: int, free: int) -> Iterator[str]:
    """Flags with which the run fits, as they are typed."""

    def fits(**changes: object) -> bool:
        needed, disk = needs(dataclasses.replace(config, **changes), tasks)
        return needed <= memory and disk <= free

    if config.replay_storage == "memory" and fits(replay_storage="disk"):
        yield "--replay-storage disk"
    capacity = config.replay_capacity
    for digits in range(1, 12):
        smaller = int(float(f"{capacity * 0.8**digits:.1e}"))
        if smaller >= 1000 and fits(replay_capacity=smaller):
            yield f"--replay-capacity {smaller}"
            return
