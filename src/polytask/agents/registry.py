"""Which kinds of agents there are: polytask's, and those that other packages offer by entry points. Light to import."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from polytask.agents.config import BRCConfig, DQNConfig, SACConfig
from polytask.agents.offline_config import BCQConfig, BRCBCConfig, FromDataConfig, IQLConfig, TD3BCConfig
from polytask.plugins import Table

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from polytask.agents.base import Agent
    from polytask.tasks.spec import TaskSet


class AgentKind(NamedTuple):
    """A kind of agent.

    - `config`: its hyperparameters, a frozen dataclass that can be made without arguments, whose `kind` is the name
      under which the kind is registered; see `polytask.agents.config.AgentConfig` for what else it has.
    - `make(config, tasks, mesh)`: the agent, on one device or on those of a mesh. Raises ValueError for what cannot be.
    - `from_data`: it learns from logged data alone (`polytask train data:FILE`) and does not explore.
    """

    config: type[Any]
    make: "Callable[[Any, TaskSet, Mesh | None], Agent]"
    from_data: bool = False


AGENTS: Table[AgentKind] = Table(
    what="agent",
    group="polytask.agents",
    built_in={
        name: f"polytask.agents.registry:{name.upper().replace('-', '_')}"
        for name in ("brc", "sac", "dqn", "td3-bc", "iql", "bcq", "brc-bc")
    },
    type=AgentKind,
)
"""The kinds by name; another package's entry is NAME = "module:attribute", of an `AgentKind`."""


def config_class(content: Mapping[str, Any]) -> type[Any]:
    """The class of an agent's configuration, by its saved content. Raises ValueError for a kind that is not known."""
    return AGENTS[content["kind"]].config


def agent_config(kind: str, **values: Any) -> Any:
    """The configuration of an agent of that kind, with these values in the place of its defaults.

    Raises ValueError for an unknown kind, with the nearest names, and for values that cannot be; ImportError for a kind
    of another package that cannot be had.
    """
    config = AGENTS[kind].config(**values)
    if config.kind != kind:
        raise ImportError(f"the agent '{kind}' is configured as '{config.kind}'; both names must be the same")
    return config


CONDITIONED = "take --agent.conditioning one-hot, or one-hot-multi-head for heads of the tasks' own as well"


def _told_apart(config: BRCConfig | SACConfig | FromDataConfig, tasks: "TaskSet") -> bool:
    return len(tasks) == 1 or config.conditioning not in ("multi-head", "none")


def _brc(config: BRCConfig, tasks: "TaskSet", mesh: "Mesh | None") -> "Agent":
    from polytask.agents import brc
    from polytask.agents.base import Agent
    from polytask.agents.combining import make_combiners
    from polytask.networks import ENCODERS, check_trunk

    check_trunk(config.trunk, told_apart=_told_apart(config, tasks), instead=CONDITIONED)
    ENCODERS.check(config.encoder, "--agent.encoder")
    combiners = make_combiners(config)
    if combiners.actor and tasks.choices > 1:
        choosing = next(spec.name for spec in tasks if spec.choices > 1)
        raise ValueError(
            f"--agent.actor-combiner {config.actor_combiner} takes an actor's gradient of each task, and '{choosing}' "
            f"chooses without one: give it to the critic only (--agent.critic-combiner {config.actor_combiner})"
        )
    return Agent(brc.ALGORITHM, config, tasks, mesh)


def _sac(config: SACConfig, tasks: "TaskSet", mesh: "Mesh | None") -> "Agent":
    from polytask.agents import sac
    from polytask.agents.base import Agent
    from polytask.networks import check_trunk

    check_trunk(config.trunk, told_apart=_told_apart(config, tasks), instead=CONDITIONED)
    return Agent(sac.ALGORITHM, config, tasks, mesh)


def _dqn(config: DQNConfig, tasks: "TaskSet", mesh: "Mesh | None") -> "Agent":
    from polytask.agents import dqn
    from polytask.agents.base import Agent
    from polytask.networks import ENCODERS, check_trunk

    instead = "'dqn' has a head for each task only; take --agent.kind brc"
    check_trunk(config.trunk, told_apart=len(tasks) == 1, instead=instead)
    ENCODERS.check(config.encoder, "--agent.encoder")
    acting = [spec.name for spec in tasks if spec.choices == 1]
    if acting:
        raise ValueError(f"'dqn' chooses, and '{acting[0]}' acts continuously: take --agent.kind brc, which does both")
    return Agent(dqn.ALGORITHM, config, tasks, mesh)


def _from_data(config: Any, tasks: "TaskSet", mesh: "Mesh | None") -> "Agent":
    """One of the agents that learn from data, each a module of its own."""
    import importlib

    from polytask.agents.base import Agent
    from polytask.networks import check_trunk

    check_trunk(config.trunk, told_apart=_told_apart(config, tasks), instead=CONDITIONED)
    module = importlib.import_module(f"polytask.agents.{config.kind.replace('-', '_')}")
    return Agent(module.ALGORITHM, config, tasks, mesh)


BRC = AgentKind(BRCConfig, _brc)
SAC = AgentKind(SACConfig, _sac)
DQN = AgentKind(DQNConfig, _dqn)
TD3_BC = AgentKind(TD3BCConfig, _from_data, from_data=True)
IQL = AgentKind(IQLConfig, _from_data, from_data=True)
BCQ = AgentKind(BCQConfig, _from_data, from_data=True)
BRC_BC = AgentKind(BRCBCConfig, _from_data, from_data=True)
