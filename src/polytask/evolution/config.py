"""The configuration of an evolution: a frozen dataclass, light to import."""

import dataclasses

from polytask.config.fields import field
from polytask.tasks.suite import PROBLEM_PREFIX
from polytask.training.config import RunConfig

DROP = "drop:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolutionConfig(RunConfig):
    """An evolution over problems, one after another, in a run folder. Steps are generations."""

    problems: tuple[str, ...] = field((), resumable=True)
    """Problems in the order in which they are learned; one named again is learned on; drop:NAME takes one out before
    the next. More may be added to the end of an evolution that has ended."""
    generations: int = field(8, range="[1, inf)")
    """Generations for each problem each time it is learned."""
    children: int = field(4, range="[1, inf)")
    """Children of a generation; they are trained side by side."""
    child_steps: int = field(100, range="[4, inf)")
    """Gradient steps of a child, which is looked at four times."""
    batch_size: int = field(32, range="[1, inf)")
    """Rows in a gradient step."""
    width: int = field(64, range="[1, inf)")
    """Units of a layer."""
    adapter_rank: int = field(8, range="[1, inf)")
    """Units of an adapter."""
    size_base: float = field(1.0, range="(0, 1]")
    """A path's score is its quality times this to the power of its size, in sizes of the first path; what several tasks
    use counts in shares. 1 does not look at sizes."""
    data_seed: int = field(0, range="[0, 4294967295]")
    """Decides what the problems draw: splits, pairs, noise."""
    eval_every: int = field(1, range="[0, inf)", resumable=True)
    """Generations between evaluations."""
    checkpoint_every: int = field(1, range="[1, inf)", compared=False)
    """Generations between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refused = {
            "affinity_every": "tasks share no step",
            "patience": "each problem has its generations",
            "start_from": "add problems to a run with the same --run",
        }
        for name, why in refused.items():
            if getattr(self, name):
                flag = "--from" if name == "start_from" else f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} is not for evolutions, where {why}: leave it out")
        _ = self.entries  # or why they cannot be

    @property
    def names(self) -> tuple[str, ...]:
        """The problems, each once, as records name them."""
        learned = [name for name in self.problems if not name.startswith(DROP)]
        return tuple(dict.fromkeys(name.removeprefix(PROBLEM_PREFIX) for name in learned))

    @property
    def entries(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What is learned, each with what is dropped before it. Raises ValueError where that cannot be."""
        found: list[tuple[str, tuple[str, ...]]] = []
        known: set[str] = set()
        dropped: list[str] = []
        for entry in self.problems:
            name = entry.removeprefix(DROP).removeprefix(PROBLEM_PREFIX)
            if not entry.startswith(DROP):
                found.append((name, tuple(dropped)))
                known.add(name)
                dropped = []
            elif name in known:
                dropped.append(name)
                known.remove(name)
            else:
                raise ValueError(f"{entry}: {name} was not learned before, or is gone; name what comes before it")
        if dropped:
            raise ValueError(f"{DROP}{dropped[-1]} comes last: name a problem to learn after it")
        return tuple(found)
