"""MBML's stages on two tasks whose states tell nothing of the task: what is relabelled, and what is inferred."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.transfer.mbml import (
    Logs,
    MBMLConfig,
    Relabelled,
    Student,
    act,
    infer,
    nearer,
    relabel,
    student_loss,
    train_ensembles,
    train_student,
    train_teachers,
)
from polytask.transfer.mbml.data import draw_held, rows

SMALL = MBMLConfig(
    teacher_width=8,
    teacher_steps=3,
    teacher_batch=8,
    ensemble=3,
    ensemble_width=16,
    ensemble_steps=300,
    ensemble_batch=32,
    threshold=0.3,
    latent=3,
    encoder_width=16,
    encoder_depth=1,
    context=8,
    width=16,
    depth=1,
    steps=3,
    batch=8,
    learning_rate=3e-3,
)
N = 200


def logs(apart: float = 0.0) -> Logs:
    """Two tasks: the reward is the action, or minus it; `apart` moves the states of the second away."""
    rng = np.random.default_rng(0)
    seen, acted = rng.uniform(-1, 1, (2, N, 2)), rng.uniform(-1, 1, (2, N, 1))
    seen[1] += apart
    rewards = np.stack([acted[0, :, 0], -acted[1, :, 0]])
    return Logs(*(jnp.asarray(x, jnp.float32) for x in (seen, acted, rewards, np.zeros((2, N)), seen)))


@partial(jax.jit, static_argnums=0)
def fresh(config):
    return Student(config, 2, 1, key=jax.random.key(1))


@cache
def teachers():
    return train_teachers(SMALL, logs(), jax.random.key(0))


def held(**kept: list[int]) -> Relabelled:
    """Relabelled transitions of which these are held, by pair: `_01=[3, 5]`."""
    marks = np.zeros((2, 2, N), int)
    for name, at in kept.items():
        marks[int(name[1]), int(name[2]), at] = 1
    return Relabelled(jnp.stack([-logs().rewards[::-1]] * 2), jnp.asarray(marks.cumsum(axis=-1)))


def test_draws_are_of_what_is_held_alone_with_replacement():
    for kept in ([7], [0, N - 1], list(range(0, N, 3))):
        at, there = draw_held(held(_01=kept).held[0, 1], 64, jax.random.key(0))
        assert set(np.asarray(at).tolist()) <= set(kept)
        assert there.all()
    at, there = draw_held(held().held[0, 1], 64, jax.random.key(0))
    assert not there.any()
    assert ((at >= 0) & (at < N)).all()


def test_an_ensemble_learns_its_task_s_reward_and_disagrees_where_there_are_no_data():
    near, far = logs(), logs(apart=30.0)
    nets = train_ensembles(SMALL, near, jax.random.key(0))
    ours = relabel(SMALL, near, nets)
    np.testing.assert_allclose(ours.rewards[0, 0], near.rewards[0], atol=0.35)
    np.testing.assert_allclose(ours.rewards[1, 0], -near.rewards[0], atol=0.35)  # task 0's transitions under task 1
    assert int(ours.held[1, 0, -1]) > 0.8 * N
    theirs = relabel(SMALL, far, nets)
    assert int(theirs.held[0, 1, -1]) < 0.3 * N


@pytest.mark.parametrize("changes", [{}, {"relabel": False}, {"triplet": False}, {"relabel": False, "triplet": False}])
def test_losses_are_finite_whatever_is_held(changes):
    """Also where one pair is empty, or both are, or fewer are held than a context takes."""
    config = dataclasses.replace(SMALL, **changes)
    student, given, data = fresh(config), teachers(), logs()
    measure = jax.jit(
        jax.value_and_grad(
            lambda s, relabelled: student_loss(config, s, given, data, relabelled, jax.random.key(2)), has_aux=True
        )
    )
    for relabelled in (held(), held(_01=[3]), held(_01=[3, 4], _10=list(range(N)))):
        (total, losses), slopes = measure(student, relabelled)
        assert np.isfinite(float(total))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
        empty = config.relabel and int(relabelled.held[..., -1].sum()) == 0
        assert (float(losses["triplet"]) == 0) == (empty or not config.triplet)


def test_the_latent_is_not_learned_through_candidates_and_perturbations():
    given, data, relabelled = teachers(), logs(), held()

    @jax.jit
    def slopes_of(student):
        def loss(student, name):
            return student_loss(SMALL, student, given, data, relabelled, jax.random.key(2))[1][name]

        return [jax.grad(loss)(student, name) for name in ("candidates", "perturbations")]

    for slopes in slopes_of(fresh(SMALL)):
        assert not any(leaf.any() for leaf in jax.tree.leaves(slopes.encoder))
        assert any(leaf.any() for leaf in jax.tree.leaves((slopes.proposal, slopes.perturbation)))


def test_a_student_acts_within_bounds_and_needs_no_transition_to_begin():
    student, losses = train_student(SMALL, teachers(), logs(), held(_01=[1], _10=[2]), jax.random.key(0))
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in losses.values())
    z = jax.jit(infer)(student, jnp.zeros((5, 6)), jnp.zeros(5, bool), jax.random.key(3))
    np.testing.assert_allclose(z, jax.random.normal(jax.random.key(3), (3,)), rtol=1e-6)
    actions = jax.jit(partial(act, SMALL))(student, jnp.zeros((4, 2)), jnp.stack([z] * 4), jax.random.key(4))
    assert actions.shape == (4, 1)
    assert (jnp.abs(actions) <= 1).all()


def test_nearer_compares_divergences():
    one, two = (jnp.zeros(2), jnp.zeros(2)), (jnp.ones(2), jnp.zeros(2))
    assert bool(nearer((0.4 * jnp.ones(2), jnp.zeros(2)), one, two))
    assert not bool(nearer((0.6 * jnp.ones(2), jnp.zeros(2)), one, two))


def test_logs_that_do_not_belong_together_are_named():
    good = logs()
    with pytest.raises(ValueError, match="logs of 1; give at least two"):
        train_teachers(SMALL, Logs(*(x[:1] for x in good)), jax.random.key(0))
    with pytest.raises(ValueError, match="actions are not"):
        train_ensembles(SMALL, good._replace(actions=good.actions[:, :5]), jax.random.key(0))
    with pytest.raises(ValueError, match="not finite: rewards"):
        train_ensembles(SMALL, good._replace(rewards=good.rewards.at[0, 0].set(jnp.nan)), jax.random.key(0))


@pytest.mark.slow
def test_relabelling_and_the_triplet_make_the_encoder_go_by_rewards():
    """Where states tell the tasks apart: only with both is a transition of one with the other's reward the other's."""
    data = logs(apart=1.0)
    config = dataclasses.replace(SMALL, steps=1500, threshold=0.5, ensemble_steps=1000)
    relabelled = relabel(config, data, train_ensembles(config, data, jax.random.key(0)))
    right = {}
    for name, changes in (("full", {}), ("neither", {"relabel": False, "triplet": False})):
        own = dataclasses.replace(config, **changes)
        student, _ = train_student(own, teachers(), data, relabelled, jax.random.key(1))
        at, real = jnp.arange(64), jnp.ones(64, bool)
        own_sets = [student.encoder(rows(data, jnp.int32(i), at, data.rewards[i, at]), real) for i in range(2)]
        swapped = [student.encoder(rows(data, jnp.int32(j), at, -data.rewards[j, at]), real) for j in range(2)]
        right[name] = [bool(nearer(swapped[j], own_sets[1 - j], own_sets[j])) for j in range(2)]
    assert right["full"] == [True, True]
    assert right["neither"] == [False, False]


def test_the_rows_of_a_set_are_its_transitions():
    found = rows(logs(), jnp.int32(1), jnp.array([3, 5]), jnp.array([7.0, 8.0]))
    np.testing.assert_array_equal(found[:, -1], [7, 8])
    np.testing.assert_array_equal(found[:, 2], logs().actions[1, [3, 5], 0])
