"""The body's closed surface with fixed topology: vertices that follow any body.

One mesh serves everybody. It was wrapped around the average body in an A-pose
(tools/make_body_mesh.py), and each vertex is bound there to its nearest capsules of
`surface.body_parts` in capsule coordinates: the place along the axis, and the offset
from it in radii, seen from the joints that the capsule hangs on. So limbs and girths
of another body carry it along, and the whole skin of a body is one matrix: a vertex
is a weighted sum of points fixed to joints, as in linear blend skinning. Metres in
the world: x forward, y left, z up. Clothes are not part of it.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import numpy as np

from gaitjax.walkers.body import (
    ANKLES,
    COLLARS,
    ELBOWS,
    FEET,
    HANDS,
    HIPS,
    KNEES,
    SHOULDERS,
    SIDES,
    WRISTS,
    Body,
    joint_offsets,
    sample_body,
)
from gaitjax.walkers.gait import Walk
from gaitjax.walkers.kinematics import forward, rotations_of
from gaitjax.walkers.surface import ORIGIN, Capsules, body_parts, capsules

ASSET = pathlib.Path(__file__).with_name("body_mesh.npz")
WEIGHTS = pathlib.Path(__file__).with_name("marker_weights.npz")
# All chosen.
ARMS_APART, LEGS_APART = 30.0, 14.0  # degrees, in the pose of the asset
BLEND = 0.6  # radii past the nearest surface where a capsule loses its hold


@dataclasses.dataclass(frozen=True)
class Binding:
    """p pairs of a point and a part of the body that holds it, by the part's ends."""

    point: np.ndarray  # i[p]
    part: np.ndarray  # i[p]
    weight: np.ndarray  # [p], of one point 1 together
    share: np.ndarray  # [2, p], how near to each end, 1 together
    offset: np.ndarray  # [2, p, 3] in radii, in the frame of each end's joint


