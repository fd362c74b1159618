"""Standardised units: what a run trains in, and the way back to the units of its data."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from polytask.supervised.examples import Examples, Stored
from polytask.supervised.problem import Problem
from polytask.supervised.spec import HeadSpec, groups

APART = 100.0  # labels whose deviations differ by this factor are warned of
SHOWN = 8  # columns that a warning names
_ROUNDING = float(np.finfo(np.float32).eps)
_SMALLEST = float(np.finfo(np.float32).tiny)


class Scales(eqx.Module):
    """Means and scales between the units of the data and standardised ones, in which a model's parameters live.

    - Inputs: flat rows have a mean and a deviation for each column. Rows of more dimensions (images, series) have one
      mean and one deviation for all their numbers, so that a pixel means the same wherever it stands; give features of
      different units as flat rows.
    - Labels: a mean for each output of a regression, and one scale for each task, the root of the mean variance of its
      outputs, which share a unit as they share a loss and an R². So a standardised loss is that in units of the data
      divided by the square of the scale, and R² is the same in both. Other kinds of labels have mean 0 and scale 1.

    `outputs` counts the model's outputs, in the order of `spec.groups`. What is constant has scale 1.
    """

    input_mean: Float[Array, "*features"]
    input_scale: Float[Array, "*features"]
    output_mean: Float[Array, " outputs"]
    output_scale: Float[Array, " outputs"]

    def inputs(self, inputs: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
        """Inputs in units of the data, standardised."""
        if self.input_mean.ndim:
            return (inputs - self.input_mean[None]) / self.input_scale[None]
        return (inputs - self.input_mean) / self.input_scale

    def outputs(self, outputs: Float[Array, "rows outputs"]) -> Float[Array, "rows outputs"]:
        """A model's outputs in units of the data."""
        return outputs * self.output_scale[None] + self.output_mean[None]


def fit_scales(problem: Problem) -> Scales:
    """The scales of the training rows: of the inputs of those with any label, and of each task's labels that are there.

    Computed in float64, then rounded to float32. A spread of no more than the rounding of float32 counts as constant.
    """
    inputs, _ = _labelled_inputs(problem)
    columns = inputs if inputs.ndim == 2 else inputs.reshape(-1, 1)
    input_mean, deviation = _moments(columns)
    if inputs.ndim > 2:
        input_mean, deviation = input_mean[0], deviation[0]
    width = groups(problem.tasks)[-1].stop
    output_mean, output_scale = np.zeros(width), np.ones(width)
    for labels in _labels(problem):
        output_mean[labels.outputs], output_scale[labels.outputs] = labels.mean, _or_one(labels.deviation)
    return Scales(*(jnp.asarray(x, jnp.float32) for x in (input_mean, _or_one(deviation), output_mean, output_scale)))


def like(tasks: Sequence[HeadSpec], shape: tuple[int, ...]) -> Scales:
    """Scales that change nothing, of the shapes that those of such tasks and rows of inputs have."""
    features = shape if len(shape) == 1 else ()
    width = groups(tasks)[-1].stop
    return Scales(jnp.zeros(features), jnp.ones(features), jnp.zeros(width), jnp.ones(width))


def standardised(problem: Problem, scales: Scales) -> Problem:
    """The problem with inputs and regression labels in standardised units: what a run trains on."""
    parts = (problem.train, problem.validation, problem.test)
    train, validation, test = (_standardised(problem, _in_memory(part), scales) for part in parts)
    return Problem(train, validation, test, problem.name, problem.tasks, problem.make_trunk)


def loss_units(tasks: Sequence[HeadSpec], scales: Scales) -> Float[np.ndarray, " tasks"]:
    """What a standardised loss of each task is multiplied by to stand in units of the data; 1 but for regressions."""
    scale, units = np.asarray(scales.output_scale, np.float64), np.ones(len(tasks))
    for group in groups(tasks):
        for i, task in enumerate(group.tasks):
            units[task] = scale[group.start + i * group.outputs] ** 2 if group.kind == "regression" else 1.0
    return units


