"""A MinAtar game as a Gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
from minatar import Environment

from polytask.tasks.minatar import GAMES


class MinAtar(gymnasium.Env):
    """The official game with its defaults: actions stick with probability 0.1, and it becomes harder with time.

    A grid is 255 where an object is, else 0. Actions are the game's minimal set.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, game: str) -> None:
        channels, self._actions = GAMES[game]
        self._game = Environment(game.replace("-", "_"))
        self.observation_space = gymnasium.spaces.Box(0, 255, (10, 10, channels), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))

    def _grid(self) -> np.ndarray:
        return np.where(self._game.state(), np.uint8(255), np.uint8(0))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            # RandomState takes 32 bits.
            self._game.seed(seed % 2**32)
            self._game.last_action = 0
        self._game.reset()
        return self._grid(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward, terminated = self._game.act(self._actions[int(action)])
        return self._grid(), float(reward), bool(terminated), False, {}
