"""Affinity recorded while an agent trains."""

import numpy as np
import pytest

from polytask.runs import checkpoint
from polytask.runs.affinity_log import read_affinity
from tests.small import AGENT, EVERY, PLANE, POINT, command

RUN = ("train", POINT, PLANE, *AGENT, *EVERY, "--steps", "120")


@pytest.mark.slow
def test_measuring_changes_no_bit_and_every_period_is_written(trained_run, tmp_path):
    run = tmp_path / "run"
    code, _, err = command(*RUN, "--affinity", "every=5", "--run", str(run))
    assert (code, err) == (0, "")
    plain, measured = (checkpoint.read_arrays(checkpoint.latest(path).path) for path in (trained_run, run))
    for name, array in plain.items():
        np.testing.assert_array_equal(measured[name], array, err_msg=name)
    records, _, damaged = read_affinity(run)
    assert not damaged
    assert {(r.part, r.measure) for r in records} >= {("critic", "transference"), ("actor", "gain")}
    periods = [r for r in records if (r.part, r.measure) == ("critic", "transference")]
    # The warm-up takes 20 steps, and the log is written every 20: the first period holds step 20 alone.
    assert [(r.period, int(r.count.max())) for r in periods] == [((0, 20), 1)] + [
        ((s, s + 20), 4) for s in range(20, 120, 20)
    ]
    assert all(r.tasks == (POINT, PLANE) for r in records)
    code, out, _ = command("affinity", str(run))
    assert code == 0
    assert "transference of the critic" in out


def test_an_agent_without_task_losses_is_refused_before_anything_is_written(tmp_path):
    run = tmp_path / "run"
    code, _, err = command(
        "train",
        POINT,
        PLANE,
        "--agent.kind",
        "sac",
        "--affinity-every",
        "5",
        "--checkpoint-every",
        "60",
        "--run",
        str(run),
    )
    assert code == 2
    assert "affinity is measured in brc, not in sac" in err
    assert not run.exists()
