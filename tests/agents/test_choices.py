"""Tasks that choose and tasks with images, beside continuous ones: what counts and what does not."""

import dataclasses
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents import averaging, brc
from polytask.agents.affinity import fresh_averages
from polytask.agents.base import task_facts
from polytask.agents.factory import make_agent
from polytask.agents.observing import shifted
from polytask.losses import epsilon_greedy, soft_choice
from polytask.replay.batch import Batch
from polytask.tasks.spaces import Box, Choices, Image, Named, Observations, Vector
from polytask.tasks.spec import TaskSet, TaskSpec
from tests.agents.cases import BRC, SAC, SMALL, assert_finite, assert_same, differ, leaves
from tests.dtypes import cast

KEY, ROWS = jax.random.key(1), 8
CONFIG = dataclasses.replace(BRC, ensemble=1, critic_depth=0, encoder_width=4, encoder_multiplier=0.25)
PICK = TaskSpec("pick", "gym", Vector(3), Choices((3,)), 20, 0.9)
TURN = TaskSpec("turn", "gym", Vector(2), Choices((2,)), 20, 0.9)
LOOK = TaskSpec("look", "gym", Image(6, 6, 1, 2), Choices((4,)), 20, 0.9)
BOTH = TaskSpec(
    "both", "gym", Named((("eye", Image(6, 6, 1)), ("hand", Vector(2)))), Box((-1.0,) * 2, (1.0,) * 2), 20, 0.9
)
MIXED, SEEING, CHOOSING = TaskSet((SMALL, PICK, TURN)), TaskSet((SMALL, LOOK, BOTH)), TaskSet((PICK, TURN))


def make_batches(tasks: TaskSet, ids, seed: int = 0) -> Batch:
    """Transitions as the replay gives them: padded with zeros, choices that exist, images where a task has one."""
    ids, rng = np.asarray(ids, np.int32), np.random.default_rng(seed)

    def rows(width, sizes):
        values = rng.uniform(-1, 1, (*ids.shape, width))
        return jnp.asarray(values * (np.arange(width) < np.array(sizes)[ids][..., None]), jnp.float32)

    def observe():
        vector = rows(tasks.observation_dim, [s.observation_dim for s in tasks])
        if not tasks.images:
            return vector
        there = np.array(
            [[place in tasks.places(row) for place in range(len(tasks.images))] for row in range(len(tasks))]
        )
        images = [rng.integers(0, 256, (*ids.shape, *shape)) for shape in tasks.images]
        shown = (image * there[ids][..., i, None, None, None] for i, image in enumerate(images))
        return Observations(vector, tuple(jnp.asarray(image, jnp.uint8) for image in shown))

    actions = rows(tasks.action_dim, [s.action_dim for s in tasks])
    if tasks.choices > 1:
        chosen = rng.integers(0, np.array([s.choices for s in tasks])[ids]).astype(np.float32)
        actions = jnp.concatenate([actions, jnp.asarray(chosen)[..., None]], axis=-1)
    rewards, continues = rng.normal(size=ids.shape), rng.random(ids.shape) > 0.2
    return Batch(
        observe(), actions, *(jnp.asarray(x, jnp.float32) for x in (rewards, continues)), observe(), jnp.asarray(ids)
    )


def facts_of(tasks: TaskSet):
    return task_facts(tasks, mask_padded_actions=True, entropy_per_dimension=-0.5, choice_entropy=0.2)


@cache
def case(tasks: TaskSet):
    """The facts, a state, its gradients and an update, compiled once; nothing is donated."""

    def gradients(state, batch, noise):
        target = brc.critic_target(CONFIG, facts, state, batch, noise[0])
        critic = jax.value_and_grad(lambda c: brc.critic_loss(CONFIG, facts, c, batch, target))(state.critic)
        if state.actor is None:
            return target, critic, brc.actor_loss(CONFIG, facts, None, state, batch, noise[1])
        loss = jax.value_and_grad(lambda a: brc.actor_loss(CONFIG, facts, a, state, batch, noise[1]), has_aux=True)
        return target, critic, loss(state.actor)

    facts, state = facts_of(tasks), brc.init(CONFIG, tasks, jax.random.key(0))
    return facts, state, jax.jit(gradients), jax.jit(partial(brc.update, CONFIG, facts))


def noise_of(tasks: TaskSet):
    return jax.random.normal(KEY, (2, ROWS, tasks.action_dim))


