"""What an agent's networks see: observations normalised, and images encoded."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from polytask.agents.config import BRCConfig, DQNConfig
from polytask.agents.moments import Moments
from polytask.networks import CriticEnsemble, ImageFeatures, make_encoder
from polytask.networks.conditioning import Conditioning
from polytask.tasks.spaces import Observations
from polytask.tasks.spec import TaskSet


class Sight(NamedTuple):
    """Of a critic what seeing takes: all that acts of it where nothing is chosen."""

    conditioning: Conditioning
    encoder: ImageFeatures | None


def image_features(
    config: BRCConfig | DQNConfig, tasks: TaskSet, task_features: int, *, key: PRNGKeyArray
) -> ImageFeatures | None:
    """Fresh encoders of the places that the tasks have images at; None where they have none."""
    if not tasks.images:
        return None
    key_film, *keys = jax.random.split(key, 1 + len(tasks.images))
    encoders = tuple(
        make_encoder(config.encoder, shape, config.encoder_width, config.encoder_multiplier, key=own)
        for shape, own in zip(tasks.images, keys, strict=True)
    )
    present = tuple(tuple(place in tasks.places(row) for place in range(len(encoders))) for row in range(len(tasks)))
    return ImageFeatures(encoders, present, task_features if config.film else 0, key=key_film)


def encoded(
    critic: CriticEnsemble | Sight,
    observations: Float[Array, "batch observation"] | Observations,
    task_ids: Int[Array, " batch"],
) -> Float[Array, "batch seen"]:
    """The vector with the features of the images behind it; rows of numbers, encoded already or never images, stay."""
    if not isinstance(observations, Observations):
        return observations
    assert critic.encoder is not None
    features = critic.encoder(observations.images, critic.conditioning(task_ids), task_ids)
    return jnp.concatenate([observations.vector.astype(features.dtype), features], axis=-1)


def normalised(
    moments: Moments | None, observations: Float[Array, "*batch observation"] | Observations, task_ids: Int[Array, "*b"]
) -> Float[Array, "*batch observation"] | Observations:
    """Their vectors in deviations, where moments are kept; images stay."""
    if moments is None:
        return observations
    if isinstance(observations, Observations):
        return observations._replace(vector=moments(observations.vector, task_ids))
    return moments(observations, task_ids)


def vectors_of(
    observations: Float[Array, "*batch observation"] | Observations,
) -> Float[Array, "*batch observation"]:
    """Their vectors alone."""
    return observations.vector if isinstance(observations, Observations) else observations


def shifted(
    observations: Float[Array, "batch observation"] | Observations, pixels: int, key: PRNGKeyArray
) -> Float[Array, "batch observation"] | Observations:
    """Each row's images moved by up to `pixels` a side, at random, their borders repeated; vectors stay.

    The random shifts of DrQ (Yarats et al. 2021, arXiv 2004.13649); a row's places are drawn apart from each other.
    """
    if not isinstance(observations, Observations):
        return observations

    def moved(image: UInt8[Array, "height width channels"], corner: Int[Array, " 2"]) -> UInt8[Array, "h w channels"]:
        bordered = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
        return jax.lax.dynamic_slice(bordered, (*corner, jnp.zeros_like(corner[0])), image.shape)

    keys = jax.random.split(key, len(observations.images))
    corners = (
        jax.random.randint(own, (image.shape[0], 2), 0, 2 * pixels + 1)
        for own, image in zip(keys, observations.images, strict=True)
    )
    images = tuple(jax.vmap(moved)(image, corner) for image, corner in zip(observations.images, corners, strict=True))
    return observations._replace(images=images)
