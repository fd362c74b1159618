"""Train one policy for two tasks of your own, with different sizes, and use it.

Run it from this folder: python own_environment.py
"""

import tempfile
from pathlib import Path

import gymnasium
import numpy as np

import polytask


class Reach(gymnasium.Env):
    """Move a point in `dims` dimensions to the origin within twenty steps."""

    def __init__(self, dims: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-2, 2, (dims,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (dims,), np.float32)
        self._place = np.zeros(dims, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = self.np_random.uniform(-1, 1, self._place.shape).astype(np.float32)
        return self._place.copy(), {}

    def step(self, action):
        self._place = np.clip(self._place + 0.2 * action, -2, 2).astype(np.float32)
        distance = float(np.linalg.norm(self._place))
        return self._place.copy(), -distance, False, False, {"success": distance < 0.2}


def line(**kwargs) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Reach(1), 20)


def plane(**kwargs) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Reach(2), 20)


def main(steps: int = 3_000) -> None:
    """Trains, then acts once in each task."""
    config = polytask.TrainConfig(
        tasks=("gym/own_environment:line", "gym/own_environment:plane"),
        agent=polytask.BRCConfig(critic_width=32, actor_width=32, batch_size=64),
        steps=steps,
        warmup_steps=steps // 10,
        eval_every=steps // 2,
        checkpoint_every=steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        polytask.train(config, run)
        agent = polytask.load(run)
        print("line:", agent.act(np.array([0.8], np.float32), task="gym/own_environment:line"))
        print("plane:", agent.act(np.array([0.8, -0.8], np.float32), task="gym/own_environment:plane"))


if __name__ == "__main__":
    main()
