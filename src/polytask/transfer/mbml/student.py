"""The third stage of MBML: one policy for all tasks, told which by a latent that a set encoder infers."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.agents import bcq
from polytask.losses import gaussian_divergence, optimiser_step, triplet_loss
from polytask.networks import MLP, Dense, Perturbation, SetEncoder
from polytask.transfer.mbml.config import MBMLConfig
from polytask.transfer.mbml.data import Logs, Relabelled, check, draw_held, rows
from polytask.transfer.mbml.teachers import teacher_facts

Gaussian = tuple[Float[Array, " latent"], Float[Array, " latent"]]


class Student(eqx.Module):
    """The set encoder, and what it tells of the task: Q_D(s, a, z), candidates G_D(s, nu, z), their perturbation."""

    encoder: SetEncoder
    q: MLP
    q_out: Dense
    proposal: MLP
    proposal_out: Dense
    perturbation: Perturbation

    def __init__(self, config: MBMLConfig, observations: int, actions: int, *, key: PRNGKeyArray) -> None:
        keys = iter(jax.random.split(key, 7))
        sizes = (config.latent, config.width, config.depth)
        transition = 2 * observations + actions + 1
        encoder = (transition, config.latent, config.encoder_width, config.encoder_depth)
        self.encoder = SetEncoder(*encoder, key=next(keys))
        self.q = MLP(observations + actions, *sizes, key=next(keys))
        self.q_out = Dense(config.width, 1, key=next(keys), scale=1.0)
        self.proposal = MLP(observations + 2 * actions, *sizes, key=next(keys))  # BCQ's latent has twice the action's
        self.proposal_out = Dense(config.width, actions, key=next(keys), scale=1.0)
        trunk = MLP(observations + actions, *sizes, key=next(keys))
        self.perturbation = Perturbation(trunk, actions, 1, config.perturbation, key=next(keys))

    def value(self, observations: Array, actions: Array, z: Array) -> Float[Array, " batch"]:
        """Q_D, in raw reward units."""
        return self.q_out(self.q(jnp.concatenate([observations, actions], axis=-1), z))[:, 0]

    def propose(self, observations: Array, drawn: Array, z: Array) -> Float[Array, "batch action"]:
        """G_D."""
        hidden = self.proposal(jnp.concatenate([observations, drawn], axis=-1), z)
        return jnp.tanh(self.proposal_out(hidden))

    def perturb(self, observations: Array, actions: Array, z: Array) -> Float[Array, "batch action"]:
        """The action moved by xi_D."""
        return self.perturbation(observations, actions, z, jnp.zeros(len(actions), jnp.int32))


def _divergence(one: Gaussian, other: Gaussian) -> Float[Array, ""]:
    return gaussian_divergence(*one, *other)


def task_triplets(
    config: MBMLConfig,
    student: Student,
    logs: Logs,
    relabelled: Relabelled,
    own: tuple[Float[Array, "tasks latent"], Float[Array, "tasks latent"]],
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """The triplet loss over all pairs of tasks; `own` are the posteriors of each task's own transitions, stacked."""
    tasks, n = logs.rewards.shape
    real = jnp.ones(config.context, bool)

    def pair(i: Int[Array, ""], j: Int[Array, ""], key: Array) -> tuple[Array, Array, Array]:
        positive = jax.tree.map(lambda leaf: leaf[i], own)
        if not config.relabel:
            at = jax.random.randint(key, (config.context,), 0, n)
            anchor = student.encoder(rows(logs, i, at, logs.rewards[i, at]), real)
            negative = jax.tree.map(lambda leaf: leaf[j], own)
            return _divergence(anchor, positive), _divergence(anchor, negative), jnp.bool_(True)
        at, there = draw_held(relabelled.held[i, j], config.context, key)
        anchor = student.encoder(rows(logs, j, at, relabelled.rewards[i, j, at]), there)
        negative = student.encoder(rows(logs, j, at, logs.rewards[j, at]), there)
        return _divergence(anchor, positive), _divergence(anchor, negative), there[0]

    ids, keys = jnp.arange(tasks), jax.random.split(key, (tasks, tasks))
    over_j = jax.vmap(pair, (None, 0, 0))
    to_positive, to_negative, held = jax.vmap(over_j, (0, None, 0))(ids, ids, keys)
    return triplet_loss(to_positive, to_negative, held, config.margin)


