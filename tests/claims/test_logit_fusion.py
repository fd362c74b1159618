"""The claim `logit-fusion`: what is made of its numbers."""

import numpy as np
import pytest

from polytask.claims.base import check
from polytask.claims.characters import VOCABULARY, encode
from polytask.claims.logit_fusion import PROXY, TASKS, Plan, finding


def test_characters_outside_the_vocabulary_are_left_out():
    assert [VOCABULARY[token] for token in encode("aé\tb\n ~")] == ["a", "b", "\n", " ", "~"]


@pytest.mark.parametrize(("fused", "verdict"), [(40.0, "holds"), (34.0, "mixed"), (20.0, "does not hold")])
def test_both_headlines_and_the_verdict(fused, verdict):
    plain = {"large base": 30.0, "small base": 25.0, "small expert": 35.0, "large, tuned": 50.0}
    names = ("DLF", "DLF (grid)", "DLF, two experts", "DLF, two experts (grid)", *(f"proxy {a:g}" for a in PROXY))
    values = plain | dict.fromkeys(names, fused)
    noise = 0.01 * np.arange(3)
    found = {
        f"{task}, {name}": np.stack([value + noise, *[np.ones(3)] * 4], axis=1)
        for task in TASKS
        for name, value in values.items()
    }
    made = finding(found, Plan())
    check(made)
    by_label = {row.label: row.ours for row in made.rows}
    assert by_label["Folio: DLF / tuned, %"] == pytest.approx(2 * fused, rel=1e-3)
    assert by_label["Folio: DLF, gap closed, %"] == pytest.approx(5 * (fused - 30), abs=1e-6)
    assert made.verdict == verdict
