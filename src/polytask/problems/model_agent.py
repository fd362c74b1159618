"""An agent that learns CartPole on a model that it learns: MLE, OMD, TaskMet and VaGraM, which differ in one function.

Each step in the simulator is followed by one update: a step of soft Q-learning on transitions whose next state and
reward the model predicts, then a step of the model. What the methods differ in is the model's gradient:

    mle      the squared error of all observed dimensions
    vagram   the same, weighted by the squared gradient of the value at the true next state
    omd      through the optimal Q-function; H is taken for the identity ("omd-cg": solved by conjugate gradients)
    taskmet  the squared error under a learned diagonal metric, which descends OMD's loss through both optima
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask.losses.divergence import metric_loss
from polytask.losses.implicit import conjugate_gradient, identity_inverse
from polytask.losses.learner import finite
from polytask.losses.metric import FixedTrace, LearnedDiagonal
from polytask.losses.model_based import optimal_metric_gradient, optimal_model_gradient
from polytask.losses.optimiser import optimiser_step
from polytask.problems import cartpole

METHODS = ("mle", "vagram", "omd", "omd-cg", "taskmet")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How it is trained. Widths, rates, discount, temperature and exploration are those of OMD's CartPole code.

    Ours are: 40 000 steps and batches of 64, where it takes 200 000 and 256, so that minutes suffice on a processor; a
    Q optimiser that keeps its statistics, which OMD's code starts afresh at each step; hidden layers drawn normal of
    variance 2 / inputs, not orthogonal; the metric's trace is held at the number of dimensions, and the metric learns
    in every tenth step, with Adam.
    """

    method: str = "taskmet"
    distractors: int = 0
    steps: int = 40_000
    warmup: int = 1_000
    evaluate_every: int = 4_000
    episodes: int = 10
    width: int = 32
    batch: int = 64
    discount: float = 0.99
    temperature: float = 0.01
    exploration: float = 0.1
    target_rate: float = 0.01
    q_rate: float = 3e-4
    model_rate: float = 1e-3
    metric_rate: float = 1e-3
    metric_every: int = 10

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; it must be one of {', '.join(METHODS)}")
        if self.steps % self.evaluate_every or self.distractors < 0:
            raise ValueError("steps must be a multiple of evaluate_every, and distractors at least 0")

    @property
    def observed(self) -> int:
        """Dimensions of an observation."""
        return len(cartpole.REAL) + self.distractors


class Transitions(NamedTuple):
    """Steps in the simulator; every one is rewarded with 1."""

    observation: Float[Array, "rows observed"]
    action: Int[Array, " rows"]
    following: Float[Array, "rows observed"]
    upright: Float[Array, " rows"]


class Agent(NamedTuple):
    """All parameters and what their optimisers remember. `q`, `target`: pairs of networks; `model`: next observation
    and reward; `metric`: of the dimensions."""

    q: PyTree
    target: PyTree
    q_state: Any
    model: PyTree
    model_state: Any
    metric: LearnedDiagonal
    metric_state: Any


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


class Network(eqx.Module):
    """Two hidden ReLU layers."""

    kernels: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]

    def __call__(self, x: Float[Array, "rows inputs"]) -> Float[Array, "rows outputs"]:
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = jax.nn.relu(x @ kernel + bias[None])
        return x @ self.kernels[-1] + self.biases[-1][None]


def _networks(sizes: Sequence[tuple[int, int]], width: int, key: PRNGKeyArray) -> list[Network]:
    """Networks from so many inputs to so many outputs; the last layers start near zero."""
    shapes = [shape for inputs, outputs in sizes for shape in ((inputs, width), (width, width), (width, outputs))]
    ends = np.cumsum([m * n for m, n in shapes])
    # One draw for all: a generator costs a third of a second of compilation.
    drawn = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1].tolist())
    kernels = [
        values.reshape(shape) * jnp.float32((1e-2 if i % 3 == 2 else 2**0.5) / shape[0] ** 0.5)
        for i, (values, shape) in enumerate(zip(drawn, shapes, strict=True))
    ]
    groups = [tuple(kernels[i : i + 3]) for i in range(0, len(kernels), 3)]
    return [Network(group, tuple(jnp.zeros(kernel.shape[1]) for kernel in group)) for group in groups]


