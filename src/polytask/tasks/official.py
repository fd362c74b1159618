"""The official simulators as Gymnasium environments; they come with the extra `official`."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from polytask.tasks import dmc, opengl
from polytask.tasks.draws import StdRandom
from polytask.tasks.spaces import Image
from polytask.tasks.spec import TaskSpec


@contextlib.contextmanager
def _without_opengl() -> Iterator[None]:
    """Imports made here look for no OpenGL, which dm_control otherwise does, and complains of in vain."""
    if "MUJOCO_GL" in os.environ or "dm_control" in sys.modules:
        yield
        return
    os.environ["MUJOCO_GL"] = "disable"
    try:
        yield
    finally:
        del os.environ["MUJOCO_GL"]


class _MetaWorldGoals(gymnasium.Wrapper):
    """Gives each episode of a Meta-World environment a seeded goal; metaworld itself ignores `reset(seed)`."""

    def __init__(self, env: Any, fixed: bool) -> None:
        super().__init__(env)
        self._random, self._fixed = StdRandom(0), fixed
        self._begin = self._random.get_state()
        self._reset_model = env.reset_model
        env.reset_model = self._same_goal
        env.seeded_rand_vec, env._freeze_rand_vec, env._set_task_called = True, False, True
        env.np_random = self._random

    def _same_goal(self) -> Any:
        # metaworld's reset calls this twice, and both calls have to draw the same goal.
        self._random.set_state(self._begin)
        return self._reset_model()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._random.seed(seed)
        if seed is not None or not self._fixed:
            self._begin = self._random.get_state()
        return self.env.reset()

    def render(self) -> Any:
        # Meta-World's cameras hang upside down.
        frame: Any = self.env.render()
        return frame if frame is None else frame[::-1, ::-1].copy()


def metaworld_env(spec: TaskSpec, render: bool) -> gymnasium.Env:
    """Meta-World's own environment, its goal in sight, drawing the goals that EnvPool draws from the same seed."""
    if render:
        opengl.choose()
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    kind = ALL_V3_ENVIRONMENTS[spec.task]
    view: dict[str, Any] = {"render_mode": "rgb_array", "camera_name": "corner2"} if render else {}
    env: Any = kind(reward_function_version=spec.reward_version, **view)
    env._partially_observable = False
    del env.sawyer_observation_space
    env.observation_space = env.sawyer_observation_space
    env.max_path_length = spec.horizon
    return _MetaWorldGoals(env, spec.goals == "fixed")


class _Dmc(gymnasium.Env):
    """A task of dm_control's suite, its observation flattened in the suite's order."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, spec: TaskSpec, seed: int, render: bool) -> None:
        task = spec.task
        # The suite draws the terrain of this one into an OpenGL context, rendered or not.
        if render or task == "quadruped-escape":
            opengl.choose()
        with _without_opengl():
            from dm_control import suite
        # LQR draws its very system from the seed, here; the episodes are drawn after a reset from the same seed.
        self._random = StdRandom(seed)
        # The horizon is kept in steps, by TaskEnv.
        self._env = suite.load(*dmc.split(task), task_kwargs={"random": self._random, "time_limit": float("inf")})
        self._entries = dmc.LAYOUTS[task].entries
        self.render_mode = "rgb_array" if render else None
        low, high = (bound.astype(np.float64) for bound in spec.bounds)
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        size = sum(int(np.prod(entry.shape)) for entry in self._env.observation_spec().values())
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)

    def _flat(self, observation: Any) -> np.ndarray:
        return np.concatenate([np.ravel(observation[entry]) for entry in self._entries])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._random.seed(seed)
        return self._flat(self._env.reset().observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        step = self._env.step(action)
        # An end with discount 0 is a terminal state; the suite's other end is its time limit.
        terminated = step.last() and step.discount == 0.0
        return self._flat(step.observation), float(step.reward), terminated, step.last() and not terminated, {}

    def render(self) -> np.ndarray:
        return self._env.physics.render(480, 480, camera_id=0)

    def close(self) -> None:
        self._env.close()


def dmc_env(spec: TaskSpec, seed: int, render: bool) -> gymnasium.Env:
    """dm_control's own environment, drawing the initial states that EnvPool draws from the same seed."""
    return _Dmc(spec, seed, render)


class _DmcPixels(_Dmc):
    """A task of dm_control's suite as a camera sees it, each action repeated and its rewards summed.

    Without shadows, reflections and multisampling, which take most of the time of a software renderer.
    """

    def __init__(self, spec: TaskSpec, seed: int) -> None:
        super().__init__(spec, seed, render=True)
        image = spec.observation
        assert isinstance(image, Image)
        self._size = (image.height, image.width)
        self._repeat: int = next(option[1] for option in spec.options if option[0] == "frame_skip")
        self._camera = 2 if spec.task.startswith("quadruped") else 0  # the first one sees the quadruped from afar
        self._env.physics.model.vis.quality.offsamples = 0
        self.observation_space = gymnasium.spaces.Box(0, 255, (*self._size, image.channels), np.uint8)

    def _frame(self) -> np.ndarray:
        flags = {"shadow": False, "reflection": False}
        return self._env.physics.render(*self._size, camera_id=self._camera, render_flag_overrides=flags)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        info = super().reset(seed=seed, options=options)[1]
        return self._frame(), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total, terminated, truncated, info = 0.0, False, False, {}
        for _ in range(self._repeat):
            _, reward, terminated, truncated, info = super().step(action)
            total += reward
            if terminated or truncated:
                break
        return self._frame(), total, terminated, truncated, info


def dmc_pixels_env(spec: TaskSpec, seed: int) -> gymnasium.Env:
    """dm_control's own environment as a camera sees it, with the initial states of the task with that seed.

    Raises RuntimeError, saying what to install, where nothing renders.
    """
    return _DmcPixels(spec, seed)
