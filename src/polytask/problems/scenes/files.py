"""Sets of scenes as files: made once, by all cores, kept in the user's cache folder and read from there as needed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polytask.machine import cache_folder, cores
from polytask.tasks import opengl

VERSION = 1
"""Of what a seed and an index stand for."""

FACTS = "set.json"
_PART = 50  # images that are made in one go
_NAME = re.compile(r"(\d+)x(\d+)-(\d+)(?:-seed(\d+))?")
_SMALLEST = 16


class SceneSet(NamedTuple):
    """Which set: `images` images of (height, width) pixels. Raises ValueError, by `check`, for one that cannot be."""

    height: int
    width: int
    images: int
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.height}x{self.width}-{self.images}" + (f"-seed{self.seed}" if self.seed else "")

    @property
    def command(self) -> str:
        """What makes it."""
        seed = f" --seed {self.seed}" if self.seed else ""
        return f"polytask problems make scenes --size {self.height}x{self.width} --count {self.images}{seed}"

    def check(self) -> None:
        if min(self.height, self.width) < _SMALLEST or self.images < 1:
            raise ValueError(
                f"a set of scenes has at least one image, of {_SMALLEST}x{_SMALLEST} pixels or more, not {self.name}"
            )


def named(name: str) -> SceneSet | None:
    """The set of a name such as 64x96-3000 or 64x96-3000-seed1; None if it is not one."""
    found = _NAME.fullmatch(name)
    return SceneSet(*(int(group or 0) for group in found.groups())) if found else None


def folder(which: SceneSet) -> Path:
    """Where the set is kept. Raises OSError for a user without a cache folder."""
    base = cache_folder()
    if base is None:
        raise OSError("there is no folder to keep scenes in; set XDG_CACHE_HOME to an absolute path")
    return base / "scenes" / f"v{VERSION}-{which.name}"


def read(which: SceneSet) -> Mapping[str, np.ndarray]:
    """The arrays of a set, mapped from its files. Raises FileNotFoundError, with the command that makes it, if it was
    not made."""
    home = folder(which)
    if not (home / FACTS).exists():
        raise FileNotFoundError(f"the scenes {which.name} are not made yet; make them with\n  {which.command}")
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(home.glob("*.npy"))}


def facts(which: SceneSet) -> Mapping[str, object]:
    """What set.json says: version, size, count, seed, what rendered it, and the digest of its arrays."""
    return json.loads((folder(which) / FACTS).read_text())


def make(which: SceneSet, done: Callable[[int], None], workers: int | None = None) -> Path:
    """Renders a set that is not made yet, and returns its folder; `done(images)` is told how many there are by now.

    Images are kept in parts of 50 while it is made, so that it goes on where it was interrupted. What an image shows
    depends on seed, index and size alone, so neither `workers` (one a core by default) nor an interruption changes a
    byte. Another version of MuJoCo, or EGL in place of OSMesa, may.

    Raises ImportError without MuJoCo, and RuntimeError where it cannot render, each saying what to install.
    """
    which.check()
    home = folder(which)
    if (home / FACTS).exists():
        done(which.images)
        return home
    parts = home.with_name(f"v{VERSION}-{which.height}x{which.width}-seed{which.seed}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    _finish(which, list(_rendered(which, parts, done, workers)), home)
    shutil.rmtree(parts)
    return home


def pack(which: SceneSet, file: Path) -> None:
    """Writes a set that is made as one compressed file."""
    arrays: Any = read(which)
    np.savez_compressed(file, **arrays)


def _rendered(which: SceneSet, parts: Path, done: Callable[[int], None], workers: int | None) -> Iterator[Path]:
    """The files of all parts, in order, once they are there."""
    spans = [(start, min(start + _PART, which.images)) for start in range(0, which.images, _PART)]
    files = {span: parts / f"{span[0]:07d}-{span[1]:07d}.npz" for span in spans}
    missing = [span for span in spans if not files[span].exists()]
    ready = which.images - sum(b - a for a, b in missing)
    done(ready)
    if missing:
        import multiprocessing

        way = _way_to_render()
        count = min(workers or cores(), len(missing))
        # Not forked: the children of a process with threads may hang.
        with multiprocessing.get_context("spawn").Pool(count, _begin, (way, which)) as pool:
            for start, end in pool.imap_unordered(_make_part, [(*span, files[span]) for span in missing]):
                ready += end - start
                done(ready)
    return iter(files.values())


def _way_to_render() -> str:
    import importlib.util

    if importlib.util.find_spec("mujoco") is None:
        raise ImportError("scenes are rendered by MuJoCo; pip install -e '.[official]' in the checkout", name="mujoco")
    way = opengl.working()
    if way is None:
        raise RuntimeError(opengl.missing())
    return way


_which: SceneSet  # of a process that renders
_renderer: object


def _begin(way: str, which: SceneSet) -> None:
    global _which, _renderer
    os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = way
    from polytask.problems.scenes.render import SceneRenderer

    _which, _renderer = which, SceneRenderer((which.height, which.width))


def _make_part(job: tuple[int, int, Path]) -> tuple[int, int]:
    from polytask.problems.scenes.render import SceneRenderer

    start, end, file = job
    assert isinstance(_renderer, SceneRenderer)
    found = [_renderer.scene(_which.seed, index) for index in range(start, end)]
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as out:
        arrays: Any = {name: np.stack([one[name] for one in found]) for name in found[0]}
        np.savez(out, **arrays)
    temporary.replace(file)
    return start, end


def _finish(which: SceneSet, files: list[Path], home: Path) -> None:
    """Joins the parts to one file for each array; a set is complete once its facts are there."""
    home.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with np.load(files[0]) as first:
        shapes = {name: (first[name].shape[1:], first[name].dtype) for name in sorted(first)}
    for name, (shape, dtype) in shapes.items():
        whole = np.lib.format.open_memmap(home / f"{name}.npy", "w+", dtype, (which.images, *shape))
        start = 0
        for file in files:
            with np.load(file) as part:
                own = part[name]
            whole[start : start + len(own)] = own
            digest.update(own.tobytes())
            start += len(own)
        whole.flush()
    import mujoco

    content = {"version": VERSION, **which._asdict(), "mujoco": mujoco.__version__, "sha256": digest.hexdigest()}
    temporary = home / f"{FACTS}.tmp"
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(home / FACTS)
