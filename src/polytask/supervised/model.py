"""One trunk, many heads: the network, its losses by task, and what is measured of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from polytask.networks import EncoderDecoder
from polytask.supervised.config import TrunkConfig
from polytask.supervised.dense import counts, judged, pixel_losses
from polytask.supervised.examples import Examples, Stored
from polytask.supervised.spec import DENSE, HeadGroup, HeadSpec, dense, groups

EVALUATION_ROWS = 2048  # evaluated at a time, so that the memory does not grow with the data
EVALUATION_IMAGES = 16
_ACTIVATIONS: dict[str, tuple[float, Callable[[Array], Array]]] = {"relu": (2.0, jax.nn.relu), "tanh": (1.0, jnp.tanh)}


class Linear(eqx.Module):
    """x W + b, with W drawn normal of variance `gain` / inputs and b zero."""

    kernel: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, gain: float, *, key: PRNGKeyArray) -> None:
        # Not orthogonal: its decomposition cannot be vmapped safely over seeds (see CriticEnsemble).
        self.kernel = jax.random.normal(key, (inputs, outputs)) * jnp.sqrt(jnp.float32(gain / inputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        return x @ self.kernel + self.bias[None]


class Trunk(eqx.Module):
    """Linear, activation, dropout, `depth` times; inputs of any shape are flattened."""

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(self, inputs: int, config: TrunkConfig, *, key: PRNGKeyArray) -> None:
        sizes = (inputs, *[config.width] * config.depth)
        keys = jax.random.split(key, config.depth)
        gain, _ = _ACTIVATIONS[config.activation]
        self.layers = tuple(Linear(m, n, gain, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.activation, self.dropout = config.activation, config.dropout

    def __call__(self, x: Float[Array, "batch ..."], *, key: PRNGKeyArray | None = None) -> Float[Array, "batch width"]:
        _, activation = _ACTIVATIONS[self.activation]
        hidden = x.reshape(x.shape[0], -1)
        for i, layer in enumerate(self.layers):
            hidden = activation(layer(hidden))
            if key is not None and self.dropout > 0:
                kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - self.dropout, hidden.shape)
                hidden = jnp.where(kept, hidden / (1 - self.dropout), 0.0)
        return hidden


class Model(eqx.Module):
    """`trunk` is shared; `heads` is one linear layer whose columns are the tasks', as `spec.groups` orders them.

    Where the trunk gives features of pixels (batch, height, width, features), so are the outputs.
    """

    trunk: Any
    heads: Linear

    def __call__(
        self, inputs: Float[Array, "batch ..."], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch *pixels outputs"]:
        features = self.trunk(inputs, key=key)
        if features.ndim == 2:
            return self.heads(features)
        return self.heads(features.reshape(-1, features.shape[-1])).reshape(*features.shape[:-1], -1)


def make_model(
    tasks: Sequence[HeadSpec],
    shape: tuple[int, ...],
    config: TrunkConfig,
    key: PRNGKeyArray,
    make_trunk: Callable[..., Any] | None = None,
) -> Model:
    """Fresh parameters for rows of inputs of `shape`; the trunk is `make_trunk(key)` where it is given.

    Where the tasks are those of pixels the configured trunk is an encoder-decoder of that width and depth.
    Raises ValueError if the trunk does not give features (rows, width), or (rows, height, width, features) of pixels,
    and for settings that an encoder-decoder does not have.
    """
    key_trunk, key_heads = jax.random.split(key)
    pixels = dense(tasks)
    if make_trunk is not None:
        trunk = make_trunk(key_trunk)
    elif pixels:
        if config.activation != "relu" or config.dropout:
            raise ValueError("tasks of pixels take relu and no dropout: leave --trunk.activation and .dropout")
        trunk = EncoderDecoder(shape, config.width, config.depth, key=key_trunk)
    else:
        trunk = Trunk(math.prod(shape), config, key=key_trunk)
    features = eqx.filter_eval_shape(lambda t, x: t(x, key=None), trunk, jnp.zeros((2, *shape)))
    wanted = (2, *shape[:2]) if pixels else (2,)
    if features.shape[:-1] != wanted:
        named = ", ".join([*map(str, wanted), "width"])
        raise ValueError(f"make_trunk: two rows of inputs give features of shape {features.shape}, not ({named})")
    return Model(trunk, Linear(features.shape[-1], groups(tasks)[-1].stop, 1.0, key=key_heads))


def task_losses(
    tasks: Sequence[HeadSpec], outputs: Float[Array, "batch *pixels outputs"], examples: Examples
) -> Float[Array, " tasks"]:
    """Each task's mean loss, as `HeadSpec` says, over the rows that have its label; 0 if none has."""
    return over_present(tasks, outputs, examples, group_losses)


