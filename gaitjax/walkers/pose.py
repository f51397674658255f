"""Poses: the 17 joints of COCO, what a detector makes of them, and heat maps.

The detector stands for a network that finds joints in pictures; its constants are
chosen, near what such networks do on people about 100 pixels tall. The heat maps are
SkeletonGait's, drawn as OpenGait draws them from any detected poses, real ones too.
A pose is (x, y, confidence) per joint, in pixels, y down; confidence 0 is not found.
"""

from __future__ import annotations

import numpy as np

from gaitjax.errors import GaitError
from gaitjax.walkers.body import (
    ANKLES,
    ELBOWS,
    HEAD,
    HIPS,
    KNEES,
    SHOULDERS,
    SIDES,
    WRISTS,
    Body,
)
from gaitjax.walkers.camera import Camera, Window, to_camera
from gaitjax.walkers.kinematics import turn
from gaitjax.walkers.surface import Capsules

# COCO-17: nose, eyes, ears, then these of the skeleton; left before right.
BELOW_HEAD = (*SHOULDERS, *ELBOWS, *WRISTS, *HIPS, *KNEES, *ANKLES)
# In the head's frame and fractions of stature, left side: chosen.
NOSE, EYE, EAR = (0.060, 0.0, 0.010), (0.050, 0.018, 0.024), (0.004, 0.042, 0.016)
# The same joints in OpenPose-18.
FROM_OPENPOSE = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)

# Limbs as thick as an average adult's, for what hides what: pairs of joints and radius
# in metres; the trunk from mid-shoulder to mid-hip, the head from ear to ear.
LIMBS_THAT_HIDE = (
    *((knee, ankle, 0.045) for knee, ankle in ((13, 15), (14, 16))),
    *((hip, knee, 0.070) for hip, knee in ((11, 13), (12, 14))),
    *((shoulder, elbow, 0.045) for shoulder, elbow in ((5, 7), (6, 8))),
    *((elbow, wrist, 0.035) for elbow, wrist in ((7, 9), (8, 10))),
)
TRUNK_RADIUS, HEAD_RADIUS = 0.12, 0.085
BEHIND = 0.06  # metres that the axis in front is nearer than the joint behind it

# The detector's errors, chosen: for a joint in sight and for a hidden one.
JITTER = (0.008, 0.022)  # per frame, deviation over the figure's height
DRIFT = (0.006, 0.028)  # the same, slow
DRIFT_MEMORY = 0.9  # correlation of the drift from frame to frame
DOUBT = (0.08, 0.40)  # what the confidence lacks to 1
DOUBT_SPREAD = 0.4  # of its log
MISSED = (0.003, 0.04)  # share of joints not found
SWAPS = ((7, 9, 0.010), (13, 15, 0.015))  # of a left limb with the right, per frame

