"""Two sensors at two rates, and which of their frames belong together.

The rule of SUSTech1K: a LiDAR frame is stamped when its sweep begins and meets the
walker half a sweep later; it is paired with the camera frame nearest to that moment,
and dropped when that one is more than 20 ms away.
"""

from __future__ import annotations

import math

import numpy as np

from gaitjax.errors import GaitError

TOLERANCE = 0.020  # seconds
LOST = 0.02  # chosen: share of camera frames that never arrive


def pair(
    camera_times: np.ndarray, lidar_stamps: np.ndarray, lidar_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers of the camera and of the LiDAR that belong together, i[m] each.

    Times in seconds, ascending; the rate in Hz.
    """
    moments = lidar_stamps + 0.5 / lidar_rate
    gaps = np.abs(camera_times[None] - moments[:, None])  # [lidar, camera]
    nearest = gaps.argmin(1)
    kept = gaps[np.arange(len(moments)), nearest] <= TOLERANCE + 1e-9
    return nearest[kept], np.flatnonzero(kept)


def paired_moments(
    rng: np.random.Generator, num_pairs: int, camera_rate: int, lidar_rate: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Moments of a walk at which two sensors that do not know of each other look.

    Returns a rate in Hz that has all the moments, and for each pair the number of the
    camera's and of the LiDAR's moment at this rate, i[num_pairs] each.
    """
    if not (camera_rate == int(camera_rate) > 0 and lidar_rate == int(lidar_rate) > 0):
        raise GaitError(
            "paired sensors want whole rates in Hz above 0, got camera "
            f"{camera_rate} and LiDAR {lidar_rate}; round them"
        )
    camera_rate, lidar_rate = int(camera_rate), int(lidar_rate)
    rate = 2 * math.lcm(camera_rate, lidar_rate)
    period = rate // lidar_rate
    offset = int(rng.integers(period))
    # Some LiDAR frames find no partner, so look at more of them than are wanted.
    num_lidar = num_pairs + 8 + num_pairs // 4
    frames = np.arange(0, (num_lidar + 2) * period, rate // camera_rate)
    frames = frames[rng.random(len(frames)) >= LOST]
    seen = offset + period * np.arange(num_lidar)  # mid-sweep
    stamps = (seen - 0.5 * period) / rate
    camera, lidar = pair(frames / rate, stamps, lidar_rate)
    if len(camera) < num_pairs:
        raise GaitError(
            f"camera at {camera_rate} Hz and LiDAR at {lidar_rate} Hz share only "
            f"{len(camera)} of {num_pairs} moments within {TOLERANCE * 1000:.0f} ms; "
            "choose a faster camera"
        )
    return rate, frames[camera[:num_pairs]], seen[lidar[:num_pairs]]
