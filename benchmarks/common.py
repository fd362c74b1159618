"""What several benchmarks share: the official agent, and where figures come from."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from polytask.agents.config import BRCConfig
from polytask.runs import provenance
from polytask.tasks.spec import TaskSet


def official_agent(folder: Path, config: BRCConfig, tasks: TaskSet) -> Any:
    """The official code's agent (github.com/naumix/BiggerRegularizedCategorical, checked out in `folder`).

    Its kernels are drawn from a normal distribution: its jitted orthogonal initialisers wait for each other for ever at
    width 512 and above on two cores, and without `jit` they take a minute. What an update costs does not depend on it.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    import flax.linen
    import jaxrl.networks
    from jaxrl.agent.brc_learner import BRC

    jaxrl.networks.default_init = lambda *_: flax.linen.initializers.lecun_normal()
    return BRC(
        0,
        np.zeros((1, tasks.observation_dim), np.float32),
        np.zeros((1, tasks.action_dim), np.float32),
        len(tasks),
        updates_per_step=config.updates_per_step,
        width_critic=config.critic_width,
    )


def facts() -> dict[str, Any]:
    """Commit, machine, versions and load, to stand beside figures."""
    session = provenance.collect()
    kept = ("started", "git", "cpu", "cores", "memory_bytes", "devices", "python", "packages")
    return {**{name: session[name] for name in kept}, "load": round(os.getloadavg()[0], 2)}


def save(file: Path | None, content: dict[str, Any]) -> None:
    """Writes figures with their facts, if a file is named."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1) + "\n")
