"""One MuJoCo model that is every scene: rooms, furniture and objects are moved, sized and coloured in it."""

import colorsys
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

CLASSES = (
    *("floor", "wall", "ceiling", "table", "cabinet"),
    *("box", "ball", "cylinder", "capsule", "polyhedron"),
)
ON_TABLE, ON_FLOOR = 5, 3
SLOTS = ON_TABLE + ON_FLOOR
_THICK = 0.05  # metres: half of a wall
_SURFACES = ("floor", "ceiling", "east", "west", "north", "south")
_FURNITURE = ("top", "leg0", "leg1", "leg2", "leg3", "cabinet")
OBJECTS = len(_SURFACES) + len(_FURNITURE)
"""The first geom that is an object; those before it are the room and the furniture."""
_SHAPES = ("box", "sphere", "ellipsoid", "cylinder", "capsule", "mesh")
_OF_SHAPE = {"box": 5, "sphere": 6, "ellipsoid": 6, "cylinder": 7, "capsule": 8, "mesh": 9}
_POLYHEDRA = {
    "pyramid": "-1 -1 -.8  1 -1 -.8  1 1 -.8  -1 1 -.8  0 0 1.2",
    "wedge": "-1 -1 -.8  1 -1 -.8  1 1 -.8  -1 1 -.8  -1 -1 .8  -1 1 .8",
    "prism": "1 0 -.9  -.5 .87 -.9  -.5 -.87 -.9  1 0 .9  -.5 .87 .9  -.5 -.87 .9",
}
_MESH_SIZES = (0.06, 0.09, 0.13)  # metres; the size of a mesh cannot be changed in place
_TEXTURES, _TEXELS = 8, 64


class Scene(NamedTuple):
    """What of a scene the model does not say: each geom's class, and which geom is asked for."""

    classes: np.ndarray
    asked: int


def engine() -> Any:
    """MuJoCo, whose module says of hardly any name that it has it."""
    import mujoco

    return mujoco


