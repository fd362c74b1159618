"""The Python in docs/affinity.md runs as it stands."""

import re
from pathlib import Path

import jax
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "affinity.md"


@pytest.mark.slow
def test_snippets_run():
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(snippets) == 2
    with jax.numpy_dtype_promotion("standard"):
        for snippet in snippets:
            exec(compile(snippet, PAGE.name, "exec"), {})
