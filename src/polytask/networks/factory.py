"""Trunks by name."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

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


def make_trunk(name: str, inputs: int, task_features: int, width: int, depth: int, *, key: PRNGKeyArray) -> Trunk:
    """Fresh parameters of the trunk of that name, in `TRUNKS`.

    Raises ValueError for an unknown name, and TypeError where another package's function gives no `Trunk`.
    """
    trunk = TRUNKS[name](inputs, task_features, width, depth, key=key)
    if not isinstance(trunk, Trunk):
        raise TypeError(f"the trunk '{name}' gave a {type(trunk).__name__}; it has to give a polytask.networks.Trunk")
    return trunk
