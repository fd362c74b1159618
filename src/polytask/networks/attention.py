"""Attention over sets: a transformer's encoder without positions, and a pointer to what it encodes."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from polytask.networks.layers import LayerNorm

_FAR = -1e9  # a logit of what cannot be chosen; finite, so that gradients are


class Linear(eqx.Module):
    """x W + b over the last axis, W and b uniform in +-1/sqrt(inputs) (as attention models use)."""

    kernel: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray) -> None:
        bound = 1 / math.sqrt(inputs)
        first, second = jax.random.split(key)
        self.kernel = jax.random.uniform(first, (inputs, outputs), minval=-bound, maxval=bound)
        self.bias = jax.random.uniform(second, (outputs,), minval=-bound, maxval=bound)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        y = jnp.einsum("...i,io->...o", x, self.kernel)
        return y + jnp.broadcast_to(self.bias, y.shape)


class AttentionLayer(eqx.Module):
    """x + attention(norm x), then x + feed-forward(norm x).

    The attention model of Kool et al. (arXiv 1803.08475, section 3.1) normalises over the batch and after each part;
    here layers normalise each row before, so that what an instance comes to does not hang on the others.
    """

    queries: Linear
    keys: Linear
    values: Linear
    outputs: Linear
    into: Linear
    out: Linear
    norms: tuple[LayerNorm, LayerNorm]
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 6)
        self.queries, self.keys, self.values, self.outputs = (Linear(width, width, key=k) for k in keys[:4])
        self.into, self.out = Linear(width, 2 * width, key=keys[4]), Linear(2 * width, width, key=keys[5])
        self.norms = (LayerNorm(width), LayerNorm(width))
        self.heads = heads

    def __call__(
        self, x: Float[Array, "*batch nodes width"], present: Bool[Array, "*batch nodes"]
    ) -> Float[Array, "*batch nodes width"]:
        normed = _rows(self.norms[0], x)
        parts = (layer(normed) for layer in (self.queries, self.keys, self.values))
        q, k, v = (part.reshape(*part.shape[:-1], self.heads, -1) for part in parts)
        mixed = attend(q, k, v, present[..., None, :])
        x = x + self.outputs(mixed.reshape(x.shape))
        return x + self.out(jax.nn.relu(self.into(_rows(self.norms[1], x))))


class AttentionEncoder(eqx.Module):
    """Layers of attention over the nodes that are present; what is not takes no part, and its rows mean nothing.

    Raises ValueError for a width that its heads do not divide.
    """

    layers: tuple[AttentionLayer, ...]
    norm: LayerNorm

    def __init__(self, width: int, depth: int, heads: int, *, key: PRNGKeyArray) -> None:
        if width % heads:
            raise ValueError(f"a width of {width} does not divide into {heads} heads; choose a multiple of {heads}")
        self.layers = tuple(AttentionLayer(width, heads, key=k) for k in jax.random.split(key, depth))
        self.norm = LayerNorm(width)

    def __call__(
        self, x: Float[Array, "*batch nodes width"], present: Bool[Array, "*batch nodes"]
    ) -> Float[Array, "*batch nodes width"]:
        for layer in self.layers:
            x = layer(x, present)
        return _rows(self.norm, x)


def attend(
    q: Float[Array, "*batch queries heads size"],
    k: Float[Array, "*batch nodes heads size"],
    v: Float[Array, "*batch nodes heads size"],
    mask: Bool[Array, "*batch queries_or_1 nodes"],
) -> Float[Array, "*batch queries heads size"]:
    """softmax(q k / sqrt(size)) v for each head, over the nodes that the mask allows."""
    logits = jnp.einsum("...qhs,...nhs->...hqn", q, k) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(mask[..., None, :, :], logits, _FAR), axis=-1)
    return jnp.einsum("...hqn,...nhs->...qhs", weights, v)


class Pairs(NamedTuple):
    """What a pointer has to know of each pair of a node where a query starts and a node that it may choose.

    - `glimpse`, `slope`: the glimpse's logits, and how they change with the number that a query brings.
    - `logits`: what a glimpse at the first node adds to the logit of the second.
    """

    glimpse: Float[Array, "*batch starts nodes"]
    slope: Float[Array, "*batch nodes"]
    logits: Float[Array, "*batch nodes nodes"]


class Pointer(eqx.Module):
    """Logits over nodes for queries: a glimpse at the nodes, then 10 tanh(q k / sqrt(width)).

    Kool et al., arXiv 1803.08475, equations 5 to 8; the glimpse has one head there for every 16 columns, and one here.
    With one head all but the softmaxes is linear, and so is a query in where it starts: products over the width are
    made once for each pair of nodes, not for each step of each sample.
    """

    glimpse_keys: Linear
    glimpse_values: Linear
    glimpse_output: Linear
    keys: Linear

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        parts = [Linear(width, width, key=k) for k in jax.random.split(key, 4)]
        self.glimpse_keys, self.glimpse_values, self.glimpse_output, self.keys = parts

    def __call__(
        self,
        nodes: Float[Array, "*batch nodes width"],
        starts: Float[Array, "*batch starts width"],
        slope: Float[Array, " width"],
    ) -> Pairs:
        """For queries that are a row of `starts` and a number times `slope`."""
        scale = math.sqrt(nodes.shape[-1])
        keys = self.glimpse_keys(nodes) / scale
        seen = self.glimpse_output(self.glimpse_values(nodes))  # a glimpse is a mean, which keeps the bias
        return Pairs(
            jnp.einsum("...sw,...nw->...sn", starts, keys),
            jnp.einsum("w,...nw->...n", slope, keys),
            jnp.einsum("...mw,...nw->...mn", seen, self.keys(nodes) / scale),
        )


def point(
    pairs: Pairs,
    start: Int[Array, "*batch queries"],
    number: Float[Array, "*batch queries"],
    mask: Bool[Array, "*batch queries nodes"],
) -> Float[Array, "*batch queries nodes"]:
    """Log-probabilities over the nodes of queries from `start` on; those that the mask forbids are at -1e9."""
    glimpse = rows(pairs.glimpse, start) + number[..., None] * pairs.slope[..., None, :]
    weights = jax.nn.softmax(jnp.where(mask, glimpse, _FAR), axis=-1)
    logits = 10 * jnp.tanh(jnp.einsum("...qm,...mn->...qn", weights, pairs.logits))
    return jax.nn.log_softmax(jnp.where(mask, logits, _FAR), axis=-1)


def rows(
    table: Float[Array, "*batch rows columns"], chosen: Int[Array, "*batch queries"]
) -> Float[Array, "*batch queries columns"]:
    """The rows of a table that are chosen."""
    return jnp.take_along_axis(table, chosen[..., None], axis=-2)


def _rows(norm: LayerNorm, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
    return norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)
