"""A suite, an agent, a combiner, a loss and a problem of one's own; docs/extend.md explains each."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from polytask.agents import Agent, AgentKind, SACConfig, sac
from polytask.combine.base import Inputs, Weighting
from polytask.combine.scale import as_mean
from polytask.supervised import HeadSpec, Rows, make_problem, split
from polytask.tasks import Suite, spec_of

# A suite: walk to a place on a line.

PLACES = {"left": -0.5, "right": 0.5}


class Line(gymnasium.Env):
    """Plain Gymnasium; it knows nothing of polytask."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,))

    def __init__(self, goal):
        self.goal = goal

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 1)
        return self.place.astype(np.float32), {}

    def step(self, action):
        self.place = np.clip(self.place + action, -1, 1)
        distance = float(abs(self.place[0] - self.goal))
        return self.place.astype(np.float32), -distance, False, False, {"success": distance < 0.1}


SUITE = Suite(
    "line",
    spec=lambda task, options: spec_of(f"line/{task}", Line(PLACES[task]), options, horizon=50),
    build=lambda spec, seed, render: Line(PLACES[spec.task]),
    tasks=tuple(PLACES),
    groups={"both": tuple(PLACES)},
)


# An agent: the baseline, whose target networks follow at a tenth of the pace.


@dataclasses.dataclass(frozen=True)
class PatientConfig(SACConfig):
    """As the baseline's, with another default."""

    kind: str = "patient"  # pyright: ignore[reportIncompatibleVariableOverride]
    tau: float = 0.0005


PATIENT = AgentKind(PatientConfig, lambda config, tasks, mesh: Agent(sac.ALGORITHM, config, tasks, mesh))


# A combiner: the step of the task with the largest loss.


def loudest():
    """All weight on the largest loss among the tasks that are present."""

    def weigh(inputs: Inputs, state):
        losses = jnp.where(inputs.present, inputs.losses, -jnp.inf)
        return jax.nn.one_hot(jnp.argmax(losses), len(losses), dtype=losses.dtype), state, {}

    return Weighting("losses", lambda tasks: (), weigh, as_mean)


# A loss of each row, for regressions.


def absolute(group, outputs, targets):
    """The mean absolute error; outputs and targets are (rows, tasks, outputs)."""
    return jnp.abs(outputs - targets).mean(-1)


# A problem: two waves to be learned from one number.


def waves(seed):
    """Rows of one input and two regressions."""
    inputs = np.random.default_rng(seed).uniform(-3, 3, (300, 1))
    rows = Rows(inputs, {"sine": np.sin(inputs[:, 0]), "cosine": np.cos(inputs[:, 0])})
    tasks = [HeadSpec("sine", "regression"), HeadSpec("cosine", "regression")]
    return make_problem("waves", tasks, *split(rows, seed))
