"""Small environments that misbehave on purpose; the tests name them as gym/probes:<callable>."""

import os
import signal
import time

import gymnasium
import numpy as np


class Counter(gymnasium.Env):
    """Observes (steps in this episode, last action, a draw of this episode); `info` reports success at step 2."""

    def __init__(self, length: int = 5, terminates: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 4.0]), dtype=np.float64)
        self._length, self._terminates = length, terminates
        self._steps = 0
        self._draw = 0.0

    def _observe(self, action: float) -> np.ndarray:
        return np.array([self._steps, action, self._draw])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps, self._draw = 0, float(self.np_random.uniform())
        return self._observe(0.0), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self._steps += 1
        ended = self._steps >= self._length
        info = {"is_success": self._steps == 2}
        return self._observe(action[1]), float(action.sum()), ended and self._terminates, ended, info


class Faulty(Counter):
    """Does something bad at the third step of its life."""

    def __init__(self, deed: str) -> None:
        super().__init__(length=100)
        self._deed, self._life = deed, 0

    def step(self, action):
        self._life += 1
        observation, reward, terminated, truncated, info = super().step(action)
        if self._life != 3:
            return observation, reward, terminated, truncated, info
        if self._deed == "raise":
            raise RuntimeError("the arm fell off")
        if self._deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._deed == "hang":
            time.sleep(60)
        if self._deed == "nan reward":
            reward = float("nan")
        if self._deed == "nan observation":
            observation = observation * np.inf
        if self._deed == "shape":
            observation = observation[:2]
        return observation, reward, terminated, truncated, info


def counter(**kwargs):
    return gymnasium.wrappers.TimeLimit(Counter(), 50)


def terminal(**kwargs):
    return gymnasium.wrappers.TimeLimit(Counter(terminates=True), 50)


def endless(**kwargs):
    env = Counter(length=10**9)
    env.spec = gymnasium.envs.registration.EnvSpec("endless-v0", max_episode_steps=4)
    return env


def _faulty(deed):
    return lambda **kwargs: gymnasium.wrappers.TimeLimit(Faulty(deed), 50)


raises = _faulty("raise")
dies = _faulty("die")
hangs = _faulty("hang")
nan_reward = _faulty("nan reward")
nan_observation = _faulty("nan observation")
bad_shape = _faulty("shape")


class _Spaces(Counter):
    def __init__(self, observation_space=None, action_space=None) -> None:
        super().__init__()
        self.observation_space = observation_space or self.observation_space
        self.action_space = action_space or self.action_space


def unbounded(**kwargs):
    return _Spaces(action_space=gymnasium.spaces.Box(-np.inf, np.inf, (2,)))


def without_horizon(**kwargs):
    return Counter()


def broken(**kwargs):
    raise OSError("no licence")


class Goal(Counter):
    """A dictionary of observations, as goal environments have."""

    def __init__(self, **kwargs) -> None:
        super().__init__()
        box = self.observation_space
        self.observation_space = gymnasium.spaces.Dict({"state": box, "goal": gymnasium.spaces.Box(-1, 1, (2, 2))})
        self.spec = gymnasium.envs.registration.EnvSpec("goal-v0", max_episode_steps=50)

    def _observe(self, action):
        return {"state": super()._observe(action), "goal": np.full((2, 2), 0.5, np.float32)}


class OldInterface:
    """As environments were before Gym 0.26: no seed in reset, four values from step."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)
        self.closed = False

    def seed(self, seed):
        self._generator = np.random.default_rng(seed)

    def reset(self):
        self._steps = 0
        return self._generator.uniform(size=3)

    def step(self, action):
        self._steps += 1
        ended = self._steps == 3
        return np.zeros(3), 1.0, ended, {"TimeLimit.truncated": True} if ended else {}

    def render(self, mode):
        return np.zeros((4, 4, 3), np.uint8)

    def close(self):
        self.closed = True


class Wrong(Counter):
    """Returns, from reset or step, what `change` makes of it."""

    def __init__(self, at, change) -> None:
        super().__init__()
        self._at, self._change = at, change

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        return self._change(result) if self._at == "reset" else result

    def step(self, action):
        result = super().step(action)
        return self._change(result) if self._at == "step" else result


def _wrong(at, change):
    return lambda **kwargs: gymnasium.wrappers.TimeLimit(Wrong(at, change), 50)


def _swap(position, value):
    return lambda result: (*result[:position], value, *result[position + 1 :])


four_values = _wrong("step", lambda result: (*result[:3], result[4]))
no_info = _wrong("reset", lambda result: result[0])
pair_observation = _wrong("reset", lambda result: (0.0, 1.0))
dict_of_values = _wrong("step", lambda result: {"observation": result[0]})
reward_none = _wrong("step", _swap(1, None))
reward_array = _wrong("step", _swap(1, np.zeros(2)))
info_none = _wrong("step", _swap(4, None))
text_observation = _wrong("step", _swap(0, "here"))
no_observation = _wrong("reset", _swap(0, None))
wide_observation = _wrong("step", _swap(0, np.zeros((2, 3))))


def reward_of_one_entry(**kwargs):
    return _wrong("step", _swap(1, np.array([1.5])))()


class NoSeed(Counter):
    """A reset of the old kind in an otherwise new environment."""

    def reset(self):
        return super().reset()


def no_seed(**kwargs):
    return gymnasium.wrappers.TimeLimit(NoSeed(), 50)


def old(**kwargs):
    return OldInterface()


def old_wrapped(render_mode=None, **kwargs):
    from polytask.tasks import OldGym

    return gymnasium.wrappers.TimeLimit(OldGym(OldInterface(), render_mode), 50)


class NoSpaces(gymnasium.Env):
    """An environment that forgot its spaces."""


def no_spaces(**kwargs):
    return NoSpaces()
