"""An agent on several devices: batches split over the mesh's "data" axis, the critics' width over its "model" axis."""

import re
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

_SHARDED = ("critic", "target_critic", "critic_optimiser")  # fields of an agent's state


def make_mesh(text: str) -> Mesh | None:
    """The mesh that "data=4,model=2" describes (either may be left out, and is then 1); None for "".

    Raises ValueError for another text, and where JAX sees fewer devices.
    """
    if not text:
        return None
    sizes = {"data": 1, "model": 1}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(data|model)\s*=\s*([1-9]\d*)\s*", part)
        if not match:
            raise ValueError(f"a mesh reads data=4,model=2, not '{text}'")
        sizes[match[1]] = int(match[2])
    devices, needed = jax.devices(), sizes["data"] * sizes["model"]
    if needed > len(devices):
        raise ValueError(
            f"the mesh {text} needs {needed} devices, and JAX sees {len(devices)}. To try it on one CPU, set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={needed}"
        )
    processes = {device.process_index for device in devices}
    if len(processes) > 1 and (needed < len(devices) or sizes["model"] > 1):
        raise ValueError(
            f"over {len(processes)} processes a mesh splits batches, over all devices: data={len(devices)}, not {text}"
        )
    return Mesh(np.array(devices[:needed]).reshape(sizes["data"], sizes["model"]), ("data", "model"))


def check_width(mesh: Mesh, width: int) -> None:
    """Raises ValueError where critics of this width cannot be split."""
    parts = mesh.shape["model"]
    if width % parts:
        raise ValueError(f"a critic of width {width} cannot be split over model={parts}; choose a divisor")


def state_shardings(mesh: Mesh, shapes: Any, width: int) -> Any:
    """Where each leaf of an agent's state lies, given arrays or their shapes.

    Leaves of the critics, their targets and optimisers are split along their last axis of `width` units, behind the
    axis of ensemble members; everything else is on every device.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = [getattr(entry, "name", None) for entry in path]
        spec: list[str | None] = [None] * leaf.ndim
        if names[0] in _SHARDED and not {"conditioning", "encoder"} & set(names):
            axes = [axis for axis in range(1, leaf.ndim) if leaf.shape[axis] == width]
            if axes:
                spec[axes[-1]] = "model"
        return NamedSharding(mesh, Spec(*spec))

    return jax.tree_util.tree_map_with_path(place, shapes)


def split_batches(mesh: Mesh, batches: Any) -> Any:
    """Batches of shape (updates, batch, ...) on the devices. Raises ValueError where the batch cannot be split."""
    parts, size = mesh.shape["data"], batches.rewards.shape[1]
    if size % parts:
        raise ValueError(f"a batch of {size} cannot be split over data={parts}; choose --agent.batch-size a multiple")
    return jax.device_put(batches, NamedSharding(mesh, Spec(None, "data")))
