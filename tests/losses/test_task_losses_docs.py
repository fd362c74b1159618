"""The snippets of docs/task_losses.md run, in order, in one namespace."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.slow
def test_the_snippets_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "task_losses.md").read_text()
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(snippet, names)
    assert np.isfinite(names["quality"].decision)
    assert names["qualities"].decision.shape == (10,)
    assert names["the_value_as_a_weight"](jnp.zeros((2, 1)), jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32)).shape == (2, 3)
    np.testing.assert_allclose(names["slope"].sum(), 0, atol=1e-6)
    assert np.abs(names["slope"]).max() > 0
    assert names["sales"].shape == (1,)
    assert (tmp_path / "runs" / "bakery-seed0" / "evaluations.jsonl").exists()