def make_model() -> Any:
    """The model, compiled once; everything in it is somewhere out of sight."""
    mujoco = engine()
    meshes = "".join(
        f'<mesh name="{name}{i}" vertex="{points}" scale="{size} {size} {size}"/>'
        for name, points in _POLYHEDRA.items()
        for i, size in enumerate(_MESH_SIZES)
    )
    textures = "".join(
        f'<texture name="t{i}" type="2d" builtin="flat" rgb1="1 1 1" width="{_TEXELS}" height="{_TEXELS}"/>'
        f'<material name="m{i}" texture="t{i}" texuniform="true" texrepeat="{2 + i % 3} {2 + i % 3}" specular=".2"/>'
        for i in range(_TEXTURES)
    )
    # Away from the origin and turned, so that the compiler assumes nothing of their places.
    away = 'pos="1 2 3" euler="10 20 30" material="m0"'
    geoms = "".join(
        f'<geom name="{name}" type="box" size=".1 .1 .1" {away}/>'
        for name in (*_SURFACES, *_FURNITURE, *(f"object{i}" for i in range(SLOTS)))
    )
    # A geom for each mesh, since only meshes that something uses are kept with their frames.
    used = "".join(f'<geom type="mesh" mesh="{n}{i}" pos="0 0 -50"/>' for n in _POLYHEDRA for i in range(3))
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><compiler angle="degree"/><statistic extent="1" center="0 0 1"/>
        <visual><map znear=".03" zfar="20"/><quality shadowsize="1024" offsamples="0"/></visual>
        <asset>{meshes}{textures}</asset><worldbody>
        <light name="main" pos="0 0 2" dir="0 0 -1" castshadow="true"/>
        <light name="fill" pos="0 0 2" dir="0 0 -1" castshadow="false"/>
        <camera name="eye" pos="0 0 1"/>{geoms}{used}</worldbody></mujoco>"""
    )
    model.geom_sameframe[:] = 0
    _paint(model)
    return model


def _paint(model: Any) -> None:
    """Grey patterns that colours are multiplied by: plain, checks, stripes, planks, spots, and three of noise."""
    rng = np.random.default_rng(19)
    y, x = np.mgrid[:_TEXELS, :_TEXELS] / _TEXELS
    noise = [np.kron(rng.random((n, n)), np.ones((_TEXELS // n, _TEXELS // n))) for n in (4, 16, 64)]
    planks = 0.7 + 0.3 * rng.random(8)[(8 * x).astype(int)] - 0.25 * ((8 * x) % 1 < 0.1)
    patterns = [
        np.ones_like(x),
        0.6 + 0.4 * (((4 * x).astype(int) + (4 * y).astype(int)) % 2),
        0.65 + 0.35 * ((6 * x).astype(int) % 2),
        planks,
        1 - 0.4 * (np.hypot((4 * x) % 1 - 0.5, (4 * y) % 1 - 0.5) < 0.3),
        *(0.6 + 0.4 * n for n in noise),
    ]
    for i, pattern in enumerate(patterns):
        start, channels = model.tex_adr[i], model.tex_nchannel[i]
        pixels = np.repeat((255 * np.clip(pattern, 0, 1)).astype(np.uint8).ravel(), channels)
        model.tex_data[start : start + len(pixels)] = pixels


def arrange(model: Any, rng: np.random.Generator) -> Scene:
    """Makes the model another scene; all lengths are in metres."""
    classes = np.zeros(model.ngeom, np.uint8)
    half = np.array([rng.uniform(1.5, 3), rng.uniform(1.5, 3), rng.uniform(1.1, 1.5)])  # of the room
    _room(model, half, rng, classes)
    table = np.array([*rng.uniform(-0.4, 0.4, 2) * half[:2], rng.uniform(0.55, 0.85)])
    size, yaw = np.array([rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.5)]), rng.uniform(0, np.pi)
    taken = [(table[:2], float(np.hypot(*size)))]
    _table(model, table, size, yaw, rng, classes)
    taken.append(_cabinet(model, half, taken, rng, classes))
    asked = OBJECTS + int(rng.integers(SLOTS))
    there = rng.random(SLOTS) < 0.75
    there[asked - OBJECTS] = True
    on_table: list[tuple[np.ndarray, float]] = []
    for i in range(SLOTS):
        geom, up = OBJECTS + i, i < ON_TABLE
        reach = rng.uniform(0.05, 0.13) if up else rng.uniform(0.1, 0.22)
        where, others = (size - 0.05, on_table) if up else (half[:2] - 0.3, taken)
        place = _free(where, reach, others, rng)
        height, classes[geom] = _object(model, geom, reach, rng)
        _colour(model, geom, rng, hue=rng.uniform(-0.02, 0.02) if geom == asked else rng.uniform(0.1, 0.9))
        if place is None or not there[i]:
            model.geom_pos[geom] = (0, 0, -20 - i)
            continue
        others.append((place, reach))
        if up:
            place = table[:2] + _turn(yaw) @ place
        model.geom_pos[geom] += (*place, (table[2] if up else 0.0) + height)
    _light(model, half, rng)
    _look(model, half, table, taken, rng)
    return Scene(classes, asked)


def room_corners(model: Any) -> Float[np.ndarray, "8 3"]:
    """The corners of the room, from its surfaces."""
    half = np.array([model.geom_pos[2, 0], model.geom_pos[4, 1]]) - _THICK
    top = model.geom_pos[1, 2] - _THICK
    return np.array([(x * half[0], y * half[1], z) for x in (-1, 1) for y in (-1, 1) for z in (0.0, top)])


def _turn(yaw: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])


def _about_z(yaw: float) -> Float[np.ndarray, " 4"]:
    return np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])


def _times(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, " 4"]:
    """The product of two quaternions."""
    w, v, x, u = a[0], a[1:], b[0], b[1:]
    return np.array([w * x - v @ u, *(w * u + x * v + np.cross(v, u))])


def _place(model: Any, geom: int, pos: Any, size: Any, yaw: float = 0.0) -> None:
    model.geom_pos[geom], model.geom_size[geom], model.geom_quat[geom] = pos, size, _about_z(yaw)


def _colour(model: Any, geom: int, rng: np.random.Generator, hue: float, low: float = 0.75, high: float = 1.0) -> None:
    """A hue with a saturation in between, and a pattern."""
    colour = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(low, high), rng.uniform(0.6, 0.95))
    model.geom_rgba[geom], model.geom_matid[geom] = (*colour, 1), rng.integers(_TEXTURES)


def _room(model: Any, half: np.ndarray, rng: np.random.Generator, classes: np.ndarray) -> None:
    x, y, z = half
    t, hue = _THICK, rng.random()
    _place(model, 0, (0, 0, -t), (x + t, y + t, t))
    _place(model, 1, (0, 0, 2 * z + t), (x + t, y + t, t))
    for geom, side in ((2, 1), (3, -1)):
        _place(model, geom, (side * (x + t), 0, z), (t, y + t, z))
    for geom, side in ((4, 1), (5, -1)):
        _place(model, geom, (0, side * (y + t), z), (x + t, t, z))
    _colour(model, 0, rng, rng.random(), 0, 0.35)
    _colour(model, 1, rng, rng.random(), 0, 0.1)
    _colour(model, 2, rng, hue, 0.05, 0.35)
    model.geom_rgba[3:6], model.geom_matid[3:6] = model.geom_rgba[2], model.geom_matid[2]
    classes[:6] = (0, 2, 1, 1, 1, 1)


def _table(
    model: Any, table: np.ndarray, size: np.ndarray, yaw: float, rng: np.random.Generator, classes: np.ndarray
) -> None:
    thick, leg = 0.02, rng.uniform(0.02, 0.04)
    _place(model, 6, (*table[:2], table[2] - thick), (*size, thick), yaw)
    _colour(model, 6, rng, rng.uniform(0.06, 0.14), 0.2, 0.5)
    for i, corner in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        foot = table[:2] + _turn(yaw) @ ((size - leg) * corner)
        tall = table[2] / 2 - thick
        _place(model, 7 + i, (*foot, tall), (leg, leg, tall), yaw)
        model.geom_rgba[7 + i], model.geom_matid[7 + i] = model.geom_rgba[6], model.geom_matid[6]
    classes[6:11] = 3


def _cabinet(
    model: Any, half: np.ndarray, taken: list[tuple[np.ndarray, float]], rng: np.random.Generator, classes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Along the wall that is farther from the table."""
    size = np.array([rng.uniform(0.15, 0.25), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.9)])
    side = -1.0 if taken[0][0][0] > 0 else 1.0
    place = np.array([side * (half[0] - size[0]), rng.uniform(-1, 1) * (half[1] - size[1])])
    _place(model, 11, (*place, size[2]), size)
    _colour(model, 11, rng, rng.uniform(0.06, 0.6), 0.1, 0.5)
    classes[11] = 4
    return place, float(np.hypot(*size[:2]))


