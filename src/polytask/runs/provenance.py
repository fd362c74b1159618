"""Where a run's numbers came from: versions, commit, machine and command of every session that trained it."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from jaxtyping import PyTree

from polytask.machine import cores
from polytask.runs import storage

FILE = "provenance.json"
PACKAGES = (
    "polytask",
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "numpy",
    "scipy",
    "gymnasium",
    "envpool",
    "mujoco",
    "metaworld",
    "dm-control",
    "gymnasium-robotics",
)


def collect() -> dict[str, Any]:
    """What describes this process: versions, commit, machine, devices, command line and the time in UTC."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "devices": [device.device_kind for device in jax.devices()],
        "packages": _versions(),
        "git": git_state(Path(__file__).parent),
    }


def record(run: Path) -> list[str]:
    """Adds this session to the run's provenance.json; returns warnings where it differs from the one before.

    What can change the numbers is compared: package versions, the commit, the processor, how many of its cores there
    are (XLA shares sums out over them), and the devices.
    Raises StorageError if the file cannot be read or written.
    """
    file = run / FILE
    sessions = read(run)
    session = collect()
    with storage.writing(file, run):
        storage.replace(file, json.dumps({"sessions": [*sessions, session]}, indent=2).encode())
    return _warnings(sessions[-1], session) if sessions else []


def note(run: Path, about: Mapping[str, Any]) -> None:
    """Adds facts to the newest session of a run's provenance.json. Raises StorageError if it cannot be written."""
    *before, newest = read(run)
    file = run / FILE
    with storage.writing(file, run):
        storage.replace(file, json.dumps({"sessions": [*before, {**newest, **about}]}, indent=2).encode())


def read(run: Path) -> list[dict[str, Any]]:
    """The sessions of a run, first to last; empty if none was recorded. Raises StorageError if it is not valid."""
    file = run / FILE
    try:
        return json.loads(file.read_bytes())["sessions"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise storage.StorageError(f"{file} is damaged ({error}); move it away to go on") from error


def fingerprint(arrays: PyTree) -> str:
    """A digest of all the numbers in a tree of arrays, by which data are known again."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(arrays):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _warnings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old, new = before.get("packages", {}), now["packages"]
    changes = [f"{p} {old.get(p)} -> {new.get(p)}" for p in PACKAGES if old.get(p) != new.get(p)]
    old_git, new_git = before.get("git") or {}, now["git"] or {}
    changes += [
        f"{name} {was} -> {now_is}"
        for name, was, now_is in (
            ("commit", old_git.get("commit"), new_git.get("commit")),
            ("processor", before.get("cpu"), now["cpu"]),
            ("cores", before.get("cores"), now["cores"]),
            ("devices", before.get("devices"), now["devices"]),
        )
        if was != now_is
    ]
    if not changes:
        return []
    return [
        f"the run was last trained with something else: {', '.join(changes)}. It goes on, but to the same numbers as "
        f"without the interruption only with the same versions and machine"
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def git_state(package: Path) -> dict[str, Any] | None:
    """The commit of the checkout that the package is imported from, and whether it was changed since; or None.

    A package installed into a virtual environment inside somebody's repository is not tracked there, so not a checkout.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