def vertices(body: Body, joints: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """The body's surface at the joints f[t, 24, 3] with their orientations in the
    world f[t, 24, 3, 3], as in `gait.Walk`: f32[t, v, 3]."""
    return follow(_binding(), body, joints, orientations)


def follow(
    binding: Binding, body: Body, joints: np.ndarray, orientations: np.ndarray
) -> np.ndarray:
    """Where bound points are on this body: f32[t, v, 3]."""
    frames = np.concatenate([orientations, joints[..., None]], -1)  # [t, 24, 3, 4]
    rows = frames.astype(np.float32).transpose(0, 2, 1, 3)  # [t, 3, 24, 4]
    skin = _skin(binding, body)
    flat = rows.reshape(-1, len(skin)) @ skin  # [t 3, v]
    return flat.reshape(len(frames), 3, -1).transpose(0, 2, 1)  # [t, v, 3]


def faces() -> np.ndarray:
    """Corners of the triangles, counterclockwise seen from outside: i32[f, 3]."""
    return _asset()["faces"]


def marker_indices() -> np.ndarray:
    """The vertices that are markers: i32[64]."""
    return _asset()["markers"]


def markers(vertices: np.ndarray) -> np.ndarray:
    """The markers of `vertices`: f[t, v, 3] -> f[t, 64, 3]."""
    return vertices[:, marker_indices()]


def mirror_joints() -> np.ndarray:
    """Every joint's image in a mirror, left and right changed: i[24]."""
    image = np.arange(24)
    for pair in (HIPS, KNEES, ANKLES, FEET, COLLARS, SHOULDERS, ELBOWS, WRISTS, HANDS):
        image[list(pair)] = pair[::-1]
    return image


def mirror_vertices() -> np.ndarray:
    """Every vertex's image in a mirror: i32[v]."""
    return _asset()["mirror"]


def mirror_markers() -> np.ndarray:
    """Every marker's image in a mirror: i[64]."""
    place = np.empty(len(mirror_vertices()), np.int64)
    place[marker_indices()] = np.arange(len(marker_indices()))
    return place[mirror_vertices()[marker_indices()]]


@functools.cache
def marker_weights() -> np.ndarray:
    """Vertices as convex mixtures of 24 joints and 64 markers: f32[88, v], columns
    >= 0 and of sum 1.

    The asset is what `python tools/make_markers.py walkers` writes.
    """
    with np.load(WEIGHTS) as file:
        weights = file["weights"]
    weights.flags.writeable = False  # all callers share it
    return weights


def spread_out(body: Body, arms: float = ARMS_APART, legs: float = LEGS_APART) -> Walk:
    """One frame with arms and legs apart, degrees, the pelvis at the origin."""
    roll = np.zeros((1, 24))
    for pair, angle in ((SHOULDERS, arms), (HIPS, legs)):
        roll[:, list(pair)] = np.deg2rad(angle) * np.array(SIDES)
    rotations = rotations_of(roll, np.zeros_like(roll), np.zeros_like(roll))
    joints, orientations = forward(joint_offsets(body), rotations)
    return Walk(joints, orientations, rotations)


def average_body() -> Body:
    """The body that the mesh was wrapped around."""
    return sample_body(np.random.default_rng(0), spread=0.0)


def nearest(
    points: np.ndarray, around: Capsules, frame: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each capsule comes nearest to points f[v, 3]: the share of the way from
    its start f[v, c], the offset of the point from there f[v, c, 3], and the distance
    to the surface f[v, c], negative inside."""
    start, axis = around.start[frame], around.end[frame] - around.start[frame]  # [c, 3]
    swell = around.end_radius - around.start_radius  # [c]
    square = np.maximum((axis**2).sum(-1), 1e-12)  # [c]
    apart = points[:, None] - start  # [v, c, 3]
    foot = np.einsum("vci,ci->vc", apart, axis) / square
    across = apart - foot[..., None] * axis
    height = np.sqrt((across**2).sum(-1))  # [v, c]
    # The tangent of a cone leaves its axis at right angles to the surface; where one
    # ball holds the other the slope is none and the clip finds the larger ball.
    slope = swell / np.sqrt(np.maximum(square - swell**2, 1e-12))  # [c]
    along = np.clip(foot + height * slope / np.sqrt(square), 0.0, 1.0)
    offset = apart - along[..., None] * axis
    radius = around.start_radius + along * swell
    return along, offset, np.sqrt((offset**2).sum(-1)) - radius


@functools.cache
def _asset() -> dict[str, np.ndarray]:
    with np.load(ASSET) as file:
        arrays = dict(file)
    for array in arrays.values():
        array.flags.writeable = False  # all callers share them
    return arrays


@functools.cache
def _binding() -> Binding:
    body = average_body()
    return bind(_asset()["vertices"], body, spread_out(body))


def bind(points: np.ndarray, body: Body, pose: Walk) -> Binding:
    """What holds each of the points f[v, 3] beside this body; see Binding."""
    around = capsules(body, pose)
    along, offset, distance = nearest(points.astype(np.float64), around)
    radius = around.start_radius + along * (around.end_radius - around.start_radius)
    past = (distance - distance.min(1, keepdims=True)) / (BLEND * radius)
    weight = np.maximum(1.0 - past, 0.0) ** 2  # [v, c]
    weight /= weight.sum(1, keepdims=True)
    point, part = held = np.nonzero(weight)  # [p]
    share = np.stack([1.0 - along[held], along[held]])  # [2, p]
    joint, _, _ = _ends(body)
    frames = pose.orientations[0, joint[:, part]]  # [2, p, 3, 3]
    turned = np.einsum("epij,pi->epj", frames, offset[held] / radius[held][:, None])
    # A bone that ends at a joint is stiff: bending that joint turns none of its skin.
    stiff = np.array([end == ORIGIN for _, (_, end, _) in body_parts(body)])[part]
    turns = np.where(stiff, ((1.0,), (0.0,)), share)  # [2, p]
    return Binding(point, part, weight[held], share, turns[..., None] * turned)


def _ends(body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end of every part: joint i[2, c], point f[2, c, 3], radius f[2, c]."""
    ends = zip(*body_parts(body), strict=True)
    columns = [list(zip(*end, strict=True)) for end in ends]
    joint, point, radius = (np.array(column) for column in zip(*columns, strict=True))
    return joint, point, radius


def _skin(binding: Binding, body: Body) -> np.ndarray:
    """What to multiply joints with, row by row their axes and place: f32[24 4, v]."""
    joint, point, radius = (column[:, binding.part] for column in _ends(body))
    thick = (binding.share * radius).sum(0)  # [p]
    local = np.empty((4, *joint.shape))  # [4, 2, p]
    local[:3] = np.moveaxis(binding.offset, -1, 0) * thick
    local[:3] += np.moveaxis(point, -1, 0) * binding.share
    local[:3] *= body.stature
    local[3] = binding.share
    local *= binding.weight
    num_points = binding.point.max() + 1
    row = (joint * num_points + binding.point).ravel()  # [2 p]
    skin = np.empty((24, 4, num_points), np.float32)
    for column in range(4):
        sums = np.bincount(row, local[column].ravel(), 24 * num_points)
        skin[:, column] = sums.reshape(24, num_points)
    return skin.reshape(24 * 4, num_points)
