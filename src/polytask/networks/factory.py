"""Trunks and encoders by name."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

from polytask.networks.encoder import Encoder
from polytask.networks.trunk import Trunk
from polytask.plugins import Table, options_of

TRUNKS: Table[Callable[..., Trunk]] = Table(
    what="trunk",
    group="polytask.trunks",
    built_in={
        name: f"polytask.networks.{where}"
        for name, where in {
            "bronet": "bronet:BroNet",
            "mlp": "mlp:MLP",
            "soft-modules": "soft_modules:SoftModules",
            "mixture-of-experts": "experts:MixtureOfExperts",
            "paco": "paco:PaCo",
            "film": "film:FiLM",
            "care": "care:CARE",
        }.items()
    },
    type=Callable,
)
"""Each is a function (inputs, task_features, width, depth, *, key) -> `Trunk`, with the numbers of inputs and of task
features, the units of a layer, and how many layers or blocks there are. What else it takes by name are its options."""

_GIVEN = ("inputs", "task_features", "width", "depth", "key")  # the parameters that are no options

ENCODERS: Table[Callable[..., Encoder]] = Table(
    what="encoder",
    group="polytask.encoders",
    built_in={"nature": "polytask.networks.nature:Nature", "impala": "polytask.networks.impala:Impala"},
    type=Callable,
)
"""Each is a function (shape, width, multiplier, *, key) -> `Encoder`, with the images' (height, width, channels), the
number of features, and by what the number of channels inside is multiplied."""


def check_trunk(text: str, *, told_apart: bool, instead: str, option: str = "--agent.trunk") -> None:
    """Raises ValueError for a trunk that there is not, for options that it lacks, and for one that the task chooses in.

    - `told_apart`: whether there is one task only, or features that tell the tasks apart.
    - `instead`: what to do where there are none.
    """
    name, _, options = text.partition(":")
    TRUNKS.check(name, option)
    make = TRUNKS[name]
    try:
        options_of(name, make, options, _GIVEN)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    if getattr(make, "by_task", False) and not told_apart:
        raise ValueError(f"{option} {name} needs features that tell the tasks apart, and there are none: {instead}")


def make_trunk(name: str, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> Trunk:
    """Fresh parameters of the trunk of that name, in `TRUNKS`; its options stand behind it: "soft-modules:modules=4".

    Raises ValueError for an unknown name or option, and TypeError where another package's function gives no `Trunk`.
    """
    name, _, options = name.partition(":")
    make = TRUNKS[name]
    trunk = make(inputs, task_features, width, depth, key=key, **options_of(name, make, options, _GIVEN))
    if not isinstance(trunk, Trunk):
        raise TypeError(f"the trunk '{name}' gave a {type(trunk).__name__}; it has to give a polytask.networks.Trunk")
    return trunk


def make_encoder(
    name: str, shape: tuple[int, int, int], width: int, multiplier: float, *, key: PRNGKeyArray
) -> Encoder:
    """Fresh parameters of the encoder of that name, in `ENCODERS`.

    Raises ValueError for an unknown name, and TypeError where another package's function gives no `Encoder`.
    """
    encoder = ENCODERS[name](shape, width, multiplier, key=key)
    if not isinstance(encoder, Encoder):
        given = type(encoder).__name__
        raise TypeError(f"the encoder '{name}' gave a {given}; it has to give a polytask.networks.Encoder")
    return encoder
