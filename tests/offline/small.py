"""Small logs with known best actions, and flags that learn from them in seconds."""

import numpy as np

from polytask.datasets import minari
from polytask.datasets.logged import LoggedTask, logged
from polytask.tasks.registry import resolve

GOALS = {"up": 0.5, "down": -0.5, "thousandfold": -0.5}
SMALL = {
    "td3-bc": ["--agent.width", "16", "--agent.depth", "1"],
    "iql": ["--agent.width", "16", "--agent.depth", "1"],
    "bcq": ["--agent.width", "16", "--agent.depth", "1", "--agent.vae-width", "16", "--agent.acting-candidates", "8"],
    "brc-bc": [
        *("--agent.critic-width", "16", "--agent.critic-depth", "1", "--agent.actor-width", "16"),
        *("--agent.bins", "11"),
    ],
}
EVERY = [
    *("--agent.batch-size", "8", "--steps", "80", "--eval-every", "40", "--eval-episodes", "2"),
    *("--log-every", "40", "--checkpoint-every", "40", "--no-tensorboard"),
]


def probe_log(name: str, count: int = 400) -> LoggedTask:
    """One-step episodes of a probe under uniform actions: the reward is highest at `GOALS[name]`."""
    (spec,) = resolve((f"gym/tests.learning.probes:{name}",))
    rng = np.random.default_rng(len(name))
    actions, scale = rng.uniform(-1, 1, (count, 1)), 1000.0 if name == "thousandfold" else 1.0
    arrays = {
        "observations": np.zeros((count, 1)),
        "actions": actions,
        "rewards": -scale * np.square(actions[:, 0] - GOALS[name]),
        "terminated": np.ones(count),
        "next_observations": np.zeros((count, 1)),
    }
    return logged(arrays, spec, name)


def write_probes(folder, names=("up", "thousandfold")) -> str:
    """Sets of these probes; the name by which they are trained from."""
    for name in names:
        minari.write(folder, probe_log(name), name=name, algorithm="uniform")
    return f"data:{folder}"
