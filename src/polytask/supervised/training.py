"""Supervised training as pure functions of a state: so many steps, an evaluation, and the best parameters so far."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from polytask import random
from polytask.affinity import joint_gradients, measure
from polytask.affinity.averages import Averages
from polytask.combine import Combined, Combiner, combined_gradient
from polytask.supervised.config import OptimiserConfig, SupervisedConfig
from polytask.supervised.examples import Examples, mirrored
from polytask.supervised.loss import ClassWeights, balanced, class_weights, relevances, training_losses
from polytask.supervised.model import Figures, Model, evaluate, make_model
from polytask.supervised.problem import Problem


class State(eqx.Module):
    """Everything that changes while a supervised training runs; arrays only.

    `best` holds the parameters of the evaluation with the smallest `best_value` on the validation rows, at `best_step`;
    `waited` counts the evaluations since.
    """

    params: Model
    optimiser: PyTree
    combiner: PyTree
    step: Int[Array, ""]
    best: Model
    best_value: Float[Array, ""]
    best_step: Int[Array, ""]
    waited: Int[Array, ""]


class Setup(NamedTuple):
    """What stays the same while it trains: the problem, what takes part in it, and how it is learned.

    `tasks` marks the tasks that take part, `learning_rate` is that of the first epoch; both may be traced, so that
    subsets of tasks and learning rates can be vmapped. `static` is what of the model is not an array. `weights` are
    those of classes, where they are to count alike.
    """

    problem: Problem
    config: SupervisedConfig
    combiner: Combiner
    tasks: Bool[Array, " tasks"]
    learning_rate: Float[Array, ""]
    static: Any
    weights: ClassWeights | None = None

    def model(self, params: Model) -> Model:
        """The network with these parameters."""
        return eqx.combine(params, self.static)


class Evaluation(NamedTuple):
    """What is known after some steps.

    - `loss`: each task's training loss, the mean over these steps; `metrics`: means over these steps of the norm of the
      trunk's gradient, and of what the combiner tells, such as its weights.
    - `train`, `validation`: figures of the parameters as they stand; of stored images `train` is a sample.
    - `test`: figures of the parameters that the validation rows have chosen so far. They choose nothing.
    - `affinity`: by measure (`polytask.affinity.measure`), what was seen in these steps; empty if nothing is measured.
    """

    loss: Float[Array, " tasks"]
    metrics: dict[str, Float[Array, "..."]]
    train: Figures
    validation: Figures
    test: Figures
    affinity: dict[str, Averages]


def make_setup(
    problem: Problem,
    config: SupervisedConfig,
    combiner: Combiner,
    tasks: Bool[Array, " tasks"] | None = None,
    learning_rate: Float[Array, ""] | None = None,
) -> Setup:
    """A setup of all tasks, or of those that `tasks` marks. Raises ValueError for a relevance of unknown tasks."""
    relevances(config, problem.names)
    # The key decides nothing here: only the structure is kept.
    shapes = eqx.filter_eval_shape(lambda: fresh_model(problem, config, random.key(0, "structure")))
    arrays = [leaf for leaf in jax.tree.leaves(shapes) if _is_shape(leaf)]
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in arrays):
        raise ValueError("make_trunk: every array of a trunk is trained, so all must be floating; make others static")
    static = eqx.filter(shapes, _is_shape, inverse=True)
    return Setup(
        problem,
        config,
        combiner,
        jnp.ones(len(problem.tasks), bool) if tasks is None else tasks,
        jnp.float32(config.optimiser.learning_rate) if learning_rate is None else learning_rate,
        static,
        class_weights(problem.tasks, problem.train) if config.class_weights == "balanced" else None,
    )


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def fresh_model(problem: Problem, config: SupervisedConfig, key: PRNGKeyArray) -> Model:
    """A model of the problem's tasks, with the problem's own trunk if it has one."""
    return make_model(problem.tasks, problem.train.inputs.shape[1:], config.trunk, key, problem.make_trunk)


def init(setup: Setup, key: PRNGKeyArray) -> State:
    """Fresh parameters. Which tasks take part does not matter to them."""
    params = eqx.filter(fresh_model(setup.problem, setup.config, key), eqx.is_inexact_array)
    return State(
        params=params,
        optimiser=_optimiser(setup.config.optimiser).init(params),
        combiner=setup.combiner.init(params, len(setup.problem.tasks), shared=shared_parameters(params)),
        step=jnp.int32(0),
        best=params,
        best_value=jnp.float32(jnp.inf),
        best_step=jnp.int32(0),
        waited=jnp.int32(0),
    )


def steps_per_epoch(rows: int, config: SupervisedConfig) -> int:
    """Steps that take each training row once; what is left over from full batches waits for another epoch."""
    return 1 if config.batch_size == 0 else max(1, rows // config.batch_size)


def batch_indices(
    rows: int, config: SupervisedConfig, key: PRNGKeyArray, step: Int[Array, ""], count: int
) -> Int[Array, "steps batch"]:
    """The rows of `count` steps from `step`: each epoch in an order of its own, which (key, epoch) decides."""
    per_epoch = steps_per_epoch(rows, config)
    size = min(config.batch_size or rows, rows)
    first = step // per_epoch
    epochs = first + jnp.arange((count - 1) // per_epoch + 2)
    orders = jax.vmap(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), rows))(epochs)
    wanted = step + jnp.arange(count)
    batches = orders[:, : per_epoch * size].reshape(-1, per_epoch, size)
    return batches[wanted // per_epoch - first, wanted % per_epoch]


def gradient(
    setup: Setup,
    params: Model,
    state: PyTree,
    batch: Examples,
    key: PRNGKeyArray,
    independent: Examples | None = None,
) -> Combined:
    """One step's gradient, as `polytask.combine.combined_gradient` gives it; `aux` marks the tasks that took part.

    `independent` are other rows, for a combiner that needs them.
    The trunk is what the tasks share: the combiner makes its gradient. Each head has that of its own task's loss,
    weighted where the method weighs losses. A task without a label in the batch takes no part.
    """
    losses, present = batch_losses(setup, batch, key)
    other = None if independent is None else batch_losses(setup, independent, key)[0]
    return combined_gradient(
        setup.combiner,
        lambda params: (losses(params), present),
        params,
        state,
        key=jax.random.split(key)[1],
        present=present,
        shared=shared_parameters(params),
        independent=other and (lambda params: (other(params), present)),
    )


def batch_losses(
    setup: Setup, batch: Examples, key: PRNGKeyArray
) -> tuple[Callable[[Model], Float[Array, " tasks"]], Bool[Array, " tasks"]]:
    """The losses of one step as a function of the parameters, always with the same dropout; and who takes part."""

    def losses(params: Model) -> Float[Array, " tasks"]:
        outputs = setup.model(params)(batch.inputs, key=jax.random.split(key)[0])
        return training_losses(setup.config, setup.problem.tasks, outputs, batch, setup.weights)

    return losses, batch.present.any(0) & setup.tasks


def shared_parameters(params: Model) -> PyTree:
    """Marks what the tasks share, for `polytask.combine`: True in the trunk, False in the heads."""
    trunk = jax.tree.map(lambda _: True, params)
    return eqx.tree_at(lambda p: p.heads, trunk, jax.tree.map(lambda _: False, params.heads))


def train_steps(
    setup: Setup, state: State, key: PRNGKeyArray, count: int
) -> tuple[State, Float[Array, " tasks"], dict[str, Array], dict[str, Averages]]:
    """`count` steps in one scan. Returns the state, each task's mean training loss, the means of the metrics, and what
    was seen of the tasks' effects on each other, which nothing else depends on."""
    config, train = setup.config, setup.problem.train
    rows = train.inputs.shape[0]
    key_data, key_step = jax.random.split(key)
    optimiser = _optimiser(config.optimiser)
    whole = not 0 < config.batch_size < rows

    def one(
        carry: tuple[State, dict[str, Averages]], index: Array | None
    ) -> tuple[tuple[State, dict[str, Averages]], tuple[Array, Array, dict[str, Array]]]:
        state, seen = carry
        key = jax.random.fold_in(key_step, state.step)
        batch = augmented(setup.problem, train.whole() if index is None else train.take(index), key)
        if seen:
            seen = jax.lax.cond(
                state.step % config.affinity_every == 0,
                lambda s: observe(setup, s, state, batch, key),
                lambda s: s,
                seen,
            )
        other = None
        if setup.combiner.needs_independent:
            size = batch.inputs.shape[0]
            other = train.take(jax.random.randint(jax.random.fold_in(key, size), (size,), 0, rows))
            other = augmented(setup.problem, other, jax.random.fold_in(key, size))
        step = gradient(setup, state.params, state.combiner, batch, key, other)
        # Optax raises floats to integer powers, which JAX's strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, inner = optimiser.update(step.gradient, state.optimiser, cast(optax.Params, state.params))
        rate = _rate(setup, state.step)
        params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
        info = {name: value.astype(jnp.float32) for name, value in step.info.items()}
        info["gradient_norm"] = optax.tree.norm(step.gradient.trunk)
        combiner = step.state
        if setup.combiner.observes:
            losses, present = batch_losses(setup, batch, key)
            combiner = setup.combiner.observe(combiner, losses(params), present)
        state = eqx.tree_at(
            lambda s: (s.params, s.optimiser, s.combiner, s.step), state, (params, inner, combiner, state.step + 1)
        )
        return (state, seen), (jnp.where(step.aux, step.losses, 0.0), step.aux, info)

    index = None if whole else batch_indices(rows, config, key_data, state.step, count)
    (state, seen), (losses, present, info) = jax.lax.scan(one, (state, nothing_seen(setup)), index, length=count)
    mean = losses.sum(0) / jnp.maximum(present.sum(0), 1).astype(jnp.float32)
    return state, mean, jax.tree.map(lambda values: values.mean(0), info), seen


