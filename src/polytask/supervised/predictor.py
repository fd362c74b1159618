"""A trained model to predict with: what `polytask.supervised.load` gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polytask import random
from polytask.runs import checkpoint
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.folder import RunFolder
from polytask.supervised.incremental import read
from polytask.supervised.model import Model, make_model
from polytask.supervised.problem import Problem
from polytask.supervised.scaling import Scales, like
from polytask.supervised.spec import HeadSpec, groups
from polytask.supervised.tables import table as tables
from polytask.training import kinds


def load(run: Path | str, problem: Problem | None = None) -> "Predictor":
    """The parameters that were best on the validation rows, from a run's newest intact checkpoint.

    `problem` is needed only where it brings a trunk of its own.
    Raises RunFolderError or CheckpointError if the folder holds no run, no checkpoint, or a damaged one.
    """
    path = Path(run)
    if not path.name.startswith(checkpoint.PREFIX):
        RunFolder(path).read_config()  # says more clearly than a missing checkpoint that this is not a run
    found = checkpoint.find(path)
    content = RunFolder(found.run).read_config()
    config = kinds.config_of(content)
    if config.incremental:
        return _grown(found)
    tasks = tuple(HeadSpec(**spec) for spec in content["specs"])
    shape = tuple(content["data"]["input_shape"])
    make_trunk = problem.make_trunk if problem else None

    def fresh() -> Model:
        return make_model(tasks, shape, config.trunk, random.key(0, "structure"), make_trunk)

    params, static = eqx.partition(fresh(), eqx.is_inexact_array)
    scales = {"scales": like(tasks, shape)} if config.standardise else {}
    saved, _ = checkpoint.restore(found.path, {"learner": {"best": params}, **scales}, partial=True)
    table = tables.from_json(content["table"]) if "table" in content else None
    return Predictor(tasks, eqx.combine(saved["learner"]["best"], static), shape, saved.get("scales"), table=table)


def _grown(found: Checkpoint) -> "Predictor":
    """The newest stage of an incremental run, with those before it."""
    shape = tuple(RunFolder(found.run).read_config()["data"]["input_shape"])
    *before, own = (Predictor(stage.tasks, stage.model, shape, stage.scales) for stage in read(found).stages)
    return Predictor(own.tasks, own.model, shape, own.scales, tuple(before))


class Predictor:
    """Answers for all tasks at once, from inputs in units of the data to answers in units of the data.

    `tasks` are their facts, `shape` is that of one row of inputs; `model` works in standardised units where there are
    `scales`. `outputs(inputs)` are the numbers of all heads, regressions in units of the data, side by side as
    `polytask.supervised.spec.groups` says. `earlier` are the stages that an incremental run stands on; `predict`
    answers for their tasks too. `table` is how the columns were taken, where it was trained on those of a table.
    """

    def __init__(
        self,
        tasks: tuple[HeadSpec, ...],
        model: Callable[[Array], Array],
        shape: tuple[int, ...],
        scales: Scales | None = None,
        earlier: tuple["Predictor", ...] = (),
        table: tables.Table | None = None,
    ) -> None:
        self.tasks, self.model, self.shape, self.scales, self.earlier = tasks, model, shape, scales, earlier
        self.table = table

    def outputs(self, inputs: Float[Array, "rows ..."]) -> Float[Array, "rows *pixels outputs"]:
        """The numbers of all heads; regressions in units of the data."""
        return _outputs(self.model, self.scales, inputs)

    def predict(self, inputs: Any) -> Any:
        """By task: the numbers of a regression in units of the data, the probability of yes, or that of every class.

        `inputs` are numbers (rows, ...); a dictionary of shapes (rows,) where a task has one output, else (rows,
        outputs); of pixels (rows, height, width) and (rows, height, width, outputs): probabilities of classes and of
        masks, depths, unit normals, from images of numbers from 0 to 1. Of a run on a table they may be a DataFrame,
        and so is the answer, with the table's own values (`polytask.supervised.tables.answers`). Raises ValueError
        where inputs do not fit.
        """
        if hasattr(inputs, "columns"):
            from polytask.supervised.tables.answers import answers

            return answers(self, inputs)
        return self._predict(inputs)

    def _predict(self, inputs: Float[np.ndarray, "rows ..."]) -> dict[str, Float[np.ndarray, "rows ..."]]:
        given = np.asarray(inputs, np.float32)
        if given.shape[1:] != self.shape or given.ndim != len(self.shape) + 1:
            raise ValueError(f"inputs have shape {given.shape}, not (rows, {', '.join(map(str, self.shape))})")
        outputs = self.outputs(jnp.asarray(given))
        before = {name: answer for stage in self.earlier for name, answer in stage.predict(given).items()}
        found: dict[str, np.ndarray] = {}
        for group in groups(self.tasks):
            shape = (*outputs.shape[:-1], len(group.tasks), group.outputs)
            own = outputs[..., group.start : group.stop].reshape(shape)
            if group.kind in ("classes", "segmentation"):
                own = jax.nn.softmax(own)
            elif group.kind in ("binary", "mask"):
                own = jax.nn.sigmoid(own)
            elif group.kind == "normals":
                own = own / jnp.linalg.norm(own, axis=-1, keepdims=True)
            for i, task in enumerate(group.tasks):
                found[self.tasks[task].name] = np.asarray(own[..., i, 0] if group.outputs == 1 else own[..., i, :])
        return before | {task.name: found[task.name] for task in self.tasks}


@eqx.filter_jit
def _outputs(
    model: Callable[[Array], Array], scales: Scales | None, inputs: Float[Array, "rows ..."]
) -> Float[Array, "rows *pixels outputs"]:
    return model(inputs) if scales is None else scales.outputs(model(scales.inputs(inputs)))
