"""Trunks that treat tasks apart: what each is equal to where it does not, sizes as published, degenerate inputs."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.factory import make_agent
from polytask.networks import GaussianActor, make_trunk
from polytask.networks.care import CARE
from polytask.networks.experts import MixtureOfExperts, orthonormal
from polytask.networks.factory import TRUNKS
from polytask.networks.film import FiLM
from polytask.networks.layers import Dense
from polytask.networks.mlp import MLP
from polytask.networks.paco import PaCo
from polytask.networks.parallel import ParallelDense, mixed
from polytask.networks.soft_modules import SoftModules
from tests.agents.cases import BRC, LARGE, SAC, TASKS, assert_finite, both_tasks
from tests.dtypes import cast
from tests.networks.test_networks import KEY, call, normal

SMALL = {
    "soft-modules": "soft-modules:base_width=6:routing_width=4",
    "mixture-of-experts": "mixture-of-experts:experts=3",
    "paco": "paco:sets=3",
    "film": "film",
    "care": "care:encoders=3:encoder_width=6",
}
"""Each trunk in a small size, all but its width and depth."""

PAPER = {"routing_layers": 0, "base_relu": False, "router_input": "previous", "relu": "before", "final": "sum"}
SWITCHES = {"code": {}, **{name: {name: value} for name, value in PAPER.items()}, "paper": PAPER}
switched = pytest.mark.parametrize("options", SWITCHES.values(), ids=SWITCHES)
X, ONE_HOT = normal(6, 5), jnp.eye(3)[jnp.arange(6) % 3]


def parameters(module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_array)))


def actor(trunk: str, tasks: int, width: int, depth: int, heads: int = 1) -> GaussianActor:
    """Of Meta-World's sizes, as shapes only."""

    def make(key):
        return GaussianActor(make_trunk(trunk, 39, tasks, width, depth, key=key), 4, heads, key=key)

    return eqx.filter_eval_shape(make, KEY)


@pytest.mark.parametrize(
    ("trunk", "tasks", "width", "depth", "heads", "count"),
    [
        ("soft-modules", 10, 256, 2, 1, 691_022),  # the official code's shallow network
        ("soft-modules:modules=4", 50, 128, 4, 1, 808_444),  # its deep one
        ("soft-modules:modules=4", 50, 256, 4, 1, 1_606_140),  # the deep one of McLean et al. 2025
        ("mlp", 10, 550, 3, 10, 677_680),  # heads a task at the shallow one's size
    ],
)
def test_actors_have_the_published_sizes(trunk, tasks, width, depth, heads, count):
    made = actor(trunk, tasks, width, depth, heads)
    assert sum(leaf.size for leaf in jax.tree.leaves(made) if hasattr(leaf, "size")) == count


def test_every_trunk_that_is_built_in_is_tested():
    assert {*SMALL, "mlp", "bronet"} == set(TRUNKS.built_in)


@pytest.mark.parametrize("name", SMALL)
def test_every_trunk_has_its_shape_depends_on_the_task_and_is_finite(name):
    trunk = make_trunk(SMALL[name], 5, 3, 8, 2, key=KEY)
    y = np.asarray(call(trunk, X, ONE_HOT))
    assert y.shape == (6, trunk.width)
    assert np.isfinite(y).all()
    same = jnp.broadcast_to(X[:1], X.shape)
    if name != "film":  # which begins as a plain network
        assert np.abs(np.diff(np.asarray(call(trunk, same, ONE_HOT))[:3], axis=0)).max() > 1e-4
    gradient = jax.jit(jax.grad(lambda t: jnp.square(t(X, ONE_HOT)).sum()))(trunk)
    assert_finite(gradient)
    for scale in (0.0, 1e-12, 1e6):
        assert np.isfinite(call(trunk, scale * X, ONE_HOT)).all()


@pytest.mark.parametrize("name", SMALL)
def test_one_task_without_features_is_one_task_with_a_feature_of_one(name):
    trunk, x = make_trunk(SMALL[name], 5, 0, 8, 2, key=KEY), normal(6, 5)
    np.testing.assert_array_equal(call(trunk, x, jnp.zeros((6, 0))), call(trunk, x, jnp.ones((6, 1))))


