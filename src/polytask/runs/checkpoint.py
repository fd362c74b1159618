"""Checkpoints that are whole or absent, with checksums, so that a damaged one is noticed and skipped.

A checkpoint is a folder `checkpoints/step_000025000` of a run with `arrays.npz` (leaf path -> array, uncompressed, no
pickle) and `checkpoint.json` (format, step, the checksums, free counters, the replay segments that belong to it). It is
written under a temporary name, synced and renamed: under its final name it is complete.
"""

import dataclasses
import hashlib
import json
import shutil
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, Shaped

from polytask.runs import segments as replay_segments
from polytask.runs import storage
from polytask.runs.folder import CHECKPOINTS, PREFIX
from polytask.runs.segments import SegmentError, SegmentRef

FORMAT = 1
ARRAYS = "arrays.npz"
MANIFEST = "checkpoint.json"
AVERAGED = "averaged"  # the counter that says whether an agent's state has its policy's average beside it


class CheckpointError(storage.StorageError):
    """A checkpoint cannot be written, is damaged, or does not fit what it is to be restored into."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found intact: its folder, its step (environment steps per task), and what it carries."""

    path: Path
    step: int
    counters: dict[str, Any]
    segments: tuple[SegmentRef, ...]

    @property
    def run(self) -> Path:
        """The run folder that it belongs to."""
        return self.path.parent.parent


