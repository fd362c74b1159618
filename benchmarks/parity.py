"""Does EnvPool step a task as the official package does? Prints a table for docs/tasks.md.

    python benchmarks/parity.py metaworld/mt50 > table.md        # about five minutes on two cores
    python benchmarks/parity.py 'dmc/*'

Both engines start from the same seed and therefore draw the same goals and initial states (polytask.tasks.draws).
They then take the same random actions for several episodes, and in Meta-World each follows the scripted expert of the
official package on its own observations. What the table calls equal is what `OFFICIAL_ONLY` leaves to EnvPool.
Trajectories part slowly after contacts, because the official packages run MuJoCo 3.3 and EnvPool runs 3.6; so single
steps may differ, but neither the first ones nor the averages.
"""

import argparse
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from polytask.tasks import TaskOptions, TaskSpec, catalogue, resolve
from polytask.tasks.pool import Pool
from polytask.tasks.registry import build_env

OBSERVATION_TOLERANCE = 0.02
"""Largest difference of an entry at the median of the first steps (the second to the tenth) of an episode, in three of
four episodes; in the others, contacts may have led elsewhere."""
REWARD_TOLERANCE = {"metaworld": 0.05, "dmc": 0.005}
"""Mean absolute difference of the rewards of an episode of random actions, in three of four episodes: half a percent
of the largest reward there is."""
RETURN_TOLERANCE = 0.05
"""Relative difference of the experts' mean returns, where it also exceeds two standard errors."""
SUCCESS_TOLERANCE = 0.2
"""Difference of the experts' success rates."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """What was measured of one task; "official, EnvPool" where a field holds two numbers."""

    task: str
    reset: float
    observation: float
    reward: float
    mean_reward: tuple[float, float]
    expert_return: tuple[float, float] | None = None
    expert_success: tuple[float, float] | None = None
    return_error: float = 0.0

    def differs(self) -> list[str]:
        """In what the engines differ; empty where they agree."""
        found = []
        if self.observation > OBSERVATION_TOLERANCE:
            found.append("observations")
        if self.reward > REWARD_TOLERANCE[self.task.split("/")[0]]:
            found.append("rewards")
        if self.expert_return is not None and self.expert_success is not None:
            official, envpool = self.expert_return
            if abs(official - envpool) > max(RETURN_TOLERANCE * abs(official), 2 * self.return_error):
                found.append("expert's return")
            if abs(self.expert_success[0] - self.expert_success[1]) > SUCCESS_TOLERANCE:
                found.append("expert's success")
        return found


class Side:
    """One engine's episode stream of a task."""

    def __init__(self, spec: TaskSpec, seed: int, official: bool) -> None:
        self._env: Any = build_env(spec, seed) if official else None
        self._pool = None if official else Pool(spec, seed)
        self._begun = False

    def reset(self) -> np.ndarray:
        if self._pool is None:
            return self._env.reset()[0]
        if self._begun:
            self._pool.next_episode()
        self._begun = True
        return self._pool.first().astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        if self._pool is None:
            observation, reward, _, _, info = self._env.step(action)
            return observation, reward, info.get("success", 0.0) > 0
        self._pool.send(action)
        observation, reward, _, _, success = self._pool.recv()
        return observation.astype(np.float32), reward, success

    def close(self) -> None:
        for side in (self._env, self._pool):
            if side is not None:
                side.close()


