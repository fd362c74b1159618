"""CARE: attention over encoders by the task's context (Sodhani et al. 2021, arXiv 2102.06177)."""

from typing import ClassVar

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.mlp import MLP, check_depth, dense_layers, relu_between
from polytask.networks.parallel import ParallelDense, mixed, parallel_layers, softmax_rows
from polytask.networks.trunk import Trunk, task_or_one


class CARE(Trunk):
    """`encoders` networks see the observation; the task attends to them, and a ReLU network sees what it attends to.

    - context c(z): a network of `encoder_depth` layers of `encoder_width` units of the task's features;
    - attention a = softmax(g(c)), g a network of the same size; the context has no gradient through it;
    - MLP((sum_k a_k E_k(s), c)) of `depth` layers, `width` units each.

    Two layers of 50 units are those of the authors' code (facebookresearch/mtrl, e6c0e4a), six encoders what a later
    implementation has for ten tasks (rainx0r/metaworld-algorithms, 37ccb24). The paper's features are embeddings of the
    tasks' descriptions by a language model; here they are the agent's, learned or one-hot. Actor and critics have
    encoders of their own, where the authors' code ties them. Raises ValueError for no layer or encoder.
    """

    by_task: ClassVar[bool] = True

    context: tuple[Dense, ...]
    attention: tuple[Dense, ...]
    encoders: tuple[ParallelDense, ...]
    mlp: MLP

    def __init__(
        self,
        inputs: int,
        task_features: int,
        width: int,
        depth: int,
        *,
        key: PRNGKeyArray,
        encoders: int = 6,
        encoder_width: int = 50,
        encoder_depth: int = 2,
    ) -> None:
        check_depth("care", depth)
        if min(encoders, encoder_width, encoder_depth) < 1:
            raise ValueError("care has at least one encoder, of at least one layer and unit")
        keys, inner = jax.random.split(key, 4), [encoder_width] * encoder_depth
        self.context = dense_layers((max(task_features, 1), *inner), key=keys[0])
        self.attention = dense_layers((encoder_width, *inner[1:], encoders), key=keys[1])
        self.encoders = parallel_layers(encoders, (inputs, *inner), key=keys[2])
        self.mlp = MLP(encoder_width, encoder_width, width, depth, key=keys[3])

    @property
    def width(self) -> int:
        return self.mlp.width

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        context = relu_between(self.context, task_or_one(inputs, task_features))
        encoded = relu_between(self.encoders, inputs)
        return self.mlp(mixed(self._attention(context), encoded)[0], context)

    def routes(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        return (self._attention(relu_between(self.context, task_or_one(inputs, task_features))),)

    def _attention(self, context: Float[Array, "batch context"]) -> Float[Array, "batch 1 encoders"]:
        return softmax_rows(relu_between(self.attention, jax.lax.stop_gradient(context)))[:, None]
