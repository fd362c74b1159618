"""The hyperparameters of MBML."""

import dataclasses

from polytask.config.fields import check, field


@dataclasses.dataclass(frozen=True, kw_only=True)
class MBMLConfig:
    """Rates per gradient step; `threshold` in raw reward units. `relabel` and `triplet` off are the paper's ablations.

    Without `relabel` a context is of the task's own transitions alone, and the triplet's anchor is another draw of
    them.
    """

    discount: float = field(0.99, range="[0, 1)")
    teacher_width: int = field(300, range="[1, inf)")
    teacher_steps: int = field(50_000, range="[1, inf)")
    teacher_batch: int = field(100, range="[1, inf)")
    ensemble: int = field(20, range="[2, inf)")
    ensemble_width: int = field(128, range="[1, inf)")
    ensemble_steps: int = field(4_000, range="[1, inf)")
    ensemble_batch: int = field(128, range="[1, inf)")
    threshold: float = field(0.02, range="(0, inf)")
    latent: int = field(20, range="[1, inf)")
    encoder_width: int = field(200, range="[1, inf)")
    encoder_depth: int = field(3, range="[1, inf)")
    context: int = field(64, range="[1, inf)")
    width: int = field(256, range="[1, inf)")
    depth: int = field(3, range="[1, inf)")
    steps: int = field(100_000, range="[1, inf)")
    batch: int = field(128, range="[1, inf)")
    learning_rate: float = field(3e-4, range="(0, 1]")
    margin: float = field(2.0, range="[0, inf)")
    kl_weight: float = field(0.1, range="[0, inf)")
    candidates: int = field(10, range="[1, inf)")
    perturbation: float = field(0.05, range="[0, 2]")
    relabel: bool = True
    triplet: bool = True

    def __post_init__(self) -> None:
        check(self)