def augmented(problem: Problem, batch: Examples, key: PRNGKeyArray) -> Examples:
    """The batch as it is trained on: where the problem asks for that, half of the images are mirrored."""
    if not problem.mirror:
        return batch
    flip = jax.random.bernoulli(jax.random.fold_in(key, 0xF11B), 0.5, (batch.inputs.shape[0],))
    return mirrored(problem.tasks, batch, flip)


def nothing_seen(setup: Setup) -> dict[str, Averages]:
    """Averages of no measurement yet; empty if nothing is to be measured."""
    return measure.init(len(setup.problem.tasks)) if setup.config.affinity_every else {}


def observe(
    setup: Setup, seen: dict[str, Averages], state: State, batch: Examples, key: PRNGKeyArray
) -> dict[str, Averages]:
    """One measurement taken into the averages: what a step of the optimiser, as it stands, on the loss of each task
    would do to the losses of all, on the batch of this step and with its dropout. Heads stay, as TAG has it."""
    losses, present = batch_losses(setup, batch, key)
    shared = shared_parameters(state.params)
    direction, rate = _optimiser(setup.config.optimiser), _rate(setup, state.step)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = direction.update(updates, state, params)
        return jax.tree.map(lambda u: -rate * u, updates), state

    gradients = joint_gradients(losses, state.params, shared)[1]
    step = optax.GradientTransformation(direction.init, update)
    found = measure.measure(losses, state.params, gradients, step, state.optimiser, shared=shared)
    both = present[:, None] & present[None]
    return measure.observe(seen, {name: jnp.where(both, matrix, jnp.nan) for name, matrix in found.items()})


