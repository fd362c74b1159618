import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _probes(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "stepping"))
    yield
    for name in ("probes", "scenes"):
        sys.modules.pop(name, None)
