"""The configuration of a training of fleets: a frozen dataclass, light to import."""

import dataclasses
from typing import Literal

from polytask.config.fields import check, field
from polytask.training.config import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FleetConfig(RunConfig):
    """A training of an allocating and a routing policy. A step is one of either's optimiser."""

    tasks: tuple[str, ...] = ("fleets/u4-n80",)
    """Sizes of fleets: of several, each step takes the next."""
    depots: Literal["one", "each"] = "one"
    """Whether all vehicles start at one depot, or each at its own."""
    values: Literal["equal", "uniform"] = "equal"
    """What serving a site is worth: 1, or a number drawn from 0.1 to 1."""
    ranges: tuple[float, float] = field((2.0, 2.0), range="(0, inf)")
    """The lowest and the highest range of a vehicle, drawn between them; the square's side is 1."""
    service: float = field(0.0, range="[0, inf)")
    """The longest service of a site, drawn from 0; it takes from the range."""
    policy: Literal["bilevel", "single"] = "bilevel"
    """An allocator and a router, or one router that has all sites for all vehicles in turn."""
    width: int = field(64, range="[4, 4096]")
    """Of both policies' layers."""
    depth: int = field(2, range="[1, 100]")
    """Layers of attention in both policies."""
    batch_size: int = field(32, range="[1, inf)")
    """Instances in a step of a router; a step of the allocator takes half as many."""
    samples: int = field(8, range="[2, inf)")
    """Allocations, or tours of a vehicle, that are drawn for each instance."""
    baseline: Literal["shared", "rollout"] = "shared"
    """What a sample has to be better than: the mean of its instance's samples, or what an earlier policy does."""
    learning_rate: float = field(3e-4, range="[0, 1e3]")
    """Of Adam, for both policies."""
    pretrain: int = field(2_000, range="[0, inf)")
    """Steps of the router alone, on sites swept into sectors."""
    intensive: int = field(3_000, range="[0, inf)")
    """Steps after these in which a policy learns for as many rounds as there are vehicles before the other does."""
    round: int = field(40, range="[1, inf)")
    """Steps of a round, after which the other policy has its turn."""
    instances: int = field(100, range="[1, inf)", resumable=True)
    """Instances of each size in an evaluation; the same for all seeds."""
    steps: int = field(20_000, range="[1, inf)", resumable=True)
    """Steps, in total."""
    eval_every: int = field(1_000, range="[0, inf)", resumable=True)
    """Steps between evaluations; 0 evaluates never."""
    checkpoint_every: int = field(1_000, range="[1, inf)", compared=False)
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        if self.ranges[0] > self.ranges[1]:
            raise ValueError(f"--ranges are the lowest and the highest, not {self.ranges[0]:g} and {self.ranges[1]:g}")
        if self.policy == "single" and self.depots == "each":
            raise ValueError("--policy single starts all vehicles at one depot: leave --depots out")
        if self.affinity_every:
            raise ValueError(
                "--affinity-every is not for fleets: sampled routes say little about a single step; leave it out"
            )
