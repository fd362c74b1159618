"""The example package that adds one of each thing by entry points, and the page that explains it."""

import re
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.agents.factory import make_agent
from polytask.agents.registry import agent_config
from polytask.combine import make_combiner
from polytask.problems import _made, resolve
from polytask.supervised import SupervisedConfig
from polytask.supervised.loss import training_losses
from polytask.tasks import registry
from polytask.training import kinds

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "extension"


@pytest.fixture
def extension(install, monkeypatch):
    """The package's modules, and each group of its entry points as one that is installed."""
    groups = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for group, entries in groups.items():
        install(f"extends_{group.partition('.')[2]}", "", group, "\n".join(f"{k} = {v}" for k, v in entries.items()))
    yield set(groups)
    _made.cache_clear()


def test_it_adds_one_of_each(extension):
    groups = {"suites", "agents", "combiners", "losses", "problems", "kinds"}
    assert extension == {f"polytask.{name}" for name in groups}
    tasks = registry.resolve(["line/both"])
    assert tasks.names == ("line/left", "line/right")
    agent = make_agent(agent_config("patient", width=8), tasks)
    assert agent.config.tau == 0.0005
    assert make_combiner("loudest").name == "loudest"
    problem = resolve("waves")
    losses = training_losses(SupervisedConfig(loss="absolute"), problem.tasks, jnp.zeros((180, 2)), problem.train)
    expected = [np.abs(np.asarray(targets)).mean(0) for targets in problem.train.targets]
    np.testing.assert_allclose(losses, np.concatenate(expected)[:, 0], rtol=1e-5)
    assert kinds.asked(["counting/three"]).name == "counting"


def test_the_page_shows_the_example_s_own_code():
    source = "".join((EXAMPLE / name).read_text() for name in ("extension.py", "counting.py"))
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extend.md").read_text(), re.DOTALL)
    assert len(snippets) >= 6
    for snippet in snippets:
        assert snippet in source
