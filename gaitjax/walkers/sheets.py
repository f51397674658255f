"""Contact sheets of walkers, as movies u8[t, y, x, 3]: one frame is a sheet.

Each function draws one subject matter; `tools/show_walkers.py` saves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from gaitjax.walkers import mesh
from gaitjax.walkers.body import PARENTS
from gaitjax.walkers.look import KEYS
from gaitjax.walkers.sequence import CONDITIONS, Sensors, make_sequence

VIEWS = tuple(range(0, 360, 30))
BONE, JOINT, MARKER, SKIN = (
    (90, 150, 220),
    (255, 210, 90),
    (240, 90, 90),
    (205, 180, 160),
)
CAPTION = 12  # pixels above a cell


def one_walker(seed: int, subject: int, num_frames: int) -> np.ndarray:
    """One person from all sides, silhouettes and range views."""
    keys = ("sils", "ranges")
    cells = []
    for view in VIEWS:
        made = _make(seed, subject, "nm", view, num_frames, keys)
        cells.append((f"{view} deg", np.concatenate(_pictures(made), 1)))
    return _grid(cells, 6)


def many_walkers(seed: int, subject: int, num_frames: int) -> np.ndarray:
    """Forty people from the left."""
    people = range(subject, subject + 40)
    made = [_make(seed, person, "nm", 90, num_frames, ("sils",)) for person in people]
    return _grid([("", _pictures(one)[0][:, :, 8:-8]) for one in made], 10)


def conditions(seed: int, subject: int, num_frames: int) -> np.ndarray:
    """Everything worn and met, and combinations, from three sides, by both sensors."""
    keys, cells = ("sils", "ranges"), []
    for words in (*CONDITIONS, "cl-ub", "bg-nt", "cr-oc"):
        for view in (0, 45, 90):
            made = _make(seed, subject, words, view, num_frames, keys)
            cells.append((f"{words} {view}", np.concatenate(_pictures(made), 2)))
    return _grid(cells, 6)


def modalities(seed: int, subject: int, num_frames: int) -> np.ndarray:
    """Every modality of the same moments side by side, from four sides."""
    cells = []
    for view in (0, 45, 90, 150):
        keys = [key for key in KEYS if key != "smpl"]  # numbers, no picture
        made = _make(seed, subject, "bg", view, num_frames, keys)
        cells += zip(keys, _pictures(made), strict=True)
    return _grid(cells, 7)


def body(seed: int, subject: int, num_frames: int) -> np.ndarray:
    """The surface, its markers and the joints, of four people, large."""
    cells = []
    for person, view in zip(
        range(subject, subject + 4), (20, 60, 110, 200), strict=True
    ):
        keys = ("vertices", "markers", "joints")
        made = _make(seed, person, "nm", view, num_frames, keys)
        focus = _focus(made["joints"], 256)
        surface = _surface(made["vertices"], focus, 256)
        points = surface.copy()
        _dots(points, focus(made["markers"]), MARKER, 3)
        bones = _bones(made["joints"], focus, 256)
        cells.append((f"walker {person}", np.concatenate([surface, points, bones], 2)))
    return _grid(cells, 2)


def sheets() -> dict[str, Callable[[int, int, int], np.ndarray]]:
    """Every sheet by its name."""
    return {
        "one_walker": one_walker,
        "many_walkers": many_walkers,
        "conditions": conditions,
        "modalities": modalities,
        "body": body,
    }


def _make(
    seed: int,
    subject: int,
    words: str,
    view: float,
    num_frames: int,
    keys: Sequence[str],
) -> dict[str, np.ndarray]:
    sensors = Sensors(fps=15.0)
    return make_sequence(
        seed, subject, words, 1, float(view), num_frames, keys=keys, sensors=sensors
    )


def _pictures(made: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Every modality as u8[t, 64, 64, 3]."""
    pictures = []
    focus = _focus(made["joints"], 64) if "joints" in made else None
    for key, frames in made.items():
        if key == "sils":
            picture = np.repeat(frames[..., None], 3, -1)
        elif key == "ranges":
            picture = frames
        elif key == "heatmaps":
            picture = np.stack([frames[..., 1], frames[..., 0], frames[..., 0]], -1)
        elif key == "points":
            picture = _cloud(frames, 64)
        elif key == "joints":
            picture = _bones(frames, focus, 64)
        elif key == "markers":
            picture = np.zeros((len(frames), 64, 64, 3), np.uint8)
            _dots(picture, focus(frames), MARKER, 1)
        else:  # vertices
            picture = _surface(frames, focus, 64)
        pictures.append(picture)
    return pictures


