"""A trained model to predict with: what `polytask.supervised.load` gives."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from polytask import random
from polytask.runtime import checkpoint
from polytask.runtime.folder import RunFolder
from polytask.supervised.model import Model, make_model
from polytask.supervised.problem import Problem
from polytask.supervised.run import from_json
from polytask.supervised.spec import HeadSpec, groups


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
    config, tasks = from_json(content)
    shape = tuple(content["data"]["input_shape"])
    make_trunk = problem.make_trunk if problem else None

    def fresh() -> Model:
        return make_model(tasks, shape, config.trunk, random.key(0, "structure"), make_trunk)

    params, static = eqx.partition(fresh(), eqx.is_inexact_array)
    saved, _ = checkpoint.restore(found.path, {"learner": {"best": params}}, partial=True)
    return Predictor(tasks, eqx.combine(saved["learner"]["best"], static), shape)


class Predictor:
    """Answers for all tasks at once; `tasks` are their facts, `shape` that of one row of inputs.

    `outputs(inputs)` are the model's own numbers, side by side as `polytask.supervised.spec.groups` says.
    """

    def __init__(self, tasks: tuple[HeadSpec, ...], model: Model, shape: tuple[int, ...]) -> None:
        self.tasks, self.model, self.shape = tasks, model, shape
        self.outputs = eqx.filter_jit(model)

    def predict(self, inputs: Float[np.ndarray, "rows ..."]) -> dict[str, Float[np.ndarray, "rows ..."]]:
        """By task: the numbers of a regression, the probability of yes, or the probability of every class.

        Shapes are (rows,) where a task has one output, else (rows, outputs). Raises ValueError where inputs do not fit.
        """
        given = np.asarray(inputs, np.float32)
        if given.shape[1:] != self.shape or given.ndim != len(self.shape) + 1:
            raise ValueError(f"inputs have shape {given.shape}, not (rows, {', '.join(map(str, self.shape))})")
        outputs = self.outputs(jnp.asarray(given))
        answers: dict[str, np.ndarray] = {}
        for group in groups(self.tasks):
            own = outputs[:, group.start : group.stop].reshape(len(given), len(group.tasks), group.outputs)
            if group.kind != "regression":
                own = jax.nn.softmax(own) if group.kind == "classes" else jax.nn.sigmoid(own)
            for i, task in enumerate(group.tasks):
                answers[self.tasks[task].name] = np.asarray(own[:, i, 0] if group.outputs == 1 else own[:, i])
        return {task.name: answers[task.name] for task in self.tasks}
