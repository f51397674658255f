"""Plays a track of joint rotations, such as motion capture, on any walker's body.

    walk = play(poses, body, fps=120, out_fps=25)
    surface = capsules(body, walk)

Only the angles come from the track: bones, soles and stature are the body's.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np

from gaitjax.errors import GaitError
from gaitjax.walkers.body import HIPS, KNEES, PELVIS, Body, joint_offsets, sole
from gaitjax.walkers.gait import Walk, stand
from gaitjax.walkers.kinematics import forward, rotations_of, turn
from gaitjax.walkers.smpl import axis_angles, from_smpl_pose, rotations_about

# fmt: off
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
    "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck",
    "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)
# fmt: on
CONVENTIONS = ("smpl", "walkers")
# What a walk cannot be, chosen: degrees, steps per minute, metres per second.
LEAST_BEND, LEAST_OTHER_BEND = 20.0, 30.0
MOST_BACKWARDS = 15.0
LEAST_STRIDE = 10.0
LEAST_CADENCE, MOST_CADENCE = 40.0, 250.0
MOST_SPEED = 12.0
FRAMES_LOOKED_AT = 240  # to count strides


def play(
    rotations: np.ndarray,
    body: Body,
    *,
    fps: float,
    out_fps: float | None = None,
    convention: str = "smpl",
    names: Sequence[str] | None = None,
    translation: np.ndarray | None = None,
) -> Walk:
    """The track on this body, standing on the ground, its path through the origin.

    rotations: against the parent, axis-angles in radians f[t, 24, 3] or f[t, 72], or
    matrices f[t, 24, 3, 3], in SMPL's joint order or that of `names`. fps: the track's
    rate; out_fps: another one to resample to. convention: "smpl" (rest is SMPL's
    T-pose; x left, y up, z forward; the walker is turned to walk along x) or "walkers"
    (rotations of `gait.Walk`, taken as they are). translation: where the pelvis goes,
    f[t, 3] in metres and the convention's axes, of which the horizontal part is used
    as it is; None lets the walker go as its standing foot says, without sliding.
    """
    _check_positive(fps=fps, out_fps=fps if out_fps is None else out_fps)
    if convention not in CONVENTIONS:
        raise GaitError(
            f"convention is {' or '.join(CONVENTIONS)}, got {convention!r}; choose one"
        )
    rotations = _matrices(rotations)  # [t, 24, 3, 3]
    if names is not None:
        rotations = rotations[:, _order(names)]
    path = None if translation is None else _path(translation, len(rotations), fps)
    if convention == "smpl":
        rotations, path = _from_smpl(rotations, path)
    _check_upright(rotations)
    _check_knees(rotations)
    _check_cadence(rotations, fps)
    if out_fps is not None and out_fps != fps:
        places = _places(len(rotations), fps, out_fps)
        rotations = _between(rotations, *places)
        path = None if path is None else _mix(path, *places)
    joints, orientations = forward(joint_offsets(body), rotations)
    stand(joints, orientations, body)
    if path is None:
        path = _stance_path(joints, orientations, body)
    path = path[:, :2] - 0.5 * (path[0] + path[-1])[:2]
    joints[..., :2] += path[:, None]
    return Walk(joints, orientations, rotations)


def _check_positive(**rates: float) -> None:
    for name, rate in rates.items():
        if not (isinstance(rate, numbers.Real) and 0 < rate < np.inf):
            raise GaitError(
                f"{name} is frames per second, a number above 0, got {rate!r}; "
                "give the rate of the track"
            )


def _matrices(rotations: np.ndarray) -> np.ndarray:
    """Any accepted form as f64[t, 24, 3, 3], checked to be rotations."""
    try:
        rotations = np.asarray(rotations, np.float64)
    except (TypeError, ValueError):
        rotations = np.empty(0)
    shape, num_frames = rotations.shape, len(rotations)
    if shape[1:] not in ((72,), (24, 3), (24, 3, 3)):
        raise GaitError(
            "expected rotations of 24 joints, [t, 24, 3], [t, 72] or [t, 24, 3, 3], "
            f"got {shape}; of SMPL-H and SMPL-X keep the first 66 numbers, add 6 zeros"
        )
    if num_frames < 2:
        raise GaitError(
            f"expected 2 frames or more, got {num_frames}; give a longer track"
        )
    rotations = rotations.reshape(num_frames, 24, 3, -1)
    bad = ~np.isfinite(rotations).all((2, 3))
    if bad.any():
        raise GaitError(
            f"expected finite rotations, got NaN or infinity {_first(bad)}; cut or "
            "fill these frames"
        )
    return _from_vectors(rotations) if len(shape) < 4 else _from_matrices(rotations)


def _from_vectors(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors[..., 0]  # [t, 24, 3]
    angle = np.linalg.norm(vectors, axis=-1)
    bad = angle > 2.02 * np.pi
    if bad.any():
        raise GaitError(
            f"expected axis-angles in radians, at most 2 pi, got {angle[bad][0]:.1f} "
            f"{_first(bad)}; np.deg2rad converts degrees"
        )
    return rotations_about(vectors)


def _from_matrices(matrices: np.ndarray) -> np.ndarray:
    square = matrices @ matrices.swapaxes(-1, -2)
    bad = np.abs(square - np.eye(3)).max((2, 3)) > 1e-2
    if bad.any():
        raise GaitError(
            f"expected rotation matrices, got rows that are not orthonormal "
            f"{_first(bad)}; remove scale and shear"
        )
    bad = np.linalg.det(matrices) < 0
    if bad.any():
        raise GaitError(
            f"expected rotation matrices, got a reflection {_first(bad)}; change the "
            "axes of the track without mirroring it"
        )
    return rotations_about(axis_angles(matrices))  # rounding removed


def _first(bad: np.ndarray) -> str:
    """Where bool[t, 24] is true first."""
    frame, joint = np.argwhere(bad)[0]
    return f"at frame {frame}, joint {joint}"


def _order(names: Sequence[str]) -> list[int]:
    """Where each joint of SMPL is in a track with these names."""
    names = list(names)
    for place, name in enumerate(names):
        if name not in JOINTS or name in names[:place]:
            why = "twice" if name in JOINTS else "which SMPL lacks"
            raise GaitError(
                f"names: joint {place} is {name!r}, {why}; give SMPL's 24 names, "
                f"{JOINTS[0]}, {JOINTS[1]} ... {JOINTS[-1]}, in the track's order"
            )
    if len(names) != len(JOINTS):
        missing = next(name for name in JOINTS if name not in names)
        raise GaitError(
            f"names: expected SMPL's 24 joints, got {len(names)}, without {missing!r}; "
            "give the identity for joints that the track lacks"
        )
    return [names.index(name) for name in JOINTS]


def _path(translation: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
    path = np.asarray(translation, np.float64)
    if path.shape != (num_frames, 3) or not np.isfinite(path).all():
        raise GaitError(
            f"expected a finite translation {(num_frames, 3)}, got {path.shape}; give "
            "one place per frame, or none"
        )
    speed = np.linalg.norm(np.diff(path, axis=0), axis=-1).mean() * fps
    if speed > MOST_SPEED:
        raise GaitError(
            f"expected a translation in metres, got {speed:.0f} a second; divide "
            "millimetres by 1000, or correct fps"
        )
    return path


def _from_smpl(
    rotations: np.ndarray, path: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """SMPL's track in the walkers' axes, turned about the vertical to face x."""
    rotations = from_smpl_pose(axis_angles(rotations))
    ahead = rotations[:, PELVIS, :2, 0].sum(0)
    heading = rotations_of(0.0, np.zeros(()), -np.arctan2(ahead[1], ahead[0]))
    rotations[:, PELVIS] = heading @ rotations[:, PELVIS]
    if path is not None:
        path = path[:, [2, 0, 1]] @ heading.T
    return rotations, path


def _check_upright(rotations: np.ndarray) -> None:
    up = float(rotations[:, PELVIS, 2, 2].mean())
    if up < 0.3:
        raise GaitError(
            "expected an upright pelvis, got one that leans "
            f"{np.rad2deg(np.arccos(up)):.0f} degrees; turn joint 0 so that y is up "
            "(AMASS has z up: by -90 degrees about x)"
        )


def _flexion(rotations: np.ndarray) -> np.ndarray:
    """Turn of every joint about the axis to the left, degrees: f[t, 24]."""
    return np.rad2deg(axis_angles(rotations)[..., 1])


def _check_knees(rotations: np.ndarray) -> None:
    """A wrong joint order shows in the knees: they bend far, and one way only."""
    flexion = _flexion(rotations)
    low, high = np.percentile(flexion, (2, 98), axis=0)  # [24]
    swing = high - low
    others = [joint for joint in range(1, 24) if joint not in KNEES]
    most = max(others, key=lambda joint: swing[joint])
    advice = "give the track's joint names as names="
    for knee in KNEES:
        if -low[knee] > max(MOST_BACKWARDS, 0.5 * high[knee]):
            raise GaitError(
                f"expected the knees at joints 4 and 5, but joint {knee} bends "
                f"{-low[knee]:.0f} degrees the wrong way; {advice}, or transpose "
                "matrices that go from parent to joint"
            )
    # In less than a stride one of the legs may just stand.
    pick = max if _strides(rotations) is None else min
    knee = pick(KNEES, key=lambda joint: swing[joint])
    if swing[knee] < LEAST_BEND and swing[most] > LEAST_OTHER_BEND:
        raise GaitError(
            f"expected the knees at joints 4 and 5, but joint {knee} bends only "
            f"{swing[knee]:.0f} degrees while joint {most} bends {swing[most]:.0f}; "
            f"{advice}"
        )


def _check_cadence(rotations: np.ndarray, fps: float) -> None:
    strides = _strides(rotations)
    cadence = 120.0 * fps * (strides or 0.0) / len(rotations)  # steps per minute
    if strides is not None and not LEAST_CADENCE <= cadence <= MOST_CADENCE:
        raise GaitError(
            f"expected a walk of {LEAST_CADENCE:.0f} to {MOST_CADENCE:.0f} steps a "
            f"minute, got {cadence:.0f} at fps={fps:g}; give the rate that the track "
            "was recorded at"
        )


def _strides(rotations: np.ndarray) -> float | None:
    """How many strides the track has, from how one hip bends against the other; None
    if fewer than about one, or if the legs do not swing.

    The sine and constant that fit best: a spectrum is far off on a stride or two.
    """
    flexion = _flexion(rotations[:FRAMES_LOOKED_AT, list(HIPS)])
    swing = flexion[:, 0] - flexion[:, 1]  # [t]
    num_frames = len(swing)
    if num_frames <= 3 or np.ptp(swing) < LEAST_STRIDE:
        return None  # three unknowns fit three frames at any rate
    strides = np.arange(0.75, max(0.5 * num_frames, 1.0), 0.1)  # [f]
    phase = 2.0 * np.pi * strides[:, None] * np.arange(num_frames) / num_frames
    waves = np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], -1)
    basis, _ = np.linalg.qr(waves)  # [f, t, 3]
    best = int((np.einsum("t,ftk->fk", swing, basis) ** 2).sum(-1).argmax())
    return None if best == 0 else strides[best] * len(rotations) / num_frames


def _places(
    num_frames: int, fps: float, out_fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """The frame before each new frame, and the share of the way to the next one."""
    count = int((num_frames - 1) * out_fps / fps + 1e-6) + 1
    places = np.arange(count) * (fps / out_fps)
    before = np.minimum(places.astype(int), num_frames - 2)
    return before, places - before


def _between(
    rotations: np.ndarray, before: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Spherical interpolation of f[t, 24, 3, 3]."""
    start, end = rotations[before], rotations[before + 1]
    way = axis_angles(start.swapaxes(-1, -2) @ end)
    return start @ rotations_about(way * share[:, None, None])


def _mix(path: np.ndarray, before: np.ndarray, share: np.ndarray) -> np.ndarray:
    return path[before] + share[:, None] * (path[before + 1] - path[before])


def _stance_path(
    joints: np.ndarray, orientations: np.ndarray, body: Body
) -> np.ndarray:
    """Where the pelvis goes if the lowest part of the soles stays in its place from
    each frame to the next: f[t, 2]."""
    on, centres, radii = sole(body)
    spheres = joints[:, on] + turn(orientations[:, on], centres)  # [t, 10, 3]
    height = spheres[..., 2] - radii
    lowest = (height[1:] + height[:-1]).argmin(1)  # [t - 1]
    moved = np.diff(spheres[..., :2], axis=0)  # [t - 1, 10, 2]
    steps = -moved[np.arange(len(moved)), lowest]
    return np.concatenate([np.zeros((1, 2)), steps.cumsum(0)])