@pytest.mark.parametrize("name", SMALL)
def test_tasks_with_the_same_features_are_one_task(name):
    trunk, x = make_trunk(SMALL[name], 5, 3, 8, 2, key=KEY), jnp.broadcast_to(normal(1, 5), (2, 5))
    y = call(trunk, x, jnp.ones((2, 3)) / 3)
    np.testing.assert_array_equal(y[0], y[1])


@pytest.mark.parametrize("name", SMALL)
def test_routes_are_those_of_the_call_and_in_half_precision_near(name):
    trunk = make_trunk(SMALL[name], 5, 3, 8, 2, key=KEY)
    routes = jax.jit(lambda trunk, x, tasks: trunk.routes(x, tasks))(trunk, X, ONE_HOT)
    assert all(route.ndim == 3 and len(route) == 6 for route in routes)
    half = cast(trunk, jnp.bfloat16)
    y = call(half, X.astype(jnp.bfloat16), ONE_HOT)
    assert y.dtype == jnp.bfloat16
    exact = np.asarray(call(trunk, X, ONE_HOT))
    np.testing.assert_allclose(np.float32(y), exact, atol=0.1 * np.abs(exact).max())


@pytest.mark.parametrize("name", SMALL)
def test_in_double_precision_nothing_is_lost(name):
    trunk = make_trunk(SMALL[name], 5, 3, 8, 2, key=KEY)
    single = np.asarray(call(trunk, X, ONE_HOT))
    with jax.enable_x64(True):
        exact = call(cast(trunk, jnp.float64), X.astype(jnp.float64), ONE_HOT)
        assert exact.dtype == jnp.float64
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", ["brc", "sac"])
def test_agents_learn_with_every_trunk(name, kind):
    config = BRC if kind == "brc" else SAC
    config = dataclasses.replace(config, trunk=SMALL[name], conditioning="one-hot")
    config = dataclasses.replace(config, critic_depth=2, actor_depth=2) if kind == "brc" else config
    agent = make_agent(config, TASKS)
    key = jax.random.key(1)
    state = jax.eval_shape(lambda key: agent._algorithm.init(config, TASKS, key), key)
    after, _ = jax.eval_shape(agent._update_now, state, both_tasks(), np.ones(2, np.float32), key)
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_what_does_not_fit_is_said_at_once():
    with pytest.raises(
        ValueError, match=r"soft-modules needs features that tell the tasks apart.*conditioning one-hot"
    ):
        make_agent(dataclasses.replace(SAC, trunk="soft-modules"), TASKS)
    with pytest.raises(ValueError, match="needs features"):
        make_agent(dataclasses.replace(BRC, trunk="soft-modules", conditioning="none"), TASKS)
    make_agent(dataclasses.replace(SAC, trunk="soft-modules"), dataclasses.replace(TASKS, specs=(LARGE,)))
    for text, message in (
        ("soft-modules:moduls=3", "--agent.trunk: soft-modules has no option 'moduls': its options are modules, "),
        ("soft-modules:modules=two", "soft-modules's modules is a whole number, not 'two'"),
        ("soft-modules:base_relu=no", "soft-modules's base_relu is one of true, false, not 'no'"),
        ("soft-modules:final=max", "final is one of weighted, sum, not 'max'"),
        ("mlp:modules=3", "mlp has no option 'modules': it has none"),
        ("soft-modules:modules", "options are written soft-modules:option=value"),
        ("soft-module", "did you mean 'soft-modules'"),
    ):
        with pytest.raises(ValueError, match=message):
            make_agent(dataclasses.replace(SAC, trunk=text, conditioning="one-hot"), TASKS)
    for options, depth, message in (
        ({"modules": 0}, 2, "at least one"),
        ({"final": "sum"}, 1, "routes nothing at depth 1"),
    ):
        with pytest.raises(ValueError, match=message):
            SoftModules(5, 3, 8, depth, key=KEY, **options)
    for make, options, message in (
        (MixtureOfExperts, {"experts": 9}, "as many as units, 8, since no more can be orthogonal; not 9"),
        (MixtureOfExperts, {"experts": 0, "orthogonal": False}, "from one expert"),
        (PaCo, {"sets": 0}, "at least one set"),
        (CARE, {"encoders": 0}, "at least one encoder"),
    ):
        with pytest.raises(ValueError, match=message):
            make(5, 3, 8, 1, key=KEY, **options)
    for name in SMALL:
        with pytest.raises(ValueError, match="choose depth 1 or more"):
            make_trunk(name, 5, 3, 8, 0, key=KEY)


