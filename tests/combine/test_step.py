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
RNG = np.random.default_rng(1)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


X, Y = normal(ROWS, INPUTS), normal(TASKS, ROWS)
BATCHES = normal(TASKS, ROWS, INPUTS), Y
PARAMS = {"trunk": normal(INPUTS, WIDTH), "heads": normal(TASKS, WIDTH)}
SHARED = {"trunk": True, "heads": False}
STATEFUL = (
    "uw", "dwa", "lps", "imtl_l", "famo", "gradnorm", "gradvac", "db_mtl", "moco", "modo", "sdmgrad", "excess_mtl",
    "it_mtl",
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
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def by_engines(name, function, present):
    made = combiner(name)
    state = made.init(PARAMS, TASKS, shared=SHARED)
    engines = [("auto", None), ("looped", None), ("vmapped", None), ("vmapped", 2)]
    if isinstance(made.method, Weighting):
        engines += [("gramian", None), ("gramian", 3)]

    def one(params, state, engine, chunk):
        return combined_gradient(
            made, function, params, state, key=KEY, present=present, shared=SHARED, engine=engine, chunk=chunk
        )

    return jax.jit(lambda p, s: {f"{e} {c}": one(p, s, e, c) for e, c in engines})(PARAMS, state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rlw", "pcgrad", "graddrop", "it_mtl"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_engines_give_the_same_step(name, function):
    results = by_engines(name, FUNCTIONS[function], jnp.array([True, True, False, True, True]))
    expected = results.pop("looped None")
    for engine, result in results.items():
        assert_close(flat(result.gradient), flat(expected.gradient), relative=1e-4, message=engine)
        assert_close(result.losses, expected.losses)
        assert_close(flat(result.aux), flat(expected.aux))
        for got, wanted in zip(jax.tree.leaves(result.state), jax.tree.leaves(expected.state), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_the_sum_is_the_gradient_of_the_sum():
    made = combiner("sum")

    @jax.jit
    def run(params):
        pairs = []
        for function in FUNCTIONS.values():
            expected = jax.grad(lambda p, f=function: f(p)[0].sum())(params)
            for shared in (None, SHARED):
                found = combined_gradient(made, function, params, (), key=KEY, shared=shared)
                pairs.append((found.gradient, expected))
        return pairs

    for found, expected in run(PARAMS):
        assert_close(flat(found), flat(expected))


def test_only_what_is_shared_is_combined():
    """The Gramian is that of the trunk; heads get their own task's gradient, of the mean loss at scale "mean"."""

    @jax.jit
    def run(params):
        rows, found = jax.jacrev(lambda p: losses_fn(p)[0])(params), {}
        for scale in ("sum", "paper", "mean"):
            made = combiner("pcgrad", scale)
            result = combined_gradient(made, losses_fn, params, (), key=KEY, shared=SHARED)
            trunk = combine_gradients(made, rows["trunk"], result.losses, (), key=KEY).gradient
            found[scale] = result.gradient, trunk
        return rows["heads"].sum(0), found

    heads, found = run(PARAMS)
    for scale, factor in (("sum", 1.0), ("paper", 1.0), ("mean", 1 / TASKS)):
        gradient, trunk = found[scale]
        assert_close(flat(gradient["trunk"]), flat(trunk))
        assert_close(flat(gradient["heads"]), factor * flat(heads))


def test_gradients_may_be_any_pytree():
    @jax.jit
    def run(params):
        rows = jax.jacrev(lambda p: losses_fn(p)[0])(params)
        joined = jnp.concatenate([leaf.reshape(TASKS, -1) for leaf in jax.tree.leaves(rows)], axis=1)
        made, task_losses = combiner("pcgrad"), jnp.ones(TASKS)
        return [combine_gradients(made, given, task_losses, (), key=KEY).gradient for given in (rows, joined)]

    as_tree, as_array = run(PARAMS)
    assert_close(flat(as_tree), as_array)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcgrad", *STATEFUL])
def test_scan_is_the_loop_and_the_state_keeps_its_form(name):
    made = combiner(name)
    gradients, task_losses = normal(4, TASKS, 6), 1 + jnp.abs(normal(4, TASKS))

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
    @jax.jit
    def run(params, factor):
        scaled = lambda p: (factor * losses_fn(p)[0], None)  # noqa: E731
        gramian = combined_gradient(combiner("pcgrad"), scaled, params, (), key=KEY, engine="gramian")
        return gramian.gradient, combined_gradient(combiner("pcgrad"), losses_fn, params, (), key=KEY).gradient

    for factor in (1e-12, 1.0, 1e12):
        found, expected = run(PARAMS, np.float32(factor))
        assert_close(flat(found), factor * np.float64(flat(expected)), relative=1e-4)


def test_check_finite_names_the_task():
    def broken(params):
        losses, _ = losses_fn(params)
        return losses * jnp.array([1, 1, jnp.inf, 1, 1]), None

    @jax.jit
    def run(params):
        sound = combined_gradient(combiner("pcgrad"), losses_fn, params, (), key=KEY)
        return sound, [
            combined_gradient(combiner("pcgrad"), broken, params, (), key=KEY, engine=engine)
            for engine in ("looped", "gramian")
        ]

    names = ("reach", "push", "door", "drawer", "button")
    sound, results = run(PARAMS)
    for result in results:
        assert np.isnan(flat(result.gradient)).all()
        with pytest.raises(FloatingPointError, match=r"door \(loss inf\)"):
            check_finite(result, names)
    check_finite(sound)


def test_check_finite_sees_a_gradient_that_no_loss_explains():
    def sharp(params):
        return jnp.sqrt(jnp.square(params - 1.0)).sum() * jnp.ones(2), None

    run = jax.jit(lambda params: combined_gradient(combiner("sum"), sharp, params, (), key=KEY))
    with pytest.raises(FloatingPointError, match="engine='vmapped'"):
        check_finite(run(jnp.ones(3)))


def test_options_may_be_written_behind_the_name():
    gradients, losses = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 2.0])

    def step(made):
        return combine_gradients(made, gradients, losses, made.init(jnp.zeros(2), 2), key=KEY).gradient

    for text, name, options in (
        ("constant:weights=1,3", "constant", {"weights": (1.0, 3.0)}),
        ("gradnorm:alpha=0.5:learning_rate=0.1", "gradnorm", {"alpha": 0.5, "learning_rate": 0.1}),
    ):
        both = make_combiner(text), make_combiner(name, **options)
        assert [made.name for made in both] == [name, name]
        np.testing.assert_array_equal(*jax.jit(lambda both=both: [step(made) for made in both])())
    assert make_combiner("it_mtl:candidates=sum,pcgrad:learning_rate=0.1").method.learning_rate == 0.1


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="did you mean 'pcgrad'"):
        make_combiner("PC-Grad")
    with pytest.raises(ValueError, match="there are sum, mean"):
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
