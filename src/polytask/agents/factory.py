"""From a configuration to an agent."""

from polytask.agents import brc, sac
from polytask.agents.base import Agent
from polytask.agents.config import AgentConfig
from polytask.tasks.spec import TaskSet

METHODS = {"brc": brc.METHOD, "sac": sac.METHOD}


def make_agent(config: AgentConfig, tasks: TaskSet) -> Agent:
    """The agent that `config` describes, for these tasks."""
    return Agent(METHODS[config.kind], config, tasks)
