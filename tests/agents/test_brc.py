"""BRC: the reward scale, what embeddings learn from, and every ablation switch."""

import dataclasses
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import brc
from polytask.agents.brc import reward_scale
from polytask.agents.brc.learning import running_entropy
from polytask.agents.brc.losses import entropy_loss
from polytask.agents.brc.scale import followed, growth_of
from polytask.agents.factory import make_agent
from polytask.tasks.spec import TaskSet
from tests.agents.cases import (
    ACTIONS,
    BATCH,
    BRC,
    LARGE,
    OBSERVATIONS,
    SMALL,
    TASKS,
    assert_finite,
    assert_same,
    both_tasks,
    brc_case,
    differ,
    make_batches,
)

KEY = jax.random.key(1)
INFINITE = jnp.array([jnp.inf, jnp.inf])


def scale_of(bound, *, temperature=0.1, entropy=(0.0, 0.0), **changes) -> np.ndarray:
    arguments = (jnp.log(jnp.float32(temperature)), jnp.array(entropy), jnp.asarray(bound, jnp.float32))
    config = dataclasses.replace(BRC, **changes)
    return np.asarray(reward_scale(config, brc_case().facts, *arguments))


def test_reward_scale_by_hand():
    # Discounts 0.9 and 0.99, target entropies -1 and -2, so lambda = 0.1 * 1 / 0.2 = 0.5 and 0.1 * 2 / 0.02 = 10.
    np.testing.assert_allclose(scale_of([1.5, 30.0]), [10 / 2, 10 / 40], rtol=1e-5)
    np.testing.assert_allclose(scale_of([1.5, 30.0], v_max=1.0), [1 / 2, 1 / 40], rtol=1e-5)


@pytest.mark.parametrize("sign", [-1, 1])
def test_reward_scale_with_the_empirical_entropy_by_hand(sign):
    # lambda = 0.1 * |H| / (1 - gamma): 0.1 * 2 / 0.1 = 2 and 0.1 * 3 / 0.01 = 30.
    scale = scale_of([3.0, 20.0], entropy_correction="empirical", entropy=(sign * 2.0, sign * 3.0))
    np.testing.assert_allclose(scale, [10 / 5, 10 / 50], rtol=1e-5)


def test_reward_scale_is_zero_before_the_first_episode_and_one_when_switched_off():
    np.testing.assert_array_equal(scale_of([np.inf, np.inf]), 0.0)
    np.testing.assert_array_equal(scale_of([np.inf, 0.0], normalise_rewards=False), 1.0)


@pytest.mark.parametrize("correction", ["target", "empirical"])
@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1e-12, 1.0, 1e6])
@pytest.mark.parametrize("bound", [0.0, 1e-30, 1e-12, 1.0, 1e12, np.inf])
def test_reward_scale_is_finite_and_keeps_values_within_v_max(bound, temperature, correction):
    scale = scale_of([bound, bound], temperature=temperature, entropy_correction=correction)
    assert np.isfinite(scale).all()
    assert (scale >= 0).all()
    if np.isfinite(bound):
        assert (scale * bound <= BRC.v_max * (1 + 1e-6)).all()


def test_running_entropy_moves_only_tasks_in_the_batch():
    ids = jnp.array([1, 1, 1], jnp.int32)
    after = running_entropy(jnp.array([5.0, 1.0]), ids, jnp.array([0.0, 3.0, 6.0]))
    np.testing.assert_allclose(after, [5.0, 0.995 * 1 + 0.005 * 3], rtol=1e-6)


def test_a_task_without_an_ended_episode_gives_no_reward():
    case, batches = brc_case(), both_tasks()
    bound = jnp.array([2.0, jnp.inf])
    after = case.update(case.facts, case.state, batches, bound, KEY)
    others = jnp.where(batches.task_ids == 1, 1e6 * batches.rewards, batches.rewards)
    assert_same(after, case.update(case.facts, case.state, batches._replace(rewards=others), bound, KEY))
    nothing = jnp.where(batches.task_ids == 1, 0.0, batches.rewards)
    assert_same(after, case.update(case.facts, case.state, batches._replace(rewards=nothing), bound, KEY))