def _focus(joints: np.ndarray, size: int):
    """A function from points in the camera's frame f[t, k, 3] to pixels f[t, k, 2] of a
    picture that the person, whose joints are f[t, 24, 3], fills."""
    flat = joints[..., :2] / joints[..., 2:]
    low, high = flat.min(1, keepdims=True), flat.max(1, keepdims=True)
    middle = 0.5 * (low + high)
    scale = 0.80 * size / (high - low)[..., 1:].max()

    def focus(points: np.ndarray) -> np.ndarray:
        return (points[..., :2] / points[..., 2:] - middle) * scale + 0.5 * size

    return focus


def _bones(joints: np.ndarray, focus, size: int) -> np.ndarray:
    pixels, movie = focus(joints), []
    for frame in pixels:
        image = Image.new("RGB", (size, size))
        draw = ImageDraw.Draw(image)
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                line = [*frame[parent], *frame[joint]]
                draw.line(line, fill=BONE, width=max(1, size // 64))
        movie.append(np.asarray(image))
    movie = np.stack(movie)
    _dots(movie, pixels, JOINT, max(1, size // 64))
    return movie


def _surface(vertices: np.ndarray, focus, size: int) -> np.ndarray:
    """Faces painted from far to near, brighter the more they look at the camera."""
    faces, pixels, movie = mesh.faces(), focus(vertices), []
    for frame, flat in zip(vertices, pixels, strict=True):
        corners = frame[faces]  # [f, 3, 3]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        light = np.clip(-normal @ (0.35, 0.45, 0.82), 0.0, 1.0) * 0.8 + 0.2
        image = Image.new("RGB", (size, size))
        draw = ImageDraw.Draw(image)
        for face in np.argsort(-corners[..., 2].mean(1)):
            colour = tuple(int(light[face] * value) for value in SKIN)
            draw.polygon([tuple(point) for point in flat[faces[face]]], fill=colour)
        movie.append(np.asarray(image))
    return np.stack(movie)


def _cloud(points: np.ndarray, size: int) -> np.ndarray:
    """LiDAR points as the sensor sees them, the nearer the brighter."""
    movie = np.zeros((len(points), size, size, 3), np.uint8)
    for frame, cloud in zip(movie, points, strict=True):
        cloud = cloud[~np.isnan(cloud[:, 0])]
        if len(cloud):
            y, z, depth = cloud[:, 1], cloud[:, 2], -cloud[:, 0]
            scale = 0.9 * size / max(np.ptp(z), 1.0)
            column = np.rint((y - np.median(y)) * scale + size / 2).astype(int)
            row = np.rint((z.max() - z) * scale + 0.05 * size).astype(int)
            near = np.clip(1.0 - (depth - depth.min()) / (np.ptp(depth) + 1e-6), 0, 1)
            kept = (column >= 0) & (column < size) & (row >= 0) & (row < size)
            colour = np.outer(0.4 + 0.6 * near, (120, 220, 255)).astype(np.uint8)
            frame[row[kept], column[kept]] = colour[kept]
    return movie


def _dots(movie: np.ndarray, pixels: np.ndarray, colour, radius: int) -> None:
    """Small squares at pixels f[t, k, 2], in place."""
    size = movie.shape[1]
    for frame, points in zip(movie, np.rint(pixels).astype(int), strict=True):
        for x, y in points[((points >= 0) & (points < size)).all(1)]:
            low = radius // 2
            frame[max(0, y - low) : y + low + 1, max(0, x - low) : x + low + 1] = colour


def _grid(cells: list[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    """Movies [t, y, x, 3] with captions, row by row."""
    cells = [(name, _captioned(name, movie)) for name, movie in cells]
    rows = []
    for first in range(0, len(cells), columns):
        row = [movie for _, movie in cells[first : first + columns]]
        row += [np.zeros_like(row[0])] * (columns - len(row))
        rows.append(np.concatenate(row, 2))
    return np.concatenate(rows, 1)


def _captioned(name: str, movie: np.ndarray) -> np.ndarray:
    if not name:
        return movie
    label = Image.new("RGB", (movie.shape[2], CAPTION))
    ImageDraw.Draw(label).text((2, 0), name, fill=(170, 170, 170))
    strip = np.broadcast_to(np.asarray(label), (len(movie), CAPTION, movie.shape[2], 3))
    return np.concatenate([strip, movie], 1)
