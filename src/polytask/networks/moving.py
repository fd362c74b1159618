"""What of a network moves while it is trained, and what keeps its bits."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax

from polytask.networks.adapters import LowRank
from polytask.networks.conditioning import TaskEmbedding
from polytask.networks.layers import Head, LayerNorm, TaskHead

Moving = Literal["all", "embeddings", "heads", "adapters"]
NetworkT = TypeVar("NetworkT")


def _own(node: Any) -> bool:
    """Whether a part has rows or columns that are one task's alone: an embedding, or a head for each task."""
    return isinstance(node, TaskEmbedding) or (isinstance(node, TaskHead) and node.heads > 1)


_MOVES: Mapping[str, Callable[[Any], bool]] = {
    "embeddings": _own,
    "heads": lambda node: _own(node) or isinstance(node, Head | LayerNorm),
    "adapters": lambda node: _own(node) or isinstance(node, LowRank),
}


def split(network: NetworkT, moving: Moving) -> tuple[NetworkT, NetworkT]:
    """The part that moves and the part that does not, each with None for the other's leaves; `eqx.combine` joins them.

    - "all": everything moves.
    - "embeddings": what is one task's alone: embeddings, and heads where each task has its own.
    - "heads": these, all heads, and the scales and shifts of layer normalisation.
    - "adapters": what is one task's alone, and changes of low rank (`polytask.networks.adapters`).
    """
    if moving == "all":
        return eqx.partition(network, True)
    moves = _MOVES[moving]

    def mask(node: Any) -> Any:
        here = moves(node)
        return jax.tree.map(lambda _: here, node)

    return eqx.partition(network, jax.tree.map(mask, network, is_leaf=moves))
