"""A spinning LiDAR beside the path, and the points of the walker that it returns.

Frame of the sensor, as SUSTech1K's: metres, sensor at the origin, z up, azimuth =
atan2(y, -x), so a walker in front of it is around -x and y grows to the right of a
picture. Rays lie on a grid of angles that is fixed in the sensor; the walker moves
through it. The walker stands still for the millisecond that the beam takes to pass.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gaitjax.walkers.rangeview import range_view
from gaitjax.walkers.rays import cast, window_around
from gaitjax.walkers.surface import Capsules

__all__ = ["Lidar", "range_view", "sample_lidar", "sample_points", "scan"]


@dataclasses.dataclass(frozen=True)
class Lidar:
    """view: where it stands seen from above, degrees; 0 is in front of the walker, 90
    on the left, 180 behind. distance (horizontal, from the origin), height and noise
    (deviation of a range): metres. Steps of the grid: degrees. dropout: share of
    returns lost.

    Distance, noise and dropout are a prototype's; the rest is
    chosen: about the depth view's pixels, 64 lines over a walker at 7 m."""

    view: float
    distance: float = 7.0
    height: float = 1.2
    azimuth_step: float = 0.2
    elevation_step: float = 0.2
    noise: float = 0.02
    dropout: float = 0.06


MIDDLE = 0.9  # metres over the ground: what an elevation is the elevation from
DEPTH = 0.8  # metres around the median range, chosen: the feet of a long stride stay


def sample_lidar(
    rng: np.random.Generator,
    view: float,
    spread: float = 1.0,
    elevation: float | None = None,
    distance: float = 1.0,
) -> Lidar:
    """A sensor near its nominal place; `spread` multiplies the error of its view.

    elevation: degrees over the horizontal seen from the walker's middle; the sensor
    goes there at the same slant distance. distance: factor on the nominal one.
    """
    view = view + rng.normal(0.0, 1.5 * spread)
    distance = 7.0 * float(np.exp(rng.normal(0.0, 0.04))) * distance
    height = 1.2 + rng.normal(0.0, 0.05)
    if elevation is not None:
        slant, angle = np.hypot(distance, height - MIDDLE), np.deg2rad(elevation)
        distance = float(slant * np.cos(angle))
        height = float(MIDDLE + slant * np.sin(angle))
    return Lidar(view=view, distance=distance, height=height)


def scan(
    rng: np.random.Generator,
    capsules: Capsules,
    lidar: Lidar,
    occluders: Capsules | None = None,
    noise: float = 1.0,
) -> np.ndarray:
    """Points of the walker f32[t, m, 3], each frame filled up with nan at its end.

    occluders: what else stands in the scene, over the same frames; a ray that meets it
    first returns nothing. `noise` multiplies the noise of the ranges and the dropout:
    at 0 every ray returns its exact range.
    """
    walker = _in_sensor(capsules, lidar)
    window = window_around(walker, lidar.elevation_step, lidar.azimuth_step)
    ranges = cast(walker, window)  # [t, rows, columns]
    if occluders is not None:
        ranges[cast(_in_sensor(occluders, lidar), window) < ranges] = np.inf
    # One draw per ray, hit or not: a grazing ray more or less shifts no other's noise.
    error = rng.standard_normal(ranges.shape, np.float32)
    returned = rng.random(ranges.shape, np.float32) >= lidar.dropout * noise
    ray = np.nonzero(returned & np.isfinite(ranges))
    ranges = ranges[ray] + lidar.noise * noise * error[ray]
    points = (window.directions()[:, *ray] * ranges).T.astype(np.float32)
    frame, num_frames = ray[0], len(returned)
    middle = _medians(ranges, frame, num_frames)
    near = np.abs(ranges - middle[frame]) <= DEPTH
    return _pack(points[near], frame[near], num_frames)


def sample_points(
    rng: np.random.Generator, points: np.ndarray, number: int
) -> np.ndarray:
    """`number` points of each frame, none twice, f32[t, number, 3]; a frame with fewer
    has them all and nan at its end."""
    order = rng.random(points.shape[:2])
    order[np.isnan(points[..., 0])] = np.inf
    order = order.argsort(1)[:, :number, None]
    chosen = np.take_along_axis(points, order, 1)
    missing = number - chosen.shape[1]
    return np.pad(chosen, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)


def _in_sensor(capsules: Capsules, lidar: Lidar) -> Capsules:
    """From the world's frame to the sensor's."""
    angle = np.deg2rad(lidar.view)
    x, y = np.cos(angle), np.sin(angle)
    axes = np.array(((x, y, 0.0), (-y, x, 0.0), (0.0, 0.0, 1.0)))
    place = np.array((lidar.distance * x, lidar.distance * y, lidar.height))
    return dataclasses.replace(
        capsules,
        start=(capsules.start - place) @ axes.T,
        end=(capsules.end - place) @ axes.T,
    )


def _medians(ranges: np.ndarray, frame: np.ndarray, num_frames: int) -> np.ndarray:
    """Upper median of each frame's ranges, f64[num_frames], nan without any."""
    table = np.sort(_pack(ranges[:, None], frame, num_frames)[..., 0], 1)
    table = np.pad(table, ((0, 0), (0, 1)), constant_values=np.nan)
    count = np.bincount(frame, minlength=num_frames)
    return np.take_along_axis(table, (count // 2)[:, None], 1)[:, 0]


def _pack(values: np.ndarray, frame: np.ndarray, num_frames: int) -> np.ndarray:
    """Rows [n, k], sorted by frame, to [num_frames, m, k] with nan after them."""
    count = np.bincount(frame, minlength=num_frames)
    place = np.arange(len(frame)) - (np.cumsum(count) - count)[frame]
    shape = (num_frames, int(count.max(initial=0)), values.shape[1])
    out = np.full(shape, np.nan, values.dtype)
    out[frame, place] = values
    return out
