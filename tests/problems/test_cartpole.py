"""CartPole and the agent that learns it on a model: Gymnasium's dynamics, what distractors are, what methods share."""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from polytask.losses import direct, optimal_model_gradient
from polytask.problems import cartpole
from polytask.problems.model_agent import METHODS, Settings, Transitions, make_agent
from polytask.problems.model_training import draws, train

pytestmark = pytest.mark.slow

SETTINGS = Settings(distractors=2, width=4, batch=6, steps=20, evaluate_every=10)


def test_dynamics_are_gymnasiums():
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (64, 4)) * np.array([2.4, 3, 0.2, 3])
    actions, expected, fell = rng.integers(0, 2, 64), [], []
    for state, action in zip(states, actions, strict=True):
        env.state, env.steps_beyond_terminated = state, None
        observation, reward, terminated, _, _ = env.step(int(action))
        assert reward == 1
        expected.append(observation)
        fell.append(terminated)
    found = jax.jit(jax.vmap(cartpole.move))(jnp.asarray(states, jnp.float32), jnp.asarray(actions, jnp.int32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(jax.vmap(cartpole.fallen)(found), fell)
    assert 0 < sum(fell) < 64


def test_distractors_are_observed_and_change_nothing():
    state, action = jnp.array([0.1, 0.2, 0.03, -0.4]), jnp.int32(1)
    plain, _ = cartpole.advance(cartpole.start(state, jnp.zeros(0)), action, jnp.zeros(0))
    noise = jnp.array([3.0, -2.0])
    seen, fell = cartpole.advance(cartpole.start(state, -noise), action, noise)
    np.testing.assert_array_equal(seen.observation, [*plain.state, *noise])
    np.testing.assert_array_equal(seen.state, plain.state)
    assert seen.steps == 1
    assert not fell


@pytest.fixture(scope="module")
def made():
    learning, agent = make_agent(SETTINGS, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 3)
    rows = jax.random.normal(keys[0], (2, SETTINGS.batch, SETTINGS.observed))
    action = jax.random.randint(keys[1], (SETTINGS.batch,), 0, 2)
    return learning, agent, Transitions(rows[0], action, rows[1], jnp.ones(SETTINGS.batch).at[0].set(0))


def test_under_a_perfect_model_the_bellman_errors_agree(made):
    learning, agent, data = made
    on_model = learning.bellman(agent.q, agent.target, data, data.following, jnp.ones(SETTINGS.batch))
    np.testing.assert_allclose(on_model, learning.true_bellman(agent.q, agent.target, data))
    # A transition after which the pole lies promises nothing but its reward.
    fallen = data._replace(upright=jnp.zeros(SETTINGS.batch))
    q = learning.values(agent.q, data.observation)[:, jnp.arange(SETTINGS.batch), data.action]
    np.testing.assert_allclose(learning.true_bellman(agent.q, agent.target, fallen), jnp.mean((q - 1) ** 2), rtol=1e-5)


def test_the_first_metric_is_the_squared_error_and_its_trace_stays(made):
    learning, agent, data = made
    mle = dataclasses.replace(learning, settings=dataclasses.replace(SETTINGS, method="mle"))
    ours, theirs = learning.model_gradient(agent, data), mle.model_gradient(agent, data)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), ours, theirs)
    metric = eqx.tree_at(lambda m: m.log_weights, agent.metric, jnp.arange(6.0))
    np.testing.assert_allclose(learning.weights(metric, data).sum(axis=1), 6, rtol=1e-5)


def test_vagram_weighs_by_the_values_gradient(made):
    learning, agent, data = made
    step = 1e-2
    for d in (0, 5):
        ahead, behind = (data.following.at[:, d].add(sign * step) for sign in (1, -1))
        slope = (learning.worth(agent.target, ahead) - learning.worth(agent.target, behind)) / (2 * step)
        found = learning.sensitivity(agent.target, data)[:, d]
        # A ReLU may bend within the step.
        assert np.mean(np.isclose(found, slope**2, rtol=0.1, atol=1e-9)) >= 0.5


@pytest.mark.slow
def test_omd_solves_for_the_inverse_where_it_is_told_to(made):
    """Small enough to be solved exactly; and the identity in its place is something else."""
    learning, agent, data = made
    under = lambda q, model: learning.bellman_under(q, model, agent.target, data)  # noqa: E731
    truth = lambda q: learning.true_bellman(q, agent.target, data)  # noqa: E731

    def by(method):
        settings = dataclasses.replace(SETTINGS, method=method, inverse_steps=300)
        return dataclasses.replace(learning, settings=settings).model_gradient(agent, data)

    @jax.jit
    def gradients():
        exact = optimal_model_gradient(under, truth, agent.q, agent.model, direct()).gradient
        return [ravel_pytree(tree)[0] for tree in (exact, by("omd-cg"), by("omd"))]

    exact, solved, identity = gradients()
    size = np.linalg.norm(exact)
    assert np.linalg.norm(solved - exact) < 0.05 * size
    assert np.linalg.norm(identity - exact) > 0.5 * size


def test_draws_begin_episodes_within_their_bounds():
    drawn = draws(SETTINGS, jax.random.key(0), 50)
    assert jnp.abs(drawn.state).max() <= cartpole.LEAN
    assert drawn.noise.shape == drawn.fresh_noise.shape == (50, 2)
    assert drawn.rows.shape == (50, 6)


def test_settings_say_what_is_wrong():
    with pytest.raises(ValueError, match="mle, vagram, omd, omd-cg, taskmet"):
        Settings(method="dyna")
    with pytest.raises(ValueError, match="multiple of evaluate_every"):
        Settings(steps=30, evaluate_every=20)
    assert set(METHODS) == {"mle", "vagram", "omd", "omd-cg", "taskmet"}


@pytest.mark.slow
def test_the_model_and_the_control_on_it_are_learned_under_a_metric_that_moves():
    """That the metric finds the real dimensions takes more steps: `polytask reproduce distractors`."""
    settings = Settings(distractors=8, steps=4000, evaluate_every=1000, metric_rate=1e-2)
    told = jax.jit(jax.vmap(lambda key: train(settings, key)))(jax.random.split(jax.random.key(0), 3))
    assert bool(told.finite.all())
    real = np.asarray(told.error)[:, :, :4].mean(axis=2)
    assert (real[:, -1] < 0.2 * real[:, 0]).all()
    returns = np.asarray(told.returns).mean(axis=0)
    assert returns[-1] > 1.3 * returns[0]
    weights = np.asarray(told.weights)[:, -1]
    np.testing.assert_allclose(weights.mean(axis=1), 1, rtol=1e-4)
    assert (np.abs(weights - 1).max(axis=1) > 0.05).all()