@switched
def test_routes_of_soft_modules_sum_to_one_whatever_the_switches(options):
    trunk = SoftModules(5, 3, 8, 3, key=KEY, modules=3, base_width=6, routing_width=4, **options)
    routes = trunk.routes(5 * X, ONE_HOT)
    shapes = [(6, 3, 3), (6, 3, 3)] + ([(6, 1, 3)] if options.get("final") != "sum" else [])
    assert [route.shape for route in routes] == shapes
    for route in routes:
        np.testing.assert_allclose(route.sum(axis=-1), 1, rtol=1e-6)
        assert (np.asarray(route) >= 0).all()
    assert trunk.width == (8 if options.get("final") != "sum" else 24)
    assert trunk(X, ONE_HOT).shape == (6, trunk.width)


def as_mlp(trunk: SoftModules, inputs: int) -> MLP:
    """The network that is left where all modules of a layer are its first."""
    layers = [*trunk.base, *(jax.tree.map(lambda leaf: leaf[0], layer) for layer in trunk.modules)]
    made = MLP(inputs, 0, 1, len(layers), key=KEY)
    return eqx.tree_at(
        lambda m: [leaf for layer in m.layers for leaf in (layer.kernel, layer.bias)],
        made,
        [leaf for layer in layers for leaf in (layer.kernel, layer.bias)],
    )


@switched
def test_uniform_routes_and_identical_modules_are_a_plain_network(options):
    options = {**options, "base_relu": True}
    trunk = SoftModules(5, 3, 8, 3, key=KEY, modules=3, base_width=6, routing_width=4, **options)
    trunk = eqx.tree_at(lambda t: t.router_out, trunk, replace_fn=lambda layers: jax.tree.map(jnp.zeros_like, layers))
    alike = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), trunk.modules)
    trunk = eqx.tree_at(lambda t: t.modules, trunk, alike)
    expected = as_mlp(trunk, 5)(X, jnp.zeros((6, 0)))
    y = np.asarray(trunk(X, ONE_HOT)).reshape(6, -1, 8)
    for part in range(y.shape[1]):
        np.testing.assert_allclose(y[:, part], expected, rtol=1e-5, atol=1e-6)


