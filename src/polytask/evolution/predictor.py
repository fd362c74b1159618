"""What an evolution has learned, to predict with: what `polytask.load` gives of its run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from polytask.evolution.network import Sizes
from polytask.evolution.population import Population
from polytask.evolution.trainer import path_network, restored
from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder
from polytask.supervised import testing
from polytask.supervised.predictor import Predictor
from polytask.supervised.problem import Problem
from polytask.supervised.scaling import like
from polytask.supervised.spec import HeadSpec, groups
from polytask.supervised.testing import Tested
from polytask.training import kinds


class EvolvedPredictor:
    """`population` says who uses and who made what; `predictors` answer for each problem that has a path."""

    def __init__(self, population: Population, predictors: Mapping[str, Predictor]) -> None:
        self.population, self.predictors = population, dict(predictors)

    def predict(self, problem: str, inputs: Float[np.ndarray, "rows ..."]) -> dict[str, Float[np.ndarray, "rows ..."]]:
        """A problem's answers by head, in units of its data. Raises ValueError for a problem that has no path."""
        if problem not in self.predictors:
            raise ValueError(f"there is no path for {problem}; there are {', '.join(self.predictors) or 'none yet'}")
        return self.predictors[problem].predict(inputs)


def load(run: Path) -> EvolvedPredictor:
    """The best path of each problem at a run's newest intact checkpoint.

    Raises RunFolderError or CheckpointError if the folder holds no run, no checkpoint, or a damaged one.
    """
    found = checkpoint.find(run)
    content = RunFolder(found.run).read_config()
    config = kinds.config_of(content)
    specs = {spec["name"]: tuple(HeadSpec(**head) for head in spec["heads"]) for spec in content["specs"]}
    shape = tuple(next(iter(content["data"].values()))["input_shape"])
    sizes = Sizes(int(np.prod(shape)), config.width, config.adapter_rank)
    outputs = {name: groups(tasks)[-1].stop for name, tasks in specs.items()}
    evolved = restored(found, sizes, outputs)
    learned = {path.task for path in evolved.population.paths.values()}
    form = {"scales": {name: like(tasks, shape) for name, tasks in specs.items() if name in learned}}
    scales = checkpoint.restore(found.path, form, partial=True)[0]["scales"]
    predictors = {}
    for name, tasks in specs.items():
        best = evolved.population.best(name)
        if best is not None:
            model = path_network(evolved, best, sizes, outputs[name])
            predictors[name] = Predictor(tasks, model, shape, scales[name])
    return EvolvedPredictor(evolved.population, predictors)


def measure_run(run: Path, problems: Mapping[str, Problem]) -> Tested:
    """Every problem's best path on its test rows; heads are named PROBLEM/HEAD."""
    found = []
    for name, predictor in load(run).predictors.items():
        for test in testing.measure(predictor, problems[name].test):
            task = dataclasses.replace(test.task, name=f"{name}/{test.task.name}")
            found.append(dataclasses.replace(test, task=task))
    return Tested(checkpoint.find(run).step, tuple(found))