# Heat maps: OpenGait's numbers.
CANVAS, TALL, SIGMA, SIZE = 128, 85.0, 8.0, 64
LEAST_CONFIDENCE = 1e-3
NEIGHBOURS = 4  # frames that a missing coordinate is made from
# fmt: off
LIMBS = np.array((
    (0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
))
# fmt: on
# The 256 greys as the reference's colour map stores them: some are cut to one less.
GREYS = (np.linspace(0, 1, 256) * 255).astype(np.uint8)


def coco_keypoints(
    joints: np.ndarray, orientations: np.ndarray, body: Body
) -> np.ndarray:
    """COCO's 17 joints in the world from a walk's 24, f[t, 24, 3] and their frames
    f[t, 24, 3, 3]: f[t, 17, 3], metres."""
    wide = (1.0, body.head_girth, 1.0)
    face = [NOSE]
    for x, y, z in (EYE, EAR):
        face += [(x, sign * y, z) for sign in SIDES]
    offsets = np.array(face) * wide * (body.head * body.stature)  # [5, 3]
    head = [HEAD] * len(face)
    points = joints[:, head] + turn(orientations[:, head], offsets)  # [t, 5, 3]
    return np.concatenate([points, joints[:, list(BELOW_HEAD)]], 1)


def coco_from_openpose18(keypoints: np.ndarray) -> np.ndarray:
    """Poses of OpenPose's 18 joints f[t, 18, c] as COCO's 17, f[t, 17, c]."""
    if np.ndim(keypoints) != 3 or np.shape(keypoints)[1] != 18:
        raise GaitError(
            f"expected poses of OpenPose-18 [t, 18, 3], got {np.shape(keypoints)}; "
            "poses of COCO-17 need no conversion"
        )
    return np.asarray(keypoints)[:, list(FROM_OPENPOSE)]


def project_points(
    points: np.ndarray, camera: Camera, window: Window | None = None
) -> np.ndarray:
    """World points f[t, k, 3] in pixels, f[t, k, 2] as (x, y).

    window: as `camera.project` returns it; None puts the origin at the camera's axis.
    """
    seen = to_camera(points, camera)
    pixels = seen[..., :2] * (camera.focal / seen[..., 2:])
    zoom, corner = window or (1.0, 0.0)
    return pixels * zoom - corner


def detect(
    rng: np.random.Generator,
    keypoints: np.ndarray,
    camera: Camera,
    noise: float = 1.0,
    surface: Capsules | None = None,
    window: Window | None = None,
) -> np.ndarray:
    """What a detector finds of COCO's joints in the world f[t, 17, 3]: f32[t, 17, 3].

    surface: what can stand before a joint, such as the dressed body and an occluder;
    None takes limbs of average thickness. window: as in `project_points`.
    """
    if surface is None:
        surface = _limbs(keypoints)
    visible = in_sight(keypoints, surface, camera)
    points = project_points(keypoints, camera, window)
    return add_errors(rng, points, visible, noise)


def in_sight(points: np.ndarray, surface: Capsules, camera: Camera) -> np.ndarray:
    """Which world points f[t, k, 3] have no capsule before them, seen by the camera:
    bool[t, k]. A point inside a limb is hidden by others only."""
    point, start, end = (
        to_camera(p, camera) for p in (points, surface.start, surface.end)
    )
    point, depth = point[..., None, :2] / point[..., None, 2:], point[..., None, 2]
    near, far = start[:, None, :, 2], end[:, None, :, 2]  # [t, 1, c]
    start = start[:, None, :, :2] / near[..., None]  # [t, 1, c, 2]
    way = end[:, None, :, :2] / far[..., None] - start
    along = ((point - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-12)
    along = np.clip(along, 0.0, 1.0)  # [t, k, c]
    gap = np.linalg.norm(point - start - along[..., None] * way, axis=-1)
    front = near + along * (far - near)
    radius = surface.start_radius + along * (surface.end_radius - surface.start_radius)
    return ~((gap * front < radius) & (front < depth - BEHIND)).any(-1)


def add_errors(
    rng: np.random.Generator,
    points: np.ndarray,
    visible: np.ndarray,
    noise: float = 1.0,
) -> np.ndarray:
    """A detector's version of exact points f[t, 17, 2], pixels, of which `visible`
    bool[t, 17] are in sight: f32[t, 17, 3] with confidence.

    `noise` multiplies the errors and their rates; 0 gives the points, confidence 1.
    """
    hidden = 1 - visible.astype(np.int64)
    height = np.median(np.ptp(points[..., 1], axis=1)) if len(points) else 0.0
    fresh = rng.normal(size=(2, *points.shape))
    jitter, drift = fresh[0], _smooth(fresh[1])
    error = np.take(JITTER, hidden)[..., None] * jitter
    error += np.take(DRIFT, hidden)[..., None] * drift
    doubt = np.exp(DOUBT_SPREAD * rng.normal(size=hidden.shape))
    doubt *= noise * np.take(DOUBT, hidden)
    poses = np.empty((*hidden.shape, 3), np.float32)
    poses[..., :2] = points + noise * height * error
    poses[..., 2] = np.clip(1.0 - doubt, 0.05, 1.0)
    for first, second, rate in SWAPS:
        frames = np.flatnonzero(rng.random(len(poses)) < noise * rate)
        for left in (first, second):
            poses[frames, left], poses[frames, left + 1] = (
                poses[frames, left + 1],
                poses[frames, left],
            )
    poses[rng.random(hidden.shape) < noise * np.take(MISSED, hidden)] = 0.0
    return poses


def heat_maps(keypoints: np.ndarray) -> np.ndarray:
    """Poses f[t, 17, 3] of COCO's joints as pictures u8[t, 64, 64, 2]: bones, joints.

    As OpenGait: coordinates that are 0 are made from the nearest frames; the mid-hip
    is put in the middle and the figure scaled, per frame, to 85 rows of 128; Gaussians
    around limbs and joints; each picture cut to content. A joint with a NaN or an
    infinity counts as not found.
    """
    if np.ndim(keypoints) != 3 or np.shape(keypoints)[1:] != (17, 3):
        raise GaitError(
            "expected poses of COCO-17 as (x, y, confidence) [t, 17, 3], got "
            f"{np.shape(keypoints)}; coco_from_openpose18 converts 18 joints"
        )
    poses = np.asarray(keypoints, np.float64)
    poses = np.where(np.isfinite(poses).all(-1, keepdims=True), poses, 0.0)
    points, confidence = _centre(_impute(poses[..., :2])), poses[..., 2]
    starts, ends = points[:, LIMBS[:, 0]], points[:, LIMBS[:, 1]]  # [t, 17, 2]
    first = confidence[:, LIMBS[:, 0]]
    weaker = np.minimum(first, confidence[:, LIMBS[:, 1]])
    # A limb shorter than a pixel is its first joint.
    short = ((ends - starts) ** 2).sum(-1) < 1.0
    value = np.where(short & (weaker >= LEAST_CONFIDENCE), first, weaker)
    bones = _draw(starts, np.where(short[..., None], starts, ends), value)
    joints = _draw(points, points, confidence)
    return np.stack([_cut(bones), _cut(joints)], -1)


def _limbs(keypoints: np.ndarray) -> Capsules:
    """Trunk, head and limbs around COCO's joints."""
    shoulders, hips = keypoints[:, 5:7].mean(1), keypoints[:, 11:13].mean(1)
    first, second, radii = zip(*LIMBS_THAT_HIDE, strict=True)
    extra = [shoulders, keypoints[:, 3]], [hips, keypoints[:, 4]]
    starts, ends = (np.stack(points, 1) for points in extra)
    radius = np.array((*radii, TRUNK_RADIUS, HEAD_RADIUS))
    return Capsules(
        start=np.concatenate([keypoints[:, list(first)], starts], 1),
        end=np.concatenate([keypoints[:, list(second)], ends], 1),
        start_radius=radius,
        end_radius=radius,
    )


def _smooth(fresh: np.ndarray) -> np.ndarray:
    """White noise [t, ...] as noise with memory, of the same deviation."""
    drift = fresh.copy()
    for frame in range(1, len(drift)):
        drift[frame] *= np.sqrt(1.0 - DRIFT_MEMORY**2)
        drift[frame] += DRIFT_MEMORY * drift[frame - 1]
    return drift


def _impute(points: np.ndarray) -> np.ndarray:
    """Zeros of f[t, 17, 2] replaced by the mean of the 4 nearest frames that have the
    coordinate, weighted by 1 / distance.

    Nearest by the coordinates that both frames have. A coordinate that no frame has
    leaves the whole sequence as it is, as in the reference.
    """
    flat = points.reshape(len(points), 34)
    present = flat != 0
    if present.all() or not present.any(0).all():
        return points
    out = flat.copy()
    for frame in np.flatnonzero(~present.all(1)):
        both = present & present[frame]
        square = (((flat - flat[frame]) ** 2) * both).sum(1)  # [t]
        shared = both.sum(1)
        distance = np.sqrt(square / np.maximum(shared, 1) * flat.shape[1])
        distance[shared == 0] = np.inf
        missing = np.flatnonzero(~present[frame])
        columns = flat[:, missing]
        far = np.where(present[:, missing], distance[:, None], np.inf)  # [t, m]
        out[frame, missing] = _nearest_mean(columns, far, present[:, missing])
    return out.reshape(points.shape)


def _nearest_mean(
    columns: np.ndarray, distance: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Mean of each column's nearest rows, weighted by 1 / distance: f[t, m] -> f[m]."""
    nearest = distance.argsort(0, kind="stable")[:NEIGHBOURS]  # [4, m]
    distance = np.take_along_axis(distance, nearest, 0)
    same = distance == 0
    weight = np.where(same.any(0), same, 1.0 / np.where(same, 1.0, distance))
    total = weight.sum(0)
    mean = (weight * np.take_along_axis(columns, nearest, 0)).sum(0)
    anyone = (columns * present).sum(0) / present.sum(0)  # no frame to compare with
    return np.where(total > 0, mean / np.where(total > 0, total, 1.0), anyone)


def _centre(points: np.ndarray) -> np.ndarray:
    """Mid-hip to the middle of the canvas, figure to 85 rows, f[t, 17, 2]."""
    points = points - points[:, 11:13].mean(1, keepdims=True)
    height = np.ptp(points[..., 1], axis=1)[:, None, None]
    return points * (TALL / np.where(height > 0, height, np.inf)) + 0.5 * CANVAS


def _draw(starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gaussians around segments, f[t, k, 2] to f[t, k, 2], as high as `values` f[t, k]:
    their maximum in 8 bits, u8[t, 128, 128].

    The maximum of Gaussians is one Gaussian of the least d^2 / (2 sigma^2) - log(value)
    where d is the distance to a segment, so that one exponential does for all.
    """
    reach, unit = 3.0 * SIGMA, 1.0 / (np.sqrt(2.0) * SIGMA)
    low = np.trunc(np.minimum(starts, ends) - reach)
    high = np.trunc(np.maximum(starts, ends) + reach) + 1
    low, high = (np.clip(edge, 0, CANVAS).astype(int).tolist() for edge in (low, high))
    way = ends - starts
    length = np.linalg.norm(way, axis=-1)  # [t, k]
    level = length == 0
    way = (way + level[..., None] * (1.0, 0.0)) / (length + level)[..., None]
    half = (0.5 * length * unit).astype(np.float32).tolist()
    middle = (0.5 * (starts + ends)).tolist()
    drawn = values >= LEAST_CONFIDENCE
    depth = np.log(np.where(drawn, values, 1.0)).astype(np.float32).tolist()
    way = (way * unit).tolist()
    line = np.arange(CANVAS, dtype=np.float32)
    out = np.empty((len(starts), CANVAS, CANVAS), np.uint8)
    for frame in range(len(starts)):
        cost = np.full((CANVAS, CANVAS), np.inf, np.float32)
        for k in np.flatnonzero(drawn[frame]).tolist():
            (left, top), (right, bottom) = low[frame][k], high[frame][k]
            (mid_x, mid_y), (way_x, way_y) = middle[frame][k], way[frame][k]
            x, y = line[left:right] - mid_x, line[top:bottom, None] - mid_y
            past = way_x * x + way_y * y
            np.abs(past, out=past)
            past -= half[frame][k]
            np.maximum(past, 0, out=past)
            past *= past
            across = way_x * y - way_y * x
            across *= across
            past += across
            past -= depth[frame][k]
            spot = cost[top:bottom, left:right]
            np.minimum(spot, past, out=spot)
        np.negative(cost, out=cost)
        np.exp(cost, out=cost)
        cost *= 256
        out[frame] = GREYS[np.minimum(cost, 255).astype(np.uint8)]
    return out


def _cut(canvas: np.ndarray) -> np.ndarray:
    """u8[t, 128, 128] to u8[t, 64, 64] by the mean over areas.

    Before, cut to the rows with content and as many columns around the middle, one more
    where there is one.
    """
    occupied = canvas.any(2)
    top = occupied.argmax(1)
    height = CANVAS - occupied[:, ::-1].argmax(1) - top
    left = CANVAS // 2 - height // 2
    width = np.minimum(2 * (height // 2) + 1, CANVAS - left)
    # Shares are whole 64ths of a pixel: sums stay below 2^24 and float32 is exact.
    down, across = _shares(top, height), _shares(left, width)  # [t, 64, 128]
    out = down @ canvas.astype(np.float32) @ across.transpose(0, 2, 1)
    out /= (height * width).astype(np.float32)[:, None, None]
    return out.astype(np.uint8)


def _shares(first: np.ndarray, length: np.ndarray) -> np.ndarray:
    """How much of each canvas pixel lies in each of 64 equal boxes from `first` over
    `length` pixels, i[t] each, in 64ths of a pixel: f32[t, 64, 128]."""
    start = SIZE * first[:, None] + np.arange(SIZE) * length[:, None]  # [t, 64]
    edges = SIZE * np.arange(CANVAS + 1)
    share = np.clip(edges - start[..., None], 0, length[:, None, None])
    return np.diff(share).astype(np.float32)
