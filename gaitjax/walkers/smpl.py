"""The 85 numbers that SMPL estimates come as: camera 3, pose 72, betas 10.

The pose is SMPL's: 24 rotations against the parent, as axis times angle in radians,
from a T-pose with x to the person's left, y up and z forward. The walkers rest with
the arms hanging, x forward, y left and z up; the conversion is exact both ways. The
other two are ours. The camera's numbers are the pelvis in metres in the camera's
frame, not the weak-perspective scale and shift that estimators give. The betas are
standardised log ratios of this body, not coordinates of SMPL's shape space. `estimate`
adds an estimator's errors: the true betas of a walker never change, and would tell a
method that reads them who it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaitjax.walkers.body import (
    COMMON_GIRTH,
    ELBOWS,
    GIRTHS,
    HANDS,
    LENGTHS,
    PARENTS,
    PELVIS,
    SHOULDERS,
    STATURE,
    WRISTS,
    Body,
)
from gaitjax.walkers.gait import Walk
from gaitjax.walkers.kinematics import rotations_of

# What the ten betas measure, in their order; chosen.
BETAS = ("stature", "leg", "arm", "shoulders", "hips", "head")
BETAS += ("thigh_girth", "arm_girth", "chest_girth", "belly_girth")
# Errors of an estimator, deviations, all chosen: pelvis (m), joints (radians) and
# betas from frame to frame, and betas of a whole sequence.
PLACE_ERROR, POSE_ERROR, BETA_ERROR, SEQUENCE_ERROR = 0.03, 0.08, 0.2, 0.7
# Rows are SMPL's x, y and z among the walkers' axes.
AXES = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))


def smpl(
    walk: Walk, body: Body, to_camera: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Camera, pose and betas of every frame: f32[t, 85].

    to_camera: takes points f[n, 3] from the world to the frame in which the pelvis'
    place and orientation are wanted, as `camera.to_camera` does for one camera.
    """
    zero, *ends = to_camera(np.concatenate([np.zeros((1, 3)), np.eye(3)]))
    axes = np.stack(ends, 1) - zero[:, None]  # [3, 3], world to camera
    pose = to_smpl_pose(walk.rotations)  # [t, 24, 3]
    pose[:, PELVIS] = axis_angles(axes @ walk.rotations[:, PELVIS] @ np.transpose(AXES))
    camera = to_camera(walk.joints[:, PELVIS])  # [t, 3]
    shape = np.broadcast_to(betas(body), (len(pose), len(BETAS)))
    flat = pose.reshape(len(pose), -1)
    return np.concatenate([camera, flat, shape], 1).astype(np.float32)


def estimate(
    rng: np.random.Generator, exact: np.ndarray, noise: float = 1.0
) -> np.ndarray:
    """What an estimator might have said for the exact f32[t, 85]; noise 0: the same."""
    size = np.full(85, POSE_ERROR)
    size[:3], size[75:] = PLACE_ERROR, BETA_ERROR
    error = rng.normal(size=exact.shape) * size
    error[:, 75:] += rng.normal(0.0, SEQUENCE_ERROR, 10)
    return (exact + noise * error).astype(np.float32)


def betas(body: Body) -> np.ndarray:
    """How far the body is from the average, in deviations between people: f[10]."""
    mean, _, deviation = STATURE
    spread = {"stature": deviation / mean}
    spread |= {name: values[0] for name, values in LENGTHS.items()}
    for name, (own, _, _, power) in GIRTHS.items():
        spread[name] = np.hypot(own, power * COMMON_GIRTH)
    ratio = {name: getattr(body, name) for name in BETAS}
    ratio["stature"] /= mean
    return np.array([np.log(ratio[name]) / spread[name] for name in BETAS])


def to_smpl_pose(rotations: np.ndarray) -> np.ndarray:
    """The walkers' rotations against the parent f[t, 24, 3, 3] as SMPL's axis-angles
    f[t, 24, 3], the pelvis in a world with y up."""
    above, own = _rests()
    return axis_angles(above.swapaxes(-1, -2) @ rotations @ own)


def from_smpl_pose(pose: np.ndarray) -> np.ndarray:
    """SMPL's axis-angles f[t, 24, 3], the pelvis in a world with y up, as the walkers'
    rotations against the parent f[t, 24, 3, 3]."""
    above, own = _rests()
    return above @ rotations_about(pose) @ own.swapaxes(-1, -2)


def _rests() -> tuple[np.ndarray, np.ndarray]:
    """From SMPL's axes and T-pose to the walkers' rest, of each joint's parent and of
    the joint: f[24, 3, 3] twice."""
    own = np.tile(np.transpose(AXES), (24, 1, 1))
    for pair in (SHOULDERS, ELBOWS, WRISTS, HANDS):
        for joint, angle in zip(pair, (-np.pi / 2, np.pi / 2), strict=True):
            own[joint] = rotations_of(np.float64(angle), np.zeros(()), 0.0) @ own[joint]
    above = own[list(PARENTS)]
    above[PELVIS] = own[PELVIS]  # the world stands like the pelvis
    return above, own


def axis_angles(rotations: np.ndarray) -> np.ndarray:
    """Rotations f[..., 3, 3] as axis times angle f[..., 3], the angle 0 to pi."""
    r = np.moveaxis(rotations, (-2, -1), (0, 1))  # [3, 3, ...]
    square = np.empty((*rotations.shape[:-2], 4, 4))  # 4 q q', q the quaternion
    square[..., 0, 0] = 1.0 + r[0, 0] + r[1, 1] + r[2, 2]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        square[..., i + 1, i + 1] = 1.0 + r[i, i] - r[j, j] - r[k, k]
        square[..., 0, i + 1] = square[..., i + 1, 0] = r[k, j] - r[j, k]
        square[..., i + 1, j + 1] = square[..., j + 1, i + 1] = r[i, j] + r[j, i]
    # The row of the largest component loses no digits, whatever the angle.
    largest = np.diagonal(square, axis1=-2, axis2=-1).argmax(-1)[..., None, None]
    q = np.take_along_axis(square, largest, -2)[..., 0, :]
    q = q * np.where(q[..., :1] < 0, -1.0, 1.0) / np.linalg.norm(q, axis=-1)[..., None]
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 0, angle / np.maximum(sine, 1e-300), 2.0)


def rotations_about(axis_angles: np.ndarray) -> np.ndarray:
    """Axis times angle f[..., 3] as rotations f[..., 3, 3], after Rodrigues."""
    x, y, z = np.moveaxis(np.asarray(axis_angles, np.float64), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    cross = cross.reshape(*x.shape, 3, 3)
    angle = np.sqrt(x**2 + y**2 + z**2)[..., None, None]
    first = np.sinc(angle / np.pi)  # sin(a) / a
    second = 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2  # (1 - cos(a)) / a^2
    return np.eye(3) + first * cross + second * cross @ cross
