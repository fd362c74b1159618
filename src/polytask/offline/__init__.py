"""Training from logged data: agents that learn from sets of transitions, without a simulator.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.offline.config import OfflineConfig as OfflineConfig

_HOME = {"OfflineConfig": "config"}

__getattr__, __dir__ = exports(__name__, _HOME)
