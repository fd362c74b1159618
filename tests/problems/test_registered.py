"""Problems and losses that other packages register by entry points."""

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.problems import PROBLEMS, _made, is_decision, resolve, resolve_decision
from polytask.supervised import HeadSpec, Rows, make_problem
from polytask.supervised.config import LOSSES, SupervisedConfig
from polytask.supervised.loss import training_losses

LINES = """
import numpy as np
from polytask.problems.decisions import make_case
from polytask.supervised import HeadSpec, Rows, make_problem

def lines(seed):
    rows = Rows(np.full((4, 2), seed + 1.0), {"a": np.arange(4.0)})
    return make_problem("lines", [HeadSpec("a", "regression")], rows, rows, rows)

def choice():
    return make_case("cubic")

def nothing():
    return 3
"""

ENTRIES = "lines = many_lines:lines\nchoice = many_lines:choice\nnothing = many_lines:nothing\ncubic = many_lines:lines"


@pytest.fixture
def lines(install):
    install("many_lines", LINES, "polytask.problems", ENTRIES)
    yield
    _made.cache_clear()


def test_a_registered_problem_is_resolved_with_its_seed(lines):
    assert not is_decision("problems/lines")
    assert resolve("problems/lines", 4).name == "lines"
    np.testing.assert_array_equal(resolve("lines", 4).train.inputs, 5.0)
    assert PROBLEMS.names() == ("lines", "choice", "nothing")


def test_a_registered_decision_problem_is_one(lines):
    assert is_decision("problems/choice")
    assert "taskmet" in resolve_decision("choice").losses
    with pytest.raises(ValueError, match="ends in a decision"):
        resolve("choice")


def test_a_built_in_problem_cannot_be_taken(lines):
    assert is_decision("problems/cubic")


def test_what_is_no_problem_and_what_is_unknown_say_what_to_do(lines):
    with pytest.raises(ValueError, match=r"the problem 'nothing' of polytask.problems returned int; return"):
        resolve("nothing")
    with pytest.raises(ValueError, match="did you mean 'problems/lines'"):
        resolve("problems/linse")


ABSOLUTE = """
import jax.numpy as jnp

def absolute(group, outputs, targets):
    return jnp.abs(outputs - targets).mean(-1)

def total(group, outputs, targets):
    return jnp.abs(outputs - targets).sum()
"""


def test_a_registered_loss_is_minimised_over_the_rows_that_have_labels(install):
    install("more_losses", ABSOLUTE, "polytask.losses", "absolute = more_losses:absolute\ntotal = more_losses:total")
    rows = Rows(np.ones((3, 1)), {"a": np.array([1.0, np.nan, 4.0]), "b": np.array([0.0, 1.0, 2.0])})
    problem = make_problem("two", [HeadSpec("a", "regression"), HeadSpec("b", "regression")], rows, rows, rows)
    outputs = jnp.zeros((3, 2))
    found = training_losses(SupervisedConfig(loss="absolute"), problem.tasks, outputs, problem.train)
    np.testing.assert_allclose(found, [2.5, 1.0])
    with pytest.raises(ValueError, match=r"'total' gave shape \(\); it has to give \(3, 2\)"):
        training_losses(SupervisedConfig(loss="total"), problem.tasks, outputs, problem.train)


def test_an_unknown_loss_names_the_nearest():
    assert LOSSES.names() == ("likelihood", "squared-error", "task-weighted")
    with pytest.raises(ValueError, match=r"--loss: there is no loss 'likelyhood': did you mean 'likelihood'\?"):
        SupervisedConfig(loss="likelyhood")
