"""`polytask reproduce` with a claim that takes no time."""

import json

import numpy as np
import pytest

from polytask.claims import registry
from polytask.claims.base import Claim, Finding, Row
from polytask.claims.drawing import draw
from tests.small import command

LONG = "a label that is long enough to be folded in a terminal of eighty columns, decision quality"


def finding(full, output, log):
    log("half of it is done [of two]")
    rows = (
        Row(LONG, 0.123456, 0.1, 0.15, "0.0912 ± 0.0102 (table 2 of the paper, ten seeds)", 10),
        Row("without a number [here]", None, paper="could not be obtained"),
        Row("steps", 222_000.0, 1e-9, 1e12),
    )
    figure = draw(lambda axes: axes.plot([0, 1], [0, 1]), 2, 2)
    tables = {"grid": np.arange(4.0).reshape(2, 2), "nothing": float("nan"), "full": full, "pair": (1, "a")}
    return Finding(rows, "mixed", ("One [plain] sentence.",), {"line": figure}, tables)


@pytest.fixture
def fake(monkeypatch):
    claim = Claim("fake-one", "Nobody 2026", "Something [small] is so.", finding, "one second", "two seconds")
    other = Claim("fake-two", "Nobody 2027", "Something else is so.", finding, "one second", "two seconds")
    monkeypatch.setattr(registry, "every_claim", lambda: {claim.name: claim, other.name: other})
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("fake")
def test_the_list_names_what_can_be_run():
    code, out, err = command("reproduce")
    assert (code, err) == (0, "")
    assert "fake-one" in out
    assert "Something [small] is so." in out
    assert "one second" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.usefixtures("fake")
def test_a_run_is_shown_and_written(tmp_path):
    code, out, _ = command("reproduce", "fake-one", "--full", "--output", str(tmp_path / "new" / "claims"))
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for said in ("half of it is done [of two]", "0.1235", "0.1000 to 0.1500", "222,000", "mixed", "[plain] sentence."):
        assert said in out
    written = json.loads((tmp_path / "new" / "claims" / "fake-one.json").read_text())
    assert (written["mode"], written["verdict"]) == ("full", "mixed")
    assert written["rows"][0]["label"] == LONG
    assert written["rows"][1]["ours"] is None
    assert written["tables"] == {"grid": [[0.0, 1.0], [2.0, 3.0]], "nothing": None, "full": True, "pair": [1, "a"]}
    assert written["provenance"]["packages"]["jax"]
    assert (tmp_path / "new" / "claims" / "fake-one-line.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("fake")
def test_several_end_with_their_verdicts(tmp_path):
    code, out, _ = command("reproduce", "all", "--output", str(tmp_path))
    assert code == 0
    assert out.splitlines()[-2:] == ["fake-one  mixed", "fake-two  mixed"]
    assert json.loads((tmp_path / "fake-two.json").read_text())["mode"] == "fast"


@pytest.mark.usefixtures("fake")
def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    code, _, err = command("reproduce", "fake-oen", "--output", str(tmp_path / "none"))
    assert (code, "did you mean fake-one" in err) == (2, True)
    assert not (tmp_path / "none").exists()
