"""A whole training as one function: what it chooses, and what it does under vmap."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polytask import random
from polytask.combine import Combiner, make_combiner
from polytask.supervised import OptimiserConfig, SupervisedConfig, TrunkConfig, fit, fit_seeds, fit_subsets, training
from polytask.supervised.fitting import seed_key
from polytask.supervised.model import evaluate
from polytask.supervised.training import batch_indices, init, make_setup, train_steps
from tests.supervised.small import points

# Large steps on few rows, so that it overfits soon.
CONFIG = SupervisedConfig(
    trunk=TrunkConfig(32, 1),
    optimiser=OptimiserConfig(learning_rate=0.05),
    batch_size=16,
    steps=120,
    eval_every=10,
)
PROBLEM = points(noise=3.0)
SUM = make_combiner("sum")
fitted = eqx.filter_jit(fit)


@pytest.fixture(scope="module")
def seeds():
    return fit_seeds(PROBLEM, CONFIG, SUM, [0, 1, 0])


def test_the_best_validation_parameters_are_returned(seeds):
    means = np.asarray(seeds.history).mean(-1)
    for seed in range(2):
        best = int(means[seed].argmin())
        assert 0 < best < len(means[seed]) - 1, "it should overfit in this test"
        assert seeds.best_step[seed] == (best + 1) * CONFIG.eval_every
        np.testing.assert_allclose(np.asarray(seeds.validation.loss)[seed], seeds.history[seed, best], rtol=1e-4)
    setup = make_setup(PROBLEM, CONFIG, SUM)
    params = jax.tree.map(lambda leaf: leaf[0], seeds.params)
    found = jax.jit(lambda params: evaluate(PROBLEM.tasks, setup.model(params), PROBLEM.test))(params)
    np.testing.assert_allclose(found.loss, seeds.test.loss[0], rtol=1e-4)


def test_two_equal_seeds_give_equal_bits_and_others_differ(seeds):
    first, second, third = (jax.tree.map(lambda leaf, i=i: leaf[i], seeds) for i in range(3))
    assert eqx.tree_equal(first, third)
    assert not np.allclose(first.test.loss, second.test.loss)


@pytest.mark.slow
def test_patience_stops_without_changing_what_was_chosen(seeds):
    config = dataclasses.replace(CONFIG, patience=2)
    stopped = fit_seeds(PROBLEM, config, SUM, [0, 1])
    assert (np.asarray(stopped.steps) < CONFIG.steps).all()
    for seed in range(2):
        steps, best = int(stopped.steps[seed]), int(stopped.best_step[seed])
        assert steps == best + 2 * CONFIG.eval_every
        ended = steps // CONFIG.eval_every
        np.testing.assert_allclose(stopped.history[seed, :ended], seeds.history[seed, :ended], rtol=1e-4)
        assert np.isnan(stopped.history[seed, ended:]).all()
        if best == seeds.best_step[seed]:
            np.testing.assert_allclose(stopped.test.loss[seed], seeds.test.loss[seed], rtol=1e-4)


@pytest.mark.slow
def test_the_last_chunk_may_be_shorter_and_the_last_step_is_evaluated():
    """15 steps, evaluated after 10 and 15: what 15 steps with a single evaluation come to."""
    found = fit_seeds(PROBLEM, dataclasses.replace(CONFIG, steps=15, patience=2), SUM, [0])
    once = fit_seeds(PROBLEM, dataclasses.replace(CONFIG, steps=15, eval_every=0), SUM, [0])
    assert (found.steps[0], once.steps[0], once.best_step[0]) == (15, 15, 15)
    assert (found.history.shape, once.history.shape) == ((1, 2, 4), (1, 1, 4))
    np.testing.assert_allclose(found.history[0, 1], once.history[0, 0], rtol=1e-4)
    assert (np.abs(found.history[0, 0] - found.history[0, 1]) > 1e-4).any()


@pytest.mark.slow
def test_a_task_that_takes_no_part_is_left_as_it_was_drawn():
    masks = jnp.array([[True, True, True, True], [True, False, True, False]])
    found = fit_subsets(PROBLEM, CONFIG, SUM, 0, masks)
    fresh = init(make_setup(PROBLEM, CONFIG, SUM), jax.random.split(seed_key(0))[0]).params.heads.kernel
    moved = np.asarray(jnp.abs(found.params.heads.kernel[1] - fresh) > 1e-4).any(0)
    # Columns: far 2, place 0 to 1, height 3, corner 4 to 7, in groups by kind and size.
    assert moved.tolist() == [True, True, False, True, False, False, False, False]


@pytest.mark.slow
def test_all_tasks_marked_is_all_tasks(seeds):
    found = fit_subsets(PROBLEM, CONFIG, SUM, 0, jnp.ones((1, 4), bool))
    np.testing.assert_allclose(found.test.loss[0], seeds.test.loss[0], rtol=1e-3)


@pytest.mark.slow
def test_one_task(seeds):
    found = fitted(PROBLEM.only(["far"]), CONFIG, make_combiner("pcgrad"), seed_key(0))
    assert found.test.loss.shape == (1,)
    assert found.test.score[0] > 0.6


@pytest.mark.slow
def test_learning_rates_can_be_traced():
    rates = jnp.array([0.0, 0.05])
    found = jax.jit(jax.vmap(lambda rate: fit(PROBLEM, CONFIG, SUM, seed_key(0), learning_rate=rate)))(rates)
    assert (np.ptp(np.asarray(found.history[0]), axis=0) == 0).all(), "nothing is learned at rate 0"
    assert found.validation.loss[1].mean() < found.validation.loss[0].mean()


def test_every_epoch_takes_every_row_once_whatever_the_chunk():
    """Batches depend on (key, step) alone, so a chunk may begin anywhere."""
    config, key = dataclasses.replace(CONFIG, batch_size=24), random.key(0, "data")
    whole = batch_indices(72, config, key, jnp.int32(0), 9)
    for epoch in range(3):
        assert sorted(np.asarray(whole[3 * epoch : 3 * epoch + 3]).ravel().tolist()) == list(range(72))
    parts = [batch_indices(72, config, key, jnp.int32(start), 3) for start in (2, 5)]
    np.testing.assert_array_equal(jnp.concatenate(parts), whole[2:8])
    assert not np.array_equal(whole[:3], whole[3:6])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eval_every": -1}, "--eval-every must be at least 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"patience": -1}, "--patience must be at least 0"),
        ({"patience": 2, "eval_every": 0}, "--eval-every 0 makes none"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize("name", ["modo", pytest.param("sdmgrad", marks=pytest.mark.slow), "famo"])
def test_combiners_get_what_they_ask_for(name, monkeypatch):
    """MoDo and SDMGrad an independent batch, FAMO the losses after the step."""
    asked = {"independent": 0, "observed": 0}
    combined, observe = training.combined_gradient, Combiner.observe

    def gradient(*arguments, independent=None, **named):
        asked["independent"] += independent is not None
        return combined(*arguments, independent=independent, **named)

    def observed(self, *arguments):
        asked["observed"] += 1
        return observe(self, *arguments)

    monkeypatch.setattr(training, "combined_gradient", gradient)
    monkeypatch.setattr(Combiner, "observe", observed)
    problem, combiner = points(), make_combiner(name)
    setup = make_setup(problem, CONFIG, combiner)
    key = jax.random.key(0)
    state, *_ = eqx.filter_jit(train_steps)(setup, init(setup, key), key, 3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert (asked["independent"] > 0) == combiner.needs_independent
    assert (asked["observed"] > 0) == combiner.observes
    assert combiner.needs_independent != combiner.observes
