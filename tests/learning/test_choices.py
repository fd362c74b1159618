"""Choices and images learned to known answers, in loops small enough for a test: the actions taken are random."""

import dataclasses

import jax
import numpy as np
import pytest

from polytask.agents.config import BRCConfig, DQNConfig
from polytask.agents.factory import make_agent
from polytask.replay.batch import Batch
from polytask.tasks.spaces import Box, Choices, Image, Observations, Vector
from polytask.tasks.spec import TaskSet, TaskSpec

pytestmark = pytest.mark.slow
ROWS = 32
BRC = BRCConfig(
    critic_width=16,
    critic_depth=1,
    actor_width=16,
    bins=21,
    ensemble=1,
    embedding_dim=4,
    learning_rate=3e-3,
    temperature_learning_rate=1e-2,
    tau=0.05,
    encoder_width=16,
    encoder_multiplier=0.5,
)
BANDIT = TaskSpec("bandit", "gym", Vector(1), Choices((3,)), 1, 0.9)
CHAIN = TaskSpec("chain", "gym", Vector(4), Choices((2,)), 20, 0.9)
BRIGHT = TaskSpec("bright", "gym", Image(6, 6, 1), Choices((4,)), 1, 0.9)
AIM = TaskSpec("aim", "gym", Vector(1), Box((-1.0,), (1.0,)), 1, 0.9)
PRIZES = np.array([0.2, 1.0, 0.5], np.float32)


def bandit(rng, rows):
    """Three choices with rewards of 0.2, 1 and 0.5."""
    chosen = rng.integers(3, size=rows)
    seen = np.zeros((rows, 1), np.float32)
    return seen, chosen, PRIZES[chosen], np.zeros(rows), seen


def chain(rng, rows):
    """Four places: the second choice goes one up, the first leaves the chain with 0.1; at its end is a reward of 1."""
    place, chosen = rng.integers(4, size=rows), rng.integers(2, size=rows)
    ended = (chosen == 0) | (place == 3)
    reward = np.where(chosen == 0, 0.1, place == 3)
    return np.eye(4)[place], chosen, reward, 1 - ended, np.eye(4)[np.minimum(place + 1, 3)]


def bright(rng, rows):
    """Which quarter of the picture is the brightest."""
    where, chosen = rng.integers(4, size=rows), rng.integers(4, size=rows)
    return quarters(rng, where), chosen, (chosen == where).astype(np.float32), np.zeros(rows), quarters(rng, where)


