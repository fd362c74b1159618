"""Losses and scores by task; what is missing takes no part."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.combine import make_combiner
from polytask.supervised import SupervisedConfig, TrunkConfig
from polytask.supervised.model import Trunk, evaluate, task_losses
from polytask.supervised.training import gradient, init, make_setup
from tests.supervised.small import TASKS, points

CONFIG = SupervisedConfig(trunk=TrunkConfig(8, 1), batch_size=0)
PROBLEM = points()
OUTPUTS = jax.random.normal(random.key(0, "outputs"), (72, 2 + 1 + 1 + 4))


started = eqx.filter_jit(init)


def gradient_of(problem, combine="sum", tasks=None, params=None):
    setup = make_setup(problem, CONFIG, make_combiner(combine), tasks)
    state = started(setup, random.key(0, "init"))
    params = state.params if params is None else params
    return eqx.filter_jit(gradient)(setup, params, state.combiner, problem.train, random.key(0, "step"))


def test_losses_are_the_means_over_the_rows_that_have_the_label():
    examples = PROBLEM.train
    found = np.asarray(task_losses(TASKS, OUTPUTS, examples))
    there, o = np.asarray(examples.present), np.asarray(OUTPUTS, np.float64)
    place, far, height, corner = (np.asarray(t, np.float64) for t in examples.targets)
    log_softmax = o[:, 4:] - np.log(np.exp(o[:, 4:]).sum(1, keepdims=True))
    by_row = [
        ((o[:, :2] - place[:, 0]) ** 2).mean(1),
        np.log1p(np.exp(o[:, 2])) - far[:, 0, 0] * o[:, 2],
        (o[:, 3] - height[:, 0, 0]) ** 2,
        -log_softmax[np.arange(72), corner[:, 0].astype(int)],
    ]
    expected = [losses[there[:, t]].mean() for t, losses in enumerate(by_row)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_scores_are_accuracy_and_r_squared():
    perfect = jnp.concatenate(
        [
            PROBLEM.train.targets[0][:, 0],
            2 * PROBLEM.train.targets[1][:, 0] - 1,
            PROBLEM.train.targets[2][:, 0],
            jax.nn.one_hot(PROBLEM.train.targets[3][:, 0], 4),
        ],
        axis=1,
    )
    found = evaluate(TASKS, lambda inputs: perfect, PROBLEM.train)
    np.testing.assert_allclose(found.score, 1.0)
    np.testing.assert_array_equal(found.rows, PROBLEM.train.present.sum(0))
    mean = evaluate(TASKS, lambda inputs: jnp.zeros_like(perfect), PROBLEM.train)
    assert (np.asarray(mean.score[np.array([0, 2])]) <= 0).all(), "no better than the mean of the labels"
    assert mean.score[1] == pytest.approx(1 - float(PROBLEM.train.targets[1].mean())), "never yes"


def test_a_task_without_labels_has_no_score_and_a_task_without_spread_neither():
    examples = dataclasses.replace(PROBLEM.train, present=PROBLEM.train.present.at[:, 3].set(False))
    flat = tuple(jnp.ones_like(t) if i == 2 else t for i, t in enumerate(examples.targets))
    examples = dataclasses.replace(examples, targets=flat)
    found = evaluate(TASKS, lambda inputs: OUTPUTS, examples)
    assert found.loss[3] == 0
    assert np.isnan(found.score).tolist() == [False, False, True, True]


def test_many_rows_are_evaluated_in_parts_to_the_same_figures(monkeypatch):
    from polytask.supervised import model as module

    setup = make_setup(PROBLEM, CONFIG, make_combiner("sum"))
    params = started(setup, random.key(0, "init")).params

    def evaluated(rows):
        monkeypatch.setattr(module, "EVALUATION_ROWS", rows)
        return jax.jit(lambda params: evaluate(TASKS, setup.model(params), PROBLEM.train))(params)

    whole, parts = evaluated(module.EVALUATION_ROWS), evaluated(50)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, parts)


@pytest.mark.parametrize("combine", ["sum", "pcgrad"])
def test_what_stands_in_place_of_a_missing_label_changes_nothing(combine):
    present = PROBLEM.train.present
    spoilt = [
        t + jnp.where(present[:, i], 0, 7).reshape(-1, *[1] * (t.ndim - 1)).astype(t.dtype)
        for i, t in enumerate(PROBLEM.train.targets)
    ]
    other = eqx.tree_at(lambda p: p.train.targets, PROBLEM, tuple(spoilt))
    assert eqx.tree_equal(gradient_of(PROBLEM, combine).gradient, gradient_of(other, combine).gradient)


@pytest.mark.parametrize("combine", ["sum", "pcgrad"])
def test_a_masked_task_takes_no_part_in_the_gradient(combine):
    """Masked by the caller, without a label in the batch, and not there at all: one and the same gradient."""
    without = [0, 1, 2]
    masked = gradient_of(PROBLEM, combine, jnp.array([True, True, True, False]))
    unlabelled = eqx.tree_at(lambda p: p.train.present, PROBLEM, PROBLEM.train.present.at[:, 3].set(False))
    assert eqx.tree_equal(masked.gradient, gradient_of(unlabelled, combine).gradient)

    setup = make_setup(PROBLEM, CONFIG, make_combiner(combine))
    params = started(setup, random.key(0, "init")).params
    fewer = PROBLEM.only([TASKS[i].name for i in without])
    cut = eqx.tree_at(
        lambda p: (p.heads.kernel, p.heads.bias), params, (params.heads.kernel[:, :4], params.heads.bias[:4])
    )
    alone = gradient_of(fewer, combine, params=cut)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)  # noqa: E731
    jax.tree.map(close, alone.gradient.trunk, masked.gradient.trunk)
    close(alone.gradient.heads.kernel, masked.gradient.heads.kernel[:, :4])
    assert not masked.gradient.heads.kernel[:, 4:].any()


def test_a_head_has_the_gradient_of_its_own_task():
    together = gradient_of(PROBLEM, "pcgrad")
    only_far = gradient_of(PROBLEM, "sum", jnp.array([False, True, False, False]))
    np.testing.assert_allclose(
        together.gradient.heads.kernel[:, 2], only_far.gradient.heads.kernel[:, 2], rtol=1e-5, atol=1e-7
    )


def test_dropout_drops_its_share_only_while_training():
    trunk = Trunk(3, TrunkConfig(400, 1, dropout=0.25), key=random.key(0, "trunk"))
    x = jnp.ones((50, 3))
    still, drawn = trunk(x), trunk(x, key=random.key(1, "dropout"))
    kept = np.asarray(drawn != 0)[:, np.asarray(still[0] > 0)]
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(
        np.asarray(drawn)[np.asarray(drawn) != 0] * 0.75, np.asarray(still)[np.asarray(drawn) != 0], rtol=1e-5
    )


def test_a_trunk_of_ones_own():
    class Twice(eqx.Module):
        scale: jax.Array

        def __call__(self, x, *, key=None):
            return self.scale.astype(jnp.float32) * x

    problem = dataclasses.replace(PROBLEM, make_trunk=lambda key: Twice(jnp.float32(2)))
    assert gradient_of(problem).gradient.trunk.scale.shape == ()
    wrong = dataclasses.replace(PROBLEM, make_trunk=lambda key: lambda x, key: x[0])
    with pytest.raises(ValueError, match=r"make_trunk: two rows of inputs give features of shape \(3,\)"):
        gradient_of(wrong)
    whole = dataclasses.replace(PROBLEM, make_trunk=lambda key: Twice(jnp.int32(2)))
    with pytest.raises(ValueError, match="every array of a trunk is trained"):
        gradient_of(whole)
