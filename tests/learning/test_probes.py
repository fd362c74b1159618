"""BRC and SAC on seven tiny tasks at once, whose best actions and values are known."""

import jax
import numpy as np
import pytest

from polytask.agents.config import BRCConfig, SACConfig
from polytask.online.config import TrainConfig
from polytask.online.trainer import OnlineTrainer
from polytask.tasks.options import TaskOptions
from polytask.training.run import run as run_trainer

NAMES = ("up", "down", "thousandfold", "wide", "nothing", "truncates", "terminates")
DISCOUNT = 0.9


def trained(agent_config, run, steps, names=NAMES):
    config = TrainConfig(
        tasks=tuple(f"gym/tests.learning.probes:{name}" for name in names),
        agent=agent_config,
        task=TaskOptions(discount=DISCOUNT),
        steps=steps,
        warmup_steps=200,
        replay_capacity=5_000,
        checkpoint_every=10_000,
        log_every=steps,
        eval_every=0,
        tensorboard=False,
    )
    trainer = OnlineTrainer(config, {0: run})
    assert run_trainer(trainer, {0: run})
    return trainer.sessions[0]


def modes(session):
    names = [name.partition("probes:")[2] for name in session.tasks.names]
    ids = np.arange(len(names), dtype=np.int32)
    observations = np.zeros((len(names), session.tasks.observation_dim), np.float32)
    return dict(zip(names, np.asarray(session.agent.act(session.state, observations, ids, None)), strict=True))


@pytest.fixture(scope="module")
def brc(tmp_path_factory):
    config = BRCConfig(critic_width=32, actor_width=32, batch_size=64, learning_rate=1e-3, tau=0.02)
    return trained(config, tmp_path_factory.mktemp("brc"), 2_000)


@pytest.mark.slow
def test_conflicting_goals_are_told_apart_by_the_task_alone(brc):
    actions = modes(brc)
    assert abs(actions["up"][0] - 0.5) < 0.15
    assert abs(actions["down"][0] + 0.5) < 0.15


@pytest.mark.slow
def test_a_thousandfold_reward_gap_drowns_nobody(brc):
    actions = modes(brc)
    assert abs(actions["thousandfold"][0] + 0.5) < 0.15
    assert abs(actions["up"][0] - 0.5) < 0.15


@pytest.mark.slow
def test_unequal_dimensions(brc):
    actions = modes(brc)
    np.testing.assert_allclose(actions["wide"], [0.5, -0.5], atol=0.15)
    assert all(actions[name][1] == 0 for name in NAMES if name != "wide")


@pytest.mark.slow
def test_values_of_truncating_terminating_and_empty_tasks(brc):
    """1 / (1 - 0.9) = 10 where the episode only truncates, 1 where it terminates, 0 where there is nothing to get."""
    ids = np.arange(len(NAMES), dtype=np.int32)
    observations = np.zeros((len(NAMES), brc.tasks.observation_dim), np.float32)
    values = brc.agent.values(brc.state, observations, ids, brc.bounds.bound, jax.random.key(0))
    values = dict(zip(NAMES, np.asarray(values), strict=True))
    assert abs(values["truncates"] - 10) < 1
    assert abs(values["terminates"] - 1) < 0.1
    assert abs(values["nothing"]) < 0.1
    assert np.isfinite(list(values.values())).all()


@pytest.mark.slow
def test_sac_tells_goals_of_one_scale_apart(tmp_path):
    """Its rewards are raw: beside the thousandfold task it would not learn the others."""
    config = SACConfig(width=32, batch_size=64, learning_rate=1e-3, initial_temperature=0.1)
    actions = modes(trained(config, tmp_path, 2_000, ("up", "down", "wide")))
    assert abs(actions["up"][0] - 0.5) < 0.2
    assert abs(actions["down"][0] + 0.5) < 0.2
    np.testing.assert_allclose(actions["wide"], [0.5, -0.5], atol=0.2)
