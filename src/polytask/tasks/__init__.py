"""What a task is: TaskSpec, TaskSet, the suites, and the registry of names."""

from polytask.tasks.options import TaskOptions
from polytask.tasks.registry import catalogue, make_env, named_sets, resolve
from polytask.tasks.spec import TaskSet, TaskSpec, UnknownTaskError

__all__ = [
    "TaskOptions",
    "TaskSet",
    "TaskSpec",
    "UnknownTaskError",
    "catalogue",
    "make_env",
    "named_sets",
    "resolve",
]
