"""Exact ranges along rays from the origin to tapered capsules: a LiDAR's geometry.

The rays lie on a grid of whole multiples of two steps, elevation by azimuth. A window
of the grid follows the walker. Capsules are approximated by pairs of discs in the plane
of angles, a little too large, to list the rays that may meet them; these are solved
exactly. Metres, z up; degrees; azimuth = atan2(y, -x).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.walkers.raster import intervals
from gaitjax.walkers.surface import Capsules

FIELD = (40.0, 60.0)  # degrees up and across that a window has at most
SLACK = 0.25  # rows that discs are too large, against their approximations
FRAMES_AT_ONCE = 5  # for speed only: few enough that arrays stay in the cache


@dataclasses.dataclass(frozen=True)
class Window:
    """Rays of t frames; row i, column j of frame f is at elevation (first_row[f] + i)
    x elevation_step and azimuth (first_column[f] + j) x azimuth_step, degrees."""

    first_row: np.ndarray  # i64[t]
    first_column: np.ndarray  # i64[t]
    rows: int
    columns: int
    elevation_step: float
    azimuth_step: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.first_row), self.rows, self.columns

    def directions(self) -> np.ndarray:
        """Unit vectors f64[3, t, rows, columns]."""
        rise = self.first_row[:, None] + np.arange(self.rows)
        rise = np.deg2rad(rise * self.elevation_step)[..., None]  # [t, rows, 1]
        turn = self.first_column[:, None] + np.arange(self.columns)
        turn = np.deg2rad(turn * self.azimuth_step)[:, None]  # [t, 1, columns]
        flat = np.cos(rise)
        x, y = -flat * np.cos(turn), flat * np.sin(turn)
        return np.stack([x, y, np.broadcast_to(np.sin(rise), x.shape)])


def window_around(
    capsules: Capsules, elevation_step: float, azimuth_step: float
) -> Window:
    """The window that every frame's capsules fit into, centred on them; very near ones
    are cut off at FIELD."""
    middle = capsules.start.mean(1)  # [t, 3]
    towards = np.rad2deg(np.arctan2(middle[:, 1], -middle[:, 0]))
    turn, rise, radius = outlines(capsules, towards)
    wide = radius / np.cos(np.deg2rad(np.minimum(np.abs(rise) + radius, 85.0)))
    firsts, sizes = [], []
    for angle, half, step, most in (
        (rise, radius, elevation_step, FIELD[0]),
        (turn, wide, azimuth_step, FIELD[1]),
    ):
        low = (angle - half).min((0, 2)) / step  # [t]
        high = (angle + half).max((0, 2)) / step
        size = int(min((high - low).max(initial=0.0), most / step)) + 4
        first = np.rint(0.5 * (low + high - size + 1))
        firsts.append(first.astype(np.int64))
        sizes.append(size)
    return Window(*firsts, *sizes, elevation_step, azimuth_step)


def outlines(
    capsules: Capsules, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth and elevation of the two ends and their angular radii where the capsule
    is nearest, each f64[2, t, c]. Azimuths are those within 180 of `towards` [t]."""
    ends = np.stack([capsules.start, capsules.end])
    x, y, z = np.moveaxis(ends, -1, 0)
    turn = near_angle(np.rad2deg(np.arctan2(y, -x)), towards[:, None])
    rise = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    axis = capsules.end - capsules.start
    along = -(capsules.start * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1e-12)
    nearest = capsules.start + np.clip(along, 0, 1)[..., None] * axis
    distance = np.maximum(np.sqrt((nearest**2).sum(-1)), 1e-6)  # [t, c]
    radius = np.stack([capsules.start_radius, capsules.end_radius])[:, None]
    return turn, rise, np.rad2deg(np.arcsin(np.minimum(radius / distance, 1.0)))


