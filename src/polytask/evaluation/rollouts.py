"""Episodes under a fixed policy, in environments of their own."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from polytask.stepping import Stepper
from polytask.tasks.spaces import SetObservations

Policy = Callable[[SetObservations], Float32[np.ndarray, "tasks action"]]


@dataclasses.dataclass(frozen=True)
class Episodes:
    """What E episodes of each of T tasks gave. An episode is a success if any of its steps was."""

    returns: Float[np.ndarray, "tasks episodes"]
    successes: Bool[np.ndarray, "tasks episodes"]
    lengths: Int[np.ndarray, "tasks episodes"]


def evaluate(policy: Policy, stepper: Stepper, episodes: int, seed: int) -> Episodes:
    """Runs each task until it has finished `episodes` episodes.

    Every environment is built anew from `seed`, so the result depends on the policy and the seed alone. An episode in
    which the environment failed does not count.
    """
    tasks = len(stepper.tasks)
    rows = np.arange(tasks)
    returns, lengths = np.zeros((tasks, episodes)), np.zeros((tasks, episodes), np.int64)
    successes = np.zeros((tasks, episodes), bool)
    done = np.zeros(tasks, np.int64)
    observations = stepper.reset(seed)
    while (done < episodes).any():
        result = stepper.step(policy(observations))
        observations = result.observations
        episode = np.minimum(done, episodes - 1)
        running = done < episodes
        returns[rows, episode] += np.where(running, result.rewards, 0.0)
        lengths[rows, episode] += running
        successes[rows, episode] |= result.success & running
        failed = result.restarted & running
        returns[rows[failed], episode[failed]] = 0
        lengths[rows[failed], episode[failed]] = 0
        successes[rows[failed], episode[failed]] = False
        done += (result.terminated | result.truncated) & running
    return Episodes(returns, successes, lengths)
