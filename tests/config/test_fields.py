"""Fields of configurations: their ranges, what a saved one lacks, what they say of themselves."""

import dataclasses
import math
from typing import Literal, get_args, get_type_hints

import pytest

from polytask.agents.config import BRCConfig, DQNConfig, SACConfig
from polytask.config.fields import check, field, from_json, helps, not_compared, ranges, resumable
from polytask.decisions.config import DecisionConfig
from polytask.online.config import TrainConfig
from polytask.supervised.config import OptimiserConfig, TrunkConfig
from polytask.supervised.config import TrainConfig as SupervisedTrainConfig
from polytask.tasks.options import TaskOptions

CONFIGS = (
    BRCConfig,
    SACConfig,
    DQNConfig,
    DecisionConfig,
    TrainConfig,
    SupervisedTrainConfig,
    TrunkConfig,
    OptimiserConfig,
    TaskOptions,
)
# (field, a value outside of its range)
CANNOT_BE = [
    (BRCConfig, "critic_width", 0),
    (BRCConfig, "batch_size", 0),
    (BRCConfig, "learning_rate", math.nan),
    (BRCConfig, "learning_rate", 1e30),
    (BRCConfig, "tau", 5.0),
    (BRCConfig, "v_max", -1.0),
    (SACConfig, "initial_temperature", 0.0),
    (TaskOptions, "discount", 1.0),
    (TrunkConfig, "dropout", 1.0),
    (OptimiserConfig, "learning_rate", math.inf),
    (DecisionConfig, "temperature", -1.0),
    (SupervisedTrainConfig, "seed", 2**32),
]


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int = field(3, range="[1, 9]")
    """How wide."""
    old: bool = field(True, before=False)


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    names: tuple[str, ...] = field((), resumable=True, compared=False)
    rate: float = field(0.5, range="(0, 1)")
    word: Literal["a", "b"] = "a"
    either: float | Literal["free"] = field(1.0, range="[0, inf)")


@pytest.mark.parametrize(("kind", "name", "value"), CANNOT_BE)
def test_a_value_that_cannot_be_names_its_flag_and_range(kind, name, value):
    flag = name.replace("_", "-")
    with pytest.raises(ValueError, match=rf"--([a-z]+\.)?{flag} must be .*(least|above|most|below|finite)"):
        kind(**{name: value})


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_number_has_a_range(kind):
    hints = get_type_hints(kind)
    numbers = [name for name, hint in hints.items() if {int, float} & {hint, *get_args(hint)}]
    assert [name for name in numbers if not ranges(kind)[name]] == []


def test_the_ends_of_a_range():
    for value, said in ((1.0, "below 1"), (0.0, "above 0"), (math.nan, "above 0")):
        with pytest.raises(ValueError, match=f"--x.rate must be .*{said}"):
            check(Outer(rate=value), "x.")
    check(Outer(rate=1e-300))
    check(Inner(width=9))
    with pytest.raises(ValueError, match="at least 1 and at most 9, not 10"):
        check(Inner(width=10))


def test_a_word_that_is_no_choice_is_refused():
    check(Outer(word="b"))
    with pytest.raises(ValueError, match="--word is one of a, b, not 'c'"):
        check(Outer(word="c"))  # pyright: ignore[reportArgumentType]
    check(Outer(either="free"))
    with pytest.raises(ValueError, match="--either is a number, or one of free, not 'long'"):
        check(Outer(either="long"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="--either must be at least 0"):
        check(Outer(either=-1.0))


def test_what_is_missing_is_filled_in_at_every_depth_as_it_was_before():
    assert from_json(Outer, {"inner": {"width": 4}, "names": ["a"]}) == Outer(Inner(4, old=False), ("a",))
    assert from_json(Outer, dataclasses.asdict(Outer())) == Outer()
    for content, said in (({"odd": 1}, "odd"), ({"inner": {"wide": 4}}, r"inner\.wide")):
        with pytest.raises(ValueError, match=f"does not know: {said}"):
            from_json(Outer, content)


def test_fields_say_of_themselves():
    assert resumable(Outer) == ("names",)
    assert not_compared(Outer) == ("names",)
    assert helps(Inner) == {"width": "How wide."}
    assert {"steps", "mesh", "eval_every"} <= set(resumable(TrainConfig))
    assert "seed" in not_compared(DecisionConfig)
