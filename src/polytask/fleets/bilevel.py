"""When which of two policies learns that live off each other."""

import dataclasses
from typing import Literal, NamedTuple


class Turn(NamedTuple):
    """What learns in a step: the `upper` policy or the `lower` one, and whether the lower one learns on what the upper
    one gives it or, as in pretraining, on instances of its own."""

    level: Literal["upper", "lower"]
    given: bool


@dataclasses.dataclass(frozen=True)
class BilevelScheduler:
    """Interactive training of an upper policy that splits a problem and a lower one that solves the parts.

    DL-DRL (arXiv 2208.02447), algorithm 3: the lower policy is pretrained; then, in the intensive part, `times` rounds
    of the upper policy are followed by as many of the lower; then they take turns of one round.

    - `pretrain`: steps of the lower policy alone; `intensive`: steps, in all, of the intensive part.
    - `round`: steps of a round; `times`: the vehicles there.

    Any pair will do: nothing is known of either policy. Raises ValueError for counts below 0, or rounds below 1.
    """

    pretrain: int = 1_000
    intensive: int = 2_000
    round: int = 40
    times: int = 4

    def __post_init__(self) -> None:
        for name, least in (("pretrain", 0), ("intensive", 0), ("round", 1), ("times", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} has to be at least {least}, not {getattr(self, name)}")

    def turn(self, step: int) -> Turn:
        """Which policy learns in a step, counted from 0."""
        if step < self.pretrain:
            return Turn("lower", given=False)
        step -= self.pretrain
        rounds = self.times
        if step >= self.intensive:
            step, rounds = step - self.intensive, 1
        upper = step // (self.round * rounds) % 2 == 0
        return Turn("upper" if upper else "lower", given=True)
