"""Reads the official code's recorded update (see ../shared/goldens/README.md) into our modules."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from polytask.networks import BroNet, CriticEnsemble, Dense, GaussianActor, LayerNorm
from polytask.networks.bronet import BroNetBlock

FOLDER = Path(__file__).parents[3] / "shared" / "goldens"


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays of one golden file; skips the test where it is not at hand."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the golden numbers are not at hand: {path}")
    with np.load(path) as file:
        return dict(file)


def _replace(module, **leaves):
    new = object.__new__(type(module))
    for field, value in {**vars(module), **leaves}.items():
        object.__setattr__(new, field, value)
    return new


def _dense(module: Dense, golden, path: str) -> Dense:
    return _replace(module, kernel=jnp.asarray(golden[f"{path}/kernel"]), bias=jnp.asarray(golden[f"{path}/bias"]))


def _norm(module: LayerNorm, golden, path: str) -> LayerNorm:
    return _replace(module, scale=jnp.asarray(golden[f"{path}/scale"]), bias=jnp.asarray(golden[f"{path}/bias"]))


def _trunk(module: BroNet, golden, path: str) -> BroNet:
    blocks = tuple(
        _replace(
            block,
            dense_0=_dense(block.dense_0, golden, f"{path}/BronetBlock_{i}/Dense_0"),
            norm_0=_norm(block.norm_0, golden, f"{path}/BronetBlock_{i}/LayerNorm_0"),
            dense_1=_dense(block.dense_1, golden, f"{path}/BronetBlock_{i}/Dense_1"),
            norm_1=_norm(block.norm_1, golden, f"{path}/BronetBlock_{i}/LayerNorm_1"),
        )
        for i, block in enumerate(module.blocks)
        if isinstance(block, BroNetBlock)
    )
    dense, norm = _dense(module.dense, golden, f"{path}/Dense_0"), _norm(module.norm, golden, f"{path}/LayerNorm_0")
    return _replace(module, dense=dense, norm=norm, blocks=blocks)


def critic(module: CriticEnsemble, golden: dict[str, np.ndarray], path: str) -> CriticEnsemble:
    """The critic with the parameters recorded under `path`."""
    inner = f"{path}/q_value_ensemble/q_value_ensemble/critic"
    members = _replace(
        module.members,
        trunk=_trunk(module.members.trunk, golden, inner),
        head=_replace(module.members.head, dense=_dense(module.members.head.dense, golden, f"{inner}/Dense_1")),
    )
    conditioning = module.conditioning
    table = f"{path}/task_embedding/embeddings/embedding"
    if table in golden:
        conditioning = _replace(conditioning, table=jnp.asarray(golden[table]))
    return _replace(module, members=members, conditioning=conditioning)


def actor(module: GaussianActor, golden: dict[str, np.ndarray], path: str) -> GaussianActor:
    """The actor with the parameters recorded under `path`."""
    return _replace(
        module,
        trunk=_trunk(module.trunk, golden, f"{path}/BroNet_0"),
        mean=_replace(module.mean, dense=_dense(module.mean.dense, golden, f"{path}/Dense_0")),
        log_std=_replace(module.log_std, dense=_dense(module.log_std.dense, golden, f"{path}/Dense_1")),
    )
