"""A walker before the sensors: every modality of one sequence.

The sensors look at one surface. Camera modalities and 3D labels are of the moments at
which the camera looks, LiDAR modalities of those at which its sweep meets the walker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh, pose, smpl
from gaitjax.walkers.body import Body
from gaitjax.walkers.camera import Camera, Sight, silhouettes, to_camera
from gaitjax.walkers.gait import Walk
from gaitjax.walkers.lidar import Lidar, sample_points, scan
from gaitjax.walkers.normalise import normalise
from gaitjax.walkers.rangeview import range_view
from gaitjax.walkers.surface import Capsules, capsules, join
from gaitjax.walkers.wear import Wear

LIDAR_KEYS = frozenset(("ranges", "points"))
LABEL_KEYS = frozenset(("joints", "markers", "vertices", "smpl"))
KEYS = ("sils", "heatmaps", *sorted(LIDAR_KEYS), *sorted(LABEL_KEYS))
NUM_POINTS = 512  # chosen: more than a walker at 7 m returns
NEAREST = 0.7  # metres; the picture window is not made for less
NIGHT_POSE = 4.0  # chosen: factor on the errors of a pose detector in the dark


def frame_shapes() -> dict[str, tuple[int, ...]]:
    """Shape of one frame of every modality."""
    return {
        "sils": (64, 64),
        "heatmaps": (64, 64, 2),
        "ranges": (64, 64, 3),
        "points": (NUM_POINTS, 3),
        "joints": (24, 3),
        "markers": (64, 3),
        "vertices": (len(mesh.mirror_vertices()), 3),
        "smpl": (85,),
    }


@dataclasses.dataclass(frozen=True)
class Shot:
    """A walk, what is worn, what stands in the way, and when the sensors look.

    seen, swept: frames of the walk, i[t] each; None is all of them.
    """

    body: Body
    walk: Walk
    wear: Wear = dataclasses.field(default_factory=Wear)
    occluder: Capsules | None = None
    seen: np.ndarray | None = None
    swept: np.ndarray | None = None


def look(
    shot: Shot,
    keys: Sequence[str],
    *,
    camera: Camera,
    lidar: Lidar,
    rngs: Mapping[str, np.random.Generator],
    sight: Sight | None = None,
    frame: str = "camera",
) -> dict[str, np.ndarray]:
    """{key: [t, ...]} as `sequence.make_sequence` says, for any walk.

    rngs: of the noise of camera, lidar, pose and smpl. frame: "camera" or "world".
    """
    for key in keys:
        if key not in KEYS:
            raise GaitError(unknown(key, KEYS, "modality of the walkers"))
    if frame not in ("camera", "world"):
        raise GaitError(f"frame is camera or world, got {frame!r}; choose one")
    sight = sight or Sight()
    found: dict[str, np.ndarray] = {}
    seen = _frames(shot.walk, shot.seen)
    if to_camera(seen.joints, camera)[..., 2].min() < NEAREST:
        raise GaitError(
            f"the walker comes nearer than {NEAREST} m to the camera in a walk of "
            f"{len(shot.walk.joints)} frames; take fewer of them, or more distance"
        )
    if {"sils", "heatmaps"}.intersection(keys):
        surface = capsules(shot.body, seen, shot.wear)
        hides = _frames(shot.occluder, shot.seen)
    if "sils" in keys:
        masks = silhouettes(rngs["camera"], surface, camera, sight, hides)
        found["sils"] = normalise(masks)
    if "heatmaps" in keys:
        scene = surface if hides is None else join([surface, hides])
        noise = sight.noise * (NIGHT_POSE if sight.night else 1.0)
        keypoints = pose.coco_keypoints(seen.joints, seen.orientations, shot.body)
        found["heatmaps"] = pose.heat_maps(
            pose.detect(rngs["pose"], keypoints, camera, noise, scene)
        )
    if LIDAR_KEYS.intersection(keys):
        found |= _sweep(shot, rngs["lidar"], lidar, sight.noise)
    if LABEL_KEYS.intersection(keys):
        found |= _labels(shot.body, seen, keys, camera, frame)
    if "smpl" in keys:
        found["smpl"] = smpl.estimate(rngs["smpl"], found["smpl"], sight.noise)
    return {key: found[key] for key in keys}


def _sweep(
    shot: Shot, rng: np.random.Generator, lidar: Lidar, noise: float
) -> dict[str, np.ndarray]:
    """What the LiDAR gives: points and the range view drawn from all of them."""
    swept = _frames(shot.walk, shot.swept)
    surface = capsules(shot.body, swept, shot.wear)
    hides = _frames(shot.occluder, shot.swept)
    points = scan(rng, surface, lidar, hides, noise)
    return {
        "ranges": range_view(points),
        "points": sample_points(rng, points, NUM_POINTS),
    }


def _labels(
    body: Body, seen: Walk, keys: Sequence[str], camera: Camera, frame: str
) -> dict[str, np.ndarray]:
    """3D labels of the body under the clothes, f32."""

    def placed(points: np.ndarray) -> np.ndarray:
        points = to_camera(points, camera) if frame == "camera" else points
        return points.astype(np.float32)

    found = {}
    if "joints" in keys:
        found["joints"] = placed(seen.joints)
    if {"markers", "vertices"}.intersection(keys):
        vertices = placed(mesh.vertices(body, seen.joints, seen.orientations))
        found |= {"vertices": vertices, "markers": mesh.markers(vertices)}
    if "smpl" in keys:
        found["smpl"] = smpl.smpl(seen, body, placed)
    return found


def _frames(moving: Walk | Capsules | None, frames: np.ndarray | None):
    """Some frames of a walk or of a surface; None stays None."""
    if moving is None or frames is None:
        return moving
    arrays = {
        field.name: value[frames]
        for field in dataclasses.fields(moving)
        if np.ndim(value := getattr(moving, field.name)) > 1  # [t, ...]
    }
    return dataclasses.replace(moving, **arrays)