def test_uniform_routes_without_the_first_relu_are_a_plain_network_without_it():
    trunk = SoftModules(5, 3, 8, 1, key=KEY, modules=1, base_width=6, base_depth=1, base_relu=False)
    layer = jax.tree.map(lambda leaf: leaf[0], trunk.modules[0])
    expected = jax.nn.relu(trunk.base[0](X) @ layer.kernel + layer.bias[None])
    np.testing.assert_allclose(trunk(X, ONE_HOT), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("router_input", ["all", "previous"])
def test_routers_see_what_their_switch_says(router_input):
    """A change of the first router moves the third layer's routes either way, past a second that is cut off only so."""
    trunk = SoftModules(5, 3, 8, 4, key=KEY, modules=2, base_width=6, routing_width=4, router_input=router_input)
    cut = eqx.tree_at(lambda t: t.router_out[1], trunk, replace_fn=lambda layer: jax.tree.map(jnp.zeros_like, layer))
    moved = eqx.tree_at(lambda t: t.router_out[0].bias, cut, jnp.arange(4.0))
    differ = cut.routes(X, ONE_HOT)[2] != moved.routes(X, ONE_HOT)[2]
    assert differ.any() == (router_input == "all")


def test_parallel_layers_are_layers_side_by_side():
    layers = ParallelDense(3, 5, 4, key=KEY)
    one = [jax.tree.map(lambda leaf, k=k: leaf[k], layers) for k in range(3)]
    alone = [x @ layer.kernel + layer.bias[None] for layer, x in zip(one, [X] * 3, strict=True)]
    np.testing.assert_allclose(layers(X), jnp.stack(alone), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layers(jnp.stack([X] * 3)), jnp.stack(alone), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one[1].kernel, Dense(5, 4, key=jax.random.split(KEY, 3)[1]).kernel)
    picked = mixed(jnp.broadcast_to(jnp.eye(3)[None, :2], (6, 2, 3)), jnp.stack(alone))
    np.testing.assert_array_equal(picked, jnp.stack(alone[:2]))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_orthonormal_vectors_are_orthonormal_and_span_what_they_did(scale):
    outputs = scale * normal(4, 6, 16)
    basis = np.float64(orthonormal(outputs))
    np.testing.assert_allclose(
        np.einsum("kbw,jbw->bkj", basis, basis), np.broadcast_to(np.eye(4), (6, 4, 4)), atol=1e-5
    )
    exact = np.linalg.qr(np.moveaxis(np.float64(outputs), 0, -1))[0]  # column signs are arbitrary there
    np.testing.assert_allclose(np.abs(np.einsum("kbw,bwk->kb", basis, exact)), 1, rtol=1e-5)


def test_what_depends_on_vectors_before_it_is_zero_with_a_finite_gradient():
    one, other = normal(2, 6, 16)
    outputs = jnp.stack([one, 2 * one, other, jnp.zeros_like(one)])
    basis = orthonormal(outputs)
    np.testing.assert_array_equal(basis[1], 0)
    np.testing.assert_array_equal(basis[3], 0)
    np.testing.assert_allclose(jnp.square(basis[2]).sum(-1), 1, rtol=1e-5)
    assert_finite(jax.grad(lambda u: (orthonormal(u) * u[::-1]).sum())(outputs))


def test_a_mixture_of_orthonormal_experts_is_as_long_as_its_weights_and_the_plain_one_is_the_sum():
    trunk = MixtureOfExperts(5, 3, 8, 2, key=KEY, experts=3)
    (weights,) = trunk.routes(X, ONE_HOT)
    np.testing.assert_array_equal(weights[:, 0], trunk.gate[jnp.arange(6) % 3])
    length = jnp.linalg.norm(jnp.arctanh(trunk(X, ONE_HOT)), axis=-1)
    np.testing.assert_allclose(length, jnp.linalg.norm(weights[:, 0], axis=-1), rtol=1e-4)
    plain = MixtureOfExperts(5, 3, 8, 2, key=KEY, experts=3, orthogonal=False)
    outputs = trunk.layers[1](jax.nn.relu(trunk.layers[0](X)))
    expected = sum(weights[:, 0, k, None] * outputs[k] for k in range(3))
    np.testing.assert_allclose(plain(X, ONE_HOT), jnp.tanh(expected), rtol=1e-5, atol=1e-6)


def composed(trunk: PaCo, weights) -> PaCo:
    """With these weights of the sets for each of three tasks."""
    made = eqx.tree_at(lambda t: t.composition.bias, trunk, replace_fn=jnp.zeros_like)
    return eqx.tree_at(lambda t: t.composition.kernel, made, jnp.asarray(weights, jnp.float32))


def test_paco_with_one_hot_compositions_is_separate_networks():
    """Each task's outputs are those of its own set, and no other set or column of the head has a gradient."""
    trunk, head = composed(PaCo(5, 3, 8, 2, key=KEY, sets=3), np.eye(3)), normal(27, 2)
    y = np.asarray(trunk(X, ONE_HOT) @ head)
    for task in range(3):
        own = jax.tree.map(lambda leaf, k=task: leaf[k], trunk.layers)
        hidden = X
        for layer in own:
            hidden = jax.nn.relu(hidden @ layer.kernel + layer.bias[None])
        part = head[9 * task : 9 * task + 9]
        expected = np.asarray(hidden @ part[:8] + part[8:])
        np.testing.assert_allclose(y[task::3], expected[task::3], rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda trunk: jnp.square(trunk(X, ONE_HOT)[::3]).sum())(trunk)
    for layer in gradient.layers:
        assert [bool((part != 0).any()) for part in layer.kernel] == [True, False, False]


def test_paco_composes_parameters():
    """Layers and head have the parameters sum_k w_k phi_k of the task."""
    weights = np.asarray(normal(3, 2))
    trunk, head = composed(PaCo(5, 3, 8, 2, key=KEY, sets=2), weights), normal(18, 2)
    y = np.asarray(trunk(X, ONE_HOT) @ head)
    for task, w in enumerate(weights):
        hidden = X
        for layer in trunk.layers:
            kernel, bias = (np.einsum("k,k...->...", w, np.asarray(leaf)) for leaf in (layer.kernel, layer.bias))
            hidden = jax.nn.relu(hidden @ kernel + bias[None])
        part = np.einsum("k,kio->io", w, np.asarray(head).reshape(2, 9, 2))
        np.testing.assert_allclose(y[task::3], (hidden @ part[:8] + part[8:])[task::3], rtol=1e-4, atol=1e-5)


def test_film_without_modulation_is_a_plain_network_and_with_it_scales_and_shifts():
    trunk = FiLM(5, 3, 8, 2, key=KEY)
    plain = eqx.tree_at(lambda m: m.layers, MLP(5, 0, 8, 2, key=KEY), trunk.layers)
    np.testing.assert_array_equal(trunk(X, ONE_HOT), plain(X, jnp.zeros((6, 0))))
    assert trunk.routes(X, ONE_HOT) == ()
    kernel = np.zeros((3, 32), np.float32)
    kernel[1, 16:24], kernel[1, 24:] = 1.0, 5.0  # of the second layer, for task 1 alone: twice, and five more
    moved = eqx.tree_at(lambda t: t.modulation.kernel, trunk, jnp.asarray(kernel))
    before = jax.nn.relu(trunk.layers[0](X))
    linear = trunk.layers[1](before)
    expected = jnp.where(ONE_HOT[:, 1:2] > 0, jax.nn.relu(2 * linear + 5), jax.nn.relu(linear))
    np.testing.assert_allclose(moved(X, ONE_HOT), expected, rtol=1e-5, atol=1e-6)


def test_care_attends_by_the_task_alone_and_identical_encoders_are_one():
    trunk = CARE(5, 3, 8, 2, key=KEY, encoders=3, encoder_width=6)
    (attention,) = trunk.routes(X, ONE_HOT)
    np.testing.assert_allclose(attention.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(attention, trunk.routes(-X, ONE_HOT)[0])
    assert np.abs(np.diff(attention[:3, 0], axis=0)).max() > 1e-3
    alike = eqx.tree_at(
        lambda t: t.encoders, trunk, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), trunk.encoders)
    )
    shifted = eqx.tree_at(lambda t: t.attention[-1].bias, alike, jnp.array([5.0, 0.0, -5.0]))
    np.testing.assert_allclose(alike(X, ONE_HOT), shifted(X, ONE_HOT), rtol=1e-4, atol=1e-5)


def test_care_s_context_learns_from_its_place_behind_the_encoders_alone():
    """Where the network ignores the context, all that is left is attention, and that is cut off."""
    trunk = CARE(5, 3, 8, 2, key=KEY, encoders=3, encoder_width=6)
    deaf = eqx.tree_at(lambda t: t.mlp.layers[0].kernel, trunk, replace_fn=lambda kernel: kernel.at[6:].set(0.0))
    gradient = jax.grad(lambda t: jnp.square(t(X, ONE_HOT)).sum())(deaf)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient.context))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(gradient.attention))
