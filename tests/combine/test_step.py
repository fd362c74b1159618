"""Engines, what is shared and what is not, jit and scan, the state, errors."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import COMBINERS, PerTask, check_finite, combine_gradients, combined_gradient, make_combiner
from polytask.combine.base import Weighting
from tests.combine.cases import KEY, assert_close, combiner, losses_after

TASKS, INPUTS, WIDTH, ROWS = 5, 3, 4, 6
X = jax.random.normal(jax.random.key(1), (ROWS, INPUTS))
Y = jax.random.normal(jax.random.key(2), (TASKS, ROWS))
BATCHES = (jax.random.normal(jax.random.key(3), (TASKS, ROWS, INPUTS)), Y)
PARAMS = {
    "trunk": jax.random.normal(jax.random.key(4), (INPUTS, WIDTH)),
    "heads": jax.random.normal(jax.random.key(5), (TASKS, WIDTH)),
}
SHARED = {"trunk": True, "heads": False}
STATEFUL = (
    "uw", "dwa", "imtl_l", "famo", "gradnorm", "gradvac", "db_mtl", "moco", "modo", "sdmgrad", "excess_mtl", "it_mtl",
)  # fmt: skip


def losses_fn(params):
    """All tasks on the same rows."""
    z = jnp.tanh(X @ params["trunk"])
    return jnp.square(params["heads"] @ z.T - Y).mean(axis=1), z


def task_loss(params, task, batch):
    x, y = batch
    z = jnp.tanh(x @ params["trunk"])
    return jnp.square(z @ params["heads"][task] - y).mean(), z


FUNCTIONS = {"same rows": losses_fn, "own rows": PerTask(task_loss, BATCHES)}


def flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def by_engines(name, function, shared, present=None):
    made = combiner(name)
    state = made.init(PARAMS, TASKS, shared=shared)
    engines = [("auto", None), ("looped", None), ("vmapped", None), ("vmapped", 2)]
    if isinstance(made.method, Weighting):
        engines += [("gramian", None), ("gramian", 3)]

    def one(params, state, engine, chunk):
        return combined_gradient(
            made, function, params, state, key=KEY, present=present, shared=shared, engine=engine, chunk=chunk
        )

    return jax.jit(lambda p, s: {f"{e} {c}": one(p, s, e, c) for e, c in engines})(PARAMS, state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rlw", "pcgrad", "graddrop", "it_mtl"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_engines_give_the_same_step(name, function):
    results = by_engines(name, FUNCTIONS[function], SHARED, jnp.array([True, True, False, True, True]))
    expected = results.pop("looped None")
    for engine, result in results.items():
        assert_close(flat(result.gradient), flat(expected.gradient), relative=1e-4, message=engine)
        assert_close(result.losses, expected.losses)
        assert_close(flat(result.aux), flat(expected.aux))
        for got, wanted in zip(jax.tree.leaves(result.state), jax.tree.leaves(expected.state), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_the_sum_is_the_gradient_of_the_sum():
    for function in FUNCTIONS.values():
        expected = jax.grad(lambda p, f=function: f(p)[0].sum())(PARAMS)
        for shared in (None, SHARED):
            result = by_engines("sum", function, shared)["auto None"]
            assert_close(flat(result.gradient), flat(expected))


def test_only_what_is_shared_is_combined():
    """The Gramian is that of the trunk; heads get their own task's gradient, of the mean loss at scale "mean"."""
    rows = jax.jacrev(lambda p: losses_fn(p)[0])(PARAMS)
    for scale, factor in (("sum", 1.0), ("paper", 1.0), ("mean", 1 / TASKS)):
        made = combiner("pcgrad", scale)
        result = combined_gradient(made, losses_fn, PARAMS, (), key=KEY, shared=SHARED)
        trunk = combine_gradients(made, rows["trunk"], result.losses, (), key=KEY).gradient
        assert_close(flat(result.gradient["trunk"]), flat(trunk))
        assert_close(flat(result.gradient["heads"]), factor * flat(rows["heads"].sum(0)))


def test_gradients_may_be_any_pytree():
    rows = jax.jacrev(lambda p: losses_fn(p)[0])(PARAMS)
    joined = jnp.concatenate([leaf.reshape(TASKS, -1) for leaf in jax.tree.leaves(rows)], axis=1)
    made, task_losses = combiner("pcgrad"), jnp.ones(TASKS)
    as_tree = combine_gradients(made, rows, task_losses, (), key=KEY).gradient
    assert_close(flat(as_tree), combine_gradients(made, joined, task_losses, (), key=KEY).gradient)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcgrad", *STATEFUL])
