"""IT-MTL: a step that is not the best candidate's is noticed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.claims.it_mtl import Trained, verify, watched
from polytask.combine import combined_gradient, make_combiner


def trained(regret=0.0, mismatch=0.0):
    one = np.ones(1)
    return Trained(one, one, np.array([regret]), np.array([mismatch]), np.ones((1, 2)))


def test_verify():
    verify("arm", trained())
    for wrong in (trained(regret=1e-9), trained(regret=np.nan), trained(mismatch=0.01), trained(mismatch=np.nan)):
        with pytest.raises(AssertionError):
            verify("arm", wrong)


def test_a_watched_combiner_takes_the_same_step_and_tells_of_it():
    goals = jnp.array([[1.0, 0.0], [-0.5, 1.0]])

    def losses(params):
        return jnp.square(params[None] - goals).sum(1) + 0.1, None

    plain = make_combiner("it_mtl", candidates=("sum", "each"), learning_rate=0.1)
    params, key = jnp.array([0.3, 0.4]), random.key(0, "test")

    @jax.jit
    def both(params):
        steps = [
            combined_gradient(combiner, losses, params, combiner.init(params, 2), key=key)
            for combiner in (plain, watched(plain, 0.1))
        ]
        return [(step.gradient, step.info) for step in steps]

    (first, _), (second, told) = both(params)
    np.testing.assert_array_equal(first, second)
    assert float(told["regret"]) == 0
    assert float(told["mismatch"]) < 1e-6
    # The gradients add up to this: along the first task's, or the second's, one loss would grow.
    np.testing.assert_array_equal(told["picked"], [1.0, 0.0, 0.0])
