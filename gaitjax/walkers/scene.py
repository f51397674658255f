"""What stands between the sensors and a walker: a pole, a bush, another person.

Geometry in the world that hides the walker from every sensor behind it; metres. All
sizes are chosen.
"""

from __future__ import annotations

import numpy as np

from gaitjax.walkers.surface import Capsules

KINDS = ("pole", "bush", "person")
# Of the way from the walker to a sensor; the nearer to the sensor, the larger it looks.
NEAREST, FARTHEST = 0.10, 0.30
CLEAR = 0.45  # metres between the path and the middle of the thing, at least


def sample_occluder(
    rng: np.random.Generator,
    path: np.ndarray,
    view: float,
    fps: float,
    distance: float = 6.0,
) -> Capsules:
    """One thing beside the path, between it and a sensor at the angle `view`.

    path f[t, 3]: where the walker is (its pelvis). The thing hides the walker at some
    moment of the walk, and stays, except for a person, who walks the other way.
    """
    kind = KINDS[rng.integers(len(KINDS))]
    num_frames = len(path)
    moment = int(rng.integers(num_frames))
    angle = np.deg2rad(view)
    sensor = distance * np.array((np.cos(angle), np.sin(angle)))
    ground = path[:, :2]
    at = ground[moment] + rng.uniform(NEAREST, FARTHEST) * (sensor - ground[moment])
    across = np.array((-np.sin(angle), np.cos(angle)))
    # One who walks along the line of sight would stay behind it for the whole walk.
    at = at + across * rng.normal(0.0, 0.20 + 0.35 * abs(np.cos(angle)))  # [2]
    # Beside the path, which leads along x: nobody walks through a bush.
    aside = at[1] - ground[moment, 1]
    at[1] = ground[moment, 1] + np.copysign(max(abs(aside), CLEAR), aside)
    way = np.zeros((num_frames, 2))
    if kind == "person":
        way[:, 0] = -rng.uniform(0.9, 1.4) / fps * (np.arange(num_frames) - moment)
    return _standing(kind, rng, at + way)


def _standing(kind: str, rng: np.random.Generator, at: np.ndarray) -> Capsules:
    """The thing on the ground at `at`, f[t, 2]."""
    if kind == "pole":
        radius = rng.uniform(0.05, 0.10)
        parts = [((0.0, 0.0), (0.0, 3.0), radius, radius)]
    elif kind == "bush":
        radius, height = rng.uniform(0.22, 0.32), rng.uniform(0.4, 0.7)
        parts = [((-0.2, 0.2), (0.2, height), radius, 0.8 * radius)]
    else:
        tall = rng.uniform(1.55, 1.80)
        parts = [
            ((0.0, 0.48 * tall), (0.0, 0.78 * tall), 0.15, 0.17),
            ((0.12, 0.06), (0.0, 0.48 * tall), 0.06, 0.10),
            ((-0.14, 0.06), (0.0, 0.48 * tall), 0.06, 0.10),
            ((0.0, 0.88 * tall), (0.0, 0.94 * tall), 0.07, 0.09),
        ]
    ends = []
    for end in (0, 1):
        offset = np.array([(part[end][0], 0.0, part[end][1]) for part in parts])
        here = np.concatenate([at, np.zeros((len(at), 1))], 1)  # [t, 3]
        ends.append(here[:, None] + offset)
    radii = np.array([part[2:] for part in parts])
    return Capsules(*ends, radii[:, 0], radii[:, 1])
