"""What a person may choose about tasks, for all tasks of a run alike."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """Choices that change what a task is, and therefore travel into its TaskSpec.

    `horizon` is in environment steps; None takes the suite's own. `goals` and `reward_version` are Meta-World's and
    change nothing elsewhere: "varying" draws a goal anew for each episode, "fixed" freezes one goal (and one initial
    state) per task for the whole run. `discount` is per environment step.

    A new option is a field here, which makes it a flag, and its use in the `spec` of the suites that heed it; what
    their `build` has to know of it, they put into `TaskSpec.choices`, which is saved and shown with the task.
    """

    horizon: int | None = None
    goals: Literal["varying", "fixed"] = "varying"
    reward_version: Literal["v1", "v2"] = "v2"
    discount: float = 0.99

    def __post_init__(self) -> None:
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"a horizon is a positive number of steps, not {self.horizon}")
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"a discount is at least 0 and less than 1, not {self.discount}")
