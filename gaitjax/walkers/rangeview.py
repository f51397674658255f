"""The depth view of a LiDAR's points, as LidarGait's input.

After OpenGait's pretreatment: pixels of equal angle, jet
colours of the range, rows cut to content, height 64, centred. Splats of a fixed size
stand for the markers of its scatter plot, with the nearest point on top, and area
averaging for its resizing.
"""

from __future__ import annotations

import numpy as np

from gaitjax.walkers.normalise import extent, resample
from gaitjax.walkers.rays import near_angle

PIXEL = (0.2, 0.19188)  # degrees per row and column; the reference's
SPLAT = (2, 2)  # rows, columns; chosen: closes the gaps between the default rays
# Where matplotlib's jet bends: values and levels of red, green and blue.
JET = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
)


def range_view(points: np.ndarray) -> np.ndarray:
    """Depth view u8[t, 64, 64, 3], RGB, of points [t, m, 3] with nan for none.

    Near is red and far is blue, over the horizontal ranges of each frame. A frame
    without points is all zero.
    """
    seen = ~np.isnan(points[..., 0])
    frame, _ = np.nonzero(seen)
    x, y, z = points[seen].astype(np.float64).T
    ground = np.hypot(x, y)
    turn = np.rad2deg(np.arctan2(y, -x))
    count = np.bincount(frame, minlength=len(points))
    turn = near_angle(turn, turn[(np.cumsum(count) - count)[frame]])
    # Whole pixels are the middles of cells: lines of 0.2 degrees would be on edges.
    row = np.rint(-np.rad2deg(np.arctan2(z, ground)) / PIXEL[0])
    column = np.rint(turn / PIXEL[1])
    ranges = _splat(frame, (row, column), ground, len(points))
    pictures = _colour(ranges)  # [t, 3, rows, columns]
    brightness = pictures.sum(1, dtype=np.int64)
    out = resample(pictures, *extent(brightness))
    return np.ascontiguousarray(out.transpose(0, 2, 3, 1))


def jet() -> np.ndarray:
    """Matplotlib's colour map jet, u8[256, 3], RGB."""
    value = np.linspace(0.0, 1.0, 256)
    levels = np.stack([np.interp(value, *bends) for bends in JET], -1)
    return np.rint(255 * levels).astype(np.uint8)


def _splat(
    frame: np.ndarray, place: tuple[np.ndarray, ...], ground: np.ndarray, num: int
) -> np.ndarray:
    """Range of the nearest point whose splat covers a pixel, inf where there is none,
    f64[num, rows, columns]; every frame starts at its own first row and column."""
    shape, cells = [num], [frame]
    for pixel, size in zip(place, SPLAT, strict=True):
        first = np.full(num, np.inf)
        np.minimum.at(first, frame, pixel)
        cell = (pixel - first[frame]).astype(np.int64)
        shape.append(int(cell.max(initial=0)) + size)
        cells.append(cell)
    ranges = np.full(shape, np.inf)
    np.minimum.at(ranges.reshape(-1), np.ravel_multi_index(cells, shape), ground)
    for axis, size in enumerate(SPLAT, 1):
        ranges = np.moveaxis(ranges, axis, 0)
        spread = ranges.copy()
        for step in range(1, size):
            np.minimum(spread[step:], ranges[:-step], out=spread[step:])
        ranges = np.moveaxis(spread, 0, axis)
    return ranges


def _colour(ranges: np.ndarray) -> np.ndarray:
    """Jet colours of -ranges between the least and the most of each frame, black at
    inf: [t, rows, columns] -> u8[t, 3, rows, columns]."""
    there = np.isfinite(ranges)
    near = ranges.min((1, 2), keepdims=True, initial=np.inf)
    far = ranges.max((1, 2), keepdims=True, initial=0.0, where=there)
    depth = np.maximum(far - near, 1e-9)
    value = np.divide(far - ranges, depth, out=np.zeros_like(ranges), where=there)
    level = np.where(there, np.minimum(256 * value, 255), 256).astype(np.int64)
    table = np.append(jet(), np.zeros((1, 3), np.uint8), 0)
    return table.T[:, level].transpose(1, 0, 2, 3)
