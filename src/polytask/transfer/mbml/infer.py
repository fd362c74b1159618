"""A trained student in a task that was never seen: its latent from what was met there, and actions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from polytask.agents import bcq
from polytask.losses import gaussian_divergence
from polytask.transfer.mbml.config import MBMLConfig
from polytask.transfer.mbml.student import Gaussian, Student


def infer(
    student: Student, transitions: Float[Array, "set inputs"], real: Bool[Array, " set"], key: PRNGKeyArray | None
) -> Float[Array, " latent"]:
    """A latent of the task: drawn from the posterior of its transitions (s, a, s', r), or its mean without a key.

    Without a real transition it is drawn from N(0, I), as before a first episode.
    """
    mean, log_variance = student.encoder(transitions, real)
    noise = 0.0 if key is None else jax.random.normal(key, mean.shape, mean.dtype)
    return mean + jnp.exp(0.5 * log_variance) * noise


def act(
    config: MBMLConfig, student: Student, observations: Float[Array, "batch observation"], z: Array, key: PRNGKeyArray
) -> Float[Array, "batch action"]:
    """The best of the perturbed candidates under Q_D; `z` has a row for each observation."""
    batch, count = len(observations), config.candidates
    seen, told = jnp.repeat(observations, count, axis=0), jnp.repeat(z, count, axis=0)
    latent = 2 * student.proposal_out.bias.shape[-1]
    drawn = bcq.latents(key, (batch * count, latent), observations.dtype)
    actions = student.perturb(seen, student.propose(seen, drawn, told), told)
    best = student.value(seen, actions, told).reshape(batch, count).argmax(axis=1)
    return actions.reshape(batch, count, -1)[jnp.arange(batch), best]


def nearer(one: Gaussian, first: Gaussian, second: Gaussian) -> Bool[Array, ""]:
    """Whether a posterior is nearer to the first than to the second: the probe of what the encoder goes by.

    Transitions of task j with the rewards of i are of task i; an encoder that goes by the states says j.
    """
    return gaussian_divergence(*one, *first) < gaussian_divergence(*one, *second)