def at_temperature(state: brc.BRCState, log_temperature: float) -> brc.BRCState:
    return dataclasses.replace(state, log_temperature=jnp.float32(log_temperature))


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_unit_of_rewards_does_not_matter(scale):
    """Where the entropy's room is negligible. Powers of two change no rounding, so the bits agree."""
    case, batches, bound = brc_case(), both_tasks(), jnp.array([2.0, 30.0])
    state = at_temperature(case.state, -60.0)
    after = case.update(case.facts, state, batches, bound, KEY)
    scaled = batches._replace(rewards=batches.rewards * scale)
    assert_same(after, case.update(case.facts, state, scaled, bound * scale, KEY))
    assert differ(after, case.update(case.facts, state, scaled, bound, KEY))


def test_values_come_in_the_unit_of_rewards():
    agent, case = make_agent(BRC, TASKS), brc_case()
    observations, ids = jnp.zeros((2, OBSERVATIONS)), jnp.arange(2)
    state = at_temperature(case.state, -60.0)
    unit = np.asarray(agent.values(state, observations, ids, jnp.ones(2), KEY))
    assert (np.abs(unit) > 1e-3).all()
    assert (np.abs(unit) <= 1).all()
    for scale in (1e-6, 1.0, 1e6, 1e12):
        values = agent.values(state, observations, ids, jnp.full(2, scale), KEY)
        np.testing.assert_allclose(values, unit * scale, rtol=1e-5)
    np.testing.assert_array_equal(agent.values(state, observations, ids, INFINITE, KEY), 0.0)


def test_only_the_critic_loss_of_its_tasks_teaches_an_embedding():
    case = brc_case()
    noise = jax.random.normal(KEY, (2, BATCH, ACTIONS))
    losses = case.losses(case.facts, case.state, make_batches(np.zeros(BATCH)), noise)
    table = losses.critic_gradient.conditioning.table
    assert np.abs(table[0]).max() > 0
    np.testing.assert_array_equal(table[1], 0.0)


def test_the_actor_step_hands_the_critics_through():
    """Embeddings live in the critic: in the traced step its outputs are its very inputs, in both critics."""
    case, batch = brc_case(), make_batches(np.arange(BATCH) % 2)
    step = partial(brc.actor_step, BRC, case.facts)
    closed, shapes = jax.make_jaxpr(step, return_shape=True)(case.state, batch, jnp.zeros((BATCH, ACTIONS)), KEY)
    inputs = jax.tree.unflatten(jax.tree.structure(case.state), closed.jaxpr.invars[: len(jax.tree.leaves(case.state))])
    outputs, _ = jax.tree.unflatten(jax.tree.structure(shapes), closed.jaxpr.outvars)
    for name in ("critic", "target_critic", "critic_optimiser"):
        pairs = zip(jax.tree.leaves(getattr(inputs, name)), jax.tree.leaves(getattr(outputs, name)), strict=True)
        assert all(a is b for a, b in pairs), name
    assert inputs.log_temperature is not outputs.log_temperature


def test_embeddings_are_unit_vectors_or_none():
    agent = make_agent(BRC, TASKS)
    np.testing.assert_allclose(np.linalg.norm(agent.embeddings(brc_case().state), axis=1), 1.0, rtol=1e-5)
    config = dataclasses.replace(BRC, conditioning="none")
    agent = make_agent(config, TASKS)
    assert agent.embeddings(eqx.filter_eval_shape(agent.init, jax.random.key(0))) is None


LIGHT = {"critic_depth": 0, "actor_depth": 0}
ABLATIONS = {
    "squared-error, one-hot, one critic": {"critic_loss": "squared-error", "conditioning": "one-hot", "ensemble": 1},
    "multi-head, raw rewards, three critics": {"conditioning": "multi-head", "normalise_rewards": False, "ensemble": 3},
    "l1, empirical, unmasked": {
        "embedding_norm": "l1",
        "entropy_correction": "empirical",
        "mask_padded_actions": False,
    },
}
SLOW_ABLATIONS = {
    "task-weighted": {"critic_loss": "task-weighted", "relevance": ("small=0.5", "large=3")},
    "none, squared-error, deep": {
        "conditioning": "none",
        "critic_loss": "squared-error",
        "critic_depth": 3,
        "actor_depth": 2,
    },
    "multi-head, squared-error, empirical": {
        "conditioning": "multi-head",
        "critic_loss": "squared-error",
        "entropy_correction": "empirical",
    },
    "one-hot, two bins": {"conditioning": "one-hot", "bins": 2, "v_max": 1e-3},
}


