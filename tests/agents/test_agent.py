"""What holds for every agent: padding takes no part, keys decide, tasks have no order, actions stay in bounds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.factory import make_agent
from polytask.agents.sac import SACState
from tests.agents.cases import (
    ACTIONS,
    BATCH,
    BRC,
    OBSERVATIONS,
    SAC,
    SMALL,
    TASKS,
    assert_finite,
    assert_same,
    both_tasks,
    brc_case,
    differ,
    leaves,
    make_batches,
    sac_case,
)

BOUND = jnp.array([3.0, 50.0])
KEY = jax.random.key(1)
NOISE = jax.random.normal(jax.random.key(2), (2, BATCH, ACTIONS))
PADDED = slice(SMALL.action_dim, ACTIONS)


@pytest.fixture(scope="module", params=[brc_case, sac_case], ids=["brc", "sac"])
def case(request):
    return request.param()


def actor_parts(actor):
    """The actor's output columns for the padded action dimensions of task 0 (with heads, task 0's come first)."""
    return [
        *(head.dense.kernel[:, PADDED] for head in (actor.mean, actor.log_std)),
        *(head.dense.bias[PADDED] for head in (actor.mean, actor.log_std)),
    ]


def critic_parts(critic):
    """The critics' input rows for the same."""
    trunk = critic.members.trunk
    first = trunk.dense if hasattr(trunk, "dense") else trunk.layers[0]
    return [first.kernel[:, OBSERVATIONS + PADDED.start : OBSERVATIONS + PADDED.stop]]


@jax.jit
def shift_padded(state, amount):
    """The state with everything that belongs to task 0's padded action dimensions moved."""
    rows = slice(OBSERVATIONS + PADDED.start, OBSERVATIONS + PADDED.stop)

    def shifted_critic(critic):
        trunk = critic.members.trunk
        first = trunk.dense if hasattr(trunk, "dense") else trunk.layers[0]
        moved = first.kernel.at[:, rows].add(amount)
        return jax.tree.map(lambda x: moved if x is first.kernel else x, critic)

    actor = state.actor
    heads = [h.dense for h in (actor.mean, actor.log_std)]
    actor = eqx.tree_at(
        lambda a: [a.mean.dense.kernel, a.log_std.dense.kernel, a.mean.dense.bias, a.log_std.dense.bias],
        actor,
        [h.kernel.at[:, PADDED].add(amount) for h in heads] + [h.bias.at[PADDED].add(amount) for h in heads],
    )
    return eqx.tree_at(
        lambda s: [s.actor, s.critic, s.target_critic],
        state,
        [actor, shifted_critic(state.critic), shifted_critic(state.target_critic)],
    )


@pytest.mark.parametrize("amount", [-3.0, 1e3])
def test_padded_action_dimensions_take_no_part(case, amount):
    """Whatever the networks say about dimensions that a task lacks: losses, entropies and gradients are the same."""
    batch = make_batches(np.zeros(BATCH))
    before = case.losses(case.facts, case.state, batch, NOISE)
    after = case.losses(case.facts, shift_padded(case.state, amount), batch, NOISE)
    assert_same(before, after, rtol=1e-6, atol=1e-7)
    for gradients in (*actor_parts(after.actor_gradient), *critic_parts(after.critic_gradient)):
        np.testing.assert_array_equal(gradients, 0.0)
    assert np.isfinite(after.log_probs).all()


def test_padded_action_dimensions_do_take_part_without_the_mask(case):
    batch, facts = make_batches(np.zeros(BATCH)), case.facts_with(mask_padded_actions=False)
    before = case.losses(facts, case.state, batch, NOISE)
    after = case.losses(facts, shift_padded(case.state, -3.0), batch, NOISE)
    assert np.abs(before.log_probs - after.log_probs).max() > 0.1
    assert before.critic_loss != after.critic_loss
    assert all(np.abs(g).max() > 0 for g in actor_parts(before.actor_gradient))


def test_target_entropy_counts_the_dimensions_that_exist(case):
    per_dimension = {"brc": -0.5, "sac": -1.0}[case.config.kind]
    np.testing.assert_allclose(case.facts.target_entropy, per_dimension * np.array([2, 4]))
    without = case.facts_with(mask_padded_actions=False)
    np.testing.assert_allclose(without.target_entropy, per_dimension * np.array([4, 4]))
    np.testing.assert_array_equal(without.action_mask, 1.0)


def test_the_task_with_all_dimensions_does_not_notice_the_mask(case):
    batch = make_batches(np.ones(BATCH))
    masked = case.losses(case.facts, case.state, batch, NOISE)
    assert_same(masked, case.losses(case.facts_with(mask_padded_actions=False), case.state, batch, NOISE))