def test_a_choosing_task_ignores_continuous_entries_and_a_continuous_one_has_the_first_choice():
    _, state, gradients, _ = case(MIXED)
    batch, noise = make_batches(MIXED, np.full(ROWS, 1)), noise_of(MIXED)
    before = gradients(state, batch, noise)
    assert_same(before, gradients(state, batch, -2 * noise))  # which would have been the actions of the actor
    (_, (log_probs, _)), actor = before[2]
    assert all((leaf == 0).all() for leaf in leaves(actor).values())
    assert (log_probs <= 0).all()
    assert (log_probs >= -np.log(3) - 1e-6).all()
    # Of the head of a task that acts, only the first choice is ever asked for.
    batch = make_batches(MIXED, np.zeros(ROWS))
    moved = eqx.tree_at(
        lambda s: [s.critic.members.head.dense.kernel, s.target_critic.members.head.dense.kernel],
        state,
        replace_fn=lambda kernel: kernel.at[..., CONFIG.bins :].add(3.0),
    )
    ours, theirs = gradients(state, batch, noise), gradients(moved, batch, noise)
    assert_same(ours[0], theirs[0])
    assert_same(ours[2], theirs[2])
    np.testing.assert_array_equal(ours[1][1].members.head.dense.kernel[..., CONFIG.bins :], 0)


def test_choices_that_a_task_lacks_have_no_influence_and_are_never_taken():
    _, state, gradients, _ = case(MIXED)
    batch, noise, last = make_batches(MIXED, np.full(ROWS, 2)), noise_of(MIXED), slice(2 * CONFIG.bins, None)
    best = np.zeros(3 * CONFIG.bins, np.float32)
    best[-1] = 1e3  # the third choice is worth the most
    moved = eqx.tree_at(
        lambda s: [s.critic.members.head.dense.bias, s.target_critic.members.head.dense.bias],
        state,
        replace_fn=lambda bias: bias + best[None],
    )
    ours, theirs = gradients(state, batch, noise), gradients(moved, batch, noise)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours[1][1].members.head.dense.kernel[..., last], 0)
    agent, ids = make_agent(CONFIG, MIXED), jnp.repeat(jnp.arange(3, dtype=jnp.int32), 100)
    rows = make_batches(MIXED, ids).observations
    for key in (None, KEY):
        acted = np.asarray(agent.act(moved, rows, ids, key))
        np.testing.assert_array_equal(acted[:100, -1], 0)
        np.testing.assert_array_equal(acted[100:, :-1], 0)
        assert set(acted[100:200, -1]) == {2.0}
        assert set(acted[200:, -1]) <= {0.0, 1.0}
    drawn = np.asarray(agent.act(state, rows, ids, KEY))
    assert set(drawn[100:200, -1]) == {0.0, 1.0, 2.0}
    assert set(drawn[200:, -1]) == {0.0, 1.0}


def test_a_continuous_task_learns_of_the_first_choice_as_of_a_head_without_choices():
    batch = make_batches(MIXED, np.zeros(ROWS))
    facts, state, gradients, _ = case(MIXED)
    bins = CONFIG.bins
    alone = eqx.tree_at(
        lambda s: [
            x for c in (s.critic, s.target_critic) for x in (c.members.head.dense.kernel, c.members.head.dense.bias)
        ],
        dataclasses.replace(
            state,
            critic=without_choices(state.critic),
            target_critic=without_choices(state.target_critic),
        ),
        replace_fn=lambda leaf: leaf[..., :bins],
    )
    plain = facts._replace(choice_mask=facts.choice_mask[:, :1])
    noise, rows = noise_of(MIXED), batch._replace(actions=batch.actions[..., :-1])

    @jax.jit
    def theirs(alone):
        target = brc.critic_target(CONFIG, plain, alone, rows, noise[0])
        loss = brc.critic_loss(CONFIG, plain, alone.critic, rows, target)
        return target, loss, brc.actor_loss(CONFIG, plain, alone.actor, alone, rows, noise[1])

    ours = gradients(state, batch, noise)
    assert_same((ours[0], ours[1][0], ours[2][0]), theirs(alone), rtol=1e-5, atol=1e-6)


def without_choices(critic):
    """The critic as one of tasks with one choice."""
    other = object.__new__(type(critic))
    for field in dataclasses.fields(critic):
        object.__setattr__(other, field.name, 1 if field.name == "choices" else getattr(critic, field.name))
    return other


