"""Networks as properties: shapes, initialisation, which parameters a task's output depends on."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.networks import (
    BroNet,
    CriticEnsemble,
    Dense,
    GaussianActor,
    LayerNorm,
    NoTaskFeatures,
    OneHotTasks,
    TaskEmbedding,
    TaskHead,
    make_conditioning,
    make_trunk,
)
from polytask.networks.critic import ONE_BY_ONE, CriticMember
from tests.dtypes import cast

KEY = jax.random.key(0)
TASKS = jnp.array([0, 1, 2, 0, 1, 2], jnp.int32)


call = jax.jit(lambda module, *inputs: module(*inputs))


def with_leaves(module, *leaves):
    """The module with these arrays in the place of its own, in the order of the tree."""
    return jax.tree.unflatten(jax.tree.structure(module), [jnp.asarray(leaf) for leaf in leaves])


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("inputs", "outputs", "scale"),
    [(12, 16, 1.0), (16, 7, math.sqrt(2)), (16, 16, 1.0), (16, 1, math.sqrt(2)), (1, 5, 1.0)],
)
def test_kernels_are_orthogonal_and_biases_zero(inputs, outputs, scale):
    dense = Dense(inputs, outputs, key=KEY, scale=scale)
    w = np.float64(dense.kernel)
    gram = w.T @ w if inputs >= outputs else w @ w.T
    np.testing.assert_allclose(gram, scale**2 * np.eye(min(inputs, outputs)), atol=1e-5)
    np.testing.assert_array_equal(dense.bias, np.zeros(outputs))


def test_dense_by_hand():
    dense = with_leaves(Dense(2, 1, key=KEY), [[2.0], [-1.0]], [0.5])
    np.testing.assert_array_equal(dense(jnp.array([[1.0, 3.0], [0.0, 0.0]])), [[-0.5], [0.5]])


@pytest.mark.parametrize("scale", [1e-1, 1.0, 1e6, 1e12])
def test_layer_norm_gives_mean_zero_and_variance_one(scale):
    y = np.asarray(call(LayerNorm(64), np.float32(scale) * np.asarray(normal(5, 64))))
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_layer_norm_in_half_precision_is_that_of_float32_rounded(dtype):
    """Also where the mean is far from zero, so that the squares differ in digits that half precision does not have."""
    x = 16 + normal(5, 64).astype(dtype)
    y = call(cast(LayerNorm(64), dtype), x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, call(LayerNorm(64), x.astype(jnp.float32)).astype(dtype))


norm_and_gradient = jax.jit(jax.value_and_grad(lambda x: LayerNorm(8)(x).sum()))


@pytest.mark.parametrize("level", [0.0, 1e-12, 1.0, 1e3, -1e12])
def test_layer_norm_of_a_constant_is_finite(level):
    y, gradient = norm_and_gradient(jnp.full((1, 8), level))
    assert np.isfinite(y)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("depth", [0, 2])
def test_trunks_have_their_shapes_and_depth(depth):
    for name, layers, leaves in (("bronet", depth, 4 + 8 * depth), ("mlp", depth + 1, 2 * (depth + 1))):
        trunk = make_trunk(name, 8, 4, 16, layers, key=KEY)
        assert trunk.width == 16
        assert call(trunk, normal(5, 8), normal(5, 4)).shape == (5, 16)
        assert len(jax.tree.leaves(trunk)) == leaves
        with pytest.raises(TypeError):
            call(trunk, normal(5, 8), normal(5, 3))


@pytest.mark.parametrize("name", ["bronet", "mlp"])
def test_a_trunk_takes_task_features_for_more_inputs(name):
    """The first layer's rows are of inputs, then of task features; without any, nothing is taken in their place."""
    split, whole = (make_trunk(name, *sizes, 16, 1, key=KEY) for sizes in ((8, 4), (12, 0)))
    assert eqx.tree_equal(split, whole)
    x = normal(5, 12)
    np.testing.assert_array_equal(call(split, x[:, :8], x[:, 8:]), call(whole, x, x[:, :0]))


def test_an_unknown_trunk_and_one_without_layers_say_what_to_do():
    with pytest.raises(ValueError, match=r"no trunk 'bronett': did you mean 'bronet'\?"):
        make_trunk("bronett", 8, 0, 16, 1, key=KEY)
    with pytest.raises(ValueError, match="depth 1 or more"):
        make_trunk("mlp", 8, 0, 16, 0, key=KEY)


