"""Turns a TaskSet into batched transitions: EnvPool, worker processes, Ray or one after another, under one contract."""

from typing import Literal

from polytask.stepping.base import Engine, Stepper, StepResult, TaskFailure
from polytask.tasks.spec import TaskSet, TaskSpec
from polytask.tasks.suites import suite_of

__all__ = ["StepResult", "Stepper", "TaskFailure", "make_stepper"]


def _build(kind: str, tasks: dict[int, TaskSpec]) -> Engine:
    if kind == "envpool":
        from polytask.stepping.envpool import EnvPoolEngine

        return EnvPoolEngine(tasks)
    for spec in tasks.values():
        suite_of(spec).require(spec.name)
    if kind == "process":
        from polytask.stepping.process import ProcessEngine

        return ProcessEngine(tasks)
    if kind == "ray":
        from polytask.stepping.remote import RayEngine

        return RayEngine(tasks)
    from polytask.stepping.serial import SerialEngine

    return SerialEngine(tasks)


EngineName = Literal["auto", "envpool", "process", "serial", "ray"]


def make_stepper(tasks: TaskSet, engine: EngineName = "auto", *, goal_seed: int) -> Stepper:
    """A Stepper of all tasks, which takes its first step after `reset(seed)`.

    "auto" steps each task on the engine that its TaskSpec names, which may differ from task to task. `goal_seed` picks
    the goals of tasks whose goals are "fixed": the same for training and evaluation of a run.

    Raises:
        ModuleNotFoundError: a task needs a package that is not installed; says how to install it.
        ValueError: "envpool" was asked for, and EnvPool cannot step one of the tasks.
    """
    from polytask.stepping.stepper import EngineStepper

    kinds: dict[str, dict[int, TaskSpec]] = {}
    for row, spec in enumerate(tasks):
        kinds.setdefault(spec.engine if engine == "auto" else engine, {})[row] = spec
    return EngineStepper(tasks, [_build(kind, members) for kind, members in kinds.items()], goal_seed)
