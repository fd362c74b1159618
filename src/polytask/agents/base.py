"""What every agent shares: the batch, the tasks' facts as arrays, and the interface."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask.agents import averaging, choosing
from polytask.agents.affinity import AffinityAverages
from polytask.agents.averaging import PolicyAverage
from polytask.agents.mesh import check_width, split_batches, state_shardings
from polytask.agents.moments import Moments
from polytask.agents.observing import Sight, encoded, normalised
from polytask.losses import masked_tanh_normal
from polytask.networks import CriticEnsemble, GaussianActor, TaskEmbedding, Trunk
from polytask.replay.batch import Batch
from polytask.tasks.relevance import relevance as weigh
from polytask.tasks.spaces import Observations, images
from polytask.tasks.spec import TaskSet


class TaskFacts(NamedTuple):
    """The facts of T tasks that the mathematics needs."""

    action_mask: Float[Array, "tasks action"]
    choice_mask: Bool[Array, "tasks choices"]
    discount: Float[Array, " tasks"]
    target_entropy: Float[Array, " tasks"]
    relevance: Float[Array, " tasks"]


def task_facts(
    tasks: TaskSet,
    *,
    mask_padded_actions: bool,
    entropy_per_dimension: float,
    choice_entropy: float = 0.0,
    relevance: Sequence[str] = (),
) -> TaskFacts:
    """Facts as arrays. The target entropy is `entropy_per_dimension` times the task's action dimensions (nats).

    That of a task that chooses is `choice_entropy` times the logarithm of how many choices it has. With
    `mask_padded_actions=False` padded dimensions count as if they were real, as in BRC's code. `relevance` has
    NAME=WEIGHT of tasks whose critic loss does not count 1.

    Raises ValueError for an unknown name or a wrong weight, and for unmasked actions where a task has none.
    """
    mask = jnp.asarray(tasks.action_mask, jnp.float32)
    if not mask_padded_actions:
        if tasks.choices > 1:
            raise ValueError(
                "--agent.no-mask-padded-actions counts the largest task's action dimensions in every task, and a task "
                "that chooses acts in none: leave it out"
            )
        mask = jnp.ones_like(mask)
    weights = jnp.asarray(weigh(relevance, tasks.names, "--agent.relevance"))
    target = entropy_per_dimension * mask.sum(axis=1)
    if tasks.choices > 1:
        target += choice_entropy * jnp.log(jnp.asarray([spec.choices for spec in tasks], jnp.float32))
    return TaskFacts(mask, jnp.asarray(tasks.choice_mask), jnp.asarray(tasks.discounts), target, weights)


def in_type_of(params: Any, tree: Any) -> Any:
    """A tree with its floats in the type of the parameters, in which an agent computes. Images stay bytes."""
    dtype = float_type(params)
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else x, tree)


def float_type(params: Any) -> jnp.dtype:
    """The float type of the parameters: of the first, as all have one."""
    return next(leaf.dtype for leaf in jax.tree.leaves(params) if eqx.is_inexact_array(leaf))


def sample_actions(
    actor: GaussianActor | None,
    observations: Float[Array, "batch observation"],
    task_features: Float[Array, "batch features"],
    task_ids: Int[Array, " batch"],
    mask: Float[Array, "batch action"],
    noise: Float[Array, "batch action"],
) -> tuple[Float[Array, "batch action"], Float[Array, " batch"]]:
    """Actions and their log-probabilities, given standard-normal noise; without an actor no task has dimensions."""
    if actor is None:
        return mask, mask.sum(axis=-1)
    mean, log_std = actor(observations, task_features, task_ids)
    return jax.vmap(masked_tanh_normal)(mean, log_std, noise, mask)


def _networks(state: Any) -> Any:
    """What has the parameters in whose type an agent computes."""
    return state.actor, state.critic


def polyak(online: Any, target: Any, tau: float) -> Any:
    """tau online + (1 - tau) target, leaf by leaf."""
    return jax.tree.map(lambda o, t: tau * o + (1 - tau) * t, online, target)


def diagnose_tasks(
    state: Any,
    batches: Batch,
    key: PRNGKeyArray,
    critic_loss: Callable[..., Float[Array, ""]],
    actor_loss: Callable[..., tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]],
    dimensions: int,
) -> dict[str, Float[Array, " tasks"]]:
    """Losses, entropy, value and gradient norms of each task; `batches` has shape (tasks, batch, ...).

    `critic_loss(critic, batch, noise)` gives the loss, `actor_loss(actor, batch, noise)` the loss with each sample's
    log-probability and value; `dimensions` are those of a continuous action. Without an actor its norm is left out.
    """

    def one(inputs: tuple[Batch, Array]) -> dict[str, Array]:
        batch, task_key = inputs
        noise = jax.random.normal(task_key, (2, *batch.rewards.shape, dimensions), batch.rewards.dtype)
        loss, critic_grads = jax.value_and_grad(critic_loss)(state.critic, batch, noise[0])
        norms = {"critic_gradient_norm": optax.tree.norm(critic_grads)}
        if state.actor is None:
            _, (log_probs, q) = actor_loss(None, batch, noise[1])
        else:
            grad = jax.value_and_grad(actor_loss, has_aux=True)
            (_, (log_probs, q)), actor_grads = grad(state.actor, batch, noise[1])
            norms["actor_gradient_norm"] = optax.tree.norm(actor_grads)
        return {"critic_loss": loss, **norms, "entropy": -log_probs.mean(), "q_mean": q.mean()}

    return jax.lax.map(one, (batches, jax.random.split(key, batches.rewards.shape[0])))


class Acting(NamedTuple):
    """What acting takes of a state: all but the actor and what it sees with only where tasks choose."""

    actor: Any
    critic: CriticEnsemble | Sight
    moments: Moments | None
    log_temperature: Float[Array, "*tasks"] | None = None
    updates: Int[Array, ""] | None = None


def acting_parts(state: Any, whole_critic: bool = False) -> Acting:
    """Of an agent's state; with `whole_critic` all of the critic also where nothing is chosen."""
    critic, moments = state.critic, getattr(state, "moments", None)
    if critic.choices == 1 and not whole_critic:
        return Acting(state.actor, Sight(critic.conditioning, critic.encoder), moments)
    return Acting(
        state.actor, critic, moments, getattr(state, "log_temperature", None), getattr(state, "updates", None)
    )


