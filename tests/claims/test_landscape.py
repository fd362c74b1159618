"""PCGrad's landscape: its formula, and where a point counts as arrived."""

import numpy as np
import pytest

from polytask.claims.pcgrad_landscape import FLOOR, Paths, arrival, arrived, descend, distances, reached, total_loss


def test_the_loss_is_the_published_one():
    first, second = 0.5, -3.0
    expected = 20 * np.log(abs(0.5 * first + np.tanh(second))) + 25 * np.log(abs(0.5 * first - np.tanh(second) + 2))
    found = total_loss(np.array([[first, second], [-2.0, 40.0]]))
    assert found.tolist() == pytest.approx([expected, 45 * np.log(FLOOR)])


def test_arrived_is_at_the_bottom_of_both_valleys():
    points = np.array([[-2.0, 6.0], [1.82, -1.57], [0.5, -3.0]])
    np.testing.assert_array_equal(arrived(points), [True, False, False])
    assert distances(points)[1, 0] < 0.05 < distances(points)[1, 1]
    paths = Paths(np.stack([points, points[::-1]]), 100)
    np.testing.assert_array_equal(reached(paths), [True, False, True])
    assert arrival(paths) == 0
    assert arrival(Paths(points[1:, None], 100)) is None


def test_the_way_is_recorded():
    paths = descend("pcgrad", np.array([[0.5, -3.0]]), 1e-2, 20, 2)
    assert paths.points.shape == (3, 1, 2)
    assert paths.every == 10
    assert total_loss(paths.last)[0] < total_loss(paths.points[0])[0]
