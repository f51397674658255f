"""SMPL (Loper et al., SIGGRAPH Asia 2015): pose and shape to joints and vertices.

Arrays in and out, differentiable, any batch in front; `data/smpl_file.py` reads the
arrays from the licensed file. A pose is one axis times angle (radians) per joint
against its parent, in SMPL's axes: x to the person's left, y up, z forward; the root's
turns the whole body into any other frame. Always float32 with full-precision products:
bfloat16 is millimetres off in a body of metres.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError

# The numbers of an estimate: camera 3, pose 72, betas 10.
CAMERA, POSE, BETAS = 3, 72, 10

_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Body:
    """The model: v vertices, j joints, b betas; metres. See `data.smpl_file.load`."""

    template: jax.Array  # [v, 3]
    shape_dirs: jax.Array  # [v, 3, b], metres per beta
    pose_dirs: jax.Array  # [v, 3, 9 (j - 1)], metres per entry of a rotation
    joint_regressor: jax.Array  # [j, v]
    weights: jax.Array  # [v, j], of one vertex 1 together
    # Of each joint, before it in the list; -1 for the root, which is joint 0.
    parents: tuple[int, ...] = dataclasses.field(metadata={"static": True})


def labels(body: Body, smpl: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Joints f32[..., j, 3] and vertices f32[..., v, 3] of estimates [..., 85].

    Metres in the frame that the root's rotation leads to, the camera's for Gait3D (x
    right, y down, z away), relative to the pelvis. The three numbers of the camera are
    not used. A row with a NaN gives NaN in all of its row: no label in that frame.
    """
    if smpl.shape[-1] != CAMERA + POSE + BETAS:
        raise GaitError(
            "an SMPL estimate is 85 numbers (camera 3, pose 72, betas 10), got "
            f"{smpl.shape[-1]}; give f32[..., 85]"
        )
    smpl = jnp.asarray(smpl, jnp.float32)
    known = jnp.isfinite(smpl).all(-1)[..., None, None]
    _, pose, betas = jnp.split(smpl, (CAMERA, CAMERA + POSE), -1)
    joints, vertices = skin(body, pose.reshape(*pose.shape[:-1], -1, 3), betas)
    root = joints[..., :1, :]
    return tuple(jnp.where(known, x - root, jnp.nan) for x in (joints, vertices))


def skin(
    body: Body,
    pose: jax.Array,
    betas: jax.Array,
    translation: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Joints f32[..., j, 3] and vertices f32[..., v, 3] of a body in a pose.

    pose [..., j, 3]: axis times angle. betas [..., b]. translation [..., 3]: added to
    all; none is zero. A frame takes 9 v floats on the way, 0.25 MB for SMPL.
    """
    body = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), body)
    betas = jnp.asarray(betas, jnp.float32)
    shaped = body.template + _einsum("vcb,...b->...vc", body.shape_dirs, betas)
    rest = _einsum("jv,...vc->...jc", body.joint_regressor, shaped)
    turns = rotations_about(pose)  # [..., j, 3, 3]
    bends = turns[..., 1:, :, :] - jnp.eye(3, dtype=jnp.float32)
    bends = bends.reshape(*bends.shape[:-3], -1)  # [..., 9 (j - 1)]
    posed = shaped + _einsum("vcf,...f->...vc", body.pose_dirs, bends)
    axes, joints = _chain(turns, rest, body.parents)
    moves = joints - _einsum("...jik,...jk->...ji", axes, rest)
    axes = _einsum("vj,...jik->...vik", body.weights, axes)  # [..., v, 3, 3]
    vertices = _einsum("...vik,...vk->...vi", axes, posed)
    vertices = vertices + _einsum("vj,...ji->...vi", body.weights, moves)
    if translation is None:
        return joints, vertices
    shift = jnp.asarray(translation, jnp.float32)[..., None, :]
    return joints + shift, vertices + shift


def rotations_about(axis_angles: jax.Array) -> jax.Array:
    """Axis times angle [..., 3] as rotations f32[..., 3, 3], after Rodrigues.

    Exact at zero, and so are its derivatives.
    """
    turn = jnp.asarray(axis_angles, jnp.float32)
    x, y, z = jnp.moveaxis(turn, -1, 0)
    zero = jnp.zeros_like(x)
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    cross = cross.reshape(*x.shape, 3, 3)
    square = (turn * turn).sum(-1)[..., None, None]
    first = _sinc(square)  # sin(a) / a
    second = 0.5 * _sinc(square / 4) ** 2  # (1 - cos(a)) / a^2, nothing cancels
    squared = _einsum("...ij,...jk->...ik", cross, cross)
    return jnp.eye(3, dtype=jnp.float32) + first * cross + second * squared


def _sinc(square: jax.Array) -> jax.Array:
    """sin(a) / a of a squared: smooth at zero, where the root of it is not."""
    small = square < 0.25
    # Four terms of the series are good to 1e-8 below 0.25.
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    # Both branches of a `where` are differentiated, hence one inside.
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    return jnp.where(small, series, jnp.sin(angle) / angle)


def _chain(
    turns: jax.Array, rest: jax.Array, parents: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Every joint's axes [..., j, 3, 3] and place [..., j, 3], from the root outwards.

    turns [..., j, 3, 3]: against the parent. rest [..., j, 3]: places unposed. The
    root turns about itself and stays.
    """
    axes, places = [turns[..., 0, :, :]], [rest[..., 0, :]]
    for joint, parent in enumerate(parents[1:], 1):
        bone = rest[..., joint, :] - rest[..., parent, :]
        bone = _einsum("...ik,...k->...i", axes[parent], bone)
        places.append(places[parent] + bone)
        turn = turns[..., joint, :, :]
        axes.append(_einsum("...ij,...jk->...ik", axes[parent], turn))
    return jnp.stack(axes, -3), jnp.stack(places, -2)
