"""Sets in one file of flat arrays, as D4RL has them (arXiv 2004.07219): HDF5 or npz."""

from pathlib import Path
from typing import Any

import numpy as np

from polytask.datasets.logged import LoggedTask, logged
from polytask.tasks.spec import TaskSpec

NAMES = {
    "observations": "observations",
    "actions": "actions",
    "rewards": "rewards",
    "terminals": "terminated",
    "terminations": "terminated",
    "timeouts": "truncated",
    "truncations": "truncated",
    "next_observations": "next_observations",
    "success": "success",
}
"""D4RL's names, and Minari's, of the arrays of `LoggedTask`."""
HDF5, NPZ = (".hdf5", ".h5"), (".npz",)


def read(file: Path, spec: TaskSpec | None, source: str) -> LoggedTask:
    """The set in a file with `observations`, `actions`, `rewards` and `terminals`, a row for each transition.

    `timeouts` and `next_observations` may be there too. Raises as `logged`, and ValueError for a damaged file.
    """
    try:
        found = _npz(file) if file.suffix in NPZ else _hdf5(file)
    except ImportError:
        raise
    except Exception as error:  # whatever zip, h5py and NumPy say of a damaged file
        raise ValueError(
            f"{source} is no {file.suffix} file that can be read: {type(error).__name__}: {error}"
        ) from error
    return logged({NAMES[name]: value for name, value in found.items()}, spec, source)


def _npz(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if name in NAMES}


def _hdf5(file: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise ModuleNotFoundError("HDF5 files need the package 'h5py': pip install 'polytask[offline]'") from error
    with h5py.File(file, "r") as arrays:
        return {name: np.asarray(arrays[name]) for name in arrays if name in NAMES}
