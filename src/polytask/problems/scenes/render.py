"""Images of scenes with their labels, each a function of (seed, index, size)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from polytask import random
from polytask.problems.scenes import labels
from polytask.problems.scenes.room import arrange, engine, make_model

_ASKED = 0.002  # of the pixels show the asked-for object at least
_DRAWS = 20
FAR = 65.535  # metres: the farthest depth that millimetres in two bytes hold


class SceneRenderer:
    """Renders off screen, from one model that becomes scene after scene. `size` is (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        mujoco, self._model = engine(), make_model()
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, *size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._renderer.close()

    def scene(self, seed: int, index: int) -> Mapping[str, np.ndarray]:
        """One image with its labels; the arrays of a set (`docs/scenes.md`) without their first axis."""
        for draw in range(_DRAWS):
            scene = arrange(self._model, random.generator(seed, f"scenes/{index}", draw))
            engine().mj_forward(self._model, self._data)
            geoms = self._geoms()
            asked = geoms == scene.asked
            if asked.mean() >= _ASKED and (geoms >= 0).all():
                break
        else:
            raise RuntimeError(f"scene {index} of seed {seed}: {_DRAWS} draws show no object that is asked for")
        seen = labels.view(self._model, self._data, geoms, self._depth())
        normals, faces = labels.surfaces(self._model, self._data, seen)
        return {
            "image": self._image(),
            "classes": scene.classes[geoms],
            "depth": np.round(1000 * np.minimum(seen.depth, FAR)).astype(np.uint16),
            "normals": np.round(127 * normals).astype(np.int8),
            "edges": labels.edges(geoms, faces).astype(np.uint8),
            "corners": labels.corners(self._model, self._data, seen).astype(np.uint8),
            "asked": asked.astype(np.uint8),
            "boxes": labels.boxes(scene, geoms),
        }

    def _image(self) -> Any:
        self._renderer.update_scene(self._data, camera="eye")
        return self._renderer.render().copy()

    def _geoms(self) -> Any:
        self._renderer.enable_segmentation_rendering()
        self._renderer.update_scene(self._data, camera="eye")
        found = self._renderer.render()[..., 0].copy()
        self._renderer.disable_segmentation_rendering()
        return found

    def _depth(self) -> Any:
        self._renderer.enable_depth_rendering()
        self._renderer.update_scene(self._data, camera="eye")
        found = self._renderer.render().astype(np.float64)
        self._renderer.disable_depth_rendering()
        return found
