"""Runs of a sweep as tasks of Ray."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from polytask.sweeps.trial import STOPPED, train_trial
from polytask.training.config import RunConfig

RETRIES = 3
"""How often a run begins again whose process or machine died; it goes on from its newest checkpoint."""


class Job(NamedTuple):
    """A run to train: its name in the sweep, its configuration, its folder, and the file that it prints into."""

    name: str
    config: RunConfig
    run: Path
    log: Path


Launch = Callable[[Sequence[Job], Callable[[], bool]], Iterator[tuple[Job, str]]]
"""Trains jobs, and gives each with what came of it, as `train_trial` says, when it ends. The second argument is called
about once a second; true where the jobs should stop, each with a checkpoint."""


def on_ray(ray: ModuleType, cpus: int, gpus: int) -> Launch:
    """Each job is a task of Ray with so many cores and GPUs, in a process of its own."""
    # One process for each run: JAX takes its cores once, and a run's memory goes with it.
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=1)(train_trial)

    def launch(jobs: Sequence[Job], tick: Callable[[], bool]) -> Iterator[tuple[Job, str]]:
        waiting = {task.remote(job.config, job.run, job.log, cpus): job for job in jobs}
        asked = False
        while waiting:
            ended, _ = ray.wait(list(waiting), timeout=1.0)
            for reference in ended:
                yield waiting.pop(reference), _outcome(ray, reference)
            if tick() and not asked:
                asked = True
                for reference in waiting:
                    ray.cancel(reference)

    return launch


def _outcome(ray: ModuleType, reference: object) -> str:
    try:
        return ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return STOPPED
    except ray.exceptions.RayError as error:
        return f"its process died: {str(error).strip().splitlines()[0]}"