def advance(setup: Setup, state: State, key: PRNGKeyArray, count: int | None = None) -> tuple[State, Evaluation]:
    """`count` steps, `config.eval_every` by default, then an evaluation, after which the best parameters are known."""
    problem, config = setup.problem, setup.config
    state, loss, metrics, seen = train_steps(setup, state, key, config.eval_every if count is None else count)
    model = setup.model(state.params)
    validation = evaluate(problem.tasks, model, problem.validation, balanced(setup.weights))
    value = _criterion(config, validation, setup.tasks)
    better = value < state.best_value
    state = State(
        params=state.params,
        optimiser=state.optimiser,
        combiner=state.combiner,
        step=state.step,
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), state.params, state.best),
        best_value=jnp.where(better, value, state.best_value),
        best_step=jnp.where(better, state.step, state.best_step),
        waited=jnp.where(better, 0, state.waited + 1),
    )
    train = evaluate(problem.tasks, model, problem.train.sample())
    test = evaluate(problem.tasks, setup.model(state.best), problem.test)
    return state, Evaluation(loss, metrics, train, validation, test, seen)


def advance_unevaluated(setup: Setup, state: State, key: PRNGKeyArray, count: int) -> tuple[State, Evaluation]:
    """`count` steps and no evaluation: all figures are NaN, and the best parameters are the last."""
    state, loss, metrics, seen = train_steps(setup, state, key, count)
    state = eqx.tree_at(lambda s: (s.best, s.best_step), state, (state.params, state.step))
    nothing = jnp.full(len(setup.problem.tasks), jnp.nan)
    figures = Figures(nothing, nothing, jnp.zeros_like(nothing))
    return state, Evaluation(loss, metrics, figures, figures, figures, seen)


def stopped(config: SupervisedConfig, state: State) -> Bool[Array, ""]:
    """Whether patience has run out."""
    # A plain False where there is no patience, so that under vmap all go on together without a select.
    return state.waited >= config.patience if config.patience else jnp.bool_(False)


def _criterion(config: SupervisedConfig, figures: Figures, tasks: Bool[Array, " tasks"]) -> Float[Array, ""]:
    """What is to be small on the validation rows: the mean over tasks of the loss, or of the score with its sign."""
    values = figures.loss if config.select == "loss" else -figures.score
    known = tasks & (figures.rows > 0) & jnp.isfinite(values)
    mean = jnp.where(known, values, 0.0).sum() / jnp.maximum(known.sum(), 1).astype(jnp.float32)
    return jnp.where(known.any(), mean, jnp.inf)


def _rate(setup: Setup, step: Int[Array, ""]) -> Float[Array, ""]:
    """The learning rate of a step."""
    config = setup.config
    epoch = (step // steps_per_epoch(setup.problem.train.inputs.shape[0], config)).astype(jnp.float32)
    return setup.learning_rate * jnp.float32(config.optimiser.decay_per_epoch) ** epoch


def _optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """The direction of a step, before the learning rate and the sign."""
    direction = optax.scale_by_adam(b1=config.momentum) if config.kind == "adam" else optax.trace(config.momentum)
    return optax.chain(direction, optax.add_decayed_weights(config.weight_decay))