@dataclasses.dataclass(frozen=True, eq=False)
class Learning:
    """The functions of an agent under `settings`."""

    settings: Settings
    q_optimiser: optax.GradientTransformation
    model_optimiser: optax.GradientTransformation
    metric_optimiser: optax.GradientTransformation

    def values(self, q: PyTree, observation: Float[Array, "rows observed"]) -> Float[Array, "2 rows actions"]:
        """Both networks' values of every action."""
        return jnp.stack([network(observation) for network in q])

    def worth(self, target: PyTree, observation: Float[Array, "rows observed"]) -> Float[Array, " rows"]:
        """alpha log sum exp(min(Q1, Q2) / alpha): the soft value of a state."""
        alpha = jnp.float32(self.settings.temperature)
        return alpha * jax.nn.logsumexp(jnp.min(self.values(target, observation), axis=0) / alpha, axis=-1)

    def predict(self, model: PyTree, data: Transitions) -> tuple[Array, Array]:
        """The next observation (rows, observed) and the reward (rows,)."""
        inputs = jnp.concatenate([data.observation, jax.nn.one_hot(data.action, cartpole.ACTIONS)], axis=-1)
        dynamics, reward = model
        return dynamics(inputs), reward(inputs)[:, 0]

    def bellman(self, q: PyTree, target: PyTree, data: Transitions, following: Array, reward: Array) -> Array:
        """The mean squared Bellman error of both networks; the target's parameters are fixed, its input is not."""
        worth = self.worth(target, following)
        wanted = reward + self.settings.discount * data.upright * worth
        rows = jnp.arange(len(data.action))
        return jnp.mean(jnp.square(self.values(q, data.observation)[:, rows, data.action] - wanted[None]))

    def bellman_under(self, q: PyTree, model: PyTree, target: PyTree, data: Transitions) -> Array:
        """The Bellman error where the model says what happens next."""
        return self.bellman(q, target, data, *self.predict(model, data))

    def true_bellman(self, q: PyTree, target: PyTree, data: Transitions) -> Array:
        """The Bellman error on what did happen."""
        return self.bellman(q, target, data, data.following, jnp.ones_like(data.upright))

    def prediction_loss(self, model: PyTree, weights: Float[Array, "rows observed"], data: Transitions) -> Array:
        """The squared error of the next observation under `weights`, plus that of the reward."""
        following, reward = self.predict(model, data)
        return metric_loss(weights, following, data.following) + jnp.mean(jnp.square(reward - 1))

    def weights(self, metric: LearnedDiagonal, data: Transitions) -> Float[Array, "rows observed"]:
        """The learned metric of each row, with a trace of the number of dimensions."""
        size = float(self.settings.observed)
        return FixedTrace(metric, size)(data.observation, data.following, data.action)

    def sensitivity(self, target: PyTree, data: Transitions) -> Float[Array, "rows observed"]:
        """VaGraM's weights: the squared gradient of the value at the true next state."""
        worth = lambda state: self.worth(target, state[None])[0]  # noqa: E731
        return jax.lax.stop_gradient(jnp.square(jax.vmap(jax.grad(worth))(data.following)))

    def model_gradient(self, agent: Agent, data: Transitions) -> PyTree:
        """What the methods differ in."""
        method = self.settings.method
        if method in ("omd", "omd-cg"):
            solver = identity_inverse() if method == "omd" else conjugate_gradient(100)
            under = lambda q, model: self.bellman_under(q, model, agent.target, data)  # noqa: E731
            truth = lambda q: self.true_bellman(q, agent.target, data)  # noqa: E731
            return optimal_model_gradient(under, truth, agent.q, agent.model, solver).gradient
        if method == "vagram":
            weights = self.sensitivity(agent.target, data)
        elif method == "taskmet":
            weights = self.weights(agent.metric, data)
        else:
            weights = jnp.ones_like(data.following)
        return jax.grad(self.prediction_loss)(agent.model, weights, data)

    def metric_step(self, agent: Agent, data: Transitions) -> tuple[LearnedDiagonal, Any, Array]:
        """TaskMet's outer step: the metric, its optimiser, and the residual of the model's problem."""
        found = optimal_metric_gradient(
            lambda model, metric: self.prediction_loss(model, self.weights(metric, data), data),
            lambda q, model: self.bellman_under(q, model, agent.target, data),
            lambda q: self.true_bellman(q, agent.target, data),
            agent.q,
            agent.model,
            agent.metric,
        )
        metric, state = optimiser_step(self.metric_optimiser, agent.metric, found.gradient, agent.metric_state)
        return metric, state, found.inner_residual

    def update(self, agent: Agent, data: Transitions, number: Array, residual: Array) -> tuple[Agent, Array]:
        """A step of Q on the model, of the model, and sometimes of the metric; `residual` is that of the last one."""
        settings = self.settings
        slope = jax.grad(self.bellman_under)(agent.q, agent.model, agent.target, data)
        q, q_state = optimiser_step(self.q_optimiser, agent.q, slope, agent.q_state)
        target = jax.tree.map(lambda old, new: old + settings.target_rate * (new - old), agent.target, q)
        agent = agent._replace(q=q, q_state=q_state, target=target)
        slope = self.model_gradient(agent, data)
        model, model_state = optimiser_step(self.model_optimiser, agent.model, slope, agent.model_state)
        agent = agent._replace(model=model, model_state=model_state)
        if settings.method != "taskmet":
            return agent, residual
        metric, metric_state, residual = jax.lax.cond(
            number % settings.metric_every == 0,
            lambda: self.metric_step(agent, data),
            lambda: (agent.metric, agent.metric_state, residual),
        )
        return agent._replace(metric=metric, metric_state=metric_state), residual

    def act(self, q: PyTree, observation: Float[Array, " observed"], gumbel: Float[Array, " actions"]) -> Array:
        """A draw from the softmax of the mean value at the temperature."""
        mean = jnp.mean(self.values(q, observation[None]), axis=0)[0]
        return jnp.argmax(mean / self.settings.temperature + gumbel)

    def episode_return(self, q: PyTree, drawn: "Draws") -> Float[Array, ""]:
        """How long one episode lasts, under the draws of HORIZON steps."""

        def on(carry: tuple[cartpole.Episode, Array]) -> Array:
            return ~carry[1] & (carry[0].steps < cartpole.HORIZON)

        def step(carry: tuple[cartpole.Episode, Array]) -> tuple[cartpole.Episode, Array]:
            now = jax.tree.map(lambda values: values[carry[0].steps], drawn)
            action = self.act(q, carry[0].observation, now.gumbel)
            return cartpole.advance(carry[0], action, now.noise)

        begin = (cartpole.start(drawn.state[0], drawn.fresh_noise[0]), jnp.bool_(False))
        return jax.lax.while_loop(on, step, begin)[0].steps.astype(jnp.float32)

    def tell(self, agent: Agent, recent: Transitions, residual: Array, key: PRNGKeyArray) -> Told:
        """What the agent is worth as it stands."""
        episodes = self.settings.episodes
        drawn = draws(self.settings, key, episodes * cartpole.HORIZON)
        drawn = jax.tree.map(lambda values: values.reshape(episodes, cartpole.HORIZON, *values.shape[1:]), drawn)
        following, _ = self.predict(agent.model, recent)
        weights = self.weights(agent.metric, recent)
        if self.settings.method == "vagram":
            weights = self.sensitivity(agent.target, recent)
        mean = jnp.mean(weights, axis=0)
        mean = mean / jnp.maximum(jnp.mean(mean), jnp.finfo(mean.dtype).tiny)
        return Told(
            jnp.mean(jax.vmap(self.episode_return, (None, 0))(agent.q, drawn)),
            jnp.mean(jnp.square(following - recent.following), axis=0),
            mean,
            residual,
            finite(agent.q, agent.model, agent.metric),
        )