def place(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is, in the run folder."""
    return run / CHECKPOINTS / f"{PREFIX}{step:09d}"


def save(
    run: Path,
    step: int,
    state: PyTree,
    counters: Mapping[str, Any],
    segments: Sequence[SegmentRef] = (),
    keep: int = 3,
) -> Path:
    """Saves `state` and `counters` as the checkpoint of `step` in the run folder `run`; returns its folder.

    Arrays (NumPy, JAX) and Python numbers among the leaves of `state` are saved; other leaves, such as activation
    functions, are not (as in Equinox). `counters` is anything that JSON holds. `segments` are all the replay segments
    from which the replay at this step is rebuilt.

    Then the newest `keep` checkpoints are kept, with the segments they need. A checkpoint of a later step is
    removed: it was damaged, or belongs to a continuation that the run went back on.

    Raises CheckpointError if the disk is full or the folder cannot be written (earlier checkpoints stay whole), and
    TypeError for a leaf or a counter that cannot be saved.
    """
    final = place(run, step)
    folder = final.parent
    temporary = folder / (storage.TEMPORARY + final.name)
    arrays = {name: _storable(name, leaf) for name, leaf in named_leaves(state) if _is_saved(leaf)}
    counters = json.loads(json.dumps(counters))  # fails here, before anything is written, if it cannot be saved
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir()
        storage.write_arrays(temporary / ARRAYS, arrays)
        manifest = _manifest(temporary / ARRAYS, step, counters, segments)
        storage.write_synced(temporary / MANIFEST, manifest)
        storage.sync_folder(temporary)
        if final.exists():
            _put_aside(final)
        temporary.rename(final)
        storage.sync_folder(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            needed = sum(array.nbytes for array in arrays.values())
            why = storage.reason(error, run, needed)
            raise CheckpointError(f"cannot save the checkpoint of step {step:,}: {why}") from error
        raise
    try:
        _prune(run, step, keep)
    except OSError as error:
        raise CheckpointError(f"cannot remove old checkpoints: {storage.reason(error, run, 0)}") from error
    return final


def fingerprint(state: PyTree) -> int:
    """31 bits that differ where what `save` would write of two states does, but for one case in 2^31."""
    found = 0
    for name, leaf in named_leaves(state):
        if _is_saved(leaf):
            found = zlib.crc32(_storable(name, leaf).tobytes(), found)
    return found & 0x7FFFFFFF


def restore(path: Path, like: PyTree, *, partial: bool = False) -> tuple[PyTree, dict[str, Any]]:
    """The state and the counters saved in the checkpoint folder `path`; with `partial`, only the leaves of `like`.

    `like` gives the structure, shapes and dtypes: where it holds a JAX array (or a jax.ShapeDtypeStruct) a JAX array
    comes back, where it holds a NumPy array or a number the same; leaves that are not saved are taken from it.
    Raises CheckpointError if the checkpoint is damaged, or naming the leaves that do not fit.
    """
    counters = inspect(path, replay=False).counters
    named = named_leaves(like)
    arrays = storage.read_arrays(path / ARRAYS, {name for name, _ in named} if partial else None)
    problems = [text for name, leaf in named if _is_saved(leaf) and (text := _misfit(name, leaf, arrays.get(name)))]
    unused = arrays.keys() - {name for name, _ in named}
    problems += [f"{name}: only in the checkpoint" for name in arrays if name in unused]
    if problems:
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(
            f"{path} does not fit this configuration: {'; '.join(problems[:8])}{more}. "
            f"Use the configuration in {path.parent.parent / 'config.json'}, or start a new run"
        )
    leaves = [_restored(leaf, arrays[name]) if _is_saved(leaf) else leaf for name, leaf in named]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves), counters


def latest(run: Path, warn: Callable[[str], object] = warnings.warn, replay: bool = True) -> Checkpoint | None:
    """The newest intact checkpoint of a run folder, or None if it has no checkpoints yet.

    `replay=False` leaves the replay unverified, which only training needs.

    Each damaged one (a checksum that does not match, a file cut short or missing, an unknown format, a replay segment
    missing or damaged) is skipped after `warn` is called with its name and the reason.
    Raises CheckpointError if there are checkpoints but none is intact, lest a run silently start anew.
    """
    found = _folders(run)
    for _, path in reversed(found):
        try:
            return inspect(path, replay)
        except CheckpointError as error:
            warn(f"skipping a damaged checkpoint: {error}")
    if found:
        raise CheckpointError(
            f"none of the {len(found)} checkpoints in {run / 'checkpoints'} is intact. Start a new run in another "
            f"folder, or remove that folder to begin this one again"
        )
    return None


def find(path: Path, warn: Callable[[str], object] = warnings.warn, replay: bool = True) -> Checkpoint:
    """The checkpoint that `path` names: a checkpoint folder itself, or a run folder, for its newest intact one.

    `replay` as in `latest`.

    Raises CheckpointError if there is none or if it is damaged.
    """
    path = path.resolve()
    if path.name.startswith(PREFIX) and path.parent.name == "checkpoints":
        return inspect(path, replay)
    checkpoint = latest(path, warn, replay)
    if checkpoint is None:
        raise CheckpointError(f"{path} holds no checkpoint; name a run folder, or a folder in its 'checkpoints'")
    return checkpoint


def common(runs: list[Path], found: list[Checkpoint | None]) -> list[Checkpoint | None]:
    """Checkpoints of one and the same step, or None for each of several fresh runs, from the newest of each.

    Raises StorageError where they share none.
    """
    steps = [point.step if point else 0 for point in found]
    if len(set(steps)) == 1:
        return found
    step, common = min(steps), []
    for run, point in zip(runs, found, strict=True):
        path = place(run, step) if point else None
        if path is None or not path.exists():
            stand = ", ".join(f"{run.name} at {at:,}" for run, at in zip(runs, steps, strict=True))
            raise storage.StorageError(
                f"the seeds stand at different steps ({stand}) and share no checkpoint; "
                f"bring them level one by one, with polytask resume RUN --steps {max(steps)}"
            )
        common.append(inspect(path))
    return common


def inspect(path: Path, replay: bool = True) -> Checkpoint:
    """Reads and verifies a checkpoint folder, with the replay segments it needs unless `replay` is False.

    Raises CheckpointError with the path and what is wrong.
    """
    manifest = _read_manifest(path)
    checkpoint = Checkpoint(
        path, manifest["step"], manifest["counters"], tuple(SegmentRef(**ref) for ref in manifest["segments"])
    )
    for name, expected in manifest["files"].items():
        wrong = storage.damage(path / name, expected["sha256"], expected["bytes"])
        if wrong:
            raise CheckpointError(wrong)
    if replay:
        for ref in checkpoint.segments:
            try:
                replay_segments.verify(checkpoint.run, ref)
            except SegmentError as error:
                raise CheckpointError(f"{path}: {error}") from error
    return checkpoint


def read_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """All arrays of a checkpoint folder by leaf path; raises CheckpointError if it is damaged."""
    inspect(path, replay=False)
    return storage.read_arrays(path / ARRAYS)


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves of a tree under the names that a checkpoint gives them. Raises TypeError where two have one name."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = [(jax.tree_util.keystr(path, simple=True, separator="/") or "value", leaf) for path, leaf in paths]
    counts = Counter(name for name, _ in named)
    if len(counts) < len(named):
        raise TypeError(f"two leaves of the state have the path {counts.most_common(1)[0][0]}; do not use '/' in keys")
    return named


def _is_saved(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct | bool | int | float)


def _storable(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{name} is a typed JAX key, which is not saved; save the seed and a counter instead")
    array = np.asarray(leaf)
    if array.dtype.kind not in "biufc" and array.dtype.isbuiltin != 2:  # 2: of a package, as bfloat16 is
        raise TypeError(f"{name} has dtype {array.dtype}, which is not saved; use numbers, and counters for texts")
    return array


def _misfit(name: str, leaf: Any, array: np.ndarray | None) -> str | None:
    if array is None:
        return f"{name}: missing in the checkpoint"
    wanted = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if array.shape != wanted.shape:
        return f"{name}: shape {array.shape} in the checkpoint, {wanted.shape} here"
    if array.dtype != wanted.dtype:
        return f"{name}: dtype {array.dtype} in the checkpoint, {wanted.dtype} here"
    return None


def _restored(leaf: Any, array: np.ndarray) -> Any:
    if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return jnp.array(array)  # a copy: JAX may otherwise share, and on donation overwrite, NumPy's memory
    if isinstance(leaf, np.ndarray):
        return array
    return array[()] if isinstance(leaf, np.generic) else type(leaf)(array.item())


def _manifest(arrays: Path, step: int, counters: Mapping[str, Any], segments: Sequence[SegmentRef]) -> bytes:
    content = {
        "format": FORMAT,
        "step": step,
        "files": {ARRAYS: {"sha256": storage.digest(arrays), "bytes": arrays.stat().st_size}},
        "counters": counters,
        "segments": [dataclasses.asdict(ref) for ref in segments],
    }
    return json.dumps({**content, "sha256": _own_digest(content)}, indent=1).encode()


def _own_digest(content: Mapping[str, Any]) -> str:
    body = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
        version = manifest["format"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is not a checkpoint's JSON: {error}") from error
    if version != FORMAT:
        raise CheckpointError(f"{file} has format {version!r}; this polytask reads {FORMAT}, use the one that wrote it")
    if manifest.get("sha256") != _own_digest(manifest):
        raise CheckpointError(f"{file} is damaged: its SHA-256 is not what was written")
    return manifest


def _folders(run: Path) -> list[tuple[int, Path]]:
    """The checkpoints that bear a final name, oldest first."""
    found = [(path.name.removeprefix(PREFIX), path) for path in (run / "checkpoints").glob(f"{PREFIX}*")]
    return sorted((int(step), path) for step, path in found if step.isdecimal())


def _put_aside(path: Path) -> None:
    """Takes a checkpoint's final name from it in one move, so that a kill cannot leave half of it under that name."""
    aside = path.with_name(f"{storage.TEMPORARY}old-{path.name}")
    if aside.exists():
        shutil.rmtree(aside)
    path.rename(aside)


def _prune(run: Path, step: int, keep: int) -> None:
    found = _folders(run)
    kept = [path for saved, path in found if saved <= step][-keep:]
    for _, path in found:
        if path not in kept:
            _put_aside(path)
    for path in (run / "checkpoints").glob(f"{storage.TEMPORARY}*"):
        shutil.rmtree(path)
    required: set[str] = set()
    for path in kept:
        try:
            required |= {ref["name"] for ref in _read_manifest(path)["segments"]}
        except CheckpointError:
            continue  # it cannot be restored, so it needs nothing; `latest` will say so
    replay_segments.prune(run, required)