def near_angle(angle: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The same angle, whole turns away, within 180 degrees of the other."""
    return angle - 360.0 * np.rint((angle - other) / 360.0)


def cast(capsules: Capsules, window: Window) -> np.ndarray:
    """Range of the first capsule on each ray, inf where there is none,
    f64[t, rows, columns]. The origin must lie outside of all capsules."""
    ranges = np.full(window.shape, np.inf)
    for first in range(0, len(ranges), FRAMES_AT_ONCE):
        now = slice(first, first + FRAMES_AT_ONCE)
        part = dataclasses.replace(
            window,
            first_row=window.first_row[now],
            first_column=window.first_column[now],
        )
        some = dataclasses.replace(
            capsules, start=capsules.start[now], end=capsules.end[now]
        )
        counts, ray = _candidates(some, part)
        direction = part.directions().reshape(3, -1)[:, ray]  # [3, n]
        found = _entries(some, counts, direction)
        np.minimum.at(ranges[now].reshape(-1), ray, found)
    return ranges


def _candidates(capsules: Capsules, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Rays that may meet each capsule: how many i64[t x c], and which of the window's,
    capsule after capsule, i64[n]."""
    discs, radius, per_column = _discs(capsules, window)
    left, right = intervals(*discs, *radius, window.rows)  # [t, c, rows]
    met = right > left
    low = np.ceil(left / per_column, where=met, out=np.ones_like(left))
    high = np.floor(right / per_column, where=met, out=np.zeros_like(left))
    low = np.maximum(low, 0).astype(np.int64)
    count = np.minimum(high, window.columns - 1).astype(np.int64) - low + 1
    count = np.maximum(count, 0)
    frames, _, rows = count.shape
    line = np.arange(frames)[:, None, None] * rows + np.arange(rows)
    first = (line * window.columns + low).ravel()
    each = count.ravel()
    ray = np.arange(each.sum()) + np.repeat(first - np.cumsum(each) + each, each)
    return count.sum(-1).ravel(), ray


def _discs(
    capsules: Capsules, window: Window
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of discs that cover the capsules' pictures: centres f32[2, t, c, 2] as
    (x, y) and radii f32[2, t, c] in rows, and x per column f64[t, c, 1]."""
    left = window.first_column * window.azimuth_step  # [t]
    middle = left + 0.5 * window.azimuth_step * (window.columns - 1)
    turn, rise, radius = outlines(capsules, middle)
    # A straight line between two points bulges away from the horizon on its way.
    span = np.deg2rad(np.minimum(np.abs(turn[1] - turn[0]), 170.0))
    steep = np.deg2rad(np.minimum(np.abs(rise).max(0), 89.0))
    bulge = np.rad2deg(np.arctan(np.tan(steep) / np.cos(0.5 * span)) - steep)
    radius = radius + bulge + SLACK * window.elevation_step
    # The same angle is wider in azimuth up there: squeeze azimuths, capsule by capsule.
    steep = np.minimum((np.abs(rise) + radius).max(0), 85.0)
    squeeze = np.cos(np.deg2rad(steep)) / window.elevation_step  # [t, c], rows/degree
    x = (turn - left[:, None]) * squeeze
    y = rise / window.elevation_step - window.first_row[:, None] + 0.5
    centres = np.stack([x, y], -1).astype(np.float32)
    radius = (radius / window.elevation_step).astype(np.float32)
    return centres, radius, (squeeze * window.azimuth_step)[..., None]


def _entries(
    capsules: Capsules, counts: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Where rays enter capsules, inf where they miss, f64[n].

    A ball at share s of the way is entered at t(s). The first of all is entered at one
    of the two ends or where t(s) is stationary, which is the cone around all balls:
    the root t of the discriminant of |t d - start - s axis|^2 = (r0 - s taper)^2 in s.
    """
    start, radius = capsules.start, capsules.start_radius
    axis, taper = capsules.end - start, radius - capsules.end_radius
    gap = (start**2).sum(-1) - radius**2  # [t, c]
    end_gap = (capsules.end**2).sum(-1) - capsules.end_radius**2
    size = (axis**2).sum(-1) - taper**2  # not positive: one end holds the other
    lean = -(start * axis).sum(-1) - radius * taper
    slope = -size[..., None] * start - lean[..., None] * axis  # [t, c, 3]
    scalars = np.stack([gap, end_gap, size, lean], -1)
    table = np.concatenate([start, axis, slope, scalars], -1)  # [t, c, 13]
    table = np.repeat(table.reshape(-1, 13).T, counts, 1)  # [13, n]
    dots = np.einsum("kxn,xn->kn", table[:9].reshape(3, 3, -1), direction)
    (ahead, along, half), (gap, end_gap, size, lean) = dots, table[9:]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = ahead - np.sqrt(ahead**2 - gap)
        ahead = ahead + along
        np.fmin(found, ahead - np.sqrt(ahead**2 - end_gap), out=found)
        # half^2 - constant x square, with the root that stays exact for small squares
        constant = size * gap - lean**2
        square = size - along**2
        side = constant / (np.sqrt(half**2 - constant * square) - half)
        share = lean + side * along
        side[~((share > 0) & (share < size))] = np.nan
        np.fmin(found, side, out=found)
    found[~(found > 0)] = np.inf
    return found
