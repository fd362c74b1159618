"""IT-MTL: what it tries, what it picks, and that trying leaves nothing behind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import combine_gradients, combined_gradient, make_combiner
from polytask.combine.it_mtl import best
from tests.combine.cases import KEY, assert_close
from tests.combine.test_step import PARAMS, SHARED, TASKS, flat, losses_fn

CANDIDATES = ("sum", "each", (0, 3), "pcgrad", "graddrop")
RATE = 0.3


def tried(heads: str, step=None, scale="sum"):
    made = make_combiner("it_mtl", candidates=CANDIDATES, learning_rate=RATE, heads=heads, scale=scale)
    run = jax.jit(
        lambda params, state: combined_gradient(made, losses_fn, params, state, key=KEY, shared=SHARED, step=step)
    )
    return run(PARAMS, made.init(PARAMS, TASKS, shared=SHARED))


def directions(scale: str) -> list[np.ndarray]:
    """The trunk's gradient by each candidate."""
    rows = jax.jacrev(lambda p: losses_fn(p)[0])(PARAMS)["trunk"]
    found = []
    for members in (range(TASKS), *([t] for t in range(TASKS)), [0, 3]):
        length = TASKS / len(members) if scale == "sum" else 1
        found.append(length * rows[np.array(members)].sum(0))
    for name in ("pcgrad", "graddrop"):
        made = make_combiner(name, scale=scale)
        found.append(combine_gradients(made, {"trunk": rows}, jnp.ones(TASKS), (), key=KEY).gradient["trunk"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["stepped", "kept"])
@pytest.mark.parametrize("scale", ["sum", "paper"])
def test_transference_is_what_a_step_does_and_the_pick_is_the_best(heads, scale):
    result = tried(heads, scale=scale)
    losses, own = losses_fn(PARAMS)[0], jax.grad(lambda p: losses_fn(p)[0].sum())(PARAMS)["heads"]
    stepped = PARAMS["heads"] - RATE * own if heads == "stepped" else PARAMS["heads"]
    expected = [
        1 - losses_fn({"trunk": PARAMS["trunk"] - RATE * d, "heads": stepped})[0] / losses for d in directions(scale)
    ]
    np.testing.assert_allclose(result.info["transference"], np.stack(expected), rtol=1e-3, atol=1e-5)
    pick = int(result.info["pick"])
    assert pick == np.stack(expected).sum(1).argmax()
    assert_close(flat(result.gradient["trunk"]), directions(scale)[pick].ravel(), relative=1e-4)
    assert_close(flat(result.gradient["heads"]), own.ravel(), relative=1e-4)


def test_the_tried_step_may_be_the_optimisers():
    def halved(params, gradient):
        return jax.tree.map(lambda p, g: p - RATE / 2 * g, params, gradient)

    half = tried("stepped", step=halved).info["transference"]
    whole = tried("stepped").info["transference"]
    np.testing.assert_array_less(0.01, np.abs(half - whole).max())


def test_ties_go_to_the_first_and_what_cannot_be_is_not_picked():
    present = jnp.array([True, True])
    yes = jnp.array([True, True, True])
    assert best(jnp.array([[0.1, 0.2], [0.2, 0.1], [0.0, 0.1]]), present, yes) == 0
    assert best(jnp.array([[0.1, 0.2], [0.3, 0.1], [jnp.inf, 0.1]]), present, yes) == 1
    assert best(jnp.array([[0.1, 0.2], [0.3, 0.1], [0.9, jnp.nan]]), jnp.array([True, False]), yes) == 2
    assert best(jnp.array([[-0.1], [0.0]]), jnp.array([True]), jnp.array([True, False])) == 0


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="no candidate 'pcgrat': did you mean 'pcgrad'"):
        make_combiner("it_mtl", candidates=("sum", "pcgrat"))
    with pytest.raises(ValueError, match="such as"):
        make_combiner("it_mtl", candidates=())
    made = make_combiner("it_mtl")
    state = made.init(PARAMS, TASKS)
    with pytest.raises(ValueError, match="learning_rate"):
        combined_gradient(made, losses_fn, PARAMS, state, key=KEY)
    with pytest.raises(ValueError, match="losses_after"):
        combine_gradients(made, jnp.ones((2, 3)), jnp.ones(2), state, key=KEY)
    with pytest.raises(ValueError, match="tasks from 0 to 4"):
        make_combiner("it_mtl", candidates=((0, 5),)).init(PARAMS, TASKS)
