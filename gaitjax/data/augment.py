"""The field's augmentations of clips, drawn once and applied to every frame alike.

Probabilities and ranges are those of the reference (`specs` of OpenGait 5). Two
departures: one draw per sequence also where clips have unequal lengths (there the
reference makes one draw for a whole device), and pictures stay bytes: they are rounded
after each step. Here is what is drawn, and what it does to the body's labels; what it
does to pictures is done on the device, in `ops/augment.py`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from gaitjax.walkers.mesh import mirror_joints

FRAME_MARGIN = 10  # columns per 64 (cut) or 44 (perspective) of width


@dataclasses.dataclass(frozen=True)
class Augment:
    """Probability of each step; they follow one another in this order."""

    perspective: float = 0.0
    flip: float = 0.0
    rotate: float = 0.0
    erase: float = 0.0

    @property
    def touches(self) -> bool:
        """Whether any picture is ever changed."""
        return any(dataclasses.astuple(self))

    def draw(
        self,
        rng: np.random.Generator,
        cut: bool = True,
        size: tuple[int, int] = (64, 64),
    ) -> Draw:
        """What happens to one sequence whose stored frames have (height, width).

        cut: whether they lose their empty sides, after the perspective.
        """
        height, width = size
        corners = rng.integers(0, max(FRAME_MARGIN * (width // 44), 1), 4)
        kept = width - 2 * cut_columns(width) if cut else width
        return Draw(
            corners=corners if rng.random() < self.perspective else None,
            flip=bool(rng.random() < self.flip),
            angle=rng.uniform(-10, 10) if rng.random() < self.rotate else None,
            hole=draw_hole(rng, height, kept) if rng.random() < self.erase else None,
            size=size,
            kept=kept,
        )


@dataclasses.dataclass(frozen=True)
class Draw:
    """One draw of `Augment`. size: (height, width) of the stored frames; kept: columns
    that are left of them.

    corners: columns cut off at the top left, top right, bottom left and bottom
      right before the rest is stretched to the full frame.
    angle: degrees. hole: (top, left, height, width) of what is set to zero.
    """

    corners: np.ndarray | None
    flip: bool
    angle: float | None
    hole: tuple[int, int, int, int] | None
    size: tuple[int, int] = (64, 64)
    kept: int = 64

    def packed(self) -> np.ndarray:
        """What `ops.augment` wants of a sequence, f32 [23]: two 3 x 3 matrices (of the
        perspective and of the rotation: where a result's (x, y, 1) comes from), 1 for
        a flip, and the hole."""
        perspective = rotation = np.eye(3)
        if self.corners is not None:
            perspective = perspective_matrix(self.size, self.corners)
        if self.angle is not None:
            rotation = rotation_matrix((self.size[0], self.kept), self.angle)
        numbers = *perspective.flat, *rotation.flat, self.flip, *(self.hole or (0,) * 4)
        return np.array(numbers, np.float32)

    def points(self, points: np.ndarray, mirror: np.ndarray | None) -> np.ndarray:
        """The same of the body: f[t, p, 3] in the camera's frame (x right, y down).

        mirror: every point's image, left and right changed; None only without a flip.
        The camera is turned over and rolled, so seen from the pelvis it is the body
        that is. Cutting and erasing leave it alone; the perspective has no such camera.
        """
        assert self.corners is None, "refused before anything is drawn"
        if self.flip:
            points = points[:, mirror] * np.array((-1, 1, 1), points.dtype)
        if self.angle is not None:
            turn = np.eye(3, dtype=points.dtype)
            turn[:2, :2] = turn_matrix(
                self.angle
            )  # to the source, so from it: x @ turn
            points = points @ turn
        return points

    def smpl(self, smpl: np.ndarray) -> np.ndarray:
        """The same of SMPL's numbers f[t, 85], so that the body they give follows.

        A flip mirrors every rotation and changes left and right, which is exact for a
        body that is its own mirror image, as SMPL's nearly is. The camera's three
        numbers mean what the estimator likes, and stay.
        """
        assert self.corners is None, "refused before anything is drawn"
        pose = smpl[:, 3:75].reshape(-1, 24, 3)
        if self.flip:
            pose = pose[:, mirror_joints()] * np.array((1, -1, -1), pose.dtype)
        if self.angle is not None:
            known = np.isfinite(pose[:, 0]).all(1)
            turn = Rotation.from_euler("z", -self.angle, degrees=True)
            pose = pose.copy()
            pose[known, 0] = (turn * Rotation.from_rotvec(pose[known, 0])).as_rotvec()
        flat = pose.reshape(len(pose), -1)
        return np.concatenate([smpl[:, :3], flat, smpl[:, 75:]], 1)


def cut_columns(width: int) -> int:
    """Columns that the field drops on each side: 64 -> 44, 128 -> 88, 44 -> 44."""
    return FRAME_MARGIN * (width // 64)


def cut_sides(frames: np.ndarray) -> np.ndarray:
    """Frames [t, h, w, ...] without the empty columns at both sides."""
    cut = cut_columns(frames.shape[2])
    return frames[:, :, cut : frames.shape[2] - cut]


def without_sides(shape: tuple[int, ...], cut: bool = True) -> tuple[int, ...]:
    """The shape of a frame (h, w, ...) after `cut_sides`, if it is cut."""
    if not cut:
        return shape
    return (shape[0], shape[1] - 2 * cut_columns(shape[1]), *shape[2:])


def rotation_matrix(size: tuple[int, int], angle: float) -> np.ndarray:
    """Where (x, y, 1) of the rotated frame comes from, f64 [3, 3].

    The pivot is x = h // 2, y = w // 2: the reference swaps the axes, and its
    recipes were tuned that way.
    """
    height, width = size
    pivot = np.array([height // 2, width // 2])
    turn = turn_matrix(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = pivot - turn @ pivot
    return matrix


def turn_matrix(angle: float) -> np.ndarray:
    """(x, y) of the rotated to (x, y) of the source, f64 [2, 2]."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[c, -s], [s, c]])


def perspective_matrix(size: tuple[int, int], corners: np.ndarray) -> np.ndarray:
    """Where (x, y, 1) of the stretched frame comes from, f64 [3, 3]."""
    h, w = size
    top_left, top_right, bottom_left, bottom_right = corners
    to = [(0, 0), (w, 0), (w, h), (0, h)]
    source = [
        (top_left, 0),
        (w - 1 - top_right, 0),
        (w - 1 - bottom_right, h),
        (bottom_left, h),
    ]
    rows, values = [], []
    for (x, y), (u, v) in zip(to, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(rows, values), 1).reshape(3, 3)


def draw_hole(
    rng: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int] | None:
    """A rectangle of 5 to 20 % of the frame, ratio .3 to 1 / .3, that fits in it."""
    for _ in range(100):
        area = rng.uniform(0.05, 0.2) * height * width
        ratio = rng.uniform(0.3, 1 / 0.3)
        h, w = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if h < height and w < width:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), h, w
    return None
