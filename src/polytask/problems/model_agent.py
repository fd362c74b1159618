"""An agent that learns CartPole on a model that it learns: MLE, OMD, TaskMet and VaGraM, which differ in one function.

Each step in the simulator is followed by one update: a step of soft Q-learning on transitions whose next state and
reward the model predicts, then a step of the model. What the methods differ in is the model's gradient:

    mle      the squared error of all observed dimensions
    vagram   the same, weighted by the squared gradient of the value at the true next state
    omd      through the optimal Q-function; H is taken for the identity
    omd-cg   the same, with H solved by conjugate gradients
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
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from polytask.losses.divergence import metric_loss
from polytask.losses.implicit import conjugate_gradient, identity_inverse
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

    - `inverse_steps`: iterations of "omd-cg", two Hessian products each; 100 in OMD's code.
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
    inverse_steps: int = 100

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
            solver = identity_inverse() if method == "omd" else conjugate_gradient(self.settings.inverse_steps)
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
