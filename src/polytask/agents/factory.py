"""From a configuration to an agent."""

import functools

from polytask.agents.base import Agent
from polytask.agents.config import AgentConfig
from polytask.agents.mesh import make_mesh
from polytask.agents.registry import AGENTS
from polytask.tasks.spec import TaskSet


@functools.lru_cache(maxsize=8)
def make_agent(config: AgentConfig, tasks: TaskSet, mesh: str = "") -> Agent:
    """The agent that `config` describes, for these tasks; on several devices with a mesh such as "data=4,model=2".

    An agent has no state, so all of one configuration and tasks are one, and what it compiled serves them all.

    Raises ValueError for a kind, a trunk or combiners that cannot serve it, for tasks that it cannot learn, and for a
    mesh that it does not fit on.
    """
    return AGENTS[config.kind].make(config, tasks, make_mesh(mesh))
