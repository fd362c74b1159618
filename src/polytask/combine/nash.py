"""Nash-MTL: the bargaining solution (Navon et al. 2022, arXiv 2202.01017)."""

from polytask.combine.base import Weighting
from polytask.combine.fairgrad import fairgrad


def nash_mtl() -> Weighting:
    """d = sum_i w_i g_i with G w = 1 / w, w > 0: the step that maximises sum_i log <g_i, d>.

    The paper's own scale is that of its equation: ||d||^2 is the number of tasks, however long the gradients are. Each
    <g_i, d> = 1 / w_i is positive: d conflicts with no task. For two tasks w_i = 1 / (||g_i|| sqrt(1 + cos)). It is
    `fairgrad` with alpha = 1; see there for zero gradients, Pareto-stationary points and info["residual"]. The
    potential is self-concordant for this alpha, so that Newton's method needs few steps from anywhere. No clipping of
    ||d|| and no reuse of old weights, which the official code adds.
    """
    return fairgrad(1.0)
