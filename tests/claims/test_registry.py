"""Every claim says what it is, lightly; names are found, and unsound findings refused."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from polytask import claims
from polytask.claims.base import Finding, Row, check
from polytask.claims.registry import every_claim, find

DOCS = Path(__file__).parents[2] / "docs" / "claims.md"


def test_every_claim_says_what_it_is():
    found = every_claim()
    assert len(found) == len(claims.MODULES)
    for name, claim in found.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert claim.name == name
        assert claim.statement.endswith(".")
        assert claim.paper
        assert claim.fast
        assert claim.full


def test_the_documentation_has_the_claims_in_their_order():
    documented = re.findall(r"^## `([a-z0-9-]+)`", DOCS.read_text(), re.M)
    assert documented == list(every_claim())


def test_a_claim_is_light_to_import():
    script = (
        "import sys\nfrom polytask.claims.registry import every_claim\nevery_claim()\n"
        "heavy = 'jax equinox optax envpool gymnasium matplotlib scipy sklearn tensorboardX'.split()\n"
        "print(*[m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_are_found_and_all_means_all():
    names = list(every_claim())
    assert [claim.name for claim in find(["all"])] == names
    assert [claim.name for claim in find([*names[::-1], names[0]])] == names[::-1]
    with pytest.raises(ValueError, match="did you mean pcgrad-landscape"):
        find(["pcgrad-landscap"])
    with pytest.raises(ValueError, match=f"there are {names[0]}"):
        find(["xyz"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "at least one row"),
        ((Row("a", math.nan),), "not finite"),
        ((Row("a", 1.0, low=0.5),), "one bound"),
        ((Row("a", 1.0, 2.0, 3.0),), "not between"),
    ],
)
def test_an_unsound_finding_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        check(Finding(rows, "holds"))


def test_sound_findings():
    check(Finding((Row("a", None, paper="1.0"), Row("b", 1.0, 1.0, 1.0), Row("c", -1.0, -2.0, 0.0)), "mixed"))