def test_the_target_mixes_the_choices_distributions_by_hand():
    """Two choices at the next state, surely worth 2 and 4, under temperature 2: soft value 2 log(e + e^2)."""
    tasks = TaskSet((TURN,))
    config = dataclasses.replace(CONFIG, v_max=10.0, bins=11, initial_temperature=2.0)
    facts, state = facts_of(tasks), jax.jit(partial(brc.init, config, tasks))(jax.random.key(0))
    bias = np.full((1, 2, 11), -1e4, np.float32)
    bias[0, 0, 6] = bias[0, 1, 7] = 0  # the support is -10, -8, ..., 10
    head = jnp.zeros_like(state.critic.members.head.dense.kernel), jnp.asarray(bias.reshape(1, 22))
    state = eqx.tree_at(
        lambda s: (s.target_critic.members.head.dense.kernel, s.target_critic.members.head.dense.bias), state, head
    )
    batch = make_batches(tasks, np.zeros(1, np.int32))._replace(rewards=jnp.ones(1), continues=jnp.ones(1))
    target = np.asarray(jax.jit(partial(brc.critic_target, config, facts))(state, batch, jnp.zeros((1, 0))))[0]
    p = 1 / (1 + np.exp(-1.0))
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    expected = np.zeros(11)
    for mass, value in ((1 - p, 2.0), (p, 4.0)):
        place = (1 + 0.9 * (value + 2 * entropy) + 10) / 2
        expected[int(place)] += mass * (1 - place % 1)
        expected[int(place) + 1] += mass * (place % 1)
    np.testing.assert_allclose(target, expected, atol=1e-5)
    value = (target * np.linspace(-10, 10, 11)).sum()
    np.testing.assert_allclose(value, 1 + 0.9 * 2 * np.log(np.exp(1) + np.exp(2)), rtol=1e-5)


def test_the_order_of_choices_does_not_matter():
    _, state, _, update = case(CHOOSING)
    order = np.array([2, 0, 1])  # of the task with three; the batch has no other
    batches = make_batches(CHOOSING, np.zeros((1, ROWS)))

    def permuted(state):
        def columns(leaf):
            blocks = leaf.reshape(*leaf.shape[:-1], 3, CONFIG.bins)
            return blocks[..., order, :].reshape(leaf.shape)

        def one(path, leaf):
            return columns(leaf) if ".head" in jax.tree_util.keystr(path) else leaf

        return jax.tree_util.tree_map_with_path(one, state)

    place = jnp.asarray(np.argsort(order), jnp.float32)
    other = batches._replace(actions=place[batches.actions.astype(jnp.int32)])
    after, metrics = update(state, batches, jnp.ones(2), KEY)
    theirs, their_metrics = update(permuted(state), other, jnp.ones(2), KEY)
    assert_same(metrics, their_metrics, rtol=1e-5, atol=1e-6)
    assert_same(permuted(after), theirs, rtol=1e-4, atol=1e-6)
    assert differ(after.critic, theirs.critic)


def test_images_where_a_task_has_none_have_no_influence():
    _, state, gradients, _ = case(SEEING)
    batch, noise = make_batches(SEEING, np.zeros(ROWS)), noise_of(SEEING)

    def painted(observations):
        return observations._replace(images=tuple(255 - image for image in observations.images))

    other = batch._replace(observations=painted(batch.observations), next_observations=painted(batch.next_observations))
    before = gradients(state, batch, noise)
    assert_same(before, gradients(state, other, noise))
    assert all((leaf == 0).all() for leaf in leaves(before[1][1].encoder).values())
    seen = make_batches(SEEING, np.ones(ROWS))
    gradient = gradients(state, seen, noise)[1][1].encoder
    assert any((leaf != 0).any() for leaf in leaves(gradient).values())


@pytest.mark.parametrize("tasks", [MIXED, SEEING, CHOOSING], ids=["mixed", "seeing", "choosing"])
def test_an_update_moves_what_acts_and_stays_finite(tasks):
    _, state, _, update = case(tasks)
    batches = make_batches(tasks, np.arange(2 * ROWS).reshape(2, ROWS) % len(tasks))
    after, metrics = update(state, batches, jnp.ones(len(tasks)), KEY)
    assert_finite((after, metrics))
    assert (state.actor is None) == (tasks is CHOOSING) == ("actor_loss" not in metrics)
    for name in ("critic", "target_critic", "log_temperature", *(() if tasks is CHOOSING else ("actor",))):
        assert differ(getattr(after, name), getattr(state, name)), name