def test_layers_of_a_trunk_are_drawn_apart():
    bronet = BroNet(12, 4, 16, 2, key=KEY)
    kernels = [leaf for leaf in jax.tree.leaves(bronet) if leaf.ndim == 2]
    assert len(kernels) == 5
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(kernels) for b in kernels[:i])


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_embedding_rows_have_norm_one_and_their_direction(norm, order, scale):
    embedding = TaskEmbedding(6, 32, norm, key=KEY)
    rows = call(with_leaves(embedding, np.asarray(embedding.table) * np.float32(scale)), TASKS)
    np.testing.assert_allclose(np.linalg.norm(rows, ord=order, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(rows, call(embedding, TASKS), rtol=1e-5, atol=1e-7)


def test_embedding_learns_only_from_tasks_in_the_batch():
    embedding = TaskEmbedding(3, 8, "l2", key=KEY)
    weights = normal(2, 8)
    ids = jnp.array([0, 2], jnp.int32)
    gradient = jax.jit(jax.grad(lambda e: (e(ids) * weights).sum()))(embedding).table
    assert (np.abs(gradient).max(axis=1) > 0).tolist() == [True, False, True]
    # A direction has no gradient along itself.
    np.testing.assert_allclose((gradient * embedding.table).sum(axis=1), 0, atol=1e-5)


def test_embedding_entries_are_drawn_as_documented():
    table = np.asarray(TaskEmbedding(400, 64, "l2", key=KEY).table)
    assert table.mean() == pytest.approx(0, abs=0.003)
    assert table.std() == pytest.approx(1 / 8, rel=0.02)


def test_one_hot_is_the_identity():
    assert OneHotTasks(4).dim == 4
    np.testing.assert_array_equal(OneHotTasks(4)(jnp.arange(4)), np.eye(4))


@pytest.mark.parametrize(
    ("kind", "tasks", "type_", "dim"),
    [
        ("embedding", 3, TaskEmbedding, 32),
        ("one-hot", 3, OneHotTasks, 3),
        ("multi-head", 3, NoTaskFeatures, 0),
        ("none", 3, NoTaskFeatures, 0),
        ("embedding", 1, NoTaskFeatures, 0),
        ("one-hot", 1, NoTaskFeatures, 0),
    ],
)
def test_conditioning_kinds(kind, tasks, type_, dim):
    conditioning = make_conditioning(kind, tasks, 32, "l2", alone=tasks == 1, key=KEY)
    assert type(conditioning) is type_
    assert conditioning.dim == dim
    assert jax.eval_shape(conditioning, jnp.zeros(5, jnp.int32)).shape == (5, dim)


def test_each_head_answers_for_its_task_alone():
    head, x = TaskHead(16, 2, 3, key=KEY), normal(6, 16)
    y = np.asarray(call(head, x, TASKS))
    other = jax.tree.map(lambda w: w.at[..., 2:4].add(1.0), head)  # head 1
    moved = np.abs(np.asarray(call(other, x, TASKS)) - y).max(axis=1) > 0
    np.testing.assert_array_equal(moved, np.asarray(TASKS) == 1)
    gradient = jax.jit(jax.grad(lambda h: h(x, 0 * TASKS).sum()))(head).dense.kernel
    np.testing.assert_array_equal(gradient[:, 2:], 0.0)
    assert (np.abs(gradient[:, :2]) > 0).all()


def test_one_head_serves_all_tasks():
    head, x = TaskHead(16, 7, 1, key=KEY), normal(6, 16)
    np.testing.assert_array_equal(call(head, x, TASKS), call(head, x, 0 * TASKS))


def make_critic(size: int, heads: int = 1) -> CriticEnsemble:
    def member(key: jax.Array) -> CriticMember:
        return CriticMember(BroNet(5 + 3, 4, 16, 1, key=key), TaskHead(16, 7, heads, key=key))

    return CriticEnsemble(size, TaskEmbedding(3, 4, "l2", key=KEY), member, key=KEY)


@pytest.mark.parametrize("size", [1, 3])
def test_ensemble_members_are_independent(size):
    critic = make_critic(size)
    inputs = (normal(6, 5), normal(6, 3), TASKS)
    y = np.asarray(call(critic, *inputs))
    assert y.shape == (size, 6, 7)
    assert all(np.abs(y[i] - y[j]).max() > 0.1 for i in range(size) for j in range(i))
    other = eqx.tree_at(lambda c: c.members.head.dense.bias, critic, replace_fn=lambda b: b.at[0].add(0.1))
    moved = np.asarray(call(other, *inputs)) != y
    assert moved[0].any()
    assert not moved[1:].any()


@pytest.mark.parametrize("rows", [6, ONE_BY_ONE])
def test_members_alone_agree_with_the_ensemble(rows):
    critic = make_critic(2, heads=3)
    observations, actions, tasks = normal(rows, 5), normal(rows, 3), jnp.arange(rows, dtype=jnp.int32) % 3
    y = call(critic, observations, actions, tasks)
    x, features = jnp.concatenate([observations, actions], axis=1), critic.conditioning(tasks)
    for i in range(2):
        alone = jax.tree.map(lambda w, i=i: np.asarray(w)[i], critic.members)
        np.testing.assert_allclose(y[i], call(alone, x, features, tasks), rtol=1e-4, atol=1e-5)


def test_the_gradient_does_not_depend_on_how_members_are_computed():
    critic, rows = make_critic(2), ONE_BY_ONE
    inputs = (normal(rows, 5), normal(rows, 3), np.arange(rows, dtype=np.int32) % 3)
    gradient = jax.jit(jax.grad(lambda critic, *inputs: jnp.square(critic(*inputs)).sum()))
    halves = [gradient(critic, *(part[half] for part in inputs)) for half in (slice(rows // 2), slice(rows // 2, rows))]
    summed = jax.tree.map(jnp.add, *halves)
    for whole, expected in zip(jax.tree.leaves(gradient(critic, *inputs)), jax.tree.leaves(summed), strict=True):
        np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_actor_bounds_its_log_std_whatever_it_sees():
    actor = GaussianActor(BroNet(12, 0, 16, 1, key=KEY), 7, 1, key=KEY)
    observations = np.asarray(normal(6, 12))
    for scale in (0.0, 1e-12, 1.0, 1e6, 1e12):
        mean, log_std = call(actor, observations * np.float32(scale), np.zeros((6, 0), np.float32), TASKS)
        assert mean.shape == log_std.shape == (6, 7)
        assert np.isfinite(mean).all()
        assert (np.abs(np.asarray(log_std) + 4) <= 6).all()
    np.testing.assert_allclose(np.linalg.norm(actor.mean.dense.kernel, axis=0), math.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(actor.log_std.dense.kernel, axis=0), 1.0, rtol=1e-5)
