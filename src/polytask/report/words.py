"""How a report speaks: of agents that act in simulators, of models that learn from data, of predictors that decide."""

import dataclasses
import math

from polytask.evaluation.statistics import Estimate
from polytask.evaluation.text import MISSING


@dataclasses.dataclass(frozen=True)
class Words:
    """`steps` follows a number of steps, `axis` names the axis of all charts over time, `measured` is beside the score.

    `digits` are those of a score; `learner` is what the tasks share; `final` says at which point the figures are.
    """

    steps: str
    axis: str
    measured: str
    learner: str
    digits: int
    final: str

    def score(self, value: float | None) -> str:
        """A score."""
        return MISSING if value is None or not math.isfinite(value) else f"{value:.{self.digits}f}"

    def bounds(self, estimate: Estimate) -> str:
        """The ends of an interval of a score."""
        return f"{self.score(estimate.low)} to {self.score(estimate.high)}" if estimate.has_interval else MISSING


SIMULATION = Words(
    steps="steps per task",
    axis="environment steps per task",
    measured="return",
    learner="agent",
    digits=2,
    final="Scores are at the last checkpoint evaluated, never the best of the run.",
)
# A gain of a combiner is often in the third digit.
DATA = Words(
    steps="gradient steps",
    axis="gradient steps",
    measured="test loss",
    learner="model",
    digits=3,
    final="Scores are on the test rows, with the parameters that were best on the validation rows until then.",
)
DECISIONS = Words(
    steps="steps",
    axis="steps",
    measured="squared error",
    learner="predictor",
    digits=3,
    final="Decision quality and squared error are on the test data as they stand at that step: nothing is chosen by "
    "them. Quality is 1 for decisions that know the truth, and 0 for random ones.",
)