SWITCHED = (
    (MIXED, {"conditioning": "multi-head", "critic_loss": "squared-error", "temperature": "per-task"}),
    (SEEING, {"film": True, "normalise_observations": True, "target_scale": "tracked", "encoder": "impala"}),
    (CHOOSING, {"entropy_correction": "empirical", "critic_combiner": "pcgrad", "choice_policy": "epsilon-greedy"}),
)


@pytest.mark.slow
def test_every_switch_works_with_choices_and_images():
    """As one trace each: types and shapes fit."""
    for tasks, changes in SWITCHED:
        batches = make_batches(tasks, np.repeat(np.arange(len(tasks)), 4)[None])
        bound, each = jnp.ones(len(tasks)), jax.tree.map(lambda x: x.reshape(-1, 4, *x.shape[2:]), batches)
        agent = make_agent(dataclasses.replace(CONFIG, **changes), tasks)
        state = agent.init(jax.random.key(0))
        for dtype in (jnp.float32, jnp.bfloat16):
            own = cast(state, dtype)
            after, _ = jax.eval_shape(agent._update_now, own, batches, bound, KEY)
            assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(own)]
            first = jax.tree.map(lambda x: x[0], batches.observations)
            acted = jax.eval_shape(agent.act, own, first, batches.task_ids[0], KEY)
            assert (acted.shape, acted.dtype) == ((4 * len(tasks), tasks.action_width), dtype)
            assert jax.eval_shape(agent.values, own, first, batches.task_ids[0], bound, KEY).dtype == dtype
        jax.eval_shape(agent.diagnose, state, each, bound, KEY)
        jax.eval_shape(agent.measure_affinity, state, each, bound, KEY, fresh_averages(len(tasks)))
        average = averaging.start(state)
        jax.eval_shape(averaging.follow, average, state, jnp.float32(3))
        assert_same(averaging.acting(state, average), state)
        assert (average.members is None) == (tasks.choices == 1)
        states = jax.tree.map(lambda x: jnp.stack([x, x]), state)
        several = jax.tree.map(lambda x: jnp.stack([x, x]), (batches, bound, first))
        keys = jax.random.split(KEY)
        update, act, _ = agent.over_seeds()
        jax.eval_shape(update, states, *several[:2], keys)
        assert jax.eval_shape(act, states, several[2], batches.task_ids[0], keys).shape[0] == 2


def test_programs_are_those_that_are_called():
    agent = make_agent(CONFIG, SEEING)
    state, programs = agent.init(jax.random.key(0)), agent.programs(KEY, updates=1, batch_size=3, diagnosed=2)
    batches = make_batches(SEEING, np.arange(3)[None] % 3)
    first = jax.tree.map(lambda x: x[0], batches)
    programs["act"]()
    assert agent.act(state, first.observations, first.task_ids, KEY).shape == (3, SEEING.action_width)
    like = jax.tree.map(lambda x: (x.shape, x.dtype), batches)
    lowered = agent._update.lower(state, batches, jnp.ones(3), KEY)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), lowered.args_info[0][1]) == like


def test_soft_choices_by_hand():
    mask = jnp.array([True, True, False])
    probs, entropy = soft_choice(jnp.array([1.0, 2.0, 9.0]), mask, jnp.float32(0.5))
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(probs, [1 - p, p, 0], rtol=1e-6)
    np.testing.assert_allclose(entropy, -p * np.log(p) - (1 - p) * np.log(1 - p), rtol=1e-5)
    for temperature in (0.0, 1e-30, 1e12):
        probs, entropy = soft_choice(jnp.array([1e3, -1e3, 1e9]), mask, jnp.float32(temperature))
        assert np.isfinite(probs).all()
        assert np.isfinite(entropy)
        np.testing.assert_allclose(probs, [0.5, 0.5, 0] if temperature > 1 else [1, 0, 0], rtol=1e-5)
    greedy = epsilon_greedy(jnp.array([1.0, 2.0, 9.0]), mask, jnp.float32(0.2))
    np.testing.assert_allclose(greedy, [0.1, 0.9, 0], rtol=1e-6)


