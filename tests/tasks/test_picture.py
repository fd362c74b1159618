"""What is seen of an observation."""

import numpy as np

from polytask.tasks.picture import hues, picture
from polytask.tasks.spaces import Image


def test_the_newest_frame_of_a_stack_is_seen_grey_and_enlarged_by_whole_pixels():
    stack = np.zeros((8, 10, 4), np.uint8)
    stack[..., 3] = 9
    stack[2, 3, 3] = 200
    seen = picture(Image(8, 10, 1, 4), stack, 35)
    assert seen.shape == (24, 30, 3)
    np.testing.assert_array_equal(seen[6:9, 9:12], 200)
    assert (seen == 9).sum() == seen.size - 27


def test_an_image_larger_than_asked_for_stays_as_it_is():
    frame = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    np.testing.assert_array_equal(picture(Image(5, 5, 3), frame, 2), frame)


def test_planes_have_hues_and_the_first_of_the_brightest_is_seen():
    grid = np.zeros((1, 3, 4), np.uint8)
    grid[0, 1, 2] = grid[0, 2, 1] = grid[0, 2, 3] = 255
    seen = picture(Image(1, 3, 4), grid, 1)[0]
    np.testing.assert_array_equal(seen, np.stack([0 * hues(4)[0], 255 * hues(4)[2], 255 * hues(4)[1]]).astype(np.uint8))
    assert len(np.unique(hues(20), axis=0)) == 20
