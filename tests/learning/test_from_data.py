"""Agents learn from logged data what is best in it, in tasks that differ in goal and in the scale of rewards."""

import numpy as np
import pytest

import polytask
from tests.offline.small import GOALS, write_probes
from tests.small import command

FLAGS = {
    "td3-bc": ["--agent.alpha", "10"],  # at the paper's 2.5 it stays near the mean of uniform actions, as it should
    "iql": ["--agent.inverse-temperature", "3"],
    "bcq": ["--agent.vae-width", "32", "--agent.perturbation", "0.2"],
    "brc-bc": [
        *("--agent.alpha", "10", "--agent.critic-width", "32", "--agent.actor-width", "32"),
        *("--agent.batch-size", "64"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLAGS)
def test_the_best_logged_action_is_found_in_every_task(kind, tmp_path):
    data = write_probes(tmp_path / "sets", tuple(GOALS))
    width = [] if kind == "brc-bc" else ["--agent.width", "32"]
    steps = ["--steps", "2000", "--eval-every", "0", "--agent.learning-rate", "1e-3", "--agent.tau", "0.02"]
    code, _, err = command(
        *("train", data, "--agent.kind", kind, *FLAGS[kind], *width, *steps, "--log-every", "2000"),
        *("--no-tensorboard", "--run", str(tmp_path / "run")),
    )
    assert code == 0, err
    policy = polytask.load(tmp_path / "run")
    for name, goal in GOALS.items():
        action = policy.act(np.zeros(1, np.float32), f"gym/tests.learning.probes:{name}")
        assert abs(float(action[0]) - goal) < 0.2, (kind, name, action)
