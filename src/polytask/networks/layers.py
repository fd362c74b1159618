"""Layers over a batch, with kernels stored (inputs, outputs)."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polytask.losses.precision import at_least_float32


class Dense(eqx.Module):
    """x W + b, with W drawn orthogonal and scaled by `scale`, b zero."""

    kernel: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray, scale: float = math.sqrt(2)) -> None:
        self.kernel = jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        return x @ self.kernel + self.bias[None]


def _moments(x: Float[Array, "batch width"]) -> tuple[Float[Array, "batch 1"], Float[Array, "batch 1"]]:
    """The mean and the inverse deviation of each row."""
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.maximum(jnp.mean(jnp.square(x), axis=-1, keepdims=True) - jnp.square(mean), 0)
    return mean, jax.lax.rsqrt(variance + 1e-6)


@jax.custom_jvp
def layer_norm(
    x: Float[Array, "batch width"], scale: Float[Array, " width"], bias: Float[Array, " width"]
) -> Float[Array, "batch width"]:
    """(x - mean) / deviation * scale + bias. Its derivative is written out: two sums a row for four."""
    mean, inverse = _moments(x)
    return (x - mean) * (inverse * scale[None]) + bias[None]


@layer_norm.defjvp
def _layer_norm_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (x, scale, bias), (dx, dscale, dbias) = primals, tangents
    mean, inverse = _moments(x)
    unit = (x - mean) * inverse
    change = dx - jnp.mean(dx, axis=-1, keepdims=True) - unit * jnp.mean(unit * dx, axis=-1, keepdims=True)
    y = (x - mean) * (inverse * scale[None]) + bias[None]
    return y, change * inverse * scale[None] + unit * dscale[None] + dbias[None]


class LayerNorm(eqx.Module):
    """Layer normalisation over the last axis, epsilon 1e-6, the variance as E[x^2] - E[x]^2 (as in Flax).

    In float32 at least.
    """

    scale: Float[Array, " width"]
    bias: Float[Array, " width"]

    def __init__(self, width: int) -> None:
        self.scale = jnp.ones(width)
        self.bias = jnp.zeros(width)

    def __call__(self, x: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
        return layer_norm(*map(at_least_float32, (x, self.scale, self.bias))).astype(x.dtype)


class Head(eqx.Module):
    """What makes a network's outputs of a trunk's features: (batch, width), task ids (batch,) -> (batch, outputs)."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "batch width"], task_ids: Int[Array, " batch"]) -> Float[Array, "batch outputs"]:
        """The outputs of each row."""


class TaskHead(Head):
    """A linear head: one for all tasks, or (`heads` > 1) one for each, chosen by the task id.

    With `choices` each head gives so many times the outputs, those of the first choice first.
    """

    dense: Dense
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        heads: int,
        choices: int = 1,
        *,
        key: PRNGKeyArray,
        scale: float = math.sqrt(2),
    ) -> None:
        # Each part is orthogonal in itself; of one matrix over all of them the columns would come out shorter.
        parts = [Dense(inputs, outputs, key=k, scale=scale) for k in jax.random.split(key, heads * choices)]
        self.dense = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1), *parts)
        self.heads = heads

    def __call__(
        self, x: Float[Array, "batch inputs"], task_ids: Int[Array, " batch"]
    ) -> Float[Array, "batch outputs"]:
        y = self.dense(x)
        if self.heads == 1:
            return y
        # Computing all heads and selecting beats gathering a kernel for every sample.
        by_head = y.reshape(x.shape[0], self.heads, -1)
        return jnp.take_along_axis(by_head, task_ids[:, None, None], axis=1)[:, 0]
