"""Kinds of agents and trunks by name: polytask's, and those of other packages."""

import dataclasses
import json

import jax
import pytest

from polytask.agents.config import AgentConfig, BRCConfig, DQNConfig, SACConfig
from polytask.agents.factory import make_agent
from polytask.agents.registry import AGENTS, agent_config
from polytask.training.config import content_of
from polytask.training.kinds import config_of
from tests.agents.cases import BRC, SAC, TASKS
from tests.small import EVERY, POINT, asked, command

BUILT_IN = ("brc", "sac", "dqn", "td3-bc", "iql", "bcq", "brc-bc")
TOY = """
import dataclasses
from polytask.agents import sac
from polytask.agents.base import Agent
from polytask.agents.config import SACConfig
from polytask.agents.registry import AgentKind

@dataclasses.dataclass(frozen=True)
class ToyConfig(SACConfig):
    kind: str = "toy"
    spice: int = 3

def make(config, tasks, mesh):
    if config.spice > 9:
        raise ValueError("too much --agent.spice")
    return Agent(sac.ALGORITHM, config, tasks, mesh)

TOY = AgentKind(ToyConfig, make)
"""


@pytest.fixture
def toy(install):
    install("toy_agent", TOY, "polytask.agents", "toy = toy_agent:TOY")


def test_the_built_in_kinds_have_their_configurations():
    assert AGENTS.names() == BUILT_IN
    for kind, config in (("brc", BRCConfig), ("sac", SACConfig), ("dqn", DQNConfig)):
        assert type(agent_config(kind)) is config
        assert isinstance(agent_config(kind), AgentConfig)


def test_another_package_s_agent_has_its_own_configuration_everywhere(toy):
    config, run = asked(POINT, "--agent.kind", "toy", "--agent.spice", "5")
    assert (type(config.agent).__name__, config.agent.spice, config.agent.width) == ("ToyConfig", 5, 256)
    assert "toy" in run.name
    again = config_of(json.loads(json.dumps(content_of("online", config, {"specs": []}))))
    assert again.agent == config.agent
    assert make_agent(again.agent, TASKS).config.spice == 5
    with pytest.raises(ValueError, match="too much"):
        make_agent(dataclasses.replace(again.agent, spice=10), TASKS)
    assert AGENTS.names() == (*BUILT_IN, "toy")


@pytest.mark.slow
def test_another_package_s_agent_trains_by_the_command(toy, tmp_path):
    small = ["--agent.width", "8", "--agent.batch-size", "8", "--agent.updates-per-step", "1"]
    arguments = ["train", POINT, "--agent.kind", "toy", *small, *EVERY, "--steps", "40", "--run", str(tmp_path / "run")]
    code, _, err = command(*arguments)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["agent"]["spice"] == 3


def test_an_unknown_kind_is_answered_with_the_nearest(toy):
    with pytest.raises(ValueError, match=r"--agent.kind: there is no agent 'tyo': did you mean 'toy'\?"):
        asked(POINT, "--agent.kind", "tyo")
    content = {**content_of("online", asked(POINT)[0], {}), "agent": {"kind": "brcc"}}
    with pytest.raises(ValueError, match=r"there is no agent 'brcc': did you mean 'brc', 'brc-bc'\?"):
        config_of(content)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_module", "'toy' of the package 'toy_agent'.*no_such_module.*uninstall"),
        ("TOY = dict", "is a type.*has to name a polytask.agents.registry.AgentKind"),
        (TOY.replace('"toy"', '"fun"'), "the agent 'toy' is configured as 'fun'"),
    ],
)
def test_a_broken_package_is_named_and_does_not_stand_in_the_way(install, source, text):
    install("toy_agent", source, "polytask.agents", "toy = toy_agent:TOY")
    with pytest.raises(ImportError, match=text):
        agent_config("toy")
    assert agent_config("sac") == SACConfig()


def test_a_built_in_kind_cannot_be_taken(install):
    install("toy_agent", TOY, "polytask.agents", "sac = toy_agent:TOY")
    assert type(agent_config("sac")) is SACConfig
    assert AGENTS.names() == BUILT_IN


WIDE = """
import equinox as eqx, jax
from polytask.networks import Dense, Trunk

class Gated(Trunk):
    dense: Dense
    gate: Dense
    def __init__(self, inputs, task_features, width, depth, *, key):
        one, two = jax.random.split(key)
        self.dense, self.gate = Dense(inputs, 3, key=one), Dense(task_features, 3, key=two)
    @property
    def width(self):
        return 3
    def __call__(self, inputs, task_features):
        return self.dense(inputs) * jax.nn.sigmoid(self.gate(task_features))

def broken(inputs, task_features, width, depth, *, key):
    return dict()
"""


def test_another_package_s_trunk_decides_what_it_does_with_task_features(install):
    """A trunk that routes by them, of another width than was asked for: heads fit, and critic and actor act."""
    install("gates", WIDE, "polytask.trunks", "gated = gates:Gated\nbroken = gates:broken")
    agent = make_agent(dataclasses.replace(BRC, trunk="gated"), TASKS)
    state = agent.init(jax.random.key(0))
    assert state.actor.trunk.dense.kernel.shape == (TASKS.observation_dim, 3)
    assert state.actor.trunk.gate.kernel.shape == (BRC.embedding_dim, 3)
    assert state.critic.members.head.dense.kernel.shape == (BRC.ensemble, 3, BRC.bins)
    seen = jax.numpy.zeros((2, TASKS.observation_dim))
    assert agent.act(state, seen, jax.numpy.arange(2), None).shape == (2, TASKS.action_dim)
    with pytest.raises(TypeError, match="'broken' gave a dict"):
        make_agent(dataclasses.replace(SAC, trunk="broken"), TASKS).init(jax.random.key(0))


@pytest.mark.parametrize("config", [BRC, SAC], ids=["brc", "sac"])
def test_either_agent_takes_either_trunk_and_an_unknown_one_names_the_nearest(config):
    for name in ("bronet", "mlp"):
        shorter = {"actor_depth": 1} if config is BRC else {}
        agent = make_agent(dataclasses.replace(config, trunk=name, **shorter), TASKS)
        state = jax.eval_shape(lambda agent=agent: agent._algorithm.init(agent.config, TASKS, jax.random.key(0)))
        assert hasattr(state.actor.trunk, "blocks") == (name == "bronet")
    with pytest.raises(ValueError, match=r"--agent.trunk: there is no trunk 'bro_net': did you mean 'bronet'\?"):
        make_agent(dataclasses.replace(config, trunk="bro_net"), TASKS)
