"""MOORE's mixture of orthogonal experts (Hendawy et al. 2024, arXiv 2311.11385)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.losses.precision import at_least_float32
from polytask.networks.layers import Dense
from polytask.networks.mlp import check_depth, relu_between
from polytask.networks.parallel import ParallelDense, mixed, parallel_layers
from polytask.networks.trunk import Trunk, task_or_one

DEPENDENT = 1e-10  # of an expert's squared length; what is left with less is rounding


class MixtureOfExperts(Trunk):
    """`experts` networks of `depth` layers see the observation; the task weighs their orthonormal outputs.

    tanh(sum_k w_k(z) v_k), where v_1, ..., v_K are the experts' linear outputs u_k made orthonormal row by row
    (Gram-Schmidt, `orthonormal`), and w(z) is linear without a bias: the task's own weights where z is one-hot.
    `orthogonal=False` is the plain mixture of experts, of the u_k themselves. The defaults are those of the authors'
    code for ten tasks, which has three layers of 400 units and a head for each task (AhmedMagdyHendawy/MOORE, 35fd925).

    Kernels are orthogonal, where the code has Xavier's. An expert whose output lies within those before it is zero in
    that row; the code divides by zero. Raises ValueError for no layer or expert.
    """

    by_task: ClassVar[bool] = True

    layers: tuple[ParallelDense, ...]
    gate: Float[Array, "task experts"]
    orthogonal: bool = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        task_features: int,
        width: int,
        depth: int,
        *,
        key: PRNGKeyArray,
        experts: int = 4,
        orthogonal: bool = True,
    ) -> None:
        check_depth("mixture-of-experts", depth)
        if experts < 1 or (orthogonal and experts > width):
            raise ValueError(
                f"mixture-of-experts has from one expert to as many as units, {width}, since no more can be "
                f"orthogonal; not {experts}"
            )
        key_layers, key_gate = jax.random.split(key)
        self.layers = parallel_layers(experts, (inputs, *[width] * depth), key=key_layers)
        self.gate = Dense(max(task_features, 1), experts, key=key_gate, scale=1.0).kernel
        self.orthogonal = orthogonal

    @property
    def width(self) -> int:
        return self.layers[-1].kernel.shape[-1]

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        (weights,) = self.routes(inputs, task_features)
        outputs = relu_between(self.layers, inputs)
        if self.orthogonal:
            outputs = orthonormal(outputs)
        return jnp.tanh(mixed(weights, outputs))[0]

    def routes(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        return ((task_or_one(inputs, task_features) @ self.gate)[:, None],)


def orthonormal(outputs: Float[Array, "count batch width"]) -> Float[Array, "count batch width"]:
    """Each row's vectors made orthonormal, one after another (Gram-Schmidt), in float32 at least.

    w_k = u_k - sum_(j<k) <u_k, v_j> v_j, v_k = w_k / |w_k|; v_k is zero where w_k is, up to rounding.
    """
    basis: list[Array] = []
    for vector in at_least_float32(outputs):
        left = vector
        for other in basis:
            left = left - (left * other).sum(axis=-1, keepdims=True) * other
        squared, whole = (jnp.square(x).sum(axis=-1, keepdims=True) for x in (left, vector))
        new = squared > DEPENDENT * whole
        basis.append(jnp.where(new, left * jax.lax.rsqrt(jnp.where(new, squared, 1.0)), 0.0))
    return jnp.stack(basis).astype(outputs.dtype)
