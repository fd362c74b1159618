"""Exact labels of a rendered scene, from which geom each pixel shows, its depth, and where the camera stands."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from polytask.problems.scenes.room import OBJECTS, SLOTS, Scene, engine, room_corners

Pixels = Float[np.ndarray, "height width"]
_LEAST = 4  # pixels of an object that has a bounding box


class View(NamedTuple):
    """What a pixel shows: its geom (height, width), its place in the world (height, width, 3), and its depth in metres
    along the camera's axis."""

    geoms: Int[np.ndarray, "height width"]
    points: Float[np.ndarray, "height width 3"]
    depth: Pixels


def view(model: Any, data: Any, geoms: Int[np.ndarray, "height width"], depth: Pixels) -> View:
    """Places of all pixels, through their middles."""
    height, width = depth.shape
    focal = height / 2 / np.tan(np.radians(model.cam_fovy[0]) / 2)
    rows, columns = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(columns - width / 2) / focal, (height / 2 - rows) / focal, -np.ones_like(rows)], axis=-1)
    turn = data.cam_xmat[0].reshape(3, 3)
    return View(geoms, data.cam_xpos[0] + (rays * depth[..., None]) @ turn.T, depth)


def surfaces(
    model: Any, data: Any, seen: View
) -> tuple[Float[np.ndarray, "height width 3"], Int[np.ndarray, "height width"]]:
    """The unit normal of every pixel in the camera's frame (right, up, towards the eye), and which face of its geom
    it is on; curved faces are one.

    Computed from the shape of the geom and the pixel's place on it, not from differences of depth.
    """
    normals, faces = np.zeros_like(seen.points), np.zeros(seen.depth.shape, np.int64)
    for geom in np.unique(seen.geoms):
        there = seen.geoms == geom
        turn = data.geom_xmat[geom].reshape(3, 3)
        local, face = _local(model, geom, (seen.points[there] - data.geom_xpos[geom]) @ turn)
        normals[there], faces[there] = local @ turn.T, face
    return normals @ data.cam_xmat[0].reshape(3, 3), faces


def _local(model: Any, geom: int, p: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Normals and faces of points on a geom, all in its frame."""
    shape, size = model.geom_type[geom], model.geom_size[geom]
    kinds, none = engine().mjtGeom, np.zeros(len(p), np.int64)
    if shape == kinds.mjGEOM_MESH:
        planes, offsets = _planes(model, model.geom_dataid[geom])
        face = np.argmax(p @ planes.T - offsets, axis=1)
        return planes[face], face
    if shape == kinds.mjGEOM_BOX:
        axis = np.argmax(np.abs(p) - size, axis=1)
        sign = np.sign(p[np.arange(len(p)), axis])
        return np.eye(3)[axis] * sign[:, None], 2 * axis + (sign > 0)
    if shape == kinds.mjGEOM_CYLINDER:
        radial = np.hypot(p[:, 0], p[:, 1])
        cap = np.abs(p[:, 2]) - size[1] > radial - size[0]
        side = np.stack([p[:, 0], p[:, 1], np.zeros(len(p))], axis=1)
        normal = np.where(cap[:, None], np.stack([none, none, np.sign(p[:, 2])], axis=1), side)
        return _unit(normal), np.where(cap, 1 + (p[:, 2] > 0), 0)
    if shape == kinds.mjGEOM_CAPSULE:
        middle = np.clip(p[:, 2], -size[1], size[1])
        return _unit(p - np.stack([none, none, middle], axis=1)), none
    radii = size if shape == kinds.mjGEOM_ELLIPSOID else np.full(3, size[0])
    return _unit(p / radii**2), none


def _planes(model: Any, mesh: int) -> tuple[Float[np.ndarray, "faces 3"], Float[np.ndarray, " faces"]]:
    """The outward normals of a convex mesh's planes, and their distances from its middle; each plane once."""
    vertices = _vertices(model, mesh)
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    a, b, c = np.moveaxis(vertices[model.mesh_face[first : first + count]], 1, 0)
    normals = _unit(np.cross(b - a, c - a))
    offsets = (normals * a).sum(1)
    normals, offsets = normals * np.sign(offsets)[:, None], np.abs(offsets)
    _, kept = np.unique(np.round(np.column_stack([normals, offsets]), 3), axis=0, return_index=True)
    return normals[np.sort(kept)], offsets[np.sort(kept)]


def _vertices(model: Any, mesh: int) -> Float[np.ndarray, "vertices 3"]:
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    return model.mesh_vert[first : first + count].astype(np.float64)


def _unit(x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def edges(geoms: Int[np.ndarray, "height width"], faces: Int[np.ndarray, "height width"]) -> Bool[np.ndarray, "h w"]:
    """Pixels whose right or lower neighbour shows another geom, or another face of the same."""
    parts, found = np.stack([geoms, faces]), np.zeros(geoms.shape, bool)
    found[:, :-1] |= (parts[:, :, 1:] != parts[:, :, :-1]).any(0)
    found[:-1] |= (parts[:, 1:] != parts[:, :-1]).any(0)
    return found


def corners(model: Any, data: Any, seen: View) -> Bool[np.ndarray, "height width"]:
    """Pixels at most one away from a corner that is in sight: of the room, the table top, the cabinet, boxes and
    polyhedra."""
    kinds = engine().mjtGeom
    found = np.zeros(seen.depth.shape, bool)
    owned: list[tuple[tuple[int, ...], np.ndarray]] = [((0, 1, 2, 3, 4, 5), room_corners(model))]
    for geom in (6, *range(OBJECTS - 1, OBJECTS + SLOTS)):
        if model.geom_type[geom] == kinds.mjGEOM_BOX:
            local = model.geom_size[geom] * np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
        elif model.geom_type[geom] == kinds.mjGEOM_MESH:
            local = _vertices(model, model.geom_dataid[geom])
        else:
            continue
        owned.append(((geom,), data.geom_xpos[geom] + local @ data.geom_xmat[geom].reshape(3, 3).T))
    height, width = seen.depth.shape
    focal = height / 2 / np.tan(np.radians(model.cam_fovy[0]) / 2)
    for owners, places in owned:
        local = (places - data.cam_xpos[0]) @ data.cam_xmat[0].reshape(3, 3)
        for x, y, z in local[local[:, 2] < -0.05]:
            row, column = int(height / 2 + focal * y / z), int(width / 2 - focal * x / z)
            if not (0 <= row < height and 0 <= column < width):
                continue
            around = slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2)
            near = np.abs(seen.depth[around] + z) < 0.05 * (1 - z)
            if (near & np.isin(seen.geoms[around], owners)).any():
                found[around] = True
    return found


def boxes(scene: Scene, geoms: Int[np.ndarray, "height width"]) -> Int[np.ndarray, "slots 5"]:
    """Of each object its class and its bounding box (top, left, bottom, right; the last two exclusive); -1 where it is
    not in sight."""
    found = np.full((SLOTS, 5), -1, np.int16)
    for slot in range(SLOTS):
        rows, columns = np.nonzero(geoms == OBJECTS + slot)
        if len(rows) >= _LEAST:
            ends = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            found[slot] = (scene.classes[OBJECTS + slot], *ends)
    return found
