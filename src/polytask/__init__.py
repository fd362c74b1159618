"""polytask: one model, many tasks.

The names below are imported when they are first used, so that `import polytask` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.agents.config import BRCConfig as BRCConfig
    from polytask.agents.config import SACConfig as SACConfig
    from polytask.agents.factory import make_agent as make_agent
    from polytask.online.config import TrainConfig as TrainConfig
    from polytask.policies.policy import Policy as Policy
    from polytask.report.frame import results as results
    from polytask.report.pictures import figures as figures
    from polytask.tasks.options import TaskOptions as TaskOptions
    from polytask.tasks.registry import resolve as resolve
    from polytask.tasks.spec import TaskSet as TaskSet
    from polytask.tasks.spec import TaskSpec as TaskSpec
    from polytask.training.kinds import load as load
    from polytask.training.start import train as train

    __version__: str

_HOME = {
    "BRCConfig": "agents.config",
    "SACConfig": "agents.config",
    "make_agent": "agents.factory",
    "Policy": "policies.policy",
    "results": "report.frame",
    "figures": "report.pictures",
    "load": "training.kinds",
    "TrainConfig": "online.config",
    "train": "training.start",
    "TaskOptions": "tasks.options",
    "resolve": "tasks.registry",
    "TaskSet": "tasks.spec",
    "TaskSpec": "tasks.spec",
}


_get, _names = exports(__name__, _HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("polytask")
    return _get(name)


def __dir__() -> list[str]:
    return sorted([*_names(), "__version__"])
