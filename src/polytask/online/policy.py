"""A trained agent to act with: what `polytask.load` gives."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Float32, Int

from polytask import random
from polytask.agents import averaging
from polytask.agents.factory import make_agent
from polytask.online.config import TrainConfig
from polytask.runs import checkpoint
from polytask.runs.folder import RunFolder, RunFolderError
from polytask.tasks.spec import TaskSet, spec_from
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
    kind = kinds.kind_of(content).name
    if kind != "online":
        raise RunFolderError(
            f"{found.run} was trained from data and acts in no environment; polytask.{kind}.load gives its model, "
            f"and `polytask report {found.run}` its figures"
        )
    tasks = TaskSet(tuple(spec_from(spec) for spec in content["specs"]))
    return Policy(found, kinds.config_of(content), tasks, seed)


class Policy:
    """Acts in each of the tasks that a run was trained on.

    `tasks` are their facts, `step` the environment steps per task it was trained for. `counter` counts the calls that
    drew actions; the same seed and counter draw the same.
    """

    def __init__(self, found: checkpoint.Checkpoint, config: TrainConfig[Any], tasks: TaskSet, seed: int = 0) -> None:
        self.config, self.tasks, self.step, self.path = config, tasks, found.step, found.path
        self.counter = 0
        self._seed = seed
        self._agent = make_agent(config.agent, tasks)
        self._state = _read_state(self._agent, found)

    def act(
        self, observation: Float[np.ndarray, "*batch observation"], task: str, deterministic: bool = True
    ) -> Float32[np.ndarray, "*batch action"]:
        """The action for one observation of `task`, or for a batch of them, in the task's own units and dimensions.

        The mode of the policy; with `deterministic=False` drawn from it.
        Raises UnknownTaskError if the run was not trained on the task, and ValueError if the shape is not the task's.
        """
        row = self.tasks.index(task)
        spec = self.tasks.specs[row]
        given = np.asarray(observation, np.float32)
        if given.ndim not in (1, 2) or given.shape[-1] != spec.observation_dim:
            wanted = f"({spec.observation_dim},) or (N, {spec.observation_dim})"
            raise ValueError(f"an observation of task '{task}' has shape {wanted}, not {given.shape}")
        batch = given.reshape(-1, spec.observation_dim)
        padded = np.zeros((len(batch), self.tasks.observation_dim), np.float32)
        padded[:, : spec.observation_dim] = batch
        ids = np.full(len(batch), row, np.int32)
        unit = self._unit_actions(padded, ids, deterministic)[:, : spec.action_dim]
        low, high = spec.bounds
        return ((high + low) / 2 + (high - low) / 2 * unit).reshape(*given.shape[:-1], spec.action_dim)

    def act_in_all(self, observations: Float32[np.ndarray, "tasks observation"]) -> Float32[np.ndarray, "tasks action"]:
        """The policy's mode in every task at once, as a stepper takes it: padded and in [-1, 1]."""
        return self._unit_actions(observations, np.arange(len(self.tasks), dtype=np.int32), True)

    def _unit_actions(
        self,
        observations: Float32[np.ndarray, "batch observation"],
        task_ids: Int[np.ndarray, " batch"],
        deterministic: bool,
    ) -> Float32[np.ndarray, "batch action"]:
        key = None
        if not deterministic:
            key = random.key(self._seed, "policy", self.counter)
            self.counter += 1
        return np.asarray(self._agent.act(self._state, observations, task_ids, key))


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
