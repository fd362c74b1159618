"""What a person may choose about tasks, for all tasks of a run alike."""

import dataclasses
from typing import Literal

from polytask.config.fields import check, field


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """Choices that change what a task is, and therefore travel into its TaskSpec.

    `horizon` is in environment steps; None takes the suite's own. `goals` and `reward_version` are Meta-World's and
    change nothing elsewhere: "varying" draws a goal anew for each episode, "fixed" freezes one goal (and one initial
    state) per task for the whole run. `discount` is per environment step; "by-horizon" looks a sixth of an episode
    ahead, 1 - 6 / horizon, but is at least 0.95 and at most 0.99 (TD-MPC2, arXiv 2310.16828, looks a fifth ahead).
    `stack` frames of an image, the newest and those before it, are an observation; None takes the suite's own, four for
    Atari, three for dmc-pixels and one elsewhere. Tasks without images have none.

    Atari and dmc-pixels repeat an action `frame_skip` times, None being four and two, and give frames of `frame_size`
    pixels a side. The others are Atari's: a frame is the larger of the last two, and grey unless `colour`; the emulator
    repeats the last action in place of a new one with probability `sticky_actions` (Machado et al. 2018, arXiv
    1709.06009). With `life_loss` an episode ends with a life, in evaluations too.

    A new option is a field here, which makes it a flag, and its use in the `spec` of the suites that heed it; what
    their `build` has to know of it, they put into `TaskSpec.options`, which is saved and shown with the task.
    """

    horizon: int | None = field(None, range="[1, inf)")
    goals: Literal["varying", "fixed"] = "varying"
    reward_version: Literal["v1", "v2"] = "v2"
    discount: float | Literal["by-horizon"] = field(0.99, range="[0, 1)")
    stack: int | None = field(None, range="[1, 16]")
    frame_skip: int | None = field(None, range="[1, 16]")
    frame_size: int = field(84, range="[7, 512]")
    colour: bool = False
    sticky_actions: float = field(0.25, range="[0, 1)")
    life_loss: bool = False

    def __post_init__(self) -> None:
        check(self, "task.")

    def discount_over(self, horizon: int) -> float:
        """The discount of a task whose episodes have `horizon` steps."""
        return min(max(1 - 6 / horizon, 0.95), 0.99) if isinstance(self.discount, str) else self.discount
