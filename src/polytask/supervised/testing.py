"""What the test rows say of a trained run, with intervals over these rows."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from polytask.evaluation.statistics import Estimate, bootstrap_rows, wilson_interval
from polytask.runs import checkpoint
from polytask.runs.folder import GROUPED, RunFolder
from polytask.runs.loggers import plain
from polytask.supervised.class_scores import class_scores
from polytask.supervised.config import TrainConfig
from polytask.supervised.dense import judged
from polytask.supervised.examples import Examples, Stored
from polytask.supervised.model import EVALUATION_IMAGES, row_counts, row_losses
from polytask.supervised.predictor import Predictor, load
from polytask.supervised.problem import Problem
from polytask.supervised.spec import HeadSpec, groups
from polytask.supervised.trainer import digest
from polytask.training import kinds
from polytask.training.groups import GROUPS, read_groups, serving


@dataclasses.dataclass(frozen=True)
class TaskTest:
    """The test rows of one task; intervals are 95 % over these rows, and say nothing about other seeds.

    - `score`: accuracy, with Wilson's interval where a row has one answer, or R²; `loss`: the mean loss of a row. Other
      intervals are bootstraps over rows.
    - `f1`, `auc`: as `class_scores` has them; NaN for other kinds.
    - `error`: of tasks of pixels, as `polytask.supervised.dense.Judged` has it.
    """

    task: HeadSpec
    rows: int
    score: Estimate
    loss: Estimate
    f1: float = np.nan
    auc: float = np.nan
    error: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class Tested:
    """All tasks of a run; `step` is that of its newest checkpoint (the last group's, where there are groups)."""

    step: int
    tasks: tuple[TaskTest, ...]


def measure_run(run: Path | str, problem: Problem) -> Tested:
    """Measures the parameters that were best on the validation rows, on the test rows.

    Raises RunFolderError or CheckpointError if the folder holds no trained run, and ValueError if the data of `problem`
    are not those of the run.
    """
    folder = RunFolder(Path(run))
    content = folder.read_config()
    config = kinds.config_of(content)
    if not isinstance(config, TrainConfig):
        raise ValueError(f"{run} was not trained from rows; `polytask evaluate` measures it")
    names = [spec["name"] for spec in content["specs"]]
    if digest(problem.only(names)) != content["data"]["sha256"]:
        raise ValueError(f"the data of {config.problem} have changed since {run} was trained on them")
    parts = [(folder.path, names)]
    if GROUPED in content:
        parts = [(folder.path / name, list(group.serves)) for name, group in serving(read_groups(folder.path / GROUPS))]
    found: dict[str, TaskTest] = {}
    for path, served in parts:
        predictor = load(path, problem)
        tests = measure(predictor, problem.only([task.name for task in predictor.tasks]).test)
        found |= {test.task.name: test for test in tests if test.task.name in served}
    return Tested(checkpoint.find(parts[-1][0]).step, tuple(found[name] for name in names))


def measure(predictor: Predictor, examples: Examples | Stored) -> list[TaskTest]:
    """Every task's score and loss on these rows, in the order of the tasks."""
    if isinstance(examples, Stored):
        return _measure_images(predictor, examples)
    outputs = predictor.outputs(examples.inputs)
    present = np.asarray(examples.present)
    losses = np.asarray(row_losses(predictor.tasks, outputs, examples), np.float64)
    estimates = dict(_estimates(predictor.tasks, np.asarray(outputs, np.float64), examples))
    scores = class_scores(predictor.tasks, np.asarray(outputs), examples)
    counts = present.sum(0)
    tests = []
    for i, task in enumerate(predictor.tasks):
        columns = np.where(present[:, i], np.stack([losses[:, i], np.ones(len(losses))]), 0.0)
        loss = bootstrap_rows(columns, lambda sums: sums[0] / sums[1])
        f1, auc = (scores[name].get(task.name, np.nan) for name in ("f1", "auc"))
        tests.append(TaskTest(task, int(counts[i]), estimates[i], loss, f1, auc))
    return tests


def _measure_images(predictor: Predictor, stored: Stored) -> list[TaskTest]:
    """Image by image, with bootstraps over images; intervals are of scores, errors and losses of the set."""
    tasks, number = predictor.tasks, stored.index.shape[0]
    losses, counts = [], []
    for start in range(0, number, EVALUATION_IMAGES):
        examples = stored.take(np.arange(start, min(start + EVALUATION_IMAGES, number)))
        outputs = predictor.outputs(examples.inputs)
        losses.append(np.asarray(row_losses(tasks, outputs, examples), np.float64))
        counts.append([np.asarray(own) for own in row_counts(tasks, outputs, examples)])
    present, loss = np.asarray(stored.present), np.concatenate(losses)
    found: dict[int, TaskTest] = {}
    for group, *own in zip(groups(tasks), *counts, strict=True):
        every = np.concatenate(own)

        def score(sums: np.ndarray, kind: str = group.kind) -> np.ndarray:
            return np.asarray(judged(kind, np.moveaxis(sums, 0, -1)).score)

        def error(sums: np.ndarray, kind: str = group.kind) -> np.ndarray:
            return np.asarray(judged(kind, np.moveaxis(sums, 0, -1)).error)

        for i, task in enumerate(group.tasks):
            columns = np.where(present[:, task], np.stack([loss[:, task], np.ones(number)]), 0.0)
            mean = bootstrap_rows(columns, lambda sums: sums[0] / sums[1])
            count = every[:, i].T.astype(np.float32)
            rows = int(present[:, task].sum())
            found[task] = TaskTest(
                tasks[task], rows, bootstrap_rows(count, score), mean, error=bootstrap_rows(count, error)
            )
    return [found[i] for i in range(len(tasks))]


def to_json(tested: Tested) -> dict[str, Any]:
    """What evaluation.json holds."""
    return {
        "step": tested.step,
        "task": {
            test.task.name: {
                "score": plain(test.score._asdict()),
                "loss": plain(test.loss._asdict()),
                **({"error": plain(test.error._asdict())} if test.error else {}),
                "rows": test.rows,
                **(plain({"f1": test.f1, "auc": test.auc}) if test.task.kind in ("binary", "classes") else {}),
            }
            for test in tested.tasks
        },
    }


def _estimates(
    tasks: tuple[HeadSpec, ...], outputs: Float[np.ndarray, "rows outputs"], examples: Examples
) -> Iterator[tuple[int, Estimate]]:
    """Each task's number and score."""
    for group, targets in zip(groups(tasks), examples.targets, strict=True):
        own = outputs[:, group.start : group.stop].reshape(len(outputs), len(group.tasks), group.outputs)
        for i, task in enumerate(group.tasks):
            there = np.asarray(examples.present[:, task])
            given, target = own[:, i], np.asarray(targets[:, i], np.float64)
            if group.kind == "regression":
                yield task, _r_squared(given, target, there)
            elif group.kind == "classes" or group.outputs == 1:
                right = given.argmax(-1) == target if group.kind == "classes" else ((given > 0) == (target > 0.5))[:, 0]
                yield task, wilson_interval(int(right[there].sum()), int(there.sum()))
            else:
                right = ((given > 0) == (target > 0.5)).mean(-1)
                columns = np.where(there, np.stack([right, np.ones(len(right))]), 0.0)
                yield task, bootstrap_rows(columns, lambda sums: sums[0] / sums[1])


def _r_squared(
    given: Float[np.ndarray, "rows outputs"],
    target: Float[np.ndarray, "rows outputs"],
    there: Bool[np.ndarray, " rows"],
) -> Estimate:
    """1 - SSE / SST, the mean of the labels being that of the rows that are drawn."""
    centred = target - target[there].mean(0) if there.any() else target
    error = np.square(given - target).sum(1)
    columns = np.stack([np.ones(len(error)), error, np.square(centred).sum(1), *centred.T])

    def statistic(sums: np.ndarray) -> np.ndarray:
        spread = sums[2] - np.square(sums[3:]).sum(0) / sums[0]
        return 1 - sums[1] / np.where(spread > 0, spread, np.nan)

    return bootstrap_rows(np.where(there, columns, 0.0), statistic)
