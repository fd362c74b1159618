"""From a configuration to an agent."""

from polytask.agents.base import Agent
from polytask.agents.brc import BRC
from polytask.agents.config import AgentConfig, BRCConfig
from polytask.agents.sac import SAC
from polytask.tasks.spec import TaskSet


def make_agent(config: AgentConfig, tasks: TaskSet) -> Agent:
    """The agent that `config` describes, for these tasks."""
    return BRC(config, tasks) if isinstance(config, BRCConfig) else SAC(config, tasks)