def test_scan_is_the_loop_and_the_state_keeps_its_form(name):
    made = combiner(name)
    gradients = jax.random.normal(jax.random.key(7), (4, TASKS, 6))
    task_losses = 1 + jax.random.uniform(jax.random.key(8), (4, TASKS))

    def step(state, inputs):
        g, losses, key = inputs
        done = combine_gradients(made, g, losses, state, key=key, losses_after=losses_after(g, losses))
        return done.state, done.gradient

    inputs = (gradients, task_losses, jax.random.split(KEY, 4))
    first = made.init(jnp.zeros(6), TASKS)
    last, scanned = jax.jit(lambda s: jax.lax.scan(step, s, inputs))(first)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(first))
    single = jax.jit(step)
    state = first
    for t in range(4):
        # Through NumPy and back, as a checkpoint does.
        leaves, form = jax.tree.flatten(state)
        state = jax.tree.unflatten(form, [jnp.asarray(np.asarray(leaf)) for leaf in leaves])
        state, gradient = single(state, jax.tree.map(lambda x, t=t: x[t], inputs))
        assert_close(gradient, scanned[t], relative=1e-4)
    for got, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_which_methods_have_a_state():
    assert {m for m in COMBINERS if jax.tree.leaves(combiner(m).init(jnp.zeros(3), TASKS))} == {*STATEFUL} - {"it_mtl"}


def test_the_gramian_engine_spans_the_scales():
    for factor in (1e-12, 1.0, 1e12):
        result = combined_gradient(
            combiner("pcgrad"), lambda p, c=factor: (c * losses_fn(p)[0], None), PARAMS, (), key=KEY, engine="gramian"
        )
        expected = combined_gradient(combiner("pcgrad"), losses_fn, PARAMS, (), key=KEY)
        assert_close(flat(result.gradient), factor * np.asarray(flat(expected.gradient), np.float64), relative=1e-4)


def test_check_finite_names_the_task():
    def broken(params):
        losses, _ = losses_fn(params)
        return losses * jnp.array([1, 1, jnp.inf, 1, 1]), None

    names = ("reach", "push", "door", "drawer", "button")
    for engine in ("looped", "gramian"):
        result = combined_gradient(combiner("pcgrad"), broken, PARAMS, (), key=KEY, engine=engine)
        assert np.isnan(flat(result.gradient)).all()
        with pytest.raises(FloatingPointError, match=r"door \(loss inf\)"):
            check_finite(result, names)
    check_finite(combined_gradient(combiner("pcgrad"), losses_fn, PARAMS, (), key=KEY))


def test_check_finite_sees_a_gradient_that_no_loss_explains():
    def sharp(params):
        return jnp.sqrt(jnp.square(params - 1.0)).sum() * jnp.ones(2), None

    with pytest.raises(FloatingPointError, match="engine='vmapped'"):
        check_finite(combined_gradient(combiner("sum"), sharp, jnp.ones(3), (), key=KEY))


def test_options_may_be_written_behind_the_name():
    gradients, losses = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 2.0])
    for text, name, options in (
        ("constant:weights=1,3", "constant", {"weights": (1.0, 3.0)}),
        ("gradnorm:alpha=0.5:learning_rate=0.1", "gradnorm", {"alpha": 0.5, "learning_rate": 0.1}),
    ):
        found = []
        for made in (make_combiner(text), make_combiner(name, **options)):
            assert made.name == name
            state = made.init(jnp.zeros(2), 2)
            found.append(combine_gradients(made, gradients, losses, state, key=KEY).gradient)
        np.testing.assert_array_equal(*found)
    assert make_combiner("it_mtl:candidates=sum,pcgrad:learning_rate=0.1").method.learning_rate == 0.1


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="did you mean 'pcgrad'"):
        make_combiner("PC-Grad")
    with pytest.raises(ValueError, match="choose from sum, mean"):
        make_combiner("xyzzy")
    with pytest.raises(ValueError, match="its options are weights"):
        make_combiner("constant", weight=(1.0,))
    with pytest.raises(ValueError, match="it has none"):
        make_combiner("pcgrad", order="random")
    with pytest.raises(ValueError, match="needs the option 'weights'"):
        make_combiner("constant")
    with pytest.raises(ValueError, match="its options are c"):
        make_combiner("cagrad:d=0.4")
    with pytest.raises(ValueError, match="written cagrad:option=value, not cagrad:c"):
        make_combiner("cagrad:c")
    with pytest.raises(ValueError, match=r"dwa's period is a whole number, not '2\.5'"):
        make_combiner("dwa:period=2.5")
    with pytest.raises(ValueError, match="2 weights for 3 tasks"):
        make_combiner("constant", weights=(1.0, 2.0)).init(jnp.zeros(2), 3)
    # Without the type checker of these tests, the functions themselves speak.
    with pytest.raises(ValueError, match="'sum', 'mean' or 'paper'"):
        inspect.unwrap(make_combiner)("sum", scale="total")
    with pytest.raises(ValueError, match="'gramian', not 'fast'"):
        inspect.unwrap(combined_gradient)(make_combiner("sum"), losses_fn, PARAMS, (), key=KEY, engine="fast")
