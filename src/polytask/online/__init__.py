"""Online training: agents that act in simulators.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.online.config import TrainConfig as TrainConfig
    from polytask.online.config import preset as preset

_HOME = {
    "TrainConfig": "config",
    "preset": "config",
}

__getattr__, __dir__ = exports(__name__, _HOME)
