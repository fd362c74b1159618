"""Runs that grow: the filters of an earlier run, which nothing moves, and modulators for each set of new tasks.

What is copied from the source run: the filters, and all that it has learned. What may move: the new tasks' modulators,
normalisations and heads. What must not change: everything else, so that earlier tasks keep every bit of their answers.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from polytask import random
from polytask.networks import ConvTrunk, RCTrunk, add_task, response_init
from polytask.networks.reparameterised import Frozen
from polytask.runs import checkpoint
from polytask.runs.checkpoint import Checkpoint
from polytask.runs.folder import RunFolder
from polytask.supervised.config import TrainConfig, TrunkConfig
from polytask.supervised.model import Model, make_model
from polytask.supervised.problem import Problem
from polytask.supervised.scaling import Scales, like
from polytask.supervised.spec import HeadSpec
from polytask.training import kinds

IMAGES = 512  # whose responses decide the rotations


class Stage(NamedTuple):
    """Tasks that were learned together: their model, in the standardised units of its scales."""

    tasks: tuple[HeadSpec, ...]
    model: Model
    scales: Scales


class Earlier(NamedTuple):
    """What a run stands on: the stages before it, the oldest with the filters, and the rotations of its bank."""

    stages: tuple[Stage, ...]
    rotations: tuple[Float[Array, "channels channels"], ...]

    @property
    def arrays(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, beside the names of the tasks."""
        return {"stages": [(stage.model, stage.scales) for stage in self.stages], "rotations": self.rotations}

    @property
    def specs(self) -> list[list[dict[str, Any]]]:
        """The tasks of each stage, as JSON holds them."""
        return [[dataclasses.asdict(task) for task in stage.tasks] for stage in self.stages]


def begin(config: TrainConfig, problem: Problem, runs: Sequence[Path]) -> tuple[TrainConfig, Earlier | None]:
    """What an incremental run stands on, and its configuration with the trunk of its source.

    From the run's own checkpoint where it has one, so that it goes on without its source; None where it is the first.
    Raises ValueError for a source that has no filters to share, a task that is already there, rows that are no images
    or of another shape, and RunFolderError or CheckpointError for a source that is no run or has no checkpoint.
    """
    if problem.make_trunk is not None:
        raise ValueError(f"{problem.name} brings a trunk of its own, and --incremental makes one: leave it out")
    if not config.start_from:
        return config, None
    mine = next((point for run in runs if (run / "checkpoints").exists() and (point := checkpoint.latest(run))), None)
    found = mine or checkpoint.find(Path(config.start_from), replay=False)
    content = RunFolder(found.run).read_config()
    other = kinds.config_of(content)
    if not getattr(other, "incremental", False):
        raise ValueError(
            f"{config.start_from} has no filters to share: it was not trained with --incremental. Train the first "
            "tasks with `polytask train problems/... --incremental`, and add others to that run"
        )
    shape, wanted = tuple(content["data"]["input_shape"]), problem.train.inputs.shape[1:]
    if shape != wanted:
        raise ValueError(f"rows of {problem.name} have shape {wanted}, those of {config.start_from} {shape}")
    earlier = read(found, own=mine is None)
    known = [task.name for stage in earlier.stages for task in stage.tasks]
    there = [name for name in problem.names if name in known]
    if there:
        raise ValueError(
            f"{config.start_from} already has the task {', '.join(there)}: leave it out with --tasks, or give the new "
            "one a name of its own"
        )
    return dataclasses.replace(config, trunk=other.trunk), earlier


def read(found: Checkpoint, own: bool = True) -> Earlier:
    """What a run stands on, from its checkpoint; with `own`, also what it has learned itself, as the last stage."""
    content = RunFolder(found.run).read_config()
    config, shape = kinds.config_of(content), tuple(content["data"]["input_shape"])
    stages = [tuple(HeadSpec(**spec) for spec in specs) for specs in found.counters.get("earlier", [])]
    tasks = tuple(HeadSpec(**spec) for spec in content["specs"])
    form: dict[str, Any] = {}
    if stages:
        forms = [(_form(specs, shape, config.trunk, bool(i)), like(specs, shape)) for i, specs in enumerate(stages)]
        square = jnp.zeros((config.trunk.width, config.trunk.width))
        form["earlier"] = {"stages": forms, "rotations": (square,) * config.trunk.depth}
    if own:
        form["learner"] = {"best": _form(tasks, shape, config.trunk, bool(stages))}
        form |= {"scales": like(tasks, shape)} if config.standardise else {}
    saved, _ = checkpoint.restore(found.path, form, partial=True)
    learned = [(model, scales) for model, scales in saved["earlier"]["stages"]] if stages else []
    rotations = saved["earlier"]["rotations"] if stages else ()
    if own:
        stages.append(tasks)
        learned.append((saved["learner"]["best"], saved.get("scales", like(tasks, shape))))
    bank = Frozen(learned[0][0].trunk.convs, rotations)
    return Earlier(tuple(_stage(t, *one, bank) for t, one in zip(stages, learned, strict=True)), rotations)


def grown(config: TrainConfig, problem: Problem, earlier: Earlier | None) -> tuple[Callable[..., Any], Earlier | None]:
    """`make_trunk` of an incremental run on a problem in the units that it trains in, and what the run stands on.

    The rotations are those of the responses to the first tasks that are added. Deviation from the paper: the images are
    training rows of these tasks, not of another data set.
    """
    if earlier is None:
        shape = problem.train.inputs.shape[1:]
        return lambda key: ConvTrunk(shape, config.trunk.width, config.trunk.depth, key=key), None
    trunk = earlier.stages[0].model.trunk
    if not earlier.rotations:
        earlier = earlier._replace(rotations=_rotations(trunk, problem.train.take(slice(IMAGES)).inputs))
    new = add_task(trunk, Frozen(trunk.convs, earlier.rotations))
    return lambda key: new, earlier


@eqx.filter_jit
def _rotations(trunk: ConvTrunk, images: Array) -> tuple[Array, ...]:
    return response_init(trunk, images).rotations


def _stage(tasks: tuple[HeadSpec, ...], model: Model, scales: Scales, bank: Frozen) -> Stage:
    """A stage as it was restored, with the bank in its trunk."""
    trunk = model.trunk
    if isinstance(trunk, RCTrunk):
        trunk = RCTrunk(trunk.modulators, trunk.norms, bank)
    return Stage(tasks, Model(trunk, model.heads), scales)


def _form(tasks: tuple[HeadSpec, ...], shape: tuple[int, ...], config: TrunkConfig, added: bool) -> Model:
    """The form of a stage's model, as a checkpoint is read into it; its bank is none."""

    def make() -> Model:
        trunk: Any = ConvTrunk(shape, config.width, config.depth, key=random.key(0, "structure"))
        if added:
            rotations = (jnp.zeros((config.width, config.width)),) * config.depth
            trunk = add_task(trunk, Frozen(trunk.convs, rotations))
        return make_model(tasks, shape, config, random.key(0, "structure"), lambda _: trunk)

    return eqx.filter_eval_shape(make)
