"""CartPole with distractors, as pure functions: Gymnasium's CartPole-v1, and dimensions of its state that mean nothing.

A distracting dimension is a new draw from N(0, 1) in every observation, as in OMD's code (arXiv 2106.03273) and
TaskMet's experiment (arXiv 2312.05250). No action moves it, nothing depends on it and nobody can predict it.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

REAL = ("position", "velocity", "angle", "angular velocity")
HORIZON = 500
ACTIONS = 2
LEAN = 0.05
"""The largest of the four numbers at the start of an episode."""

_GRAVITY, _CART, _POLE, _HALF_LENGTH, _FORCE, _SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
_TOTAL, _MOMENT = _CART + _POLE, _POLE * _HALF_LENGTH
_FURTHEST, _STEEPEST = 2.4, 12 * math.pi / 180


class Episode(NamedTuple):
    """Where an episode stands: the physical state (position, velocity, angle, angular velocity), what is observed of it
    with the distractors behind it, and how many steps it has lasted."""

    state: Float[Array, "4"]
    observation: Float[Array, " observed"]
    steps: Int[Array, ""]


def move(state: Float[Array, "4"], action: Int[Array, ""]) -> Float[Array, "4"]:
    """The state 0.02 s after a push of 10 N to the left (action 0) or right (1), by Euler's rule."""
    _, velocity, angle, spin = state
    force = jnp.where(action == 1, _FORCE, -_FORCE)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    pushed = (force + _MOMENT * jnp.square(spin) * sine) / _TOTAL
    turning = (_GRAVITY * sine - cosine * pushed) / (_HALF_LENGTH * (4 / 3 - _POLE * jnp.square(cosine) / _TOTAL))
    moving = pushed - _MOMENT * turning * cosine / _TOTAL
    return state + _SECONDS * jnp.stack([velocity, moving, spin, turning])


def fallen(state: Float[Array, "4"]) -> Bool[Array, ""]:
    """Whether the pole leans by more than 12 degrees or the cart is more than 2.4 from the middle."""
    return (jnp.abs(state[0]) > _FURTHEST) | (jnp.abs(state[2]) > _STEEPEST)


def start(state: Float[Array, "4"], noise: Float[Array, " distractors"]) -> Episode:
    """A new episode.

    - `state`: drawn uniformly from [-LEAN, LEAN]; `noise`: the distractors, drawn from N(0, 1).
    """
    return Episode(state, jnp.concatenate([state, noise]), jnp.int32(0))


def advance(
    episode: Episode, action: Int[Array, ""], noise: Float[Array, " distractors"]
) -> tuple[Episode, Bool[Array, ""]]:
    """One step, which is rewarded with 1, and whether the pole has fallen. At HORIZON steps the time is up.

    - `noise`: the distractors of the new observation.
    """
    state = move(episode.state, action)
    return Episode(state, jnp.concatenate([state, noise]), episode.steps + 1), fallen(state)
