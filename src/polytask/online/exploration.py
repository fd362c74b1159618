"""How long a draw of exploration noise is held: for one step, or for spans of several lengths."""

from typing import Literal

from polytask import random

LONGEST = 16  # steps


def draw_of(exploration: Literal["independent", "held"], seed: int, step: int) -> int:
    """The step whose noise `step` acts with: its own, or that at which its span began.

    Held noise moves an arm or a leg farther than as much noise that is drawn anew at every step, which averages out
    (FlashSAC repeats noise for Zeta-distributed spans of up to 16 steps). Ours cuts time into windows of LONGEST steps,
    and each window into spans of 1, 2, 4, 8 or 16 steps, one as likely as the other; so it is a function of seed and
    step, and a resumed run repeats it.
    """
    if exploration == "independent":
        return step
    lengths = LONGEST.bit_length()
    span = 2 ** int(random.generator(seed, "hold", step // LONGEST).integers(lengths))
    return step - step % span
