"""Transference against its definition, for several optimisers and models; and that looking changes nothing."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from polytask import random
from polytask.affinity import measure
from polytask.affinity.gradients import joint_gradients, separate_gradients, set_gradients, similarities, split
from polytask.affinity.lookahead import Effects, curvature, decrease, effects, gain, transference
from tests.affinity.models import SHARED, TASKS, Net, data, make_losses, own_gradient, trunk_and_heads

RATE = 0.1
OPTIMISERS = {
    "sgd": optax.sgd(RATE),
    "momentum": optax.sgd(RATE, momentum=0.9),
    "adam": optax.adam(RATE),
    "adamw": optax.adamw(RATE, weight_decay=0.1),
}


def same_bits(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in leaves)


def step(optimiser, params, gradient, state):
    with jax.numpy_dtype_promotion("standard"):
        updates, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


def warm(name):
    """Parameters and optimiser state after three steps of all tasks together."""
    losses = make_losses(*data())
    params, state = trunk_and_heads(), OPTIMISERS[name].init(trunk_and_heads())
    one = jax.jit(lambda p, s: step(OPTIMISERS[name], p, jax.grad(lambda q: losses(q).sum())(p), s))
    for _ in range(3):
        params, state = one(params, state)
    return losses, params, state


@pytest.mark.parametrize("name", OPTIMISERS)
def test_transference_is_the_definition_for_any_optimiser(name):
    losses, params, state = warm(name)
    gradients = jax.jit(lambda p: joint_gradients(losses, p, SHARED)[1])(params)
    found = jax.jit(lambda p, s, g: effects(losses, p, g, OPTIMISERS[name], s, shared=SHARED))(params, state, gradients)

    @jax.jit
    def by_hand(params, state):
        moved = [step(OPTIMISERS[name], params, own_gradient(losses, params, i), state)[0] for i in range(TASKS)]
        return jnp.stack([losses((trunk, params[1])) for trunk, _ in moved])  # heads as they were

    np.testing.assert_allclose(found.after, by_hand(params, state), rtol=2e-6)
    np.testing.assert_allclose(found.before, losses(params), rtol=1e-6)
    z = 1 - np.asarray(found.after) / np.asarray(found.before)[None]
    np.testing.assert_allclose(transference(found), z, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_heads_stepped_first(name):
    losses, params, state = warm(name)

    @jax.jit
    def both(params, state):
        gradients = joint_gradients(losses, params, SHARED)[1]
        found = effects(losses, params, gradients, OPTIMISERS[name], state, shared=SHARED, step_heads=True)
        heads = jax.grad(lambda p: losses(p).sum())(params)[1]
        own = [(own_gradient(losses, params, source)[0], heads) for source in range(TASKS)]
        moved = [step(OPTIMISERS[name], params, gradient, state)[0] for gradient in own]
        return found, jnp.stack([losses(p) for p in moved]), losses(params)

    found, after, before = both(params, state)
    np.testing.assert_allclose(found.after, after, rtol=2e-6)
    np.testing.assert_allclose(found.before, before, rtol=1e-6)  # the denominator keeps the heads


def test_sets_of_tasks():
    losses, params, _ = warm("sgd")
    members = np.array([[True, False, True, False], [True] * 4])

    @partial(jax.jit, static_argnames="mean")
    def measured(params, mean):
        gradients = joint_gradients(losses, params, SHARED)[1]
        return effects(losses, params, set_gradients(gradients, jnp.asarray(members), mean), RATE, shared=SHARED)

    @jax.jit
    def expected(params, weights):
        gradient = jax.grad(lambda p: (weights * losses(p)).sum())(params)
        trunk = jax.tree.map(lambda p, g: p - RATE * g, params[0], gradient[0])
        return losses((trunk, params[1]))

    for mean in (False, True):
        found = measured(params, mean=mean)
        for row, inside in enumerate(members):
            weights = np.float32(inside / inside.sum() if mean else inside)
            np.testing.assert_allclose(found.after[row], expected(params, weights), rtol=2e-6)


def test_everything_shared_and_a_batch_for_each_task():
    """An RL critic: one loss function, a batch for each task, no heads."""
    inputs, targets = data()
    batches = (jnp.stack([inputs + t for t in range(TASKS)]), targets)

    def loss(params, batch):
        x, y = batch
        return jnp.square(jnp.tanh(x @ params["kernel"] + params["bias"][None]).sum(axis=1) - y).mean()

    params = trunk_and_heads()[0]

    def losses(p):
        return jax.vmap(loss, (None, 0))(p, batches)

    values, gradients = jax.jit(lambda p: separate_gradients(loss, p, batches))(params)
    joint_values, joint = jax.jit(lambda p: joint_gradients(losses, p))(params)
    np.testing.assert_allclose(values, joint_values, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradients, joint)
    found = jax.jit(lambda p, g: effects(losses, p, g, RATE))(params, gradients)
    moved = jax.tree.map(lambda p, g: p - RATE * g[2], params, gradients)
    np.testing.assert_allclose(found.after[2], losses(moved), rtol=2e-6)


def test_some_tasks_only():
    losses, params, _ = warm("sgd")
    all_of_them = jax.jit(lambda p: joint_gradients(losses, p, SHARED)[1])(params)
    some = jax.jit(lambda p, t: joint_gradients(losses, p, SHARED, t)[1])(params, jnp.array([3, 1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[np.array([3, 1])], atol=1e-7), some, all_of_them)
    found = jax.eval_shape(lambda p, g: effects(losses, p, g, RATE, shared=SHARED), params, some)
    assert found.after.shape == (2, TASKS)


def test_sources_in_turn_average_to_the_whole_measurement():
    losses, params, state = warm("adam")
    optimiser = OPTIMISERS["adam"]

    @jax.jit
    def both(params, state):
        gradients = joint_gradients(losses, params, SHARED)[1]
        whole = measure.measure(losses, params, gradients, optimiser, state, shared=SHARED)
        running = measure.init(TASKS)
        for sources in (jnp.array([0, 1]), jnp.array([2, 3])):
            some = measure.measure_some(losses, params, sources, optimiser, state, shared=SHARED)
            running = measure.observe(running, some)
        return whole, running

    whole, running = both(params, state)
    np.testing.assert_allclose(running["transference"].mean, whole["transference"], atol=1e-6)
    assert (np.asarray(running["transference"].times) == 1).all()
    assert not np.asarray(running["cosine"].times).any()


def test_an_equinox_model_with_functions_among_its_leaves():
    inputs, targets = data()
    net = Net(random.key(0, "net"))
    shared = eqx.tree_at(lambda n: n.head, jax.tree.map(lambda _: True, net), replace=False)

    def losses(n):
        return jnp.square(jax.vmap(n)(inputs).T - targets).mean(axis=1)

    optimiser = optax.adam(RATE)

    @eqx.filter_jit
    def both(net):
        _, gradients = joint_gradients(losses, net, shared)
        assert gradients.head.weight is None
        state = optimiser.init(eqx.filter(net, eqx.is_inexact_array))
        found = effects(losses, net, gradients, optimiser, state, shared=shared, gradients=gradients)
        own = eqx.filter_grad(lambda n: losses(n)[1])(net)
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = optimiser.update(own, state, eqx.filter(net, eqx.is_inexact_array))
        return found, losses(eqx.tree_at(lambda n: n.head, eqx.apply_updates(net, updates), net.head))

    found, expected = both(net)
    np.testing.assert_allclose(found.after[1], expected, rtol=5e-6)
    assert np.isfinite(found.linear).all()


# Nothing changes by being measured


def _train(measured: bool, name="momentum", steps=40):
    """Parameters, optimiser state, running statistics and key of a jitted training, with or without measuring in it."""
    inputs, targets = data()
    optimiser = OPTIMISERS[name]

    def one(carry, i):
        params, state, statistics, key, running = carry
        key, noise_key = jax.random.split(key)
        noisy = inputs + 0.1 * jax.random.normal(noise_key, inputs.shape)
        # A model with running statistics: the loss uses the batch's own, training also updates the running ones.
        mean = noisy.mean(axis=0)
        losses = make_losses(noisy - mean[None], targets)
        if measured:

            def look(running):
                gradients = joint_gradients(losses, params, SHARED)[1]
                return measure.observe(
                    running, measure.measure(losses, params, gradients, optimiser, state, shared=SHARED)
                )

            running = jax.lax.cond(i % 10 == 0, look, lambda r: r, running)
        gradient = jax.grad(lambda p: losses(p).sum())(params)
        params, state = step(optimiser, params, gradient, state)
        statistics = 0.9 * statistics + 0.1 * mean
        return (params, state, statistics, key, running), None

    first = trunk_and_heads()
    start = (first, optimiser.init(first), jnp.zeros(inputs.shape[1]), random.key(0, "train"), measure.init(TASKS))
    (params, state, statistics, key, running), _ = jax.jit(lambda carry: jax.lax.scan(one, carry, jnp.arange(steps)))(
        start
    )
    return (params, state, statistics, jax.random.key_data(key)), running


def test_training_is_bit_identical_with_measurements_in_the_same_program():
    plain, _ = _train(measured=False)
    watched, running = _train(measured=True)
    assert same_bits(plain, watched)
    assert set(running) == {"transference", "cosine", "magnitude", "conflict", "curvature"}
    assert all(np.array_equal(r.times, np.full((TASKS, TASKS), 4)) for r in running.values())


# What the numbers mean


def test_first_order():
    """For small steps: Z = rate g_i.g_j / L_j, gain = g_i.g_j / |g_j|^2, and curvature is of second order."""
    losses, params, _ = warm("sgd")
    values, gradients = jax.jit(lambda p: joint_gradients(losses, p, SHARED))(params)

    @jax.jit
    def at(rate):
        return effects(losses, params, gradients, optax.sgd(rate), shared=SHARED, gradients=gradients)

    flat = np.concatenate([np.asarray(g).reshape(TASKS, -1) for g in jax.tree.leaves(gradients)], axis=1)
    gram = flat @ flat.T
    found = at(1e-2)
    np.testing.assert_allclose(found.linear, -1e-2 * gram, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(transference(found), 1e-2 * gram / np.asarray(values)[None], atol=2e-3)
    np.testing.assert_allclose(gain(found), gram / np.diagonal(gram)[None], atol=0.05)
    ratio = np.median(np.asarray(curvature(at(2e-2))) / np.asarray(curvature(found)))
    assert 3.5 < ratio < 4.5


def test_curvature_of_a_quadratic_is_exact():
    """L = x.A x / 2 for the one task: 2 [L(x') - L(x) - grad.(x' - x)] = d.A d."""
    matrix = jnp.asarray(np.diag([1.0, 3.0, 10.0]).astype(np.float32))

    def losses(x):
        return (x @ matrix @ x / 2)[None]

    x = jnp.array([1.0, -2.0, 0.5])
    _, gradients = joint_gradients(losses, x)
    found = effects(losses, x, gradients, 0.05, gradients=gradients)
    d = -0.05 * np.asarray(matrix @ x)
    np.testing.assert_allclose(curvature(found), [[d @ np.asarray(matrix) @ d]], rtol=1e-4)


def test_losses_that_are_not_positive():
    found = Effects(jnp.array([0.0, -1.0, 2.0]), jnp.ones((3, 3)), -jnp.ones((3, 3)))
    z = np.asarray(transference(found))
    assert np.isnan(z[:, :2]).all()
    np.testing.assert_allclose(z[:, 2], 0.5)
    np.testing.assert_allclose(decrease(found)[0], [-1, -2, 1])
    np.testing.assert_allclose(gain(found)[0], [-1, -2, 1])


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_gain_knows_neither_constants_nor_factors_of_the_loss_nor_the_rate(factor):
    losses, params, _ = warm("sgd")

    def changed(p):
        return factor * losses(p) - factor * 0.5

    @jax.jit
    def gains(params):
        def gain_of(of, rate):
            gradients = joint_gradients(of, params, SHARED)[1]
            return gain(effects(of, params, gradients, rate, shared=SHARED, gradients=gradients))

        return gain_of(changed, RATE / factor), gain_of(losses, RATE)

    # A factor of all losses makes the steps longer; the rate takes it back.
    np.testing.assert_allclose(*gains(params), rtol=1e-4, atol=1e-4)


def test_zero_gradients_have_no_direction_and_no_gain():
    gradients = jnp.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    found = similarities({"g": gradients})
    assert np.isnan(np.asarray(found["cosine"])[1]).all()
    assert np.isnan(np.asarray(found["conflict"])[:, 1]).all()
    np.testing.assert_allclose(found["cosine"][0, 2], -np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(found["conflict"][0, 2], 1.0)
    np.testing.assert_allclose(found["magnitude"][0, 2], 2 * np.sqrt(2) / 3, rtol=1e-6)
    assert np.isnan(gain(Effects(jnp.zeros(1), jnp.zeros((1, 1)), jnp.zeros((1, 1))))).all()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_similarities_do_not_depend_on_the_scale(scale):
    gradients = {"a": jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32))}
    one, other = similarities(gradients), similarities(jax.tree.map(lambda g: g * scale, gradients))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    assert np.asarray(one["cosine"] == one["cosine"].T).all()
    np.testing.assert_allclose(np.diagonal(one["cosine"]), 1.0, rtol=1e-6)


def test_split_keeps_everything():
    params = trunk_and_heads()
    moving, rest = split(params, SHARED)
    assert same_bits(eqx.combine(moving, rest), params)
    assert rest[1] is not None
    assert moving[1] is None
