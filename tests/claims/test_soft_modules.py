"""The claim on soft modules: its plan, and what is made of its curves."""

import itertools

import numpy as np
import pytest

from polytask.claims import soft_modules
from polytask.claims.base import check
from polytask.claims.soft_modules import AGENTS, HEADS, NETWORKS, PLAIN, SOFT, Curve


def test_arms_differ_in_their_network_alone():
    for agent in AGENTS:
        plans = [soft_modules.configuration(True, agent, network, 1) for network in NETWORKS]
        assert {(p.steps, p.seed, p.agent.kind, p.agent.batch_size, p.agent.updates_per_step) for p in plans} == {
            (100_000, 1, agent, 256, 1)
        }
        assert {(p.agent.learning_rate, p.agent.tau, p.task_sampling) for p in plans} == {(1e-3, 0.02, "unsolved")}
        tiny = soft_modules.configuration(False, agent, SOFT, 0)
        assert (tiny.steps, tiny.agent.critic_width, len(tiny.tasks)) == (120, 8, 3)


def curves(level: float, seconds: float) -> list[Curve]:
    """Three seeds whose success grows by `level` in each of ten evaluations."""
    steps = np.arange(1, 11) * 10
    return [Curve(steps, level * np.arange(1, 11) + shift, seconds) for shift in (-0.01, 0.0, 0.01)]


def test_the_last_evaluations_up_to_a_step_count():
    one = curves(0.1, 1.0)[1]
    assert one.until(np.inf) == pytest.approx(0.9)
    assert one.until(59.0) == pytest.approx(0.4)
    assert one.until(5.0) == pytest.approx(0.1)


def test_what_is_made_of_curves():
    """Soft modules are better after equal steps, and not when the other network has twice the steps in their time."""
    found = {cell: curves(0.06, 1.0) for cell in itertools.product(AGENTS, NETWORKS)}
    found |= {(agent, SOFT): curves(0.1, 2.0) for agent in AGENTS}
    made = soft_modules.finding(found)
    check(made)
    assert made.verdict == "holds"
    rows = {row.label: row for row in made.rows}
    assert rows[f"sac: {SOFT} - {HEADS}, equal steps"].ours == pytest.approx(0.9 - 0.54)
    assert rows[f"sac: {SOFT} - {PLAIN}, equal time of updates"].ours == pytest.approx(0.4 - 0.54)
    assert rows[f"brc: time of an update, {SOFT} / {PLAIN}"].ours == 2
    assert soft_modules.finding({cell: own[:1] for cell, own in found.items()}).verdict == "no difference seen"
    found[("brc", SOFT)] = curves(0.02, 2.0)
    assert soft_modules.finding(found).verdict == "mixed"
