"""Pictures of bodies that were found in silhouettes, beside the true ones.

A sheet has a row per walk and shows one moment: the silhouette, the heat maps, and
skeleton and surface from the camera and from the camera's right. Every cell is the box
of a heat map, so that all of them are of one scale, without perspective. A movie
u8[t, y, x, 3] is a sheet per frame.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from gaitjax.walkers.body import PARENTS

BOX = 2.0  # metres along a cell: a heat map's side
CAPTION = 14  # pixels
FPS = 10  # chosen: of the GIF, slower than most walks so that one can follow
FOUND, TRUE, SKIN = (70, 150, 240), (150, 150, 150), (205, 180, 160)
INK, GROUND = (200, 200, 200), (0, 0, 0)
LIGHT = (0.35, 0.45, 0.82)  # where it goes, of length 1: from the upper left
LINES = ("joints", "markers", "vertices")

Picture = Callable[[int], np.ndarray]  # of a frame: u8[y, x, 3]


@dataclasses.dataclass(frozen=True)
class Walk:
    """One sequence. sils: u8[t, h, w]. heatmaps: f[t, d, h, w, k], axes z, y, x.

    found, wanted: any of joints [t, 24, 3], markers, vertices in metres, in the
    camera's directions (x right, y down, z away). What is wanted may have rows of NaN:
    frames without a label.
    """

    name: str
    sils: np.ndarray
    heatmaps: np.ndarray
    found: Mapping[str, np.ndarray]
    wanted: Mapping[str, np.ndarray]


def errors_mm(walk: Walk) -> dict[str, np.ndarray]:
    """Mean distance of a point from where it should be, both seen from the pelvis, in
    each frame, millimetres f[t]; NaN without a label."""
    found, wanted = from_pelvis(walk.found), from_pelvis(walk.wanted)
    return {
        key: 1000 * np.linalg.norm(found[key] - wanted[key], axis=-1).mean(-1)
        for key in LINES
        if key in found and key in wanted
    }


def from_pelvis(places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Places [t, k, 3] less that of the first joint."""
    return {key: x - places["joints"][:, :1] for key, x in places.items()}


def error_line(walk: Walk) -> str:
    """The means over the frames with labels: "joints 41 mm, vertices 45 mm"."""
    known = {key: x[np.isfinite(x)] for key, x in errors_mm(walk).items()}
    words = [f"{key} {x.mean():.0f} mm" for key, x in known.items() if len(x)]
    return ", ".join(words) or "no labels"


def movie(
    walks: Sequence[Walk], faces: np.ndarray | None, size: int = 128
) -> np.ndarray:
    """Sheets u8[t, y, x, 3] as long as the longest walk; others begin again.

    faces: i[f, 3] of the surface, None draws its vertices as dots. size: of a cell.
    """
    rows = [cells(walk, faces, size) for walk in walks]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    head, empty = _line(names, size), np.zeros((size, size, 3), np.uint8)
    titles = [
        _line([f"{walk.name}: {error_line(walk)}"], size * len(names)) for walk in walks
    ]
    frames = []
    for t in range(max(len(walk.sils) for walk in walks)):
        sheet = [head]
        for walk, row, title in zip(walks, rows, titles, strict=True):
            at = t % len(walk.sils)
            drawn = [row[name](at) if row[name] else empty for name in names]
            sheet += [title, np.concatenate(drawn, 1)]
        frames.append(np.concatenate(sheet))
    return np.stack(frames)


def cells(walk: Walk, faces: np.ndarray | None, size: int) -> dict[str, Picture | None]:
    """By its caption, what draws a cell of a frame; None for what is not there."""
    found, wanted = from_pelvis(walk.found), from_pelvis(walk.wanted)
    front, side = projected_heat(walk.heatmaps)

    def bones(turn: bool) -> Picture:
        pairs = [(wanted.get("joints"), TRUE), (found["joints"], FOUND)]
        return lambda t: skeletons(
            [(x[t], colour) for x, colour in pairs if x is not None], size, turn
        )

    def skin(places: Mapping[str, np.ndarray], turn: bool) -> Picture | None:
        if not np.isfinite(places.get("vertices", np.nan)).any():
            return None
        return lambda t: surface(places["vertices"][t], faces, size, turn)

    return {
        "silhouette": lambda t: silhouette(walk.sils[t], size),
        "heat maps": lambda t: heat(front[t], size),
        "heat maps, right": lambda t: heat(side[t], size),
        "joints (true grey)": bones(False),
        "joints, right": bones(True),
        "mesh": skin(found, False),
        "true mesh": skin(wanted, False),
        "mesh, right": skin(found, True),
        "true mesh, right": skin(wanted, True),
    }


