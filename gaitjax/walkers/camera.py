"""A pinhole camera beside the path, and the silhouettes it gives after segmentation.

Metres in the world (x forward, y left, z up), pixels in the picture. The picture is a
window that follows the walker. Everything here is chosen: 6 m away and 1.4 m high, a
focal length that makes 1.75 m about 100 pixels tall, and the segmentation noise.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.walkers.raster import fill, intervals
from gaitjax.walkers.surface import Capsules


@dataclasses.dataclass(frozen=True)
class Camera:
    """view: where it stands seen from above, degrees; 0 is in front of the walker,
    90 on the left, 180 behind. It looks at the height `aim` over the origin.
    focal, rows, columns: pixels."""

    view: float
    distance: float = 6.0
    height: float = 1.4
    aim: float = 0.9
    focal: float = 100.0 * 6.0 / 1.75
    rows: int = 128
    columns: int = 112


# Segmentation noise.
RADIUS_BIAS = 0.35  # pixels that a whole sequence is too fat or too thin, deviation
EDGE_JITTER = 0.55  # pixels that a row's edges are off, deviation before smoothing
JITTER_ROWS = 4  # rows over which the jitter stays about the same
FLAW_RATE = 0.25  # share of frames with an ellipse missing or too much
HOLE_RATE = 0.8  # share of flaws that are holes
MARGIN = 4  # rows kept free around the tallest frame
LEAST_RADIUS = np.float32(0.4)
FRAMES_AT_ONCE = 5  # for speed only: few enough that arrays stay in the cache
CANOPY_RATE = 0.2  # share of sequences whose masks include the umbrella
# Night: what a segmenter finds in a dark picture.
NIGHT_CELL = 10  # pixels, size of the patches that are seen or not
NIGHT_SEEN = 0.05  # threshold of a patch, in deviations, for the body
NIGHT_FALSE = 2.1  # the same for the background
NIGHT_MEMORY = 0.6  # correlation of a patch from frame to frame
# Truncation: the share of the picture's height that is lost below, where it is cut.
CUT_LEAST, CUT_MOST = 0.06, 0.30


@dataclasses.dataclass(frozen=True)
class Sight:
    """What a camera sees badly. noise: factor on the segmentation noise, 0 leaves the
    exact silhouette. night: masks of a dark picture. truncated: the walker's feet or
    one side leave the picture for a part of the sequence."""

    noise: float = 1.0
    night: bool = False
    truncated: bool = False


def sample_camera(
    rng: np.random.Generator,
    view: float,
    spread: float = 1.0,
    elevation: float | None = None,
    distance: float = 1.0,
) -> Camera:
    """A camera near its nominal place; `spread` multiplies the error of its view.

    elevation: degrees above the horizontal, seen from the point it looks at, instead of
    the nominal height. distance: factor on the nominal one.
    """
    camera = Camera(
        view=view + rng.normal(0.0, 1.5 * spread),
        distance=6.0 * float(np.exp(rng.normal(0.0, 0.04))) * distance,
        height=1.4 + rng.normal(0.0, 0.05),
    )
    if elevation is None:
        return camera
    angle, slant = np.deg2rad(elevation), camera.distance
    return dataclasses.replace(
        camera,
        distance=slant * float(np.cos(angle)),
        height=camera.aim + slant * float(np.sin(angle)) + camera.height - 1.4,
    )


def silhouettes(
    rng: np.random.Generator,
    capsules: Capsules,
    camera: Camera,
    sight: Sight = Sight(),
    occluder: Capsules | None = None,
) -> np.ndarray:
    """Masks bool[t, rows, columns] of what a segmenter takes for the walker."""
    noise = sight.noise
    if capsules.canopy is not None and noise > 0 and rng.random() >= CANOPY_RATE:
        capsules = _without(capsules, capsules.canopy)
    discs, window = project(capsules, camera)
    start, end, start_radius, end_radius = discs
    bias = np.float32(rng.normal(0.0, RADIUS_BIAS) * noise)
    start_radius = np.maximum(start_radius + bias, LEAST_RADIUS)
    end_radius = np.maximum(end_radius + bias, LEAST_RADIUS)
    num_frames = len(start)
    masks = np.empty((num_frames, camera.rows, camera.columns), np.bool_)
    shift = _edge_jitter(rng, num_frames, camera.rows, noise)  # [2, t, 1, rows]
    for first in range(0, num_frames, FRAMES_AT_ONCE):
        now = slice(first, first + FRAMES_AT_ONCE)
        discs = start[now], end[now], start_radius[now], end_radius[now]
        left, right = intervals(*discs, camera.rows)
        left += shift[0, now]
        right += shift[1, now]
        masks[now] = fill(left, right, camera.columns)
    if occluder is not None:
        hidden, _ = project(occluder, camera, window)
        shadow = fill(*intervals(*hidden, camera.rows), camera.columns)
        before = _depth(occluder, camera) < _depth(capsules, camera)  # [t]
        masks &= ~(shadow & before[:, None, None])
    if sight.night:
        masks = _darken(rng, masks)
    if noise > 0:
        _add_flaws(rng, masks, FLAW_RATE * noise)
    if sight.truncated:
        _truncate(rng, masks)
    return masks


Discs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Window = tuple[float, np.ndarray]


def project(
    capsules: Capsules, camera: Camera, window: Window | None = None
) -> tuple[Discs, Window]:
    """Capsules as pairs of discs in a window, and the window (zoom, corner [t, 1, 2]).

    Discs are start, end f32[t, c, 2] as (x, y) and their radii f32[t, c]. Without a
    window, the one that follows these capsules; too tall ones are zoomed out.
    """
    discs = []
    for points, radii in (
        (capsules.start, capsules.start_radius),
        (capsules.end, capsules.end_radius),
    ):
        seen = to_camera(points, camera)  # [t, c, 3]
        size = camera.focal / seen[..., 2]  # [t, c], pixels per metre
        discs.append((seen[..., :2] * size[..., None], radii * size))
    (start, start_radius), (end, end_radius) = discs
    zoom, corner = window or _follow(start, end, start_radius, end_radius, camera)
    return (
        (start * zoom - corner).astype(np.float32),
        (end * zoom - corner).astype(np.float32),
        (start_radius * zoom).astype(np.float32),
        (end_radius * zoom).astype(np.float32),
    ), (zoom, corner)


def _follow(
    start: np.ndarray,
    end: np.ndarray,
    start_radius: np.ndarray,
    end_radius: np.ndarray,
    camera: Camera,
) -> Window:
    """The window that keeps the discs in its middle."""
    low = np.minimum(start - start_radius[..., None], end - end_radius[..., None])
    high = np.maximum(start + start_radius[..., None], end + end_radius[..., None])
    low, high = low.min(1), high.max(1)  # [t, 2]
    tall = (high - low)[:, 1].max(initial=1.0)
    zoom = min(1.0, (camera.rows - MARGIN) / tall)
    size = np.array((camera.columns, camera.rows))
    corner = np.floor(0.5 * (low + high) * zoom - 0.5 * size)[:, None]  # [t, 1, 2]
    return zoom, corner


def _depth(capsules: Capsules, camera: Camera) -> np.ndarray:
    """How far away something is on average, f[t], metres."""
    return to_camera(capsules.start, camera)[..., 2].mean(1)


def _without(capsules: Capsules, left_out: np.ndarray) -> Capsules:
    kept = ~left_out
    return Capsules(
        capsules.start[:, kept],
        capsules.end[:, kept],
        capsules.start_radius[kept],
        capsules.end_radius[kept],
    )


def to_camera(points: np.ndarray, camera: Camera) -> np.ndarray:
    """World points f[..., 3] in the camera's frame: x right, y down, z away; metres."""
    return (points - _position(camera)) @ _axes(camera).T


