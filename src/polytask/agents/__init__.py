"""Agents: one file or package each, with a frozen config, `init`, `update`, `diagnose` and `values`.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from polytask.lazy import exports

if TYPE_CHECKING:
    from polytask.agents.base import Agent as Agent
    from polytask.agents.base import Algorithm as Algorithm
    from polytask.agents.base import TaskFacts as TaskFacts
    from polytask.agents.config import BRCConfig as BRCConfig
    from polytask.agents.config import DQNConfig as DQNConfig
    from polytask.agents.config import SACConfig as SACConfig
    from polytask.agents.factory import make_agent as make_agent
    from polytask.agents.registry import AGENTS as AGENTS
    from polytask.agents.registry import AgentKind as AgentKind

_HOME = {
    "Agent": "base",
    "Algorithm": "base",
    "TaskFacts": "base",
    "BRCConfig": "config",
    "DQNConfig": "config",
    "SACConfig": "config",
    "make_agent": "factory",
    "AGENTS": "registry",
    "AgentKind": "registry",
}

__getattr__, __dir__ = exports(__name__, _HOME)