@pytest.mark.parametrize(
    ("changes", "tasks"),
    [pytest.param(LIGHT | changes, TASKS, id=name) for name, changes in ABLATIONS.items()]
    + [
        pytest.param(LIGHT | changes, TASKS, id=name, marks=pytest.mark.slow)
        for name, changes in SLOW_ABLATIONS.items()
    ]
    + [pytest.param(LIGHT, TaskSet((LARGE,)), id="one task", marks=pytest.mark.slow)],
)
def test_every_switch_learns_and_stays_finite(changes, tasks):
    """Two steps on a task that never gave a reward and, where there is one, a task without an ended episode."""
    config = dataclasses.replace(BRC, **changes)
    agent = make_agent(config, tasks)
    before = agent.init(jax.random.key(0))
    outputs = 1 if config.critic_loss == "squared-error" else config.bins
    heads = len(tasks) if config.conditioning == "multi-head" else 1
    head = before.critic.members.head.dense
    assert head.kernel.shape == (config.ensemble, config.critic_width, heads * outputs)
    features = {"embedding": 4, "one-hot": 2, "multi-head": 0, "none": 0}[config.conditioning] if len(tasks) > 1 else 0
    assert before.critic.members.trunk.dense.kernel.shape[1] == tasks.observation_dim + tasks.action_dim + features

    ids = np.arange(2 * BATCH).reshape(2, BATCH) % len(tasks)
    batches = make_batches(ids + 1 if len(tasks) == 1 else ids)
    batches = batches._replace(task_ids=jnp.asarray(ids, jnp.int32))
    bound = jnp.array([0.0, jnp.inf])[: len(tasks)]
    inputs = (jax.tree.map(jnp.copy, before), batches, bound, KEY)
    # Unoptimised, as most of this test's time goes into the compiler.
    update = jax.jit(partial(brc.update, config, agent.facts))
    state, metrics = update.lower(*inputs).compile({"xla_backend_optimization_level": 0})(*inputs)
    assert_finite((state, metrics))
    for name in ("actor", "critic", "target_critic", "log_temperature"):
        assert differ(getattr(state, name), getattr(before, name)), name
    assert differ(state.task_entropy, before.task_entropy) == (config.entropy_correction == "empirical")


@pytest.mark.slow
def test_diagnose_takes_each_task_by_itself():
    agent, case = make_agent(BRC, TASKS), brc_case()
    batches, bound = make_batches(np.repeat([[0], [1]], BATCH, axis=1)), jnp.array([2.0, jnp.inf])
    figures = agent.diagnose(case.state, batches, bound, KEY)
    assert {np.shape(x) for x in figures.values()} == {(2,)}
    assert_finite(figures)
    assert figures["reward_scale"][1] == 0
    moved = batches._replace(observations=batches.observations.at[1].multiply(-1.0))
    others = agent.diagnose(case.state, moved, bound, KEY)
    for name, figure in figures.items():
        assert figure[0] == others[name][0], name
    assert figures["q_mean"][1] != others["q_mean"][1]


@pytest.mark.slow
def test_the_task_weighted_critic_counts_each_task_by_its_relevance():
    case, batch = brc_case(), jax.tree.map(lambda x: x[0], both_tasks())
    noise = jax.random.normal(KEY, batch.actions.shape)
    target = brc.critic_target(BRC, case.facts, case.state, batch, noise)
    config = dataclasses.replace(BRC, critic_loss="task-weighted", relevance=("large=4",))
    weighted = make_agent(config, TASKS).facts
    np.testing.assert_array_equal(weighted.relevance, [1, 4])

    def gradient(config, facts, rows):
        own = jax.tree.map(lambda x: x[rows], batch)
        return jax.grad(lambda critic: brc.critic_loss(config, facts, critic, own, target[rows]))(case.state.critic)

    both = gradient(config, weighted, np.arange(BATCH))
    small, large = (gradient(BRC, case.facts, np.flatnonzero(batch.task_ids == task)) for task in (0, 1))
    # Half of the batch is each task's.
    assert_same(both, jax.tree.map(lambda a, b: 0.5 * a + 2.0 * b, small, large), rtol=1e-4, atol=1e-6)
    # Weights that are not asked for take no part.
    assert_same(gradient(BRC, weighted, np.arange(BATCH)), gradient(BRC, case.facts, np.arange(BATCH)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("larg=4",), "unknown task 'larg'. Did you mean large.* --agent.relevance takes NAME=WEIGHT of small, large"),
        (("large",), "--agent.relevance large: give NAME=WEIGHT of small, large"),
        (("large=-1",), "must be a number above 0"),
        (("large=nan",), "must be a number above 0"),
        (("large=inf",), "must be a number above 0"),
    ],
)
def test_relevance_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        make_agent(dataclasses.replace(BRC, critic_loss="task-weighted", relevance=given), TASKS)


