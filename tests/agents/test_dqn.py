"""The DQN baseline: double estimates by hand, hard and soft targets, heads of each task's own, what it refuses."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import dqn
from polytask.agents.base import task_facts
from polytask.agents.config import DQNConfig
from polytask.agents.factory import make_agent
from polytask.tasks.spec import TaskSet
from tests.agents.cases import SMALL, assert_finite, assert_same, differ
from tests.agents.test_choices import CHOOSING, LOOK, PICK, make_batches
from tests.dtypes import cast

KEY = jax.random.key(1)
DQN = DQNConfig(width=8, depth=1, encoder_width=4, encoder_multiplier=0.25)
FACTS = task_facts(CHOOSING, mask_padded_actions=True, entropy_per_dimension=0.0)


def with_values(critic, values):
    """The critic with these values of each task's choices, whatever it sees."""
    head = critic.members.head.dense
    new = jnp.zeros_like(head.kernel), jnp.asarray(values, jnp.float32).reshape(1, -1)
    return eqx.tree_at(lambda c: (c.members.head.dense.kernel, c.members.head.dense.bias), critic, new)


def test_the_target_values_the_best_choice_of_the_learning_network_by_the_target_network():
    state = dqn.init(DQN, CHOOSING, jax.random.key(0))
    online, target = [[1, 3, 2], [0, 1, 9]], [[10, 20, 30], [40, 50, 60]]  # the second task has two choices
    state = eqx.tree_at(
        lambda s: (s.critic, s.target_critic),
        state,
        (with_values(state.critic, online), with_values(state.target_critic, target)),
    )
    batch = make_batches(CHOOSING, np.array([0, 1, 0]))._replace(rewards=jnp.ones(3), continues=jnp.array([1.0, 1, 0]))
    found = dqn.critic_target(DQN, FACTS, state, batch)[:, 0]
    np.testing.assert_allclose(found, [1 + 0.9 * 20, 1 + 0.9 * 50, 1], rtol=1e-6)


@pytest.mark.parametrize("loss", ["huber", "cross-entropy"])
def test_a_task_outside_the_batch_keeps_its_head_and_targets_follow(loss):
    config = dataclasses.replace(DQN, critic_loss=loss, target_every=2)
    agent = make_agent(config, CHOOSING)
    state = agent.init(jax.random.key(0))
    before = jax.tree.map(np.asarray, state)
    one, metrics = agent.update(state, make_batches(CHOOSING, np.zeros((1, 8))), jnp.ones(2), KEY)
    first = jax.tree.map(np.asarray, one)
    assert_finite((first, metrics))
    new, old = (s.critic.members.head.dense.kernel for s in (first, before))
    half = new.shape[-1] // 2
    np.testing.assert_array_equal(new[..., half:], old[..., half:])
    assert (new[..., :half] != old[..., :half]).any()
    assert_same(first.target_critic, before.target_critic)
    two, _ = agent.update(one, make_batches(CHOOSING, np.zeros((1, 8)), 1), jnp.ones(2), KEY)
    assert two.updates == 2
    assert_same(two.target_critic, two.critic)
    assert differ(two.critic, first.critic)


def test_everything_is_in_the_type_of_the_parameters_with_images_too():
    tasks = TaskSet((PICK, LOOK))
    agent = make_agent(DQN, tasks)
    state = cast(agent.init(jax.random.key(0)), jnp.bfloat16)
    batches = make_batches(tasks, np.arange(8)[None] % 2)
    first = jax.tree.map(lambda x: x[0], batches)
    after, _ = jax.eval_shape(agent._update_now, state, batches, jnp.ones(2), KEY)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(state)]
    acted = jax.eval_shape(agent.act, state, first.observations, first.task_ids, KEY)
    assert (acted.shape, acted.dtype) == ((8, 1), jnp.bfloat16)
    each = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[2:]), batches)
    assert {x.shape for x in jax.tree.leaves(jax.eval_shape(agent.diagnose, state, each, jnp.ones(2), KEY))} == {(2,)}
    assert agent.embeddings(state) is None


def test_continuous_tasks_are_refused():
    with pytest.raises(ValueError, match=r"'small' acts continuously: take --agent.kind brc"):
        make_agent(DQN, TaskSet((PICK, SMALL)))
