"""From images to features: what an encoder is, and those of all the places that a set of tasks has images at."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from polytask.networks.layers import Dense


class Encoder(eqx.Module):
    """Features of an image: uint8 of shape (batch, height, width, channels) -> (batch, width).

    They come layer-normalised, whatever the brightness, in the float type of the parameters.
    """

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """How many features an image has."""

    @abc.abstractmethod
    def __call__(self, images: UInt8[Array, "batch rows columns channels"]) -> Float[Array, "batch width"]:
        """The features of each image."""


class ImageFeatures(eqx.Module):
    """An encoder for each place that a set of tasks has an image at, shared by the tasks that have one there.

    A task without an image at a place gets zeros from it, whatever is there. With `film` the features are scaled and
    shifted by what the task features say (FiLM, Perez et al. 2018, arXiv 1709.07871, here behind the encoder instead
    of in it, so that an image is encoded once for all tasks); it begins as the identity.
    """

    encoders: tuple[Encoder, ...]
    film: Dense | None
    present: tuple[tuple[bool, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        encoders: tuple[Encoder, ...],
        present: tuple[tuple[bool, ...], ...],
        film_features: int,
        *,
        key: PRNGKeyArray,
    ) -> None:
        """`present` says for each task at which places it has an image, `film_features` by how many task features the
        image features are scaled and shifted: 0 for not at all."""
        self.encoders, self.present = encoders, present
        film = Dense(film_features, 2 * self.width, key=key) if film_features else None
        self.film = film and eqx.tree_at(lambda dense: dense.kernel, film, jnp.zeros_like(film.kernel))

    @property
    def width(self) -> int:
        """How many features all images have together."""
        return sum(encoder.width for encoder in self.encoders)

    def __call__(
        self,
        images: tuple[UInt8[Array, "batch _ _ _"], ...],
        task_features: Float[Array, "batch features"],
        task_ids: Int[Array, " batch"],
    ) -> Float[Array, "batch width"]:
        found = [encoder(own) for encoder, own in zip(self.encoders, images, strict=True)]
        features = jnp.concatenate(found, axis=-1)
        if self.film is not None:
            scale, shift = jnp.split(self.film(task_features.astype(features.dtype)), 2, axis=-1)
            features = features * (1 + scale) + shift
        if all(map(all, self.present)):
            return features
        widths = jnp.array([encoder.width for encoder in self.encoders])
        there = jnp.repeat(jnp.array(self.present), widths, axis=1, total_repeat_length=self.width)
        return jnp.where(there[task_ids], features, jnp.zeros_like(features))