def quarters(rng, where):
    images = rng.integers(0, 100, (len(where), 6, 6, 1))
    for image, quarter in zip(images, where, strict=True):
        row, column = 3 * (quarter // 2), 3 * (quarter % 2)
        image[row : row + 3, column : column + 3] += 120
    return images.astype(np.uint8)


def aim(rng, rows):
    """One continuous action: minus the squared distance to 0.5."""
    action, seen = rng.uniform(-1, 1, rows), np.zeros((rows, 1), np.float32)
    return seen, action, 1 - np.square(action - 0.5), np.zeros(rows), seen


DRAW = {"bandit": bandit, "chain": chain, "bright": bright, "aim": aim}


def row_of(tasks: TaskSet, spec: TaskSpec, seen):
    """Observations of a task as all tasks have them."""
    vector = np.zeros((len(seen), tasks.observation_dim), np.float32)
    if not tasks.images:
        vector[:, : seen.shape[1]] = seen
        return vector
    images = np.zeros((len(seen), *tasks.images[0]), np.uint8)
    if isinstance(spec.observation, Image):
        images = seen
    else:
        vector[:, : seen.shape[1]] = seen
    return Observations(vector, (images,))


def draw(tasks: TaskSet, rng, rows: int) -> Batch:
    """Transitions of each task, as many of each."""
    parts = []
    for row, spec in enumerate(tasks):
        seen, acted, reward, continues, after = DRAW[spec.name](rng, rows)
        actions = np.zeros((rows, tasks.action_width), np.float32)
        actions[:, -1 if spec.choices > 1 else 0] = acted
        flat = (actions, np.float32(reward), np.float32(continues))
        parts.append(Batch(row_of(tasks, spec, seen), *flat, row_of(tasks, spec, after), np.full(rows, row, np.int32)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def learned(config, tasks: TaskSet, updates: int):
    """The agent and its state after so many updates, a hundred at a time."""
    agent, rng = make_agent(config, tasks), np.random.default_rng(0)
    state = agent.init(jax.random.key(0))
    for step in range(updates // 100):
        batches = [draw(tasks, rng, ROWS) for _ in range(100)]
        joined = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
        state, metrics = agent.update(state, joined, np.ones(len(tasks), np.float32), jax.random.key(step))
    return agent, state, metrics


def acts(agent, state, seen, task: int = 0, key=None):
    spec = agent.tasks.specs[task]
    rows = row_of(agent.tasks, spec, seen)
    return np.asarray(agent.act(state, rows, np.full(len(seen), task, np.int32), key))


DQN = DQNConfig(width=16, depth=1, learning_rate=3e-3, tau=0.05, encoder_width=16, encoder_multiplier=0.5)
AGENTS = {
    "brc": BRC,
    "dqn": DQN,
    "c51": dataclasses.replace(DQN, critic_loss="cross-entropy", v_max=2.0, target_every=20),
}


@pytest.mark.parametrize("kind", AGENTS)
def test_the_best_of_three_choices_is_found(kind):
    agent, state, _ = learned(AGENTS[kind], TaskSet((BANDIT,)), 300)
    assert (acts(agent, state, np.zeros((1, 1), np.float32)) == 1).all()


@pytest.mark.parametrize("kind", AGENTS)
def test_a_reward_at_the_end_of_a_chain_is_worth_walking_to(kind):
    agent, state, _ = learned(AGENTS[kind], TaskSet((CHAIN,)), 600)
    np.testing.assert_array_equal(acts(agent, state, np.eye(4, dtype=np.float32))[:, 0], 1)


@pytest.mark.parametrize("kind", AGENTS)
def test_the_bright_quarter_of_a_picture_is_seen(kind):
    agent, state, _ = learned(AGENTS[kind], TaskSet((BRIGHT,)), 400)
    where = np.arange(64) % 4
    right = acts(agent, state, quarters(np.random.default_rng(9), where))[:, 0] == where
    assert right.mean() > 0.95


def test_choices_pictures_and_continuous_actions_are_learned_by_one_agent():
    tasks = TaskSet((AIM, BANDIT, BRIGHT))
    agent, state, _ = learned(dataclasses.replace(BRC, temperature="per-task"), tasks, 600)
    zero = np.zeros((1, 1), np.float32)
    np.testing.assert_allclose(acts(agent, state, zero, 0), [[0.5, 0]], atol=0.15)
    np.testing.assert_array_equal(acts(agent, state, zero, 1), [[0, 1]])
    where = np.arange(64) % 4
    right = acts(agent, state, quarters(np.random.default_rng(9), where), 2)[:, 1] == where
    assert right.mean() > 0.95


def test_the_entropy_of_choices_goes_to_its_target():
    config = dataclasses.replace(BRC, choice_entropy=0.5)
    agent, state, metrics = learned(config, TaskSet((BANDIT,)), 1000)
    np.testing.assert_allclose(metrics["entropy"], 0.5 * np.log(3), atol=0.1)
    drawn = acts(agent, state, np.zeros((4000, 1), np.float32), 0, jax.random.key(3))[:, 0]
    shares = np.bincount(drawn.astype(int), minlength=3) / 4000
    assert shares[1] > shares[2] > shares[0] > 0
    np.testing.assert_allclose(-(shares * np.log(shares)).sum(), metrics["entropy"], atol=0.05)