def make_agent(settings: Settings, key: PRNGKeyArray) -> tuple[Learning, Agent]:
    """Fresh parameters, and the functions that train them."""
    observed, inputs = settings.observed, settings.observed + cartpole.ACTIONS
    sizes = [(observed, cartpole.ACTIONS), (observed, cartpole.ACTIONS), (inputs, observed), (inputs, 1)]
    networks = _networks(sizes, settings.width, key)
    q, model = tuple(networks[:2]), tuple(networks[2:])
    metric = LearnedDiagonal(settings.observed)
    rates = (settings.q_rate, settings.model_rate, settings.metric_rate)
    optimisers = [optax.adam(rate) for rate in rates]
    learned: tuple[Any, ...] = (q, model, metric)
    states = [optimiser.init(part) for optimiser, part in zip(optimisers, learned, strict=True)]
    agent = Agent(q, q, states[0], model, states[1], metric, states[2])
    return Learning(settings, *optimisers), agent


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


class _Carry(NamedTuple):
    agent: Agent
    episode: cartpole.Episode
    replay: Transitions
    residual: Array


def train(settings: Settings, key: PRNGKeyArray) -> Told:
    """One seed: what was told at each evaluation. For `jit`, and for `vmap` over keys."""
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
        return carry, learning.tell(carry.agent, recent, carry.residual, key_tell)

    first = draws(settings, key_start, 1)
    begin = _Carry(agent, cartpole.start(first.state[0], first.fresh_noise[0]), replay, jnp.float32(0))
    return jax.lax.scan(stretch, begin, jnp.arange(0, settings.steps, settings.evaluate_every))[1]
