"""The maze of MBML's claim, and its verdict."""

import numpy as np
import pytest

from polytask.claims import mbml, point_maze


def test_goals_to_train_on_and_unseen_ones_lie_in_the_corridor_and_differ():
    seen, unseen = point_maze.goals(10, unseen=False), point_maze.goals(10, unseen=True)
    both = np.concatenate([seen, unseen])
    assert len(np.unique(both.round(6), axis=0)) == 20
    np.testing.assert_allclose(point_maze.corridor(point_maze.distance_along(both)), both, atol=0.03)


def test_the_reward_is_one_at_the_goal_and_falls_with_distance():
    rows = np.array([[0.0, 1.0, 9.0, 9.0], [1.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(point_maze.reward(rows, np.array([0.0, 1.0])), [1.0, np.exp(-1)])


def test_the_controller_goes_round_the_corner_and_not_through_the_wall():
    above = np.array([[0.0, 1.0, 0.0, 0.0]])
    assert point_maze.towards(above, np.array([[0.0, -1.0]]), np.zeros((1, 2)))[0, 0] > 0.5  # right, not down
    assert point_maze.towards(above, np.array([[-1.0, 1.0]]), np.zeros((1, 2)))[0, 0] < -0.5


def found(full_swap, neither_swap, full, neither):
    def seeds(swap, returned):
        return [
            {"swap": np.full(6, swap), "unseen": np.full((3, 2), one), "logged": np.ones((2, 2))} for one in returned
        ]

    middle = seeds(0.3, full)
    return {
        "full": seeds(full_swap, full),
        "no-triplet": middle,
        "no-relabelling": middle,
        "neither": seeds(neither_swap, neither),
    }


@pytest.mark.parametrize(
    ("full_swap", "neither_swap", "full", "verdict"),
    [(0.7, 0.1, 9.0, "holds"), (0.7, 0.1, 1.0, "mixed"), (0.7, 0.5, 9.0, "no difference seen")],
)
def test_the_verdict_asks_for_the_probe_and_for_the_return(full_swap, neither_swap, full, verdict):
    returns = full + np.array([0.0, 0.1, -0.1])
    scale = {"seeds": 3}
    finding = mbml.finding(found(full_swap, neither_swap, returns, 5 + np.array([0.1, -0.1, 0.0])), scale)
    assert finding.verdict == verdict
    assert next(row for row in finding.rows if row.label == "swap probe, full").ours == pytest.approx(full_swap)


@pytest.mark.slow
def test_episodes_are_whole_and_the_controller_reaches_its_goal():
    goal = point_maze.goals(3, unseen=False)
    steps = point_maze.episodes(lambda seen, _: point_maze.towards(seen, goal, np.zeros((3, 2))), goal, 300, 0)
    assert steps["observations"].shape == (3, 300, 4)
    np.testing.assert_allclose(steps["observations"][:, 1:], steps["next_observations"][:, :-1])
    assert steps["rewards"][:, -50:].mean() > 0.8