def random_actions(spec: TaskSpec, seeds: int, episodes: int) -> dict[str, Any]:
    """Steps both engines with the same uniform actions, `episodes` of `spec.horizon` steps from each seed."""
    resets = []
    observations = np.zeros((seeds * episodes, 9))
    rewards = np.zeros((seeds * episodes, spec.horizon, 2))
    low, high = spec.bounds
    for seed in range(seeds):
        sides = [Side(spec, seed, official) for official in (True, False)]
        draws = np.random.default_rng(seed)
        for episode in range(seed * episodes, (seed + 1) * episodes):
            first = [side.reset() for side in sides]
            resets.append(np.abs(first[0] - first[1]).max())
            for step in range(spec.horizon):
                action = draws.uniform(low, high).astype(np.float32)
                (one, reward, _), (other, other_reward, _) = (side.step(action) for side in sides)
                rewards[episode, step] = reward, other_reward
                if 1 <= step <= 9:
                    observations[episode, step - 1] = np.abs(one - other).max()
        for side in sides:
            side.close()
    gaps = np.abs(rewards[..., 0] - rewards[..., 1]).mean(1)
    return {
        "reset": float(np.max(resets)),
        "observation": float(np.quantile(np.median(observations, 1), 0.75)),
        "reward": float(np.quantile(gaps, 0.75)),
        "mean_reward": tuple(rewards.mean((0, 1))),
    }


def experts(spec: TaskSpec, episodes: int) -> dict[str, Any]:
    """Lets Meta-World's scripted expert play one episode from each of `episodes` seeds on either engine."""
    from metaworld.policies import ENV_POLICY_MAP

    policy: Callable[[], Any] = ENV_POLICY_MAP[spec.name.removeprefix("metaworld/")]
    outcomes = np.zeros((episodes, 2, 2))
    for seed in range(episodes):
        for engine, official in enumerate((True, False)):
            side, expert = Side(spec, seed, official), policy()
            observation = side.reset()
            for _ in range(spec.horizon):
                action = expert.get_action(observation.astype(np.float64))
                observation, reward, success = side.step(np.clip(action, -1.0, 1.0).astype(np.float32))
                outcomes[seed, engine, 0] += reward
                outcomes[seed, engine, 1] = max(outcomes[seed, engine, 1], success)
            side.close()
    gap = outcomes[:, 0, 0] - outcomes[:, 1, 0]
    return {
        "expert_return": tuple(outcomes[..., 0].mean(0)),
        "expert_success": tuple(outcomes[..., 1].mean(0)),
        "return_error": float(gap.std(ddof=1) / np.sqrt(episodes)),
    }


def measure(name: str, seeds: int = 5, expert_episodes: int = 10) -> Parity:
    """Measures one task; needs the extra `official`."""
    (spec,) = resolve([name], TaskOptions(horizon=60))
    measured = random_actions(spec, seeds, episodes=3)
    if spec.suite == "metaworld" and expert_episodes:
        measured |= experts(dataclasses.replace(spec, horizon=300), expert_episodes)
    return Parity(name, **measured)


def row(parity: Parity) -> str:
    """A line of the table."""
    expert = ("", "")
    if parity.expert_return is not None and parity.expert_success is not None:
        expert = (
            f"{parity.expert_return[0]:.0f} / {parity.expert_return[1]:.0f}",
            f"{parity.expert_success[0]:.1f} / {parity.expert_success[1]:.1f}",
        )
    verdict = ", ".join(parity.differs()) or "equal"
    means = f"{parity.mean_reward[0]:.4f} / {parity.mean_reward[1]:.4f}"
    numbers = f"{parity.reset:.0e} | {parity.observation:.0e} | {parity.reward:.0e} | {means}"
    return f"| {parity.task} | {numbers} | {expert[0]} | {expert[1]} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares EnvPool with the official simulators.")
    parser.add_argument("pattern", help="a set, a task, or a shell pattern: metaworld/mt10, dmc/cheetah-run, 'dmc/*'")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--expert-episodes", type=int, default=10)
    arguments = parser.parse_args()
    # dm_control 1.0.28 calls functions that NumPy has deprecated; Meta-World's experts remark that they are clipped.
    warnings.simplefilter("ignore")
    print("| task | reset | first steps | reward | mean reward | expert's return | expert's success | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    for spec in catalogue(arguments.pattern):
        print(row(measure(spec.name, arguments.seeds, arguments.expert_episodes)), flush=True)


if __name__ == "__main__":
    main()