def test_epsilon_falls_with_the_updates():
    config = dataclasses.replace(CONFIG, choice_policy="epsilon-greedy", epsilon_updates=10)
    agent, ids = make_agent(config, CHOOSING), jnp.zeros(2000, jnp.int32)
    state = agent.init(jax.random.key(0))
    assert brc.init(CONFIG, CHOOSING, jax.random.key(0)).updates is None
    rows = jnp.zeros((2000, CHOOSING.observation_dim))
    best = np.asarray(agent.act(state, rows, ids, None))[0, 0]
    shares = []
    for updates in (0, 5, 10, 99):
        now = dataclasses.replace(state, updates=jnp.int32(updates))
        shares.append((np.asarray(agent.act(now, rows, ids, KEY))[:, 0] == best).mean())
    chance = np.array([1, 1 - 0.95 / 2, 0.05, 0.05])
    np.testing.assert_allclose(shares, 1 - chance * 2 / 3, atol=0.04)
    batches = make_batches(CHOOSING, np.zeros((2, ROWS)))
    assert agent.update(state, batches, jnp.ones(2), KEY)[0].updates == 2


def test_the_reward_scale_leaves_room_for_all_of_a_choice_s_entropy():
    facts = facts_of(MIXED)
    np.testing.assert_allclose(facts.target_entropy, [-1, 0.2 * np.log(3), 0.2 * np.log(2)], rtol=1e-6)
    scale = brc.reward_scale(CONFIG, facts, jnp.log(jnp.float32(0.5)), jnp.zeros(3), jnp.full(3, 2.0))
    room = 0.5 * np.array([0.5, 0.2 * np.log(3), 0.2 * np.log(2)]) / 0.1
    np.testing.assert_allclose(scale, 10 / (2 + room), rtol=1e-5)


def test_what_cannot_be_is_refused_with_what_to_do():
    for tasks in (MIXED, SEEING):
        with pytest.raises(ValueError, match=r"'sac' learns from vectors .* take --agent.kind brc"):
            make_agent(SAC, tasks)
    with pytest.raises(ValueError, match=r"--agent.no-mask-padded-actions .* leave it out"):
        make_agent(dataclasses.replace(CONFIG, mask_padded_actions=False), MIXED)
    with pytest.raises(ValueError, match=r"'pick' chooses without one: give it to the critic only"):
        make_agent(dataclasses.replace(CONFIG, actor_combiner="mgda"), MIXED)
    with pytest.raises(ValueError, match=r"--agent.encoder: there is no encoder 'natur'"):
        make_agent(dataclasses.replace(CONFIG, encoder="natur"), SEEING)
    many = TaskSet((dataclasses.replace(PICK, action=Choices((300,))),))
    agent = make_agent(CONFIG, many)
    state = cast(agent.init(jax.random.key(0)), jnp.bfloat16)
    with pytest.raises(ValueError, match="bfloat16 counts to 256 and the tasks have up to 300 choices"):
        jax.eval_shape(agent.act, state, jnp.zeros((1, 3)), jnp.zeros(1, jnp.int32), None)


def test_shifted_images_are_pieces_of_bordered_ones_and_nothing_else_changes():
    seen = make_batches(SEEING, [0, 1, 2, 2]).observations
    moved = shifted(seen, 2, KEY)
    np.testing.assert_array_equal(moved.vector, seen.vector)
    for before, after in zip(seen.images, moved.images, strict=True):
        for image, found in zip(np.asarray(before), np.asarray(after), strict=True):
            height, width, _ = image.shape
            bordered = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
            pieces = [bordered[y : y + height, x : x + width] for y in range(5) for x in range(5)]
            assert any((piece == found).all() for piece in pieces)
    assert differ(seen.images, moved.images)
    assert_same(shifted(seen, 0, KEY), seen)
    assert_same(shifted(seen.vector, 2, KEY), seen.vector)


def test_an_update_learns_from_shifted_images():
    batches, states = make_batches(SEEING, [[0, 1, 2, 2]]), []
    for config in (CONFIG, dataclasses.replace(CONFIG, image_shift=2)):
        agent = make_agent(config, SEEING)
        states.append(agent.update(agent.init(KEY), batches, jnp.ones(3), KEY)[0].critic)
    assert differ(*states)


def test_tasks_of_images_alone_have_no_numbers_to_normalise():
    agent = make_agent(dataclasses.replace(CONFIG, normalise_observations=True), TaskSet((LOOK,)))
    state = agent.init(KEY)
    assert state.moments is None
    jax.eval_shape(agent.update, state, make_batches(agent.tasks, [[0, 0]]), jnp.ones(1), KEY)
