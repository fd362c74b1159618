"""Small environments of images, dictionaries and choices; the tests name them as gym/scenes:<callable>."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple


class Scene(gymnasium.Env):
    """Every entry of an observation is told from all others of its episode; a reward is the sum of the action."""

    def __init__(self, observation_space, action_space=None, length=5, terminates=False):
        self.observation_space = observation_space
        self.action_space = action_space or Discrete(3)
        self.spec = gymnasium.envs.registration.EnvSpec("scene-v0", max_episode_steps=length)
        self._terminates, self._length = terminates, length

    def _observe(self, space):
        if isinstance(space, Dict):
            return {name: self._observe(part) for name, part in space.items()}
        if isinstance(space, Discrete):
            return int(space.start) + self.steps % int(space.n)
        index = self.draw + 7 * self.steps + np.arange(np.prod(space.shape)).reshape(space.shape)
        return (index % (int(space.high.max()) + 1 if np.isfinite(space.high.max()) else 256)).astype(space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.draw = 0, int(self.np_random.integers(200))
        return self._observe(self.observation_space), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        assert not isinstance(self.action_space, Discrete) or type(action) is int
        self.steps += 1
        ended = self._terminates and self.steps == self._length
        return self._observe(self.observation_space), float(np.sum(action)), ended, False, {}


def pixels(*shape, dtype=np.uint8, high=255):
    return Box(0, high, shape, dtype)


NUMBERS = Box(-np.inf, np.inf, (2,))


def game(**_):
    return Scene(pixels(8, 10, 2))


def game_of_another_size(**_):
    return Scene(pixels(8, 10), Discrete(5, start=-2), length=4, terminates=True)


def channels_first(**_):
    return Scene(pixels(3, 8, 10), MultiDiscrete([3, 2]))


def grid(**_):
    return Scene(pixels(10, 10, 4, dtype=bool, high=1), MultiBinary(3))


def robot(**_):
    parts = {"camera": pixels(8, 10, 3), "joints": NUMBERS, "wrist": pixels(8, 10), "place": Discrete(2, start=4)}
    return Scene(Dict(parts), Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32)), length=6)


def walker(**_):
    return Scene(NUMBERS, Box(-2, 2, (3,)), length=7)


OBSERVATIONS = {
    "bytes": pixels(8),
    "numbers of rank 3": Box(-1, 1, (8, 8, 3)),
    "small numbers of rank 3": pixels(3, 3, 2, dtype=np.float32, high=1),
    "floats": pixels(8, 9, 3, dtype=np.float32, high=1),
    "codes": pixels(8, 9, 3, dtype=np.int64, high=255),
    "dictionary": Dict({"b": NUMBERS, "a": Discrete(3)}),
    "small": pixels(6, 80, 3),
    "large": pixels(513, 80, 3),
    "deep": Dict({"eyes": Dict({"left": pixels(8, 8, 3)})}),
    "pair": Tuple((pixels(8, 8, 3), NUMBERS)),
    "stacks": pixels(4, 8, 8, 3),
    "text": Text(10),
    "mission": Dict({"image": pixels(8, 8, 3), "mission": Text(10)}),
    "graph": Graph(NUMBERS, None),
    "sequence": Sequence(NUMBERS),
}
ACTIONS = {
    "one": Discrete(1),
    "many": MultiDiscrete([33, 32]),
    "dictionary": Dict({"a": Discrete(2)}),
    "tuple": Tuple((Discrete(2),)),
    "unbounded": Box(-np.inf, np.inf, (2,)),
}


class Fails(Scene):
    """Raises at the third step of its life."""

    life = 0

    def step(self, action):
        self.life += 1
        if self.life == 3:
            raise RuntimeError("the screen went dark")
        return super().step(action)


def fails(**_):
    return Fails(pixels(8, 10, 2), length=50)