def _position(camera: Camera) -> np.ndarray:
    """Where the camera stands, f[3]."""
    angle = np.deg2rad(camera.view)
    x, y = camera.distance * np.cos(angle), camera.distance * np.sin(angle)
    return np.array((x, y, camera.height))


def _axes(camera: Camera) -> np.ndarray:
    """Rows are the picture's x (right), y (down) and depth in the world, f[3, 3]."""
    depth = np.array((0.0, 0.0, camera.aim)) - _position(camera)
    depth /= np.linalg.norm(depth)
    right = np.cross(depth, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(depth, right), depth])


def _edge_jitter(
    rng: np.random.Generator, num_frames: int, rows: int, noise: float
) -> np.ndarray:
    """Shift of the left and the right edges, f32[2, t, 1, rows], pixels.

    All capsules of a row shift together: where they overlap no seam opens.
    """
    shape = (2, num_frames, 1, rows // JITTER_ROWS + 2)
    steps = rng.normal(size=shape).astype(np.float32).repeat(JITTER_ROWS, -1)
    half = JITTER_ROWS // 2
    smooth = steps[..., half : half + rows] + steps[..., 2 * half : 2 * half + rows]
    return smooth * np.float32(0.5 * EDGE_JITTER * noise)


def _add_flaws(rng: np.random.Generator, masks: np.ndarray, rate: float) -> None:
    """Cuts or adds an ellipse, in place, in a share of the frames."""
    _, rows, columns = masks.shape
    x, y = np.arange(columns), np.arange(rows)[:, None]
    for frame in np.flatnonzero(rng.random(len(masks)) < rate):
        centre_x = 0.5 * columns + rng.normal(0.0, 12.0)
        centre_y = rng.uniform(10.0, rows - 10.0)
        radius_x, radius_y = rng.uniform(1.5, 5.5, 2)
        square = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2
        masks[frame, square < 1.0] = rng.random() >= HOLE_RATE


def _darken(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    """What is left of the masks in the dark: patches of the body, and of other things.

    Patches are a smooth random field over the picture that changes from frame to frame.
    """
    num_frames, rows, columns = masks.shape
    down, across = _interpolation(rows), _interpolation(columns)
    coarse = (2, down.shape[1], across.shape[1])
    field = rng.normal(size=coarse)
    fresh = np.sqrt(1.0 - NIGHT_MEMORY**2)
    out = np.empty_like(masks)
    for frame in range(num_frames):
        field = NIGHT_MEMORY * field + fresh * rng.normal(size=coarse)
        seen, false = down @ field @ across.T
        out[frame] = (masks[frame] & (seen > NIGHT_SEEN)) | (false > NIGHT_FALSE)
    return out


def _interpolation(length: int) -> np.ndarray:
    """From one value per NIGHT_CELL pixels to pixels, linearly: f[length, cells]."""
    place = np.arange(length) / NIGHT_CELL
    cells = np.arange(int(place[-1]) + 2)
    return np.maximum(1.0 - np.abs(place[:, None] - cells), 0.0)


def _truncate(rng: np.random.Generator, masks: np.ndarray) -> None:
    """Cuts what leaves the picture, in place: the feet, or one side, for a while."""
    num_frames, _, columns = masks.shape
    first, last = np.sort(rng.integers(0, num_frames + 1, 2))
    occupied = masks.any((0, 2))
    if not occupied.any():
        return
    top, bottom = np.flatnonzero(occupied)[[0, -1]]
    if rng.random() < 0.7:
        lost = rng.uniform(CUT_LEAST, CUT_MOST)
        masks[first:last, round(bottom - lost * (bottom - top)) :] = False
        return
    edge = columns // 2 + round(rng.uniform(-4.0, 8.0))
    side = slice(edge, None) if rng.random() < 0.5 else slice(0, columns - edge)
    masks[first:last, :, side] = False