def test_relevance_and_the_task_weighted_critic_go_together():
    for wrong in ({"critic_loss": "task-weighted"}, {"relevance": ("large=2",)}):
        with pytest.raises(ValueError, match="give both, or neither"):
            dataclasses.replace(BRC, **wrong)


def test_a_single_task_needs_no_features():
    tasks = TaskSet((SMALL,))
    state = eqx.filter_eval_shape(partial(brc.init, BRC, tasks), jax.random.key(0))
    assert state.critic.conditioning.dim == 0
    assert state.critic.members.trunk.dense.kernel.shape[1] == SMALL.observation_dim + SMALL.action_dim


@cache
def normalised():
    """BRC that normalises observations: its state, and its update."""
    config = dataclasses.replace(BRC, normalise_observations=True)
    return brc.init(config, TASKS, jax.random.key(0)), jax.jit(partial(brc.update, config, brc_case().facts))


def test_each_task_s_own_temperature_follows_its_own_entropy():
    facts, entropy = brc_case().facts, jnp.array([5.0, -9.0, 5.0, -9.0])  # targets are -1 and -2
    ids = jnp.array([0, 1, 0, 1], jnp.int32)
    gradient = jax.grad(entropy_loss)(jnp.zeros(2), entropy, facts.target_entropy, ids)
    np.testing.assert_allclose(gradient, [2 * 6 / 4, 2 * -7 / 4], rtol=1e-6)
    shared = jax.grad(entropy_loss)(jnp.zeros(()), entropy, facts.target_entropy, ids)
    np.testing.assert_allclose(shared, -2 - -1.5, rtol=1e-6)


def test_temperatures_that_are_all_alike_give_the_shared_temperature_s_losses():
    case, batches = brc_case(), both_tasks()
    apart = dataclasses.replace(case.state, log_temperature=jnp.full(2, case.state.log_temperature))
    batch, noise = jax.tree.map(lambda leaf: leaf[0], batches), jnp.zeros((2, BATCH, ACTIONS))
    assert_same(case.losses(case.facts, apart, batch, noise), case.losses(case.facts, case.state, batch, noise))


def test_targets_follow_the_scale_of_rewards():
    """Values of the target critic in units of half the rewards' scale count double, and the bonus as before."""
    case, batches = brc_case(), both_tasks()
    batch = jax.tree.map(lambda leaf: leaf[0], batches)
    noise = jnp.zeros((BATCH, ACTIONS))
    config = dataclasses.replace(BRC, critic_loss="squared-error", v_max=1e3)
    state = brc.init(config, TASKS, jax.random.key(0))

    program = jax.jit(lambda growth: brc.critic_target(config, case.facts, state, batch, noise, growth))

    def target(growth):
        return np.asarray(program(growth))[:, 0]

    same, double, zero = (target(np.full(2, growth, np.float32)) for growth in (1, 2, 1e-20))
    np.testing.assert_allclose(same, target(None), rtol=1e-6)
    np.testing.assert_allclose(double - same, same - zero, rtol=1e-3, atol=1e-5)


def test_the_target_critic_s_scale_goes_where_the_scale_goes_and_begins_there():
    scale = jnp.array([8.0, 0.0])
    np.testing.assert_allclose(followed(jnp.zeros(2), scale, 0.5), [8, 0])
    np.testing.assert_allclose(followed(jnp.array([2.0, 3.0]), scale, 0.5), [4, 0], rtol=1e-6)
    np.testing.assert_allclose(growth_of(jnp.array([2.0, 3.0]), scale), [4, 1], rtol=1e-6)
    assert growth_of(None, scale) is None
    assert followed(None, scale, 0.5) is None


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_normalised_observations_learn_the_same_in_any_unit(scale):
    batches = both_tasks()
    scaled = batches._replace(
        observations=batches.observations * 1e3 * scale, next_observations=batches.next_observations * 1e3 * scale
    )
    before, update = normalised()
    state, metrics = update(before, scaled, jnp.array([2.0, 3.0]), KEY)
    assert_finite((state, metrics))
    assert differ(state.moments, before.moments)
    assert differ(state.actor, before.actor)
