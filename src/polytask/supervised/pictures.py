"""Images with their labels and what was predicted, as colours."""

import colorsys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from polytask.supervised.examples import Examples
from polytask.supervised.problem import Problem
from polytask.supervised.spec import HeadSpec, groups

IMAGES = 3


def no_pictures(problem: Problem) -> UInt8[np.ndarray, "images tiles height width 3"]:
    """Black ones, in the shape of those that are drawn of the problem's test images."""
    rows, *shape = problem.test.inputs.shape
    return np.zeros((min(IMAGES, rows), 1 + 2 * len(problem.tasks), *shape), np.uint8)


def drawn(
    tasks: Sequence[HeadSpec], examples: Examples, outputs: Float[np.ndarray, "images height width outputs"]
) -> UInt8[np.ndarray, "images tiles height width 3"]:
    """Of each image itself, then task by task its label and the prediction; depths from black to white by the label's
    range, normals with a colour for each direction, masks by their probability."""
    found = {0: np.asarray(examples.inputs)}
    for group, target in zip(groups(tasks), examples.targets, strict=True):
        own = outputs[..., group.start : group.stop].reshape(*outputs.shape[:-1], len(group.tasks), group.outputs)
        for i, task in enumerate(group.tasks):
            label, given = np.asarray(target[:, :, :, i]), own[:, :, :, i]
            found[1 + 2 * task], found[2 + 2 * task] = _coloured(group.kind, label, given)
    tiles = np.stack([found[i] for i in range(len(found))], axis=1)
    return np.round(255 * np.clip(np.nan_to_num(tiles), 0, 1)).astype(np.uint8)


def _coloured(
    kind: str, label: Shaped[np.ndarray, "images height width *outputs"], given: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "images height width 3"], Float[np.ndarray, "images height width 3"]]:
    if kind == "segmentation":
        count = given.shape[-1]
        colours = [colorsys.hsv_to_rgb(i / count, 0.7, 0.95 if i % 2 else 0.6) for i in range(count)]
        palette = np.array([*colours, (0, 0, 0)])
        return palette[np.where((label >= 0) & (label < count), label, count)], palette[given.argmax(-1)]
    if kind == "normals":
        length = np.maximum(np.linalg.norm(given, axis=-1, keepdims=True), 1e-6)
        return (label + 1) / 2, (given / length + 1) / 2
    if kind == "mask":
        return _grey(label), _grey(1 / (1 + np.exp(-np.clip(given, -30, 30))))
    low, high = label.min(), label.max()
    span = max(high - low, 1e-6)
    return _grey((label - low) / span), _grey((given - low) / span)


def _grey(values: Float[np.ndarray, "images height width 1"]) -> Float[np.ndarray, "images height width 3"]:
    return np.repeat(values, 3, axis=-1)