def scale_warnings(problem: Problem, standardise: bool) -> list[str]:
    """What of the training rows' scales a person should know: input columns that are constant (of flat rows), and,
    where nothing is standardised, regression labels whose deviations lie apart by a factor of 100 or more."""
    if isinstance(problem.train, Stored):  # images; their labels have units of their own
        return []
    inputs, count = _labelled_inputs(problem)
    texts = []
    if inputs.ndim == 2 and count > 1:
        constant = np.flatnonzero(_moments(inputs)[1] == 0)
        if len(constant):
            more = ", ..." if len(constant) > SHOWN else ""
            texts.append(
                f"{len(constant)} of {inputs.shape[1]} input columns are constant in the training rows, so nothing is "
                f"learned from them: {', '.join(map(str, constant[:SHOWN]))}{more} (counted from 0)"
            )
    spreads = {labels.name: labels.deviation for labels in _labels(problem) if labels.deviation > 0}
    if not standardise and spreads:
        small, large = min(spreads, key=lambda name: spreads[name]), max(spreads, key=lambda name: spreads[name])
        if spreads[large] >= APART * spreads[small]:
            texts.append(
                f"labels of {small} have deviation {spreads[small]:.3g}, those of {large} {spreads[large]:.3g}: the "
                f"loss of {large} drowns that of {small}. Train with --standardise, or bring the labels to one scale"
            )
    return texts


def _in_memory(examples: Examples | Stored) -> Examples:
    if isinstance(examples, Stored):
        raise ValueError("stored images have no scales; train on them as they are, with --no-standardise")
    return examples


def _labelled_inputs(problem: Problem) -> tuple[Float[np.ndarray, "rows ..."], int]:
    """The inputs of the training rows that have any label, and how many there are."""
    train = _in_memory(problem.train)
    labelled = np.asarray(train.present).any(1)
    return np.asarray(train.inputs)[labelled], int(labelled.sum())


class _Labels(NamedTuple):
    """The training labels of a regression: its outputs among the model's, their means, and the task's deviation."""

    name: str
    outputs: slice
    mean: Float[np.ndarray, " outputs"]
    deviation: float


def _labels(problem: Problem) -> Iterator[_Labels]:
    train = _in_memory(problem.train)
    for group, targets in zip(groups(problem.tasks), train.targets, strict=True):
        if group.kind != "regression":
            continue
        for i, task in enumerate(group.tasks):
            there = np.asarray(train.present[:, task])
            mean, deviation = _moments(np.asarray(targets[:, i])[there])
            start = group.start + i * group.outputs
            pooled = math.sqrt(np.square(deviation).mean())
            yield _Labels(problem.tasks[task].name, slice(start, start + group.outputs), mean, pooled)


def _moments(
    values: Float[np.ndarray, "rows columns"],
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Mean and deviation of every column in float64; deviation 0 where it is constant, mean 0 where there is no row."""
    if not len(values):
        return np.zeros(values.shape[1]), np.zeros(values.shape[1])
    values = values.astype(np.float64)
    mean, deviation = values.mean(0), values.std(0)
    return mean, np.where(deviation > np.maximum(_ROUNDING * np.abs(mean), _SMALLEST), deviation, 0.0)


def _or_one(deviation: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    return np.where(np.asarray(deviation) > 0, deviation, 1.0)


def _standardised(problem: Problem, examples: Examples, scales: Scales) -> Examples:
    targets = []
    for group, target in zip(groups(problem.tasks), examples.targets, strict=True):
        if group.kind == "regression":
            shape = (1, len(group.tasks), group.outputs)
            mean, scale = (
                x[group.start : group.stop].reshape(shape) for x in (scales.output_mean, scales.output_scale)
            )
            there: Bool[Array, "rows tasks"] = examples.present[:, np.array(group.tasks)]
            target = jnp.where(there[:, :, None], (target - mean) / scale, 0.0)
        targets.append(target)
    return Examples(scales.inputs(examples.inputs), tuple(targets), examples.present)
