"""What must hold for every method, over Jacobians of every difficulty (see cases.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask.combine import COMBINERS
from tests.combine.cases import PARAMETERS, assert_close, combine, losses, stacked, terms

METHODS = list(COMBINERS)
# A draw or a weight belongs to each task's position: permuted tasks are another draw.
POSITIONAL = {"constant", "pcgrad", "gradvac", "rlw", "it_mtl"}
# Weights on the simplex move by a step in units of 1 / squared gradient, as the papers have it.
STEP_IN_UNITS = {"moco", "modo"}
# Signs and squares of coordinates; ExcessMTL only from its second step on.
BY_COORDINATE = {"graddrop", "it_mtl"}


@pytest.mark.parametrize("name", METHODS)
def test_equal_gradients_give_the_scale(name):
    g = np.random.default_rng(0).normal(size=PARAMETERS).astype(np.float32)
    same = np.broadcast_to(g, (3, 5, PARAMETERS))
    counts = np.array([1, 2, 5])
    present = np.arange(5)[None] < counts[:, None]
    assert_close(combine(name, same, present=present).gradient, counts[:, None] * g, relative=1e-4)


@pytest.mark.parametrize("name", ["famo", "pcgrad", "graddrop", "db_mtl", "it_mtl"])
def test_scales_differ_by_the_number_of_tasks(name):
    results = {scale: combine(name, stacked(5), scale=scale).gradient for scale in ("sum", "mean")}
    assert_close(results["sum"], 5 * results["mean"], relative=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_one_task_alone_is_left_as_it_is(name):
    cases = stacked(5)
    alone = combine(name, cases, present=[False, True, False, False, False])
    assert_close(alone.gradient, cases[:, 1], relative=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_case_gives_a_finite_gradient(name):
    result = combine(name, stacked(5))
    assert np.isfinite(result.gradient).all()
    assert not np.asarray(result.info["nonfinite"]).any()


@pytest.mark.parametrize("name", [m for m in METHODS if m not in STEP_IN_UNITS])
def test_homogeneity(name):
    """A(c J) = c A(J) for c from 1e-12 to 1e12."""
    cases = stacked(5)
    once = combine(name, cases)
    expected, size = np.asarray(once.gradient, np.float64), terms(once, cases)
    for factor in (1e-12, 1e-5, 1e5, 1e12):
        again = combine(name, cases * np.float32(factor)).gradient
        assert_close(again, factor * expected, relative=1e-4, size=factor * size, message=f"{factor:g}")


@pytest.mark.parametrize("name", [m for m in METHODS if m not in BY_COORDINATE])
def test_rotation(name):
    """A(J Q) = A(J) Q for orthogonal Q: no coordinate is special."""
    cases = stacked(5)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(PARAMETERS, PARAMETERS)))[0].astype(np.float32)
    once = combine(name, cases)
    rotated = combine(name, cases @ rotation).gradient
    assert_close(rotated, once.gradient @ rotation, relative=1e-4, size=terms(once, cases))


@pytest.mark.parametrize("name", [m for m in METHODS if m not in POSITIONAL])
def test_permutation(name):
    """The order of the tasks does not matter."""
    cases, order = stacked(5), np.array([3, 0, 4, 1, 2])
    once = combine(name, cases)
    permuted = combine(name, cases[:, order], task_losses=losses(5)[order])
    assert_close(permuted.gradient, once.gradient, relative=1e-4, size=terms(once, cases))


@pytest.mark.parametrize("name", METHODS)
def test_what_an_absent_task_holds_is_never_looked_at(name):
    """Not even NaN. That it also leaves no trace in the number of tasks: next test, and test_methods.py."""
    cases, present = stacked(5), [True, True, True, False, False]
    results = []
    for filling, loss in ((0.0, 1.0), (7.0, 100.0), (np.nan, np.inf)):
        filled = cases.copy()
        filled[:, 3:] = filling
        task_losses = np.array([0.5, 1, 2, loss, -loss], np.float32)
        results.append(combine(name, filled, present=present, task_losses=task_losses))
    for other in results[1:]:
        assert np.array_equal(other.gradient, results[0].gradient)
        assert not np.asarray(other.info["nonfinite"]).any()


@pytest.mark.parametrize("name", ["rlw", "stch", "pcgrad", "mgda", "graddrop", "it_mtl"])
def test_an_absent_task_has_never_existed(name):
    cases, task_losses = stacked(5), losses(5)
    some = combine(name, cases, present=[True] * 3 + [False] * 2)
    without = combine(name, cases[:, :3], task_losses=task_losses[:3])
    assert_close(some.gradient, without.gradient, relative=1e-4, size=terms(without, cases[:, :3]))


@pytest.mark.parametrize("name", METHODS)
def test_the_key_decides(name):
    cases = stacked(5)
    assert np.array_equal(combine(name, cases).gradient, combine(name, cases).gradient)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_is_named_and_never_averaged(name, where):
    cases, task_losses = stacked(5)[:1].copy(), losses(5)
    if where == "loss":
        task_losses = np.where(np.arange(5) == 2, np.inf, task_losses).astype(np.float32)
    else:
        cases[0, 2, 7] = np.nan
    result = combine(name, cases, task_losses=task_losses)
    assert result.info["nonfinite"][0].tolist() == [False, False, True, False, False]
    assert np.isnan(result.gradient).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.state) if jnp.issubdtype(leaf.dtype, float))
