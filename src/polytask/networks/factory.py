"""Trunks and encoders by name."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

from polytask.networks.encoder import Encoder
from polytask.networks.trunk import Trunk
from polytask.plugins import Table

TRUNKS: Table[Callable[..., Trunk]] = Table(
    what="trunk",
    group="polytask.trunks",
    built_in={"bronet": "polytask.networks.bronet:BroNet", "mlp": "polytask.networks.mlp:MLP"},
    type=Callable,
)
"""Each is a function (inputs, task_features, width, depth, *, key) -> `Trunk`, with the numbers of inputs and of task
features, the units of a layer, and how many layers or blocks there are."""

ENCODERS: Table[Callable[..., Encoder]] = Table(
    what="encoder",
    group="polytask.encoders",
    built_in={"nature": "polytask.networks.nature:Nature", "impala": "polytask.networks.impala:Impala"},
    type=Callable,
)
"""Each is a function (shape, width, multiplier, *, key) -> `Encoder`, with the images' (height, width, channels), the
number of features, and by what the number of channels inside is multiplied."""


def make_trunk(name: str, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> Trunk:
    """Fresh parameters of the trunk of that name, in `TRUNKS`.

    Raises ValueError for an unknown name, and TypeError where another package's function gives no `Trunk`.
    """
    trunk = TRUNKS[name](inputs, task_features, width, depth, key=key)
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