def student_loss(
    config: MBMLConfig,
    student: Student,
    teachers: bcq.BCQState,
    logs: Logs,
    relabelled: Relabelled,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """All of the student's losses: distillation of Q, candidates and perturbations, the KL to N(0, I), the triplet.

    z is not learned through candidates and perturbations. The distilled values and KLs are means and sums over tasks.
    """
    tasks, n = logs.rewards.shape
    facts, ids = teacher_facts(config, logs.actions.shape[-1]), jnp.zeros(config.batch, jnp.int32)
    key_tasks, key_triplet = jax.random.split(key)
    real = jnp.ones(config.context, bool)

    def of_task(i: Int[Array, ""], teacher: bcq.BCQState, key: Array) -> tuple[Gaussian, dict[str, Array]]:
        keys = jax.random.split(key, 6)
        at = jax.random.randint(keys[0], (config.context,), 0, n)
        mine = rows(logs, i, at, logs.rewards[i, at])
        own, posterior = student.encoder(mine, real), None
        if config.relabel:
            j = (i + jax.random.randint(keys[1], (), 1, tasks)) % tasks
            other, there = draw_held(relabelled.held[i, j], config.context, keys[2])
            theirs = rows(logs, j, other, relabelled.rewards[i, j, other])
            posterior = student.encoder(jnp.concatenate([mine, theirs]), jnp.concatenate([real, there]))
        mean, log_variance = posterior or own
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(keys[3], mean.shape, mean.dtype)
        z = jnp.broadcast_to(z, (config.batch, *z.shape))
        fixed = jax.lax.stop_gradient(z)

        seen = logs.observations[i, jax.random.randint(keys[4], (config.batch,), 0, n)]
        drawn = bcq.latents(keys[5], (config.batch, teacher.actor.vae.latent), seen.dtype)
        features, mask = jnp.zeros((config.batch, 0)), facts.action_mask[ids]
        candidates = teacher.actor.vae.decode(seen, drawn, features, ids) * mask
        moved = teacher.actor.perturbation(seen, candidates, features, ids)
        q = bcq.q_of(teacher.critic, seen, moved, ids)[0]
        return own, {
            "q": jnp.square(student.value(seen, moved, z) - q).mean(),
            "candidates": jnp.square(student.propose(seen, drawn, fixed) - candidates).mean(),
            "perturbations": jnp.square(student.perturb(seen, candidates, fixed) - moved).mean(),
            "kl": gaussian_divergence(mean, log_variance, jnp.zeros_like(mean), jnp.zeros_like(mean)),
        }

    own, parts = jax.vmap(of_task)(jnp.arange(tasks), teachers, jax.random.split(key_tasks, tasks))
    losses = {name: values.sum() if name == "kl" else values.mean() for name, values in parts.items()}
    losses["triplet"] = jnp.zeros(())
    if config.triplet:
        losses["triplet"] = task_triplets(config, student, logs, relabelled, own, key_triplet)
    total = losses["q"] + losses["candidates"] + losses["perturbations"] + losses["triplet"]
    return total + config.kl_weight * losses["kl"], losses


def train_student(
    config: MBMLConfig, teachers: bcq.BCQState, logs: Logs, relabelled: Relabelled, key: PRNGKeyArray
) -> tuple[Student, dict[str, Float[Array, " steps"]]]:
    """The student, and its losses at every step. Raises ValueError as `check`."""
    check(logs)
    key_init, key_steps = jax.random.split(key)
    student = Student(config, logs.observations.shape[-1], logs.actions.shape[-1], key=key_init)
    adam = optax.adam(config.learning_rate)
    loss = partial(student_loss, config)

    def step(carry: tuple[Student, Any], key: Array) -> tuple[tuple[Student, Any], dict[str, Array]]:
        student, state = carry
        grads, losses = jax.grad(lambda s: loss(s, teachers, logs, relabelled, key), has_aux=True)(student)
        return optimiser_step(adam, student, grads, state), losses

    carry = student, adam.init(eqx.filter(student, eqx.is_array))
    keys = jax.random.split(key_steps, config.steps)
    (student, _), losses = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(carry, keys)
    return student, losses
