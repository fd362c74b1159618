"""A task that the run which tests share has not seen, and what is larger than its networks."""

import gymnasium

from tests.small import HORIZON, Walk

LINE, SPACE = "gym/tests.transfer.small:line", "gym/tests.transfer.small:space"


def line(**kwargs):
    return gymnasium.wrappers.TimeLimit(Walk([-1.0], [1.0], judged=True, **kwargs), HORIZON)


def space(**kwargs):
    return gymnasium.wrappers.TimeLimit(Walk([-1.0] * 3, [1.0] * 3, judged=True, **kwargs), HORIZON)
