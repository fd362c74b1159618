"""The training of an agent that learns CartPole on a model: steps, updates, and what it is worth by then."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask.losses.learner import finite
from polytask.problems import cartpole
from polytask.problems.model_agent import Agent, Learning, Settings, Transitions, make_agent


class Told(NamedTuple):
    """What is known at each evaluation.

    - `returns`: the mean return of `episodes` episodes, at most 500.
    - `error`: the model's mean squared error in each dimension on the newest 1000 transitions.
    - `weights`: the metric, of mean one (for VaGraM its weights, averaged over these transitions, scaled likewise).
    - `residual`: the norm of the prediction loss's gradient in the last metric step; zero for the other methods.
    - `finite`: whether all parameters are.
    """

    returns: Float[Array, "..."]
    error: Float[Array, "... observed"]
    weights: Float[Array, "... observed"]
    residual: Float[Array, "..."]
    finite: Bool[Array, "..."]


class Draws(NamedTuple):
    """What chance decides in each of many steps, drawn at once: generators inside the loop take half of its time.

    `state` and `fresh_noise` begin an episode where one ends; `rows` are places in the replay.
    """

    explore: Float[Array, "*steps"]
    action: Int[Array, "*steps"]
    gumbel: Float[Array, "*steps actions"]
    noise: Float[Array, "*steps distractors"]
    state: Float[Array, "*steps 4"]
    fresh_noise: Float[Array, "*steps distractors"]
    rows: Float[Array, "*steps batch"]


def draws(settings: Settings, key: PRNGKeyArray, steps: int) -> Draws:
    """The draws of `steps` steps."""
    keys, distractors = jax.random.split(key, 7), settings.distractors
    return Draws(
        jax.random.uniform(keys[0], (steps,)),
        jax.random.randint(keys[1], (steps,), 0, cartpole.ACTIONS),
        jax.random.gumbel(keys[2], (steps, cartpole.ACTIONS)),
        jax.random.normal(keys[3], (steps, distractors)),
        jax.random.uniform(keys[4], (steps, 4), minval=-cartpole.LEAN, maxval=cartpole.LEAN),
        jax.random.normal(keys[5], (steps, distractors)),
        jax.random.uniform(keys[6], (steps, settings.batch)),
    )


def episode_return(learning: Learning, q: PyTree, drawn: Draws) -> Float[Array, ""]:
    """How long one episode lasts, under the draws of HORIZON steps."""

    def on(carry: tuple[cartpole.Episode, Array]) -> Array:
        return ~carry[1] & (carry[0].steps < cartpole.HORIZON)

    def step(carry: tuple[cartpole.Episode, Array]) -> tuple[cartpole.Episode, Array]:
        now = jax.tree.map(lambda values: values[carry[0].steps], drawn)
        action = learning.act(q, carry[0].observation, now.gumbel)
        return cartpole.advance(carry[0], action, now.noise)

    begin = (cartpole.start(drawn.state[0], drawn.fresh_noise[0]), jnp.bool_(False))
    return jax.lax.while_loop(on, step, begin)[0].steps.astype(jnp.float32)


def tell(learning: Learning, agent: Agent, recent: Transitions, residual: Array, key: PRNGKeyArray) -> Told:
    """What the agent is worth as it stands."""
    episodes = learning.settings.episodes
    drawn = draws(learning.settings, key, episodes * cartpole.HORIZON)
    drawn = jax.tree.map(lambda values: values.reshape(episodes, cartpole.HORIZON, *values.shape[1:]), drawn)
    following, _ = learning.predict(agent.model, recent)
    weights = learning.weights(agent.metric, recent)
    if learning.settings.method == "vagram":
        weights = learning.sensitivity(agent.target, recent)
    mean = jnp.mean(weights, axis=0)
    mean = mean / jnp.maximum(jnp.mean(mean), jnp.finfo(mean.dtype).tiny)
    return Told(
        jnp.mean(jax.vmap(lambda own: episode_return(learning, agent.q, own))(drawn)),
        jnp.mean(jnp.square(following - recent.following), axis=0),
        mean,
        residual,
        finite(agent.q, agent.model, agent.metric),
    )


class _Carry(NamedTuple):
    agent: Agent
    episode: cartpole.Episode
    replay: Transitions
    residual: Array


def train(settings: Settings, key: PRNGKeyArray) -> Told:
    """One seed: what was measured at each evaluation. For `jit`, and for `vmap` over keys."""
    key_agent, key_start, key_run = jax.random.split(key, 3)
    learning, agent = make_agent(settings, key_agent)
    rows, observed = settings.steps, settings.observed
    replay = Transitions(
        jnp.zeros((rows, observed)), jnp.zeros(rows, jnp.int32), jnp.zeros((rows, observed)), jnp.zeros(rows)
    )

    def step(carry: _Carry, given: tuple[Array, Draws]) -> tuple[_Carry, None]:
        number, drawn = given
        explores = (drawn.explore < settings.exploration) | (number < settings.warmup)
        before = carry.episode
        chosen = learning.act(carry.agent.q, before.observation, drawn.gumbel)
        action = jnp.where(explores, drawn.action, chosen)
        after, fell = cartpole.advance(before, action, drawn.noise)
        row = Transitions(before.observation, action, after.observation, 1 - fell.astype(jnp.float32))
        replay = jax.tree.map(lambda kept, new: kept.at[number].set(new), carry.replay, row)
        over = fell | (after.steps >= cartpole.HORIZON)
        fresh = cartpole.start(drawn.state, drawn.fresh_noise)
        episode = jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, after)
        index = (drawn.rows * (number + 1).astype(jnp.float32)).astype(jnp.int32)
        agent, residual = jax.lax.cond(
            number >= settings.warmup,
            lambda: learning.update(carry.agent, jax.tree.map(lambda a: a[index], replay), number, carry.residual),
            lambda: (carry.agent, carry.residual),
        )
        return _Carry(agent, episode, replay, residual), None

    def stretch(carry: _Carry, first: Array) -> tuple[_Carry, Told]:
        key_draws, key_tell = jax.random.split(jax.random.fold_in(key_run, first))
        numbers = first + jnp.arange(settings.evaluate_every)
        carry, _ = jax.lax.scan(step, carry, (numbers, draws(settings, key_draws, settings.evaluate_every)))
        size = min(1000, settings.evaluate_every)
        begin = first + settings.evaluate_every - size
        recent = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, begin, size), carry.replay)
        return carry, tell(learning, carry.agent, recent, carry.residual, key_tell)

    first = draws(settings, key_start, 1)
    begin = _Carry(agent, cartpole.start(first.state[0], first.fresh_noise[0]), replay, jnp.float32(0))
    return jax.lax.scan(stretch, begin, jnp.arange(0, settings.steps, settings.evaluate_every))[1]