def over_present(
    tasks: Sequence[HeadSpec],
    outputs: Float[Array, "batch *pixels outputs"],
    examples: Examples,
    rows: Callable[[HeadGroup, Array, Array], Array],
) -> Float[Array, " tasks"]:
    """Each task's mean of `rows(group, outputs, targets)`, (rows, tasks), over the rows that have its label, or 0."""
    found = [
        _mean_over_present(rows(group, given, target), there)
        for group, given, target, there in _by_group(tasks, outputs, examples)
    ]
    return _in_task_order(tasks, found)


def row_losses(
    tasks: Sequence[HeadSpec], outputs: Float[Array, "batch *pixels outputs"], examples: Examples
) -> Float[Array, "batch tasks"]:
    """The loss of every row in every task, as `HeadSpec` says; of no meaning where a label is missing."""
    found = [group_losses(group, given, target).T for group, given, target, _ in _by_group(tasks, outputs, examples)]
    return _in_task_order(tasks, found).T


def group_losses(group: HeadGroup, given: Array, target: Array) -> Float[Array, "rows tasks"]:
    """The loss of every row in every task of a group, as `HeadSpec` says."""
    if group.kind in DENSE:
        return pixel_losses(group, given, target)
    if group.kind == "classes":
        return optax.softmax_cross_entropy_with_integer_labels(given, target)
    if group.kind == "binary":
        return optax.sigmoid_binary_cross_entropy(given, target).mean(-1)
    return jnp.square(given - target).mean(-1)


class Figures(NamedTuple):
    """What one set of rows says of each task: mean loss, score (`HeadSpec`), and how many rows have its label.

    Loss is 0 and score NaN where no row has a label; the score of a regression whose labels are all alike is NaN.
    """

    loss: Float[Array, " tasks"]
    score: Float[Array, " tasks"]
    rows: Float[Array, " tasks"]


def outputs_of(model: Callable[[Array], Array], inputs: Float[Array, "rows ..."]) -> Float[Array, "rows outputs"]:
    """A model's outputs for any number of rows; nothing is drawn."""
    if inputs.shape[0] <= EVALUATION_ROWS:
        return model(inputs)
    return jax.lax.map(lambda row: model(row[None])[0], inputs, batch_size=EVALUATION_ROWS)


def evaluate(
    tasks: Sequence[HeadSpec],
    model: Callable[[Array], Array],
    examples: Examples | Stored,
    losses: Callable[[HeadGroup, Array, Array], Array] = group_losses,
) -> Figures:
    """Losses and scores over all rows of a `Model`, or of any function from inputs to its outputs; nothing is drawn.

    `losses` gives the loss of every row, as `group_losses` does; stored images have that of `HeadSpec`.
    """
    if isinstance(examples, Stored):
        return _evaluate_images(tasks, model, examples)
    outputs = outputs_of(model, examples.inputs)
    rows = examples.present.sum(0).astype(jnp.float32)
    found = [
        (_r_squared if group.kind == "regression" else _accuracy)(given, target, there)
        for group, given, target, there in _by_group(tasks, outputs, examples)
    ]
    score = jnp.where(rows > 0, _in_task_order(tasks, found), jnp.nan)
    return Figures(over_present(tasks, outputs, examples, losses), score, rows)