class Algorithm(NamedTuple):
    """What an agent's file provides: pure functions of (config, facts, ...), which `Agent` compiles.

    Facts, batches and bounds come to them in the float type of the networks' parameters.

    `values(config, facts, state, outputs, task_ids, return_bound)` turns the critics' outputs into raw reward units.
    `choose(config, facts, acting, outputs, task_ids, key)` gives each row's choice; without a key the best. An agent
    without it takes no tasks that choose, and none with images.
    `act(config, facts, acting, seen, task_ids, key)` gives the actions of an agent whose actor alone does not, or whose
    noise is not within tanh; it has the whole critic, and without a key draws nothing that differs from call to call.
    """

    entropy_per_dimension: float
    init: Callable[..., Any]
    update: Callable[..., Any]
    diagnose: Callable[..., Any]
    values: Callable[..., Float[Array, " batch"]]
    measure_affinity: Callable[..., AffinityAverages] | None = None
    choose: Callable[..., Int[Array, " batch"]] | None = None
    act: Callable[..., Float[Array, "batch action"]] | None = None


_embedded = jax.jit(TaskEmbedding.__call__)


class Agent:
    """One policy for T tasks. The state is a pytree of arrays; every method is a pure function of its arguments.

    It computes in the float type of its parameters: JAX's own, or what a person has cast the state to.
    """

    def __init__(self, algorithm: Algorithm, config: Any, tasks: TaskSet, mesh: Mesh | None = None) -> None:
        self.config, self.tasks, self._algorithm, self._mesh = config, tasks, algorithm, mesh
        if algorithm.choose is None and (tasks.choices > 1 or tasks.images):
            odd = next(spec.name for spec in tasks if spec.choices > 1 or images(spec.observation))
            raise ValueError(
                f"'{config.kind}' learns from vectors and acts continuously, and '{odd}' has images or choices: take "
                f"--agent.kind brc, which has both, or dqn, where every task chooses"
            )
        self.facts = task_facts(
            tasks,
            mask_padded_actions=config.mask_padded_actions,
            entropy_per_dimension=algorithm.entropy_per_dimension,
            choice_entropy=getattr(config, "choice_entropy", 0.0),
            relevance=config.relevance,
        )
        if mesh is not None:
            check_width(mesh, config.critic_width)
        self._update = jax.jit(self._update_now, donate_argnums=0)
        self._diagnose = jax.jit(self._typed(algorithm.diagnose))
        self._measure_affinity = algorithm.measure_affinity and jax.jit(self._typed(algorithm.measure_affinity))
        self._act = jax.jit(self._act_now)
        self._follow = jax.jit(averaging.follow)
        self._values = jax.jit(self._values_now)
        self._routes = jax.jit(self._routes_now)

    def init(self, key: PRNGKeyArray) -> Any:
        """Fresh parameters, optimisers and statistics."""
        return self.place(self._algorithm.init(self.config, self.tasks, key))

    def place(self, state: Any) -> Any:
        """A state on the devices of the mesh, if there is one."""
        return state if self._mesh is None else jax.device_put(state, self._shardings(state))

    def _shardings(self, state: Any) -> Any:
        assert self._mesh is not None
        return state_shardings(self._mesh, state, self.config.critic_width)

    def programs(
        self, key: PRNGKeyArray, *, updates: int, batch_size: int, diagnosed: int
    ) -> dict[str, Callable[[], Any]]:
        """What compiles "act" in all tasks at once, "update" and "diagnose", for batches of these sizes.

        Their first calls then need not. Nothing is computed, so `key` is any, and a thread beside `init` may do it.
        """
        state = eqx.filter_eval_shape(self._algorithm.init, self.config, self.tasks, key)
        if self._mesh is not None:
            state = jax.tree.map(
                lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
                state,
                self._shardings(state),
            )
        tasks = len(self.tasks)
        bound = jax.ShapeDtypeStruct((tasks,), jnp.float32)

        def batch(*shape: int) -> Batch:
            def floats(*last: int) -> jax.ShapeDtypeStruct:
                return jax.ShapeDtypeStruct((*shape, *last), jnp.float32)

            seen, acted = floats(self.tasks.observation_dim), floats(self.tasks.action_width)
            if self.tasks.images:
                pictures = (jax.ShapeDtypeStruct((*shape, *image), jnp.uint8) for image in self.tasks.images)
                seen = Observations(seen, tuple(pictures))
            return Batch(seen, acted, floats(), floats(), seen, jax.ShapeDtypeStruct(shape, jnp.int32))

        acting = (self._acting(state), batch(tasks).observations, batch(tasks).task_ids, key)
        return {
            "act": lambda: self._act.lower(*acting).compile(),
            "update": lambda: self._update.lower(state, batch(updates, batch_size), bound, key).compile(),
            "diagnose": lambda: self._diagnose.lower(state, batch(tasks, diagnosed), bound, key).compile(),
        }

    def act(
        self,
        state: Any,
        observations: Float[Any, "batch observation"] | Observations,
        task_ids: Int[Any, " batch"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "batch action"]:
        """Rows of actions: in [-1, 1], zero in masked dimensions, and the index of a choice behind where tasks choose.

        Without a key tanh of the mean, and the best choice.
        """
        return self._act(self._acting(state), observations, task_ids, key)

    def update(
        self, state: Any, batches: Batch, return_bound: Float[Any, " tasks"], key: PRNGKeyArray
    ) -> tuple[Any, dict[str, Float[Array, ""]]]:
        """One gradient step for each batch along the leading axis. Donates `state`: use the returned one.

        `return_bound` is the largest absolute discounted return seen in each task, in raw reward units; infinite
        before the first episode has ended.
        """
        if self._mesh is not None:
            batches = split_batches(self._mesh, batches)
        return self._update(state, batches, return_bound, key)

    def follow(self, average: PolicyAverage | None, state: Any, window: int) -> PolicyAverage:
        """The average of the policy's weights after one more step; `window` is in calls. Begins where there is none."""
        return self._follow(averaging.start(state) if average is None else average, state, jnp.float32(window))

    def over_seeds(self) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., PolicyAverage]]:
        """`update`, `act` and `averaging.follow` with a leading axis of seeds on all but task ids and window.

        `update` donates the states.
        """
        update = self._typed(self._algorithm.update)

        def act(states: Any, observations: Array | Observations, task_ids: Array, keys: Array) -> Array:
            return jax.vmap(self._act_now, (0, 0, None, 0))(self._acting(states), observations, task_ids, keys)

        follow = jax.jit(jax.vmap(averaging.follow, (0, 0, None)))
        return jax.jit(jax.vmap(update), donate_argnums=0), jax.jit(act), follow

    def values(
        self,
        state: Any,
        observations: Float[Any, "batch observation"] | Observations,
        task_ids: Int[Any, " batch"],
        return_bound: Float[Any, " tasks"],
        key: PRNGKeyArray,
    ) -> Float[Array, " batch"]:
        """Value estimates of states under one drawn action each, in raw reward units."""
        return self._values(state, observations, task_ids, return_bound, key)

    def diagnose(
        self, state: Any, batches: Batch, return_bound: Float[Any, " tasks"], key: PRNGKeyArray
    ) -> dict[str, Float[Array, " tasks"]]:
        """Losses, entropy and gradient norms of each task; `batches` has a leading task axis."""
        return self._diagnose(state, batches, return_bound, key)

    @property
    def measures_affinity(self) -> bool:
        """Whether this kind of agent has a `measure_affinity`."""
        return self._measure_affinity is not None

    def measure_affinity(
        self,
        state: Any,
        batches: Batch,
        return_bound: Float[Any, " tasks"],
        key: PRNGKeyArray,
        averages: AffinityAverages,
    ) -> AffinityAverages:
        """Takes one measurement of what a step on each task does to each into `averages`; batches as in `diagnose`.

        Only where `measures_affinity`.
        """
        assert self._measure_affinity is not None
        return self._measure_affinity(state, batches, return_bound, key, averages)

    def embeddings(self, state: Any) -> Float[Array, "tasks dim"] | None:
        """The tasks' feature vectors as the networks see them, or None if the agent learns none."""
        conditioning = state.critic.conditioning
        if not isinstance(conditioning, TaskEmbedding):
            return None
        return _embedded(conditioning, jnp.arange(len(self.tasks)))

    def has_routes(self, state: Any) -> bool:
        """Whether the actor's trunk mixes parts, so that `routes` has something to say."""
        trunk = getattr(state.actor, "trunk", None)
        return isinstance(trunk, Trunk) and type(trunk).routes is not Trunk.routes

    def routes(
        self, state: Any, observations: Float[Any, "tasks rows observation"] | Observations
    ) -> tuple[Float[Array, "tasks _ _"], ...]:
        """How the actor's trunk mixes its parts, by layer: each task's mean over rows that it observed.

        Only where `has_routes`.
        """
        return self._routes(acting_parts(state), observations)

    def _typed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """An algorithm's function of what it learns from, which it then gets in the type of its parameters."""

        def typed(state, batches, return_bound, *more):
            choosing.check_countable(self.tasks.choices, float_type(_networks(state)))
            facts, batches, return_bound = in_type_of(_networks(state), (self.facts, batches, return_bound))
            return function(self.config, facts, state, batches, return_bound, *more)

        return typed

    def _acting(self, state: Any) -> Acting:
        return acting_parts(state, self._algorithm.act is not None)

    def _update_now(self, state, batches, return_bound, key):
        state, metrics = self._typed(self._algorithm.update)(state, batches, return_bound, key)
        if self._mesh is not None:
            state = jax.lax.with_sharding_constraint(state, self._shardings(state))
        return state, metrics

    def _act_now(self, acting, observations, task_ids, key):
        actor, critic, moments, *_ = acting
        facts, observations = in_type_of(_networks(acting), (self.facts, observations))
        seen = encoded(critic, normalised(moments, observations, task_ids), task_ids)
        if self._algorithm.act is not None:
            return self._algorithm.act(self.config, facts, acting, seen, task_ids, key)
        actions = facts.action_mask[task_ids]  # without an actor no task has any dimension
        if actor is not None:
            mean, log_std = actor(seen, critic.conditioning(task_ids), task_ids)
            noise = 0.0 if key is None else jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
            actions = jnp.tanh(mean + noise) * actions
        if self.tasks.choices == 1:
            return actions
        assert self._algorithm.choose is not None
        own_key = None if key is None else jax.random.fold_in(key, 1)
        chosen = self._algorithm.choose(self.config, facts, acting, critic(seen, actions, task_ids), task_ids, own_key)
        return choosing.joined(actions, chosen, self.tasks.choices)

    def _routes_now(self, acting, observations):
        tasks, rows = jax.tree.leaves(observations)[0].shape[:2]
        task_ids = jnp.repeat(jnp.arange(tasks), rows)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), in_type_of(_networks(acting), observations))
        seen = encoded(acting.critic, normalised(acting.moments, flat, task_ids), task_ids)
        routes = acting.actor.trunk.routes(seen, acting.critic.conditioning(task_ids))
        return tuple(route.reshape(tasks, rows, *route.shape[1:]).mean(axis=1) for route in routes)

    def _values_now(self, state, observations, task_ids, return_bound, key):
        facts, observations, return_bound = in_type_of(_networks(state), (self.facts, observations, return_bound))
        moments = getattr(state, "moments", None)
        seen = encoded(state.critic, normalised(moments, observations, task_ids), task_ids)
        if self._algorithm.act is not None:
            actions = self._algorithm.act(self.config, facts, self._acting(state), seen, task_ids, key)
        else:
            features, mask = state.critic.conditioning(task_ids), facts.action_mask[task_ids]
            noise = jax.random.normal(key, mask.shape, mask.dtype)
            actions, _ = sample_actions(state.actor, seen, features, task_ids, mask, noise)
        outputs = state.critic(seen, actions, task_ids)
        return self._algorithm.values(self.config, facts, state, outputs, task_ids, return_bound)
