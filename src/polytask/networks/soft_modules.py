"""Soft modularization (Yang et al. 2020, arXiv 2003.13661): each task mixes the modules of a layer in its own way."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polytask.networks.layers import Dense
from polytask.networks.mlp import check_depth, dense_layers, relu_between
from polytask.networks.parallel import ParallelDense, mixed, parallel_layers, softmax_rows
from polytask.networks.trunk import Trunk, task_or_one


class SoftModules(Trunk):
    """`depth` layers of `modules` modules, `width` units each, between which routes are chosen by task and observation.

    With f(s) a network of `base_depth` layers of `base_width` units and h(z) one layer of the task's features:

    - e = f(s) * h(z), and `routing_layers` layers of `routing_width` units, each after a ReLU, make of it what routes;
    - p_1 = W_d ReLU(e), p_l = W_d ReLU((W_u p_(l-1)) * e), and routes are softmax over the sources of p_l;
    - module i of layer l + 1 sees g_i = ReLU(sum_j route_ij W_j g_j), and the first layer sees ReLU(f(s)).

    The defaults are those of the authors' code (RchalYang/Soft-Module, e6d7c8a) in the size for ten tasks, where it
    differs from the paper; the paper is `routing_layers=0`, `base_relu=False`, `router_input="previous"`,
    `relu="before"` and `final="sum"`:

    - `routing_layers`: the paper routes by e itself.
    - `base_relu`: whether f(s) goes through a ReLU before the modules.
    - `router_input`: "all" routers see the routes of all earlier layers, "previous" the p of the last one.
    - `relu`: "after" mixing the modules' outputs, or "before" it.
    - `final`: "weighted" mixes the last layer's modules by one more route, and heads see that; "sum" adds up what the
      last layer's modules make: they are then the columns of the heads, which see all of g, modules * width units.

    Kernels are orthogonal and biases zero, where the code draws from a uniform distribution. Raises ValueError for no
    layer or module, and where nothing would be routed.
    """

    by_task: ClassVar[bool] = True

    base: tuple[Dense, ...]
    task: Dense
    routing: tuple[Dense, ...]
    router_in: tuple[Dense, ...]
    router_out: tuple[Dense, ...]
    modules: tuple[ParallelDense, ...]
    base_relu: bool = eqx.field(static=True)
    router_input: Literal["all", "previous"] = eqx.field(static=True)
    relu: Literal["after", "before"] = eqx.field(static=True)
    final: Literal["weighted", "sum"] = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        task_features: int,
        width: int,
        depth: int,
        *,
        key: PRNGKeyArray,
        modules: int = 2,
        base_width: int = 400,
        base_depth: int = 2,
        routing_layers: int = 2,
        routing_width: int = 256,
        base_relu: bool = True,
        router_input: Literal["all", "previous"] = "all",
        relu: Literal["after", "before"] = "after",
        final: Literal["weighted", "sum"] = "weighted",
    ) -> None:
        check_depth("soft-modules", depth)
        if min(modules, base_width, base_depth, routing_width) < 1 or routing_layers < 0:
            raise ValueError("soft-modules has at least one of everything that it counts; only routing_layers may be 0")
        if final == "sum" and depth == 1:
            raise ValueError("soft-modules with final=sum routes nothing at depth 1: choose depth 2, or final=weighted")
        keys = jax.random.split(key, 6)
        self.base = dense_layers((inputs, *[base_width] * base_depth), key=keys[0])
        self.task = Dense(max(task_features, 1), base_width, key=keys[1])
        self.routing = dense_layers((base_width, *[routing_width] * routing_layers), key=keys[2])
        routed = routing_width if routing_layers else base_width
        layers = depth - 1 if final == "sum" else depth
        chosen = [modules * modules] * layers
        seen = [modules * modules * (i if router_input == "all" else 1) for i in range(1, layers)]
        if final == "weighted":
            chosen[-1] = modules
        self.router_in = _each(seen, [routed] * len(seen), key=keys[3])
        self.router_out = _each([routed] * layers, chosen, key=keys[4])
        self.modules = parallel_layers(modules, (base_width, *[width] * layers), key=keys[5])
        self.base_relu, self.router_input, self.relu, self.final = base_relu, router_input, relu, final

    @property
    def width(self) -> int:
        modules, _, width = self.modules[-1].kernel.shape
        return width if self.final == "weighted" else modules * width

    def __call__(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> Float[Array, "batch width"]:
        observed = relu_between(self.base, inputs)
        routes = self._routes(observed, task_or_one(inputs, task_features))
        hidden = jax.nn.relu(observed) if self.base_relu else observed
        for layer, route in zip(self.modules, routes, strict=True):
            outputs = layer(hidden)
            hidden = mixed(route, jax.nn.relu(outputs)) if self.relu == "before" else jax.nn.relu(mixed(route, outputs))
        return jnp.concatenate(list(hidden), axis=-1)

    def routes(
        self, inputs: Float[Array, "batch inputs"], task_features: Float[Array, "batch task_features"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        return self._routes(relu_between(self.base, inputs), task_or_one(inputs, task_features))

    def _routes(
        self, observed: Float[Array, "batch base"], task: Float[Array, "batch task"]
    ) -> tuple[Float[Array, "batch _ _"], ...]:
        modules, batch = self.modules[0].kernel.shape[0], observed.shape[0]
        both = observed * self.task(task)
        for layer in self.routing:
            both = layer(jax.nn.relu(both))
        routes, earlier = [], []
        for i, router in enumerate(self.router_out):
            seen = both
            if i:
                above = jnp.concatenate(earlier, axis=-1) if self.router_input == "all" else earlier[-1]
                seen = self.router_in[i - 1](above) * both
            logits = router(jax.nn.relu(seen))
            routes.append(softmax_rows(logits.reshape(batch, -1, modules)))
            earlier.append(routes[-1].reshape(batch, -1) if self.router_input == "all" else logits)
        return tuple(routes)


def _each(inputs: Sequence[int], outputs: Sequence[int], *, key: PRNGKeyArray) -> tuple[Dense, ...]:
    keys = jax.random.split(key, max(len(inputs), 1))
    return tuple(Dense(m, n, key=own) for m, n, own in zip(inputs, outputs, keys, strict=False))
