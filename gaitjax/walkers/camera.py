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


def sample_camera(rng: np.random.Generator, view: float, spread: float = 1.0) -> Camera:
    """A camera near its nominal place; `spread` multiplies the error of its view."""
    return Camera(
        view=view + rng.normal(0.0, 1.5 * spread),
        distance=6.0 * float(np.exp(rng.normal(0.0, 0.04))),
        height=1.4 + rng.normal(0.0, 0.05),
    )


def silhouettes(
    rng: np.random.Generator, capsules: Capsules, camera: Camera, noise: float = 1.0
) -> np.ndarray:
    """Masks bool[t, rows, columns]; `noise` multiplies the segmentation noise and 0
    leaves the exact silhouette."""
    start, end, start_radius, end_radius = project(capsules, camera)
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
    if noise > 0:
        _add_flaws(rng, masks, FLAW_RATE * noise)
    return masks


def project(
    capsules: Capsules, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Capsules as pairs of discs in the window: start, end f32[t, c, 2] as (x, y) and
    their radii f32[t, c]. Walkers too tall for the window are zoomed out."""
    discs = []
    for points, radii in (
        (capsules.start, capsules.start_radius),
        (capsules.end, capsules.end_radius),
    ):
        seen = (points - _position(camera)) @ _axes(camera).T  # [t, c, 3]
        size = camera.focal / seen[..., 2]  # [t, c], pixels per metre
        discs.append((seen[..., :2] * size[..., None], radii * size))
    (start, start_radius), (end, end_radius) = discs
    low = np.minimum(start - start_radius[..., None], end - end_radius[..., None])
    high = np.maximum(start + start_radius[..., None], end + end_radius[..., None])
    low, high = low.min(1), high.max(1)  # [t, 2]
    tall = (high - low)[:, 1].max(initial=1.0)
    zoom = min(1.0, (camera.rows - MARGIN) / tall)
    window = np.array((camera.columns, camera.rows))
    corner = np.floor(0.5 * (low + high) * zoom - 0.5 * window)[:, None]  # [t, 1, 2]
    return (
        (start * zoom - corner).astype(np.float32),
        (end * zoom - corner).astype(np.float32),
        (start_radius * zoom).astype(np.float32),
        (end_radius * zoom).astype(np.float32),
    )


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
