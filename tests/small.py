"""Tiny tasks of unequal sizes, and flags that train on them in seconds."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium
import numpy as np

from polytask.cli import main
from polytask.training import kinds
from polytask.training.arguments import folders
from polytask.training.run import _Loop

POINT, PLANE, BREAKS = "gym/tests.small:point", "gym/tests.small:plane", "gym/tests.small:breaks"
HORIZON = 20
# The smallest agent, so that it compiles quickly.
AGENT = [
    *("--agent.critic-width", "16", "--agent.critic-depth", "1", "--agent.actor-width", "16"),
    *("--agent.bins", "11", "--agent.batch-size", "8", "--agent.updates-per-step", "1"),
]
EVERY = [
    *("--warmup-steps", "20", "--checkpoint-every", "60", "--eval-every", "60"),
    *("--eval-episodes", "3", "--log-every", "20"),
    *("--replay-capacity", "50"),  # wraps between two checkpoints
]
TRAINED = [POINT, PLANE, *AGENT, *EVERY, "--steps", "120"]  # the run that tests share


class Walk(gymnasium.Env):
    """A point that walks to the origin; observes where it is and a constant. `success`: it is near."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, low, high, judged: bool, nan_at: int | None = None, render_mode: str | None = None) -> None:
        self.action_space = gymnasium.spaces.Box(np.array(low), np.array(high), dtype=np.float64)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(low) + 1,), np.float64)
        self.render_mode = render_mode
        self._judged, self._nan_at, self._life = judged, nan_at, 0
        self._place = np.zeros(len(low))

    def _observe(self):
        return np.append(self._place, 1.0)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = self.np_random.uniform(-1, 1, self._place.shape)
        return self._observe(), {}

    def step(self, action):
        self._life += 1
        middle = (self.action_space.low + self.action_space.high) / 2
        self._place = np.clip(self._place + 0.1 * (action - middle), -2, 2)
        distance = float(np.linalg.norm(self._place))
        reward = np.nan if self._life == self._nan_at else -distance
        return self._observe(), reward, False, False, {"success": distance < 0.5} if self._judged else {}

    def render(self):
        frame = np.zeros((49, 64, 3), np.uint8)
        frame[:, : int(16 + 8 * self._place[0])] = 255
        return frame


def point(**kwargs):
    return gymnasium.wrappers.TimeLimit(Walk([-2.0], [2.0], judged=True, **kwargs), HORIZON)


def plane(**kwargs):
    return gymnasium.wrappers.TimeLimit(Walk([-1.0, 0.0], [1.0, 4.0], judged=False, **kwargs), HORIZON)


def breaks(**kwargs):
    return gymnasium.wrappers.TimeLimit(Walk([-1.0], [1.0], judged=True, nan_at=30, **kwargs), HORIZON)


def command(*arguments: str, report: bool = False) -> tuple[int, str, str]:
    """Runs a polytask command here; its exit code, and what it wrote to stdout and stderr.

    A training draws the report that it ends with, which takes longer than its steps, only where it is asked for.
    """
    out, err = io.StringIO(), io.StringIO()
    drawn = report or arguments[:1] not in (("train",), ("resume",))
    skipped = contextlib.nullcontext() if drawn else mock.patch("polytask.report.write_report", lambda runs, file: file)
    with skipped, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exit_:  # tyro ends so after help and on a wrong flag
            code = int(exit_.code or 0)
    return code, out.getvalue(), err.getvalue()


def check_light_help(problem: str, option: str) -> None:
    """The help of all options of training on a problem names one, fits 80 columns and imports nothing heavy."""
    script = (
        "import sys\nfrom polytask.cli import main\n"
        f"try:\n    main(['train', {problem!r}, '--help-all'])\nexcept SystemExit as exit_:\n    pass\n"
        "assert not [m for m in 'jax equinox optax sklearn scipy'.split() if m in sys.modules]\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=True,
    )
    assert option in done.stdout
    assert not [line for line in done.stdout.splitlines() if len(line) > 80 and not line.startswith("usage:")]


def asked(*arguments: str) -> tuple[Any, Path]:
    """The configuration and the run folder that `polytask train` was asked for."""
    found = kinds.asked(arguments).parse(list(arguments))
    return found.config, next(iter(folders(found).values()))


def killed_at(monkeypatch: Any, step: int) -> None:
    """Lets a run die while it saves the checkpoint of a step."""
    saves = _Loop.save
    monkeypatch.setattr(_Loop, "save", lambda self: saves(self) if self.trainer.step != step else 1 / 0)
