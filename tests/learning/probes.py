"""Environments whose best actions and values are known; the tests name them as gym/tests.learning.probes:<callable>."""

import gymnasium
import numpy as np


class Goal(gymnasium.Env):
    """One step: the reward is -scale |action - goal|^2, the observation says nothing."""

    def __init__(self, goal: tuple[float, ...], observations: int = 1, scale: float = 1.0) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (observations,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (len(goal),), np.float32)
        self._goal, self._scale = np.array(goal), scale

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action):
        reward = -self._scale * float(np.square(action - self._goal).sum())
        return np.zeros(self.observation_space.shape, np.float32), reward, True, False, {}


class Constant(gymnasium.Env):
    """Every step gives `reward`, whatever is done; the episode terminates after `steps` (never, if None)."""

    def __init__(self, reward: float, steps: int | None) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self._reward, self._steps, self._time = reward, steps, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self._time += 1
        return np.zeros(1, np.float32), self._reward, self._time == self._steps, False, {}


def _limited(env: gymnasium.Env) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(env, 10)


def up(**kwargs):
    return _limited(Goal((0.5,)))


def down(**kwargs):
    return _limited(Goal((-0.5,)))


def thousandfold(**kwargs):
    return _limited(Goal((-0.5,), scale=1000.0))


def wide(**kwargs):
    return _limited(Goal((0.5, -0.5), observations=3))


def nothing(**kwargs):
    return _limited(Constant(0.0, 1))


def truncates(**kwargs):
    return _limited(Constant(1.0, None))


def terminates(**kwargs):
    return _limited(Constant(1.0, 1))


class Failing(Constant):
    """After `life` steps it gives a reward that is not a number, or raises."""

    def __init__(self, life: int, raises: bool) -> None:
        super().__init__(1.0, 5)
        self._life, self._raises = life, raises

    def step(self, action):
        self._life -= 1
        if self._life < 0 and self._raises:
            raise RuntimeError("the arm fell off")
        observation, reward, *rest = super().step(action)
        return observation, float("nan") if self._life < 0 else reward, *rest


def turns_nan(**kwargs):
    return _limited(Failing(32, raises=False))


def breaks(**kwargs):
    return _limited(Failing(32, raises=True))
