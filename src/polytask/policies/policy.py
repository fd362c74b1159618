"""A trained agent to act with: what `polytask.load` gives."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float32, Int

from polytask import random
from polytask.agents import averaging
from polytask.agents.factory import make_agent
from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder, RunFolderError
from polytask.tasks import padding
from polytask.tasks.spaces import Choices, Image, Named, SetObservations, Vector
from polytask.tasks.spec import TaskSet, TaskSpec, spec_from
from polytask.training import kinds


def load(run: Path | str, seed: int = 0) -> "Policy":
    """The policy in a run folder's newest intact checkpoint, or in a checkpoint folder.

    Needs no simulator, and of the checkpoint reads only what acting takes. `seed` is that of drawn actions.
    Raises RunFolderError or CheckpointError if the folder holds no run, no checkpoint, or a damaged one.
    """
    path = Path(run)
    if not path.name.startswith(checkpoint.PREFIX):
        RunFolder(path).read_config()  # says more clearly than a missing checkpoint that this is not a run
    found = checkpoint.find(path, replay=False)
    content = RunFolder(found.run).read_config()
    if "agent" not in content:
        kind = kinds.kind_of(content).name
        raise RunFolderError(
            f"{found.run} was trained from data and acts in no environment; polytask.{kind}.load gives its model, "
            f"and `polytask report {found.run}` its figures"
        )
    tasks = TaskSet(*(tuple(spec_from(spec) for spec in content.get(name, ())) for name in ("specs", "layout")))
    return Policy(found, kinds.config_of(content), tasks, seed)


@runtime_checkable
class PolicyConfig(Protocol):
    """What a policy reads of the configuration of the run that trained it."""

    @property
    def agent(self) -> Any:
        """The agent's hyperparameters."""
        ...

    @property
    def engine(self) -> Any:
        """What steps the tasks, as `make_stepper` takes it."""
        ...

    @property
    def seed(self) -> int:
        """That of the run, by which goals are fixed."""
        ...


class Policy:
    """Acts in each of the tasks that a run was trained on.

    `tasks` are their facts, `state` is that of its `agent` as far as it acts, `step` the steps that it was trained for,
    as its kind counts them. `counter` counts the calls that drew actions; the same seed and counter draw the same.
    """

    def __init__(self, found: checkpoint.Checkpoint, config: PolicyConfig, tasks: TaskSet, seed: int = 0) -> None:
        self.config, self.tasks, self.step, self.path = config, tasks, found.step, found.path
        self.counter = 0
        self._seed = seed
        self.agent = make_agent(config.agent, tasks)
        self.state = _read_state(self.agent, found)

    def with_state(self, state: Any) -> "Policy":
        """The same policy with another state of its agent."""
        other = copy.copy(self)
        other.state = state
        return other

    def act(self, observation: Any, task: str, deterministic: bool = True) -> np.ndarray | np.int64:
        """The action for one observation of `task`, or for a batch of them, as the task's environment takes it.

        An observation is an array for a vector, a whole stack (height, width, channels of all frames, the newest last)
        for an image, and a dictionary of these where the task's has names. What is given is the action in the task's
        own units and dimensions; where it is chosen, its number from 0, or one number for each of several choices.

        The mode of the policy; with `deterministic=False` drawn from it.
        Raises UnknownTaskError if the run was not trained on the task, and ValueError if a shape is not the task's.
        """
        row = self.tasks.index(task)
        spec = self.tasks.specs[row]
        batch, single = _batched(spec, observation)
        count = len(jax.tree.leaves(batch)[0])
        padded = padding.zeros(self.tasks, count)
        padding.write(self.tasks, row, batch, padded, slice(None))
        rows = self._rows(padded, np.full(count, row, np.int32), deterministic)
        if isinstance(spec.action, Choices):
            actions = spec.action.at(rows[:, -1])
        else:
            low, high = spec.bounds
            actions = (high + low) / 2 + (high - low) / 2 * rows[:, : spec.action_dim]
        return actions[0] if single else actions

    def act_in_all(
        self, observations: SetObservations, deterministic: bool = True
    ) -> Float32[np.ndarray, "tasks action"]:
        """Actions in every task at once, as a stepper takes them: padded and in [-1, 1]. As in `act`."""
        return self._rows(observations, np.arange(len(self.tasks), dtype=np.int32), deterministic)

    def _rows(
        self,
        observations: SetObservations,
        task_ids: Int[np.ndarray, " batch"],
        deterministic: bool,
    ) -> Float32[np.ndarray, "batch action"]:
        key = None
        if not deterministic:
            key = random.key(self._seed, "policy", self.counter)
            self.counter += 1
        return np.asarray(self.agent.act(self.state, observations, task_ids, key))


def _batched(spec: TaskSpec, observation: Any) -> tuple[Any, bool]:
    """An observation, or several, with a leading axis, and whether it was one alone. Raises ValueError for shapes."""
    if isinstance(spec.observation, Named):
        names = [name for name, _ in spec.observation.parts]
        if not isinstance(observation, Mapping) or set(observation) != set(names):
            raise ValueError(f"an observation of task '{spec.name}' is a dictionary of {', '.join(names)}")
        found = {name: _array(spec, part, observation[name], f"'{name}' of ") for name, part in spec.observation.parts}
        if len({(value.shape[0], single) for value, single in found.values()}) > 1:
            raise ValueError(f"the parts of an observation of task '{spec.name}' are not equally many")
        return {name: value for name, (value, _) in found.items()}, found[names[0]][1]
    return _array(spec, spec.observation, observation, "")


def _array(spec: TaskSpec, space: Vector | Image, value: Any, part: str) -> tuple[np.ndarray, bool]:
    shape = (space.size,) if isinstance(space, Vector) else space.shape
    given = np.asarray(value, np.float32 if isinstance(space, Vector) else np.uint8)
    if given.shape[-len(shape) :] != shape or given.ndim - len(shape) not in (0, 1):
        wanted = f"{shape} or {('N', *shape)}".replace("'", "")
        stack = " (whole stacks of frames)" if isinstance(space, Image) and space.stack > 1 else ""
        raise ValueError(f"{part}an observation of task '{spec.name}' has shape {wanted}{stack}, not {given.shape}")
    return given.reshape(-1, *shape), given.ndim == len(shape)


def _read_state(agent: Any, found: checkpoint.Checkpoint) -> Any:
    """The agent's state without its optimisers and target networks, which are most of it and not needed to act.

    With the average of the policy's weights in the place of the last, where the checkpoint has one.
    """
    like = eqx.filter_eval_shape(agent.init, random.key(0, "init"))
    there = [field.name for field in dataclasses.fields(like) if getattr(like, field.name) is not None]
    idle = [name for name in there if "optimiser" in name or "target" in name]
    like = eqx.tree_at(lambda state: [getattr(state, name) for name in idle], like, replace_fn=lambda _: None)
    average = eqx.filter_eval_shape(averaging.start, like) if found.counters.get(checkpoint.AVERAGED) else None
    saved = checkpoint.restore(found.path, {"agent": like, "average": average}, partial=True)[0]
    return averaging.acting(saved["agent"], saved["average"])
