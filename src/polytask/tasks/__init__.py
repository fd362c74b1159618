"""What a task is: TaskSpec, TaskSet, the suites, and the registry of names."""

from typing import TYPE_CHECKING, Any

from polytask.tasks.options import TaskOptions
from polytask.tasks.registry import catalogue, make_env, named_sets, resolve
from polytask.tasks.spaces import Box, Choices, Image, Named, Vector
from polytask.tasks.spec import TaskSet, TaskSpec, UnknownTaskError
from polytask.tasks.suite import EnvPoolTask, Suite

if TYPE_CHECKING:
    from polytask.tasks.old_gym import OldGym as OldGym
    from polytask.tasks.probe import spec_of as spec_of

__all__ = [
    "Box",
    "Choices",
    "EnvPoolTask",
    "Image",
    "Named",
    "OldGym",
    "Suite",
    "TaskOptions",
    "TaskSet",
    "TaskSpec",
    "UnknownTaskError",
    "Vector",
    "catalogue",
    "make_env",
    "named_sets",
    "resolve",
    "spec_of",
]

# These import Gymnasium, which naming tasks can do without.
_LATER = {"OldGym": "polytask.tasks.old_gym", "spec_of": "polytask.tasks.probe"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'polytask.tasks' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)
