"""What the replay takes, and how fast it is drawn from: in memory, on disk, and as five arrays.

    python benchmarks/memory.py --tasks 50 --steps 20000      # half a minute; a million steps of 50 tasks take 9 GB

The replay is filled with Meta-World's sizes (39 observations, 4 actions, episodes of 200 steps). "five arrays" is the
layout of most replays, the official BRC code's among them: observations and their successors apart.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from polytask.replay import Replay

OBSERVATION, ACTION, HORIZON = 39, 4, 200
BATCHES, BATCH = 2, 256


def resident() -> int:
    """Bytes of memory that this process has to itself, without what it maps from files."""
    status = psutil.Process().memory_info()
    return status.rss - status.shared


def fill(replay: Replay, steps: int) -> None:
    """Random transitions; every episode is cut off at the horizon."""
    draws = np.random.default_rng(0)
    tasks, no = replay.tasks, np.zeros(replay.tasks, bool)
    observations = draws.normal(size=(HORIZON + 1, tasks, OBSERVATION)).astype(np.float32)
    actions = draws.uniform(-1, 1, (HORIZON, tasks, ACTION)).astype(np.float32)
    rewards = draws.normal(size=(HORIZON, tasks)).astype(np.float32)
    for step in range(steps):
        t = step % HORIZON
        ended = np.full(tasks, t == HORIZON - 1)
        replay.insert(observations[t], actions[t], rewards[t], no, ended, observations[t + 1], ~no)


def five_arrays(replay: Replay) -> Callable[[np.random.Generator], object]:
    """Draws as many transitions from five arrays of as many rows."""
    rows = len(replay.rows)
    arrays = [
        np.ones(shape, np.float32)
        for shape in ((rows, OBSERVATION), (rows, ACTION), (rows,), (rows,), (rows, OBSERVATION))
    ]

    def draw(generator: np.random.Generator) -> object:
        index = generator.integers(rows, size=(BATCHES, BATCH))
        return [array[index] for array in arrays], index // replay.ring

    return draw


def milliseconds(draw: Callable[[np.random.Generator], object]) -> list[float]:
    """CPU time of each of some blocks of draws, per draw."""
    generator, times = np.random.default_rng(0), []
    for _ in range(30):
        begin = time.thread_time()
        for _ in range(20):
            draw(generator)
        times.append((time.thread_time() - begin) / 20 * 1e3)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the replay.")
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps per task")
    arguments = parser.parse_args()

    replays, taken = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, file in (("memory", None), ("disk", Path(folder))):
            before = resident()
            # As large as needed by then: the last episode's observation has a slot as well.
            capacity = arguments.steps + arguments.steps // HORIZON + 1
            replays[name] = Replay(arguments.tasks, OBSERVATION, ACTION, capacity, file)
            fill(replays[name], arguments.steps)
            taken[name] = resident() - before
        draws: dict[str, Callable[[np.random.Generator], object]] = {
            name: lambda generator, replay=replay: replay.sample(BATCHES, BATCH, generator)
            for name, replay in replays.items()
        }
        draws["five arrays"] = five_arrays(replays["memory"])
        times = {name: milliseconds(draw) for name, draw in draws.items()}

    count = replays["memory"].transitions
    full = 50 * 10**6 / count / 1e9
    print(f"{count:,} transitions of {arguments.tasks} tasks; {BATCHES} batches of {BATCH} are drawn\n")
    print("| replay | memory, bytes per transition | of MT50, a million each, GB | CPU ms per draw, median | minimum |")
    print("|---|---|---|---|---|")
    for name, values in times.items():
        bytes_each = (2 * OBSERVATION + ACTION + 2) * 4 if name == "five arrays" else taken[name] / count
        memory = f"{bytes_each:.1f} | {bytes_each * count * full:.2f}"
        print(f"| {name} | {memory} | {statistics.median(values):.3f} | {min(values):.3f} |")


if __name__ == "__main__":
    main()
