"""Rotations and forward kinematics of the 24-joint skeleton. Radians, metres."""

from __future__ import annotations

import numpy as np

from gaitjax.walkers.body import PARENTS

# Joints whose parents are all in an earlier row, so that a row moves in one product.
GENERATIONS = (
    (1, 2, 3),
    (4, 5, 6),
    (7, 8, 9),
    (10, 11, 12, 13, 14),
    (15, 16, 17),
    (18, 19),
    (20, 21),
    (22, 23),
)


def rotations_of(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Rz(yaw) Rx(roll) Ry(pitch) for angles of any shape: f[..., 3, 3].

    Positive roll raises the left side, pitch bows forward, yaw turns left.
    """
    cr, sr = np.cos(roll), np.sin(roll)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cy, sy = np.cos(yaw), np.sin(yaw)
    out = np.empty((*np.shape(pitch), 3, 3))
    out[..., 0, 0] = cy * cp - sy * sr * sp
    out[..., 0, 1] = -sy * cr
    out[..., 0, 2] = cy * sp + sy * sr * cp
    out[..., 1, 0] = sy * cp + cy * sr * sp
    out[..., 1, 1] = cy * cr
    out[..., 1, 2] = sy * sp - cy * sr * cp
    out[..., 2, 0] = -cr * sp
    out[..., 2, 1] = sr
    out[..., 2, 2] = cr * cp
    return out


def forward(offsets: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, ...]:
    """Joints in the world from rotations against the parent, the pelvis at the origin.

    offsets f[24, 3], rotations f[t, 24, 3, 3] -> joints f[t, 24, 3] and orientations
    f[t, 24, 3, 3].
    """
    orientations = rotations.copy()
    joints = np.zeros(rotations.shape[:-1])
    for generation in GENERATIONS:
        row = list(generation)
        parents = [PARENTS[joint] for joint in row]
        frames = orientations[:, parents]  # [t, k, 3, 3]
        orientations[:, row] = frames @ rotations[:, row]
        joints[:, row] = joints[:, parents] + turn(frames, offsets[row])
    return joints, orientations


def turn(frames: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Each vector in its frame: f[t, k, 3, 3], f[k, 3] -> f[t, k, 3]."""
    return np.einsum("tkij,kj->tki", frames, vectors)