def test_update_is_decided_by_its_arguments(case):
    first, metrics = case.update(case.facts, case.state, both_tasks(), BOUND, KEY)
    again, metrics_again = case.update(case.facts, case.state, both_tasks(), BOUND, KEY)
    assert_same((first, metrics), (again, metrics_again))
    assert_finite((first, metrics))
    other, _ = case.update(case.facts, case.state, both_tasks(), BOUND, jax.random.key(9))
    assert differ(first, other)


def test_update_moves_every_network(case):
    after, _ = case.update(case.facts, case.state, both_tasks(), BOUND, KEY)
    for name in ("actor", "critic", "target_critic", "log_temperature"):
        assert differ(getattr(after, name), getattr(case.state, name)), name


def test_target_critic_moves_by_tau(case):
    after, _ = case.update(case.facts, case.state, both_tasks(), BOUND, KEY)
    tau, new, old = case.config.tau, leaves(after.critic), leaves(case.state.target_critic)
    for path, x in leaves(after.target_critic).items():
        expected = tau * np.float64(new[path]) + (1 - tau) * np.float64(old[path])
        np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-7, err_msg=path)


def test_values_do_not_flow_back_from_a_terminated_state(case):
    """Where no transition continues, the next state changes nothing."""
    batch = make_batches(np.arange(BATCH) % 2)
    batch = batch._replace(continues=jnp.zeros(BATCH))
    other = batch._replace(next_observations=-batch.next_observations)
    before, after = (case.losses(case.facts, case.state, b, NOISE) for b in (batch, other))
    assert_same(before, after, rtol=1e-5, atol=1e-6)


def swap_tasks(state):
    """The state in which task 0 has the place of task 1: embedding rows, heads and temperatures change places."""

    def swap(path, x):
        name = jax.tree_util.keystr(path)
        if ".table" in name or ".task_entropy" in name:
            return x[::-1]
        if not isinstance(state, SACState):
            return x
        if x.shape == (2,) and "temperature" in name:
            return x[::-1]
        if ".head" in name or ".mean" in name or ".log_std" in name:
            halves = jnp.split(x, 2, axis=-1)
            return jnp.concatenate(halves[::-1], axis=-1)
        return x

    return jax.tree_util.tree_map_with_path(swap, state)


def test_the_order_of_tasks_does_not_matter(case):
    state = case.update(case.facts, case.state, both_tasks(seed=7), BOUND, KEY)[0]  # optimisers are not empty
    batches = both_tasks()
    after, metrics = case.update(case.facts, state, batches, BOUND, KEY)
    facts = jax.tree.map(lambda x: x[::-1], case.facts)
    swapped = batches._replace(task_ids=1 - batches.task_ids)
    other, other_metrics = case.update(facts, swap_tasks(state), swapped, BOUND[::-1], KEY)
    assert differ(other, after)
    assert_same(metrics, other_metrics, rtol=1e-5, atol=1e-6)
    assert_same(swap_tasks(other), after, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def agent(case):
    return make_agent(case.config, TASKS)


def observations(scale: float = 1.0) -> jax.Array:
    return jnp.asarray(scale * np.random.default_rng(0).normal(size=(BATCH, OBSERVATIONS)), jnp.float32)


IDS = jnp.arange(BATCH, dtype=jnp.int32) % 2


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1.0, 1e6, 1e12])
def test_actions_stay_in_bounds_and_zero_at_padding(case, agent, scale):
    for key in (None, KEY):
        actions = np.asarray(agent.act(case.state, observations(scale), IDS, key))
        assert actions.shape == (BATCH, ACTIONS)
        assert (np.abs(actions) <= 1).all()
        np.testing.assert_array_equal(actions[np.asarray(IDS) == 0, PADDED], 0.0)


def test_acting_without_a_key_is_the_mode(case, agent):
    act = [np.asarray(agent.act(case.state, observations(), IDS, key)) for key in (None, None, KEY, KEY)]
    np.testing.assert_array_equal(act[0], act[1])
    np.testing.assert_array_equal(act[2], act[3])
    assert np.abs(act[0] - act[2]).max() > 1e-6
    other = np.asarray(agent.act(case.state, observations(), IDS, jax.random.key(5)))
    assert np.abs(act[2] - other).max() > 1e-6


def test_init_is_decided_by_its_key(case, agent):
    assert_same(agent.init(jax.random.key(0)), case.state)
    assert differ(agent.init(jax.random.key(1)), case.state)


def test_make_agent_knows_both_kinds():
    assert make_agent(BRC, TASKS).config.kind == "brc"
    assert make_agent(SAC, TASKS).config.kind == "sac"
