"""Sets in Minari's format (0.5.4, the extra `offline`), read and written. Minari is imported when it is used.

A set is a folder with `data/main_data.hdf5` and `data/metadata.json`; ours have the task's facts in the metadata too,
under "polytask". A folder of sets is what MINARI_DATASETS_PATH may point to.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from polytask.datasets.logged import SUITE, LoggedTask, logged
from polytask.tasks.options import TaskOptions
from polytask.tasks.spaces import Box
from polytask.tasks.spec import TaskSpec, spec_from

METADATA = "metadata.json"
FACTS = "polytask"  # the key of the task's facts in a set's metadata


def sets_in(folder: Path) -> list[Path]:
    """The folders with a set's data, at any depth."""
    return sorted(path.parent for path in folder.rglob(METADATA))


def read(folder: Path, spec: TaskSpec | None, source: str) -> LoggedTask:
    """The set whose data lie in `folder`; the task is `spec`, else the one that the set names.

    An environment that the set names is looked for under gym/<id>, and taken if it can be built as the set has it.
    Raises ValueError, naming the source, for a damaged set, and for one that cannot be learned from.
    """
    storage = _minari().dataset.minari_storage.MinariStorage
    try:
        metadata, found = storage.read_raw_metadata(folder), storage.read(folder)
        spaces = found.observation_space, found.action_space
        episodes = list(found.get_episodes(range(found.total_episodes)))
    except Exception as error:  # whatever h5py, json and Minari say of a damaged file
        raise ValueError(f"{source} is no Minari set that can be read: {type(error).__name__}: {error}") from error
    if not episodes:
        raise ValueError(f"{source} holds no episode")
    if spec is None and FACTS in metadata:
        spec = spec_from(metadata[FACTS])
    elif spec is None:
        spec = _named(metadata, spaces, source)
    arrays: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for number, episode in enumerate(episodes):
        columns = _columns(episode, spaces[0], f"{source}, episode {number}")
        for name, value in columns.items():
            arrays[name].append(value)
    joined = {name: np.concatenate(parts) for name, parts in arrays.items() if len(parts) == len(episodes)}
    return logged(joined, spec, source)


def write(folder: Path, task: LoggedTask, *, name: str, algorithm: str) -> Path:
    """Writes a log as the set `name` under `folder`; returns the set's folder. Raises FileExistsError if it is there.

    Episodes are those of the log; observations and actions are flat vectors, infos hold `success` where it is known.
    """
    minari = _minari()
    from gymnasium.spaces import Box as GymBox
    from minari.data_collector import EpisodeBuffer

    data = folder / name / "data"
    if data.exists():
        raise FileExistsError(f"{folder / name} is there already; name another folder with --out, or remove it")
    data.mkdir(parents=True)
    low, high = task.spec.bounds
    storage = minari.dataset.minari_storage.MinariStorage.new(
        data,
        observation_space=GymBox(-np.inf, np.inf, (task.observations.shape[1],), np.float32),
        action_space=GymBox(low, high, low.shape, np.float32),
        data_format="hdf5",
    )

    def buffer(episode: slice) -> Any:
        make: Any = EpisodeBuffer  # annotated with lists, it takes arrays
        last = episode.stop - 1
        known = None if task.success is None else np.append(False, task.success[episode])
        return make(
            observations=np.concatenate([task.observations[episode], task.next_observations[last:][:1]]),
            actions=task.actions[episode],
            rewards=task.rewards[episode],
            terminations=task.terminated[episode],
            truncations=task.truncated[episode],
            infos={} if known is None else {"success": known},
        )

    storage.update_episodes([buffer(episode) for episode in task.episodes])
    facts = json.loads(json.dumps(dataclasses.asdict(task.spec)))
    about = {"dataset_id": name, "minari_version": minari.__version__, "algorithm_name": algorithm, FACTS: facts}
    storage.update_metadata(about)
    return folder / name


_COLUMNS = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations", "success")


def _columns(episode: dict[str, Any], space: Any, source: str) -> dict[str, np.ndarray]:
    observations = _flat(episode["observations"], space)
    count = len(episode["rewards"])
    if len(observations) != count + 1:
        raise ValueError(
            f"{source} has {len(observations):,} observations for {count:,} rewards; it has to be one more"
        )
    truncated = np.array(episode["truncations"], bool)
    truncated[-1:] |= not np.asarray(episode["terminations"], bool)[-1:].any()
    columns = {
        "observations": observations[:-1],
        "actions": np.asarray(episode["actions"]),
        "rewards": np.asarray(episode["rewards"]),
        "terminated": np.asarray(episode["terminations"]),
        "truncated": truncated,
        "next_observations": observations[1:],
    }
    success = (episode.get("infos") or {}).get("success")
    if success is not None and len(success) in (count, count + 1):
        columns["success"] = np.asarray(success)[-count:].astype(bool)
    return columns


def _flat(value: Any, space: Any) -> np.ndarray:
    """Rows of vectors, in the order of `gymnasium.spaces.flatten`."""
    if isinstance(value, dict):
        return np.concatenate([_flat(value[name], space[name]) for name in space.spaces], axis=1)
    if isinstance(value, tuple):
        return np.concatenate([_flat(part, own) for part, own in zip(value, space.spaces, strict=True)], axis=1)
    array = np.asarray(value)
    return array.reshape(len(array), -1)


def _named(metadata: dict[str, Any], spaces: tuple[Any, Any], source: str) -> TaskSpec:
    """The task of a set that polytask did not write: of a simulator where one is known, else of the set alone."""
    from polytask.tasks.acting import action_of
    from polytask.tasks.observing import observation_of

    own = TaskSpec(f"{SUITE}/{source}", SUITE, observation_of(source, spaces[0], 1), action_of(source, spaces[1]), 1)
    try:
        asked = json.loads(metadata["env_spec"])
        return _simulated(asked, own) or own
    except (KeyError, TypeError, ValueError, ImportError, RuntimeError):
        return own  # it names none, or none that can be had here


def _simulated(asked: dict[str, Any], own: TaskSpec) -> TaskSpec | None:
    import gymnasium

    from polytask.tasks.registry import resolve

    options = TaskOptions(horizon=asked.get("max_episode_steps"))
    (spec,) = resolve((f"gym/{asked['id']}",), options)
    same = gymnasium.spec(asked["id"]).kwargs == (asked.get("kwargs") or {})
    fits = spec.observation == own.observation and isinstance(spec.action, Box) and spec.action_dim == own.action_dim
    return spec if same and fits else None


def _minari() -> Any:
    try:
        import minari
        import minari.dataset.minari_storage
    except ImportError as error:
        raise ModuleNotFoundError(
            "sets in Minari's format need the package 'minari': pip install 'polytask[offline]'", name="minari"
        ) from error
    return minari