def projected_heat(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of the joints' maps f[t, d, h, w, k], from the camera f[t, h, w] and
    from its right f[t, h, d].

    Each map is seen against its own maximum, less what an even map has everywhere: a
    place that is known, however well, is 1, and a network that knows none is dark.
    """
    maps = maps[..., : len(PARENTS)]
    even = 1 / np.prod(maps.shape[1:4])
    maps = ((maps - even) / maps.max((1, 2, 3), keepdims=True)).max(-1)  # [t, d, h, w]
    maps = np.maximum(maps, 0)
    return maps.max(1), maps.max(3).swapaxes(1, 2)


def silhouette(frame: np.ndarray, size: int) -> np.ndarray:
    """u8[h, w], with the columns back that cutting took away: u8[size, size, 3]."""
    height, width = frame.shape
    left = max(height - width, 0) // 2
    frame = np.pad(frame, ((0, 0), (left, max(height - width, 0) - left)))
    image = Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(image)[..., None], 3, -1)


def heat(plane: np.ndarray, size: int) -> np.ndarray:
    """f[h, w] in [0, 1] as colours, voxels as squares: u8[size, size, 3]."""
    colours = matplotlib.colormaps["inferno"](plane)[..., :3]
    image = Image.fromarray(np.uint8(255 * colours))
    return np.asarray(image.resize((size, size), Image.Resampling.NEAREST))


def skeletons(
    bodies: Sequence[tuple[np.ndarray, tuple[int, int, int]]], size: int, turn: bool
) -> np.ndarray:
    """Joints f[24, 3] and a colour each, one over the other; not those with a NaN.

    turn: from the camera's right instead of from the camera.
    """
    image = Image.new("RGB", (size, size), GROUND)
    draw = ImageDraw.Draw(image)
    for joints, colour in bodies:
        if not np.isfinite(joints).all():
            continue
        points = pixels(turned(joints) if turn else joints, size)
        for (x, y), parent in zip(points, PARENTS, strict=True):
            if parent >= 0:
                draw.line([*points[parent], x, y], fill=colour, width=2)
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
    return np.asarray(image)


def surface(
    vertices: np.ndarray, faces: np.ndarray | None, size: int, turn: bool
) -> np.ndarray:
    """Vertices f[v, 3] with the faces i[f, 3] that look at us, far ones first.

    The picture is empty for NaN. turn: as in `skeletons`.
    """
    image = Image.new("RGB", (size, size), GROUND)
    draw = ImageDraw.Draw(image)
    if not np.isfinite(vertices).all():
        return np.asarray(image)
    vertices = turned(vertices) if turn else vertices
    points = pixels(vertices, size)
    if faces is None:
        draw.point([tuple(point) for point in points], fill=SKIN)
        return np.asarray(image)
    corners = vertices[faces]  # [f, 3, 3]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    bright = 0.2 + 0.8 * np.clip(-normal @ LIGHT, 0, 1)
    order = np.argsort(-corners[..., 2].mean(1))
    for face in order[normal[order, 2] < 0]:
        colour = tuple(int(bright[face] * value) for value in SKIN)
        draw.polygon([tuple(point) for point in points[faces[face]]], fill=colour)
    return np.asarray(image)


def turned(points: np.ndarray) -> np.ndarray:
    """What the camera sees, from the camera's right: away is on the right, and the
    camera's left is away. A rotation, so faces keep their sides."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([z, y, -x], -1)


def pixels(points: np.ndarray, size: int) -> np.ndarray:
    """Places f[k, 3] around the middle of a cell: f[k, 2]."""
    return (points[:, :2] / BOX + 0.5) * size


def write(folder: pathlib.Path, frames: np.ndarray) -> None:
    """bodies.png, the middle one, and bodies.gif, all of them again and again."""
    images = [Image.fromarray(frame) for frame in frames]
    images[len(images) // 2].save(folder / "bodies.png", optimize=True)
    small = [image.quantize(64, dither=Image.Dither.NONE) for image in images]
    small[0].save(
        folder / "bodies.gif",
        save_all=True,
        append_images=small[1:],
        duration=1000 // FPS,
        loop=0,
    )


def _line(words: Sequence[str], width: int) -> np.ndarray:
    """Words in a row, each `width` pixels wide: u8[CAPTION, x, 3]."""
    image = Image.new("RGB", (width * len(words), CAPTION), GROUND)
    draw = ImageDraw.Draw(image)
    for place, word in enumerate(words):
        draw.text((place * width + 3, 1), word, fill=INK)
    return np.asarray(image)