def _free(
    where: np.ndarray, reach: float, others: list[tuple[np.ndarray, float]], rng: np.random.Generator
) -> np.ndarray | None:
    """A place in the rectangle of half sizes `where` that is nobody's; None if twenty draws find none."""
    for place in rng.uniform(-1, 1, (20, 2)) * where:
        if all(np.hypot(*(place - p)) > 1.5 * (reach + r) for p, r in others):
            return place
    return None


def _object(model: Any, geom: int, reach: float, rng: np.random.Generator) -> tuple[float, int]:
    """Makes the geom a shape of that reach at the origin; the height of its middle above what it stands on, and its
    class. Some lie on their side."""
    mujoco = engine()
    shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    a, b, c = reach * rng.uniform(0.55, 1.0, 3)
    turned = _about_z(rng.uniform(0, 2 * np.pi))
    lying = rng.random() < 0.3
    model.geom_type[geom] = getattr(mujoco.mjtGeom, f"mjGEOM_{shape.upper()}")
    model.geom_dataid[geom] = -1
    model.geom_pos[geom] = 0
    if shape == "mesh":
        size = int(np.argmin(np.abs(np.array(_MESH_SIZES) - reach)))
        mesh = 3 * int(rng.integers(len(_POLYHEDRA))) + size
        # The compiler has moved a mesh into its axes of inertia; this puts it back.
        model.geom_dataid[geom], model.geom_quat[geom] = mesh, _times(turned, model.mesh_quat[mesh])
        offset = model.mesh_pos[mesh]
        xy = _turn(2 * np.arctan2(turned[3], turned[0])) @ offset[:2]
        model.geom_pos[geom] = (*xy, offset[2])
        lowest = {0: 0.8, 1: 0.8, 2: 0.9}[mesh // 3] * _MESH_SIZES[size]
        return lowest, _OF_SHAPE[shape]
    sizes = {
        "box": (a, b, c),
        "sphere": (a, a, a),
        "ellipsoid": (a, b, c),
        "cylinder": (a * 0.8, c, 0),
        "capsule": (a * 0.6, c * 0.7, 0),
    }
    model.geom_size[geom] = sizes[shape]
    tall = {"box": c, "sphere": a, "ellipsoid": c, "cylinder": c, "capsule": 0.6 * a + 0.7 * c}[shape]
    if lying and shape in ("cylinder", "capsule"):
        turned, tall = _times(turned, np.array([np.sqrt(0.5), np.sqrt(0.5), 0, 0])), model.geom_size[geom, 0]
    model.geom_quat[geom] = turned
    return float(tall), _OF_SHAPE[shape]


def _light(model: Any, half: np.ndarray, rng: np.random.Generator) -> None:
    for i, (low, high) in enumerate(((0.4, 0.8), (0.1, 0.4))):
        model.light_pos[i] = (*rng.uniform(-0.8, 0.8, 2) * half[:2], rng.uniform(1.6, 1.95) * half[2])
        direction = np.array([*rng.uniform(-0.6, 0.6, 2), -1])
        model.light_dir[i] = direction / np.linalg.norm(direction)
        model.light_cutoff[i], model.light_exponent[i] = 90, rng.uniform(0, 2)
        tint = 1 + rng.uniform(-0.12, 0.12, 3)
        model.light_diffuse[i] = rng.uniform(low, high) * tint
    model.vis.headlight.ambient[:] = rng.uniform(0.2, 0.4)
    model.vis.headlight.diffuse[:] = rng.uniform(0.1, 0.3)


def _look(
    model: Any, half: np.ndarray, table: np.ndarray, taken: list[tuple[np.ndarray, float]], rng: np.random.Generator
) -> None:
    """Puts the eye somewhere in the room, outside what stands in it, and turns it to the table."""
    eye = None
    for height, angle, far in rng.uniform((1.0, 0, 1.1), (1.9, 2 * np.pi, 2.4), (50, 3)):
        place = table[:2] + far * np.array([np.cos(angle), np.sin(angle)])
        inside = (np.abs(place) < half[:2] - 0.15).all() and height < 2 * half[2] - 0.2
        eye = np.array([*place, height])
        if inside and all(np.hypot(*(place - p)) > r + 0.15 for p, r in taken):
            break
    else:
        eye = np.array([*np.sign(-table[:2] + 1e-9) * (half[:2] - 0.2), 1.6])
    target = table + rng.uniform(-0.25, 0.25, 3)
    z = (eye - target) / np.linalg.norm(eye - target)
    x = np.cross((0, 0, 1), z)
    x /= np.linalg.norm(x)
    roll = rng.normal(0, 0.05)
    y = np.cross(z, x)
    x, y = np.cos(roll) * x + np.sin(roll) * y, np.cos(roll) * y - np.sin(roll) * x
    engine().mju_mat2Quat(model.cam_quat[0], np.stack([x, y, z], axis=1).ravel())
    model.cam_pos[0], model.cam_fovy[0] = eye, rng.uniform(45, 65)
