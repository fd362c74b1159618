"""What `polytask export` writes: a policy's best action as a function of padded observations and rows of tasks."""

import importlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.export import export as lowered
from jax.export import symbolic_shape

from polytask.agents.base import acting_parts
from polytask.export import numpy_policy
from polytask.networks import MLP, BroNet
from polytask.networks.critic import ONE_BY_ONE
from polytask.policies.policy import Policy, load
from polytask.runs import storage
from polytask.runs.checkpoint import named_leaves
from polytask.tasks.spaces import Choices, Named, Observations, Vector
from polytask.tasks.spec import TaskSet

Format = Literal["onnx", "stablehlo", "numpy"]
MOST = ONE_BY_ONE - 1  # rows of a batch, where critics choose: from more on they compute one by one


def export(run: Path, format: Format, out: Path | None = None) -> Path:
    """Writes the policy of a run's newest checkpoint into a folder, by default RUN/export/FORMAT, and returns that.

    Beside the policy lies policy.json, with each task's row, sizes and units. ONNX and StableHLO take `observations`
    (batch, observations) float32, `image0`, ... uint8 where there are images, and `task_ids` (batch,) int32, and give
    `actions` (batch, width): in [-1, 1], zero where a task has no such dimension, a chosen index behind them.

    Raises ImportError where the package for a format is missing, ValueError for what a format cannot hold, and as
    `polytask.load`; StorageError where it cannot be written.
    """
    policy = load(run)
    if format == "numpy" and policy.config.agent.kind == "bcq":
        raise ValueError("--format numpy holds one network that acts, and bcq picks among candidates: take stablehlo")
    folder = out or run / "export" / format
    with storage.writing(folder, folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
        _WRITERS[format](policy, folder)
        storage.replace(folder / "policy.json", json.dumps(facts(policy), indent=1).encode())
    return folder


def acts(policy: Policy) -> Callable[..., jax.Array]:
    """(observations, image0, ..., task_ids) -> actions, the policy's best; its weights are constants of it."""

    def act(*inputs: jax.Array) -> jax.Array:
        vector, *images, task_ids = inputs
        seen = Observations(vector, tuple(images)) if images else vector
        return policy.agent.act(policy.state, seen, task_ids, None)

    return act


def inputs(tasks: TaskSet, batch: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """What goes into `acts`, by name."""
    images = {f"image{i}": jax.ShapeDtypeStruct((batch, *shape), jnp.uint8) for i, shape in enumerate(tasks.images)}
    vector = jax.ShapeDtypeStruct((batch, tasks.observation_dim), jnp.float32)
    return {"observations": vector, **images, "task_ids": jax.ShapeDtypeStruct((batch,), jnp.int32)}


def facts(policy: Policy) -> dict[str, Any]:
    """What policy.json says."""
    tasks = policy.tasks
    chooses = tasks.choices > 1
    actor, critic = policy.state.actor, policy.state.critic
    return {
        "step": policy.step,
        "observations": tasks.observation_dim,
        "images": tasks.images,
        "actions": tasks.action_width,
        "heads": getattr(critic.members.head if actor is None else getattr(actor, "mean", None), "heads", 0),
        "members": critic.size if chooses else 0,
        "v_max": getattr(policy.config.agent, "v_max", 0.0),
        "convolutions": [
            [(one.size, one.stride) for one in getattr(own, "convolutions", ())]
            for own in (critic.encoder.encoders if critic.encoder else ())
        ],
        "tasks": [_task(tasks, row) for row in range(len(tasks))],
    }


def _task(tasks: TaskSet, row: int) -> dict[str, Any]:
    """A task's row and sizes: its parts are [name, place among the images or -1, numbers in a vector], `sizes` those of
    its choices, none where it acts continuously."""
    spec = tasks.specs[row]
    places = iter(tasks.places(row))
    space = spec.observation
    parts = [
        (name, -1, part.size) if isinstance(part, Vector) else (name, next(places), 0)
        for name, part in (space.parts if isinstance(space, Named) else (("", space),))
    ]
    low, high = (bound.tolist() for bound in spec.bounds)
    sizes = spec.action.sizes if isinstance(spec.action, Choices) else ()
    return {"name": spec.name, "row": row, "parts": parts, "low": low, "high": high, "sizes": sizes}


def _needed(form: str, package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{form} takes {package}: pip install 'polytask[export]'") from error


def _write_stablehlo(policy: Policy, folder: Path) -> None:
    """policy.jax_export, which `jax.export.deserialize` reads, and policy.mlirbc, portable StableHLO bytecode."""
    _needed("StableHLO", "flatbuffers")
    limits = [f"batch <= {MOST}"] if policy.tasks.choices > 1 else []
    (batch,) = symbolic_shape("batch", constraints=limits)
    found = lowered(jax.jit(acts(policy)))(*inputs(policy.tasks, batch).values())
    storage.replace(folder / "policy.jax_export", bytes(found.serialize()))
    storage.replace(folder / "policy.mlirbc", found.mlir_module_serialized)


def _write_onnx(policy: Policy, folder: Path) -> None:
    """policy.onnx, by jax2onnx."""
    jax2onnx = _needed("ONNX", "jax2onnx")
    if policy.tasks.images or policy.tasks.choices > 1:
        raise ValueError("--format onnx holds vectors and continuous actions: stablehlo and numpy hold all")
    given = inputs(policy.tasks, "batch")
    names = {"input_names": list(given), "output_names": ["actions"]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype float64")  # it traces with its own constants
        model = jax2onnx.to_onnx(acts(policy), list(given.values()), model_name="policy", **names)
    storage.replace(folder / "policy.onnx", model.SerializeToString())


def _write_numpy(policy: Policy, folder: Path) -> None:
    """policy.npz, and policy.py, which acts with it and needs NumPy alone."""
    storage.write_arrays(folder / "policy.npz", arrays(policy))
    shutil.copyfile(numpy_policy.__file__, folder / "policy.py")


def arrays(policy: Policy) -> dict[str, np.ndarray]:
    """The weights as the NumPy policy names them: task features made, changes of low rank added to the kernels."""
    state, tasks = policy.state, policy.tasks
    critic, chooses = state.critic, tasks.choices > 1
    networks = [*([state.actor.trunk] if state.actor else []), *([critic.members.trunk] if chooses else [])]
    odd = next((type(trunk).__name__ for trunk in networks if not isinstance(trunk, BroNet | MLP)), None)
    if odd:
        raise ValueError(f"--format numpy computes the trunks bronet and mlp, not {odd}: take --format stablehlo")
    rows = jnp.arange(len(tasks))
    found: dict[str, Any] = {
        "features": np.asarray(critic.conditioning(rows), np.float32),
        "action_mask": np.asarray(policy.agent.facts.action_mask, np.float32),
        "choice_mask": np.asarray(tasks.choice_mask),
    }
    moments = acting_parts(state).moments
    if moments is not None:
        found |= {"moments/mean": np.asarray(moments.mean), "moments/variance": np.asarray(moments.variance)}
    if critic.encoder is not None:
        widths = [own.width for own in critic.encoder.encoders]
        found["present"] = np.repeat(np.array(critic.encoder.present, np.float32), widths, axis=1)
        found |= _named("encoder", list(critic.encoder.encoders))
        if critic.encoder.film is not None:
            found |= _named("film", critic.encoder.film)
    if state.actor is not None:
        found |= _named("actor", {"trunk": state.actor.trunk, "mean": state.actor.mean})
    if chooses:
        for i in range(critic.size):
            found |= _named(f"critic/{i}", jax.tree.map(lambda leaf, i=i: leaf[i], critic.members))
    return found


def _named(prefix: str, tree: Any) -> Mapping[str, np.ndarray]:
    """The arrays of a part of the networks."""
    leaves: dict[str, Any] = {f"{prefix}/{name}": np.asarray(leaf, np.float32) for name, leaf in named_leaves(tree)}
    for name in [name for name in leaves if name.endswith("/adapter/down")]:
        dense = name.removesuffix("/adapter/down")
        leaves[f"{dense}/kernel"] = leaves[f"{dense}/kernel"] + leaves.pop(name) @ leaves.pop(f"{dense}/adapter/up")
    return leaves


_WRITERS: Mapping[str, Callable[[Policy, Path], None]] = {
    "onnx": _write_onnx,
    "stablehlo": _write_stablehlo,
    "numpy": _write_numpy,
}
