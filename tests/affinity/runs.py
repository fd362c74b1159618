"""Run folders with affinity in them, as a trainer writes them."""

import numpy as np

from polytask.affinity.averages import Averages
from polytask.runs.affinity_log import AffinityLog


def matrix(tasks: int, seed: int = 0) -> np.ndarray:
    """Three clusters of tasks that help each other, and hurt the others."""
    cluster = np.arange(tasks) % 3
    return np.where(cluster[:, None] == cluster[None], 0.004, -0.002) + np.random.default_rng(seed).normal(
        0, 5e-4, (tasks, tasks)
    )


def write_affinity(run, tasks, periods=6, parts=("critic",), effect="transference", seed=0):
    """affinity.jsonl with an effect, cosines and conflicts in periods of 1,000 steps, 20 measurements each."""
    run.mkdir(parents=True, exist_ok=True)
    count, rng = len(tasks), np.random.default_rng(seed)
    times = np.full((count, count), 20, np.int32)

    def averages(mean, spread):
        noisy = mean + rng.normal(0, spread / 20**0.5, mean.shape)
        return Averages(times, noisy.astype(np.float32), np.full((count, count), 19 * spread**2, np.float32))

    base = matrix(count)
    with AffinityLog(run) as log:
        for part in parts:
            for p in range(periods):
                measured = {
                    effect: averages(base, 1e-3),
                    "cosine": averages(base * 100, 0.1),
                    "conflict": averages(0.5 - base * 50, 0.05),
                }
                log.period((1000 * p, 1000 * (p + 1)), measured, tasks, part)
    return run