def row_counts(
    tasks: Sequence[HeadSpec], outputs: Float[Array, "rows height width outputs"], examples: Examples
) -> list[Float[Array, "rows tasks counts"]]:
    """Of each group what every image adds to its scores (`dense.counts`); 0 where a label is missing."""
    return [
        jnp.where(there[..., None], counts(group, given, target), 0.0)
        for group, given, target, there in _by_group(tasks, outputs, examples)
    ]


def _evaluate_images(tasks: Sequence[HeadSpec], model: Callable[[Array], Array], stored: Stored) -> Figures:
    """A few images at a time, of which only what adds up is kept."""
    number = stored.index.shape[0]
    size = min(EVALUATION_IMAGES, number)

    def added(start: Array) -> tuple[Array, list[Array]]:
        at = start + jnp.arange(size)
        examples = stored.take(jnp.minimum(at, number - 1))
        examples = Examples(examples.inputs, examples.targets, examples.present & (at < number)[:, None])
        outputs = model(examples.inputs)
        loss = jnp.where(examples.present, row_losses(tasks, outputs, examples), 0.0)
        return jax.tree.map(lambda x: x.sum(0), (loss, row_counts(tasks, outputs, examples)))

    loss, sums = jax.tree.map(lambda x: x.sum(0), jax.lax.map(added, jnp.arange(0, number, size)))
    rows = stored.present.sum(0).astype(jnp.float32)
    score = [judged(group.kind, own).score for group, own in zip(groups(tasks), sums, strict=True)]
    return Figures(loss / jnp.maximum(rows, 1), _in_task_order(tasks, score), rows)


def _by_group(
    tasks: Sequence[HeadSpec], outputs: Float[Array, "rows *pixels outputs"], examples: Examples
) -> Iterator[tuple[HeadGroup, Array, Array, Array]]:
    """Each group with its outputs (rows, *pixels, tasks, outputs), targets and mask (rows, tasks)."""
    for group, target in zip(groups(tasks), examples.targets, strict=True):
        given = outputs[..., group.start : group.stop].reshape(*outputs.shape[:-1], len(group.tasks), group.outputs)
        yield group, given, target, examples.present[:, np.array(group.tasks)]


def _in_task_order(
    tasks: Sequence[HeadSpec], by_group: Sequence[Float[Array, "members ..."]]
) -> Float[Array, "tasks ..."]:
    order = np.concatenate([group.tasks for group in groups(tasks)])
    return jnp.concatenate(list(by_group))[np.argsort(order)]


def _mean_over_present(values: Float[Array, "rows tasks"], there: Bool[Array, "rows tasks"]) -> Float[Array, " tasks"]:
    return jnp.where(there, values, 0.0).sum(0) / jnp.maximum(there.sum(0), 1).astype(jnp.float32)


def _accuracy(
    outputs: Float[Array, "rows tasks outputs"], target: Array, there: Bool[Array, "rows tasks"]
) -> Float[Array, " tasks"]:
    if target.ndim == 2:
        right = (outputs.argmax(-1) == target).astype(jnp.float32)
    else:
        right = ((outputs > 0) == (target > 0.5)).astype(jnp.float32).mean(-1)
    return _mean_over_present(right, there)


def _r_squared(
    outputs: Float[Array, "rows tasks outputs"],
    target: Float[Array, "rows tasks outputs"],
    there: Bool[Array, "rows tasks"],
) -> Float[Array, " tasks"]:
    mask = there[:, :, None]
    count = jnp.maximum(there.sum(0), 1).astype(jnp.float32)
    mean = jnp.where(mask, target, 0.0).sum(0) / count[:, None]
    spread = jnp.where(mask, jnp.square(target - mean[None]), 0.0).sum((0, 2))
    error = jnp.where(mask, jnp.square(outputs - target), 0.0).sum((0, 2))
    return jnp.where(spread > 0, 1 - error / jnp.where(spread > 0, spread, 1.0), jnp.nan)
