"""Exact rasterisation of tapered capsules: the union of hulls of two discs.

A hull of two discs is convex, so it meets a row of pixel centres in one interval. The
intervals of all capsules are counted per row at their two ends, and a running sum says
how many capsules cover a pixel. Pixels; pixel (row i, column j) is the point
(j + 1/2, i + 1/2).
"""

from __future__ import annotations

import itertools

import numpy as np


def fill(left: np.ndarray, right: np.ndarray, columns: int) -> np.ndarray:
    """Pixels whose centre lies in the interval of any capsule.

    left, right f32[t, c, rows], nan where there is none -> bool[t, rows, columns]
    """
    num_frames, num_capsules, rows = left.shape
    assert num_capsules < 128, "the count is int8"
    met = np.flatnonzero(right > left)
    line = met // (num_capsules * rows) * rows + met % rows  # row of the whole stack
    lines = num_frames * rows
    size = (columns + 1) * lines
    # Columns come first, so that the running sum adds whole arrays: 10 times faster.
    count = np.bincount(_pixel(left, met, columns) * lines + line, minlength=size)
    count -= np.bincount(_pixel(right, met, columns) * lines + line, minlength=size)
    count = count.astype(np.int8).reshape(columns + 1, lines)
    for before, here in itertools.pairwise(count):
        here += before
    covered = (count[:columns] > 0).reshape(columns, num_frames, rows)
    return np.ascontiguousarray(covered.transpose(1, 2, 0))


def _pixel(edge: np.ndarray, met: np.ndarray, columns: int) -> np.ndarray:
    """The first pixel whose centre is not left of an edge."""
    return np.clip(np.ceil(edge.ravel()[met] - 0.5), 0, columns).astype(np.int64)


def intervals(
    start: np.ndarray,
    end: np.ndarray,
    start_radius: np.ndarray,
    end_radius: np.ndarray,
    rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Where each capsule meets each row: left and right end, f32[t, c, rows], nan where
    it does not.

    start, end f32[t, c, 2] as (x, y); radii f32[t, c].
    """
    y = np.arange(rows, dtype=np.float32) + np.float32(0.5)
    half, x = _chord(start, start_radius, y)
    left, right = x - half, x + half  # [t, c, rows]
    half, x = _chord(end, end_radius, y)
    np.fmin(left, x - half, out=left)  # fmin and fmax pass over nan
    np.fmax(right, x + half, out=right)

    # The two outer tangents touch both discs along the same normal.
    axis = end - start
    length = np.sqrt((axis**2).sum(-1)) + np.float32(1e-6)
    axis = axis / length[..., None]
    sine = (start_radius - end_radius) / length
    nested = np.abs(sine) >= 1  # one disc holds the other: no tangents
    sine = np.clip(sine, -1, 1)
    cosine = np.sqrt(1 - sine**2)
    for sign in (1, -1):
        normal_x = axis[..., 0] * sine - sign * axis[..., 1] * cosine
        normal_y = axis[..., 1] * sine + sign * axis[..., 0] * cosine
        x0 = start[..., 0] + normal_x * start_radius
        y0 = start[..., 1] + normal_y * start_radius
        x1 = end[..., 0] + normal_x * end_radius
        y1 = end[..., 1] + normal_y * end_radius
        drop = y1 - y0
        drop = np.where(np.abs(drop) < 1e-3, np.float32(1e-3), drop)
        slope = ((x1 - x0) / drop)[..., None]
        low = np.where(nested, np.inf, np.minimum(y0, y1))[..., None]
        high = np.maximum(y0, y1)[..., None]
        x = y - y0[..., None]  # [t, c, rows]
        x *= slope
        x += x0[..., None]
        np.copyto(x, np.nan, where=(y < low) | (y > high))
        np.fmin(left, x, out=left)
        np.fmax(right, x, out=right)
    return left, right


def _chord(
    centre: np.ndarray, radius: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Half the chord of a disc in each row, nan outside, f32[t, c, rows], and the
    chord's middle, f32[t, c, 1]."""
    square = y - centre[..., 1:]
    square *= square
    np.subtract((radius**2)[..., None], square, out=square)
    with np.errstate(invalid="ignore"):
        return np.sqrt(square, out=square), centre[..., :1]
