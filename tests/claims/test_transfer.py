"""Claims on agents: the plan of their training runs, and what is made of their results."""

import numpy as np
import pytest

from polytask.claims import conflict_width, negative_transfer
from polytask.claims.base import check
from polytask.claims.negative_transfer import ARMS, TASKS, groups_of
from polytask.tasks.registry import resolve


def test_the_ten_tasks_exist():
    assert len(set(TASKS)) == 10
    assert resolve(TASKS).names == TASKS


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "TAG groups"])
def test_groups_serve_every_task_once(arm, tmp_path):
    groups = groups_of(arm, TASKS, 0, tmp_path)
    served = [task for group in groups for task in group.serves]
    assert sorted(served) == (sorted(TASKS) if groups else [])
    assert len(groups) == {"together": 0, "pcgrad": 0, "alone": 10, "random groups": 3}[arm]
    assert groups == groups_of(arm, TASKS, 0, tmp_path)


def test_arms_have_equal_steps_and_updates():
    plans = [negative_transfer.configuration(True, arm, 0) for arm in ARMS]
    assert len({(p.steps, p.agent.updates_per_step, p.agent.batch_size, p.warmup_steps) for p in plans}) == 1
    assert [p.agent.combines for p in plans] == [arm == "pcgrad" for arm in ARMS]


def test_what_is_made_of_successes():
    base = np.linspace(0.2, 0.8, 10)[None] + np.array([[-0.01], [0.0], [0.01]])
    found = {"together": base, "alone": base + 0.2, "pcgrad": base + np.array([[0.1], [-0.1], [0.0]])}
    made = negative_transfer.finding(found, {}, TASKS, 100_000)
    check(made)
    assert made.verdict == "holds"
    by_label = {row.label: row for row in made.rows}
    assert by_label["alone - together"].ours == pytest.approx(0.2)
    assert by_label["together: success"].paper.startswith("0.")  # the published curves reach these steps


def test_what_is_made_of_conflict_rates():
    periods = np.array([0.4, 0.3])
    falling = {64: [(periods, 0.40), (periods, 0.42)], 512: [(periods, 0.30), (periods, 0.33)]}
    made = conflict_width.finding(falling)
    check(made)
    by_label = {row.label: row.ours for row in made.rows}
    assert by_label["512 wide - 64 wide, paired"] == pytest.approx(-0.095)
    assert by_label["the same, second half of the periods"] == 0.0
    assert made.verdict == "holds"
    assert conflict_width.finding({w: by_seed[:1] for w, by_seed in falling.items()}).verdict == "no difference seen"
    assert conflict_width.finding({512: falling[64], 64: falling[512]}).verdict == "does not hold"
