"""From a configuration to an agent."""

from polytask.agents import brc, sac
from polytask.agents.base import Agent
from polytask.agents.combining import make_combiners
from polytask.agents.config import AgentConfig, BRCConfig
from polytask.agents.mesh import make_mesh
from polytask.tasks.spec import TaskSet

METHODS = {"brc": brc.METHOD, "sac": sac.METHOD}


def make_agent(config: AgentConfig, tasks: TaskSet, mesh: str = "") -> Agent:
    """The agent that `config` describes, for these tasks; on several devices with a mesh such as "data=4,model=2".

    Raises ValueError for combiners that cannot serve it, and for a mesh that it does not fit on.
    """
    if isinstance(config, BRCConfig):
        make_combiners(config)
    return Agent(METHODS[config.kind], config, tasks, make_mesh(mesh))
