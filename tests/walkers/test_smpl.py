"""SMPL's 85 numbers: exact both ways, its T-pose, and the camera's frame."""

import dataclasses

import numpy as np
import pytest

from gaitjax.walkers import smpl
from gaitjax.walkers.body import (
    ANKLES,
    ELBOWS,
    HEAD,
    HIPS,
    PELVIS,
    SHOULDERS,
    STATURE,
    WRISTS,
    joint_offsets,
    sample_body,
)
from gaitjax.walkers.camera import Camera, to_camera
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.kinematics import forward, rotations_of


@pytest.fixture
def walker():
    rng = np.random.default_rng(3)
    body = sample_body(rng, 1.3)
    return body, walk(rng, body, sample_gait(rng, body, 1.3), 7)


def average():
    return sample_body(np.random.default_rng(0), spread=0.0)


def played(pose):
    """Joints f[24, 3] of the average body in SMPL's axes, the pelvis at the origin."""
    rotations = smpl.from_smpl_pose(pose[None])
    joints, _ = forward(joint_offsets(average()), rotations)
    return joints[0] @ np.transpose(smpl.AXES)


def test_axis_angles_by_hand():
    quarter = rotations_of(np.float64(0), np.float64(0), np.float64(np.pi / 2))
    np.testing.assert_allclose(smpl.axis_angles(quarter), (0, 0, np.pi / 2), atol=1e-15)
    np.testing.assert_allclose(
        smpl.rotations_about((0, 0, np.pi / 2)), quarter, atol=1e-15
    )
    np.testing.assert_array_equal(smpl.axis_angles(np.eye(3)), np.zeros(3))
    np.testing.assert_array_equal(smpl.rotations_about(np.zeros(3)), np.eye(3))
    half = np.diag((-1.0, 1.0, -1.0))
    np.testing.assert_allclose(
        np.abs(smpl.axis_angles(half)), (0, np.pi, 0), atol=1e-15
    )


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 1.0, 3.0, np.pi - 1e-9])
def test_axis_angles_come_back(angle):
    axes = np.random.default_rng(0).normal(size=(50, 3))
    pose = angle * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    back = smpl.axis_angles(smpl.rotations_about(pose))
    np.testing.assert_allclose(back, pose, rtol=0, atol=1e-12)


def test_poses_come_back(walker):
    _, motion = walker
    pose = smpl.to_smpl_pose(motion.rotations)
    assert pose.shape == (7, 24, 3)
    np.testing.assert_allclose(
        smpl.from_smpl_pose(pose), motion.rotations, rtol=0, atol=1e-12
    )
    other = 0.9 * np.random.default_rng(0).normal(size=(5, 24, 3))
    back = smpl.to_smpl_pose(smpl.from_smpl_pose(other))
    np.testing.assert_allclose(
        smpl.rotations_about(back), smpl.rotations_about(other), rtol=0, atol=1e-12
    )


def test_no_pose_is_the_t_pose():
    joints = played(np.zeros((24, 3)))
    offsets = joint_offsets(average())
    for side, sign in enumerate((1.0, -1.0)):  # SMPL's x is to the left
        upper = joints[ELBOWS[side]] - joints[SHOULDERS[side]]
        lower = joints[WRISTS[side]] - joints[ELBOWS[side]]
        length = -offsets[ELBOWS[side], 2]
        np.testing.assert_allclose(upper, (sign * length, 0, 0), atol=1e-12)
        np.testing.assert_allclose(lower[1:], 0, atol=1e-12)
        assert sign * lower[0] > 0.2
        leg = joints[ANKLES[side]] - joints[HIPS[side]]
        np.testing.assert_allclose(leg[[0, 2]], 0, atol=1e-12)
        assert leg[1] < -0.7
    assert joints[HEAD, 1] > 0.5


def test_smpl_bends_an_elbow_forwards_about_y():
    pose = np.zeros((24, 3))
    pose[ELBOWS[0]] = (0, -np.pi / 2, 0)
    pose[ELBOWS[1]] = (0, np.pi / 2, 0)
    joints = played(pose)
    for side in range(2):
        lower = joints[WRISTS[side]] - joints[ELBOWS[side]]
        np.testing.assert_allclose(lower[:2], 0, atol=1e-12)
        assert lower[2] > 0.2


def test_hanging_arms_are_a_quarter_turn_of_the_shoulders():
    rest = smpl.to_smpl_pose(np.broadcast_to(np.eye(3), (1, 24, 3, 3)))[0]
    expected = np.zeros((24, 3))
    expected[SHOULDERS[0], 2], expected[SHOULDERS[1], 2] = -np.pi / 2, np.pi / 2
    np.testing.assert_allclose(rest, expected, atol=1e-12)


def test_the_pelvis_is_seen_from_the_camera(walker):
    body, motion = walker
    camera = Camera(view=30.0)
    found = smpl.smpl(motion, body, lambda points: to_camera(points, camera))
    assert found.shape == (7, 85) and found.dtype == np.float32
    pelvis = to_camera(motion.joints[:, PELVIS], camera)
    np.testing.assert_allclose(found[:, :3], pelvis, atol=1e-5)
    # SMPL's own kinematics in the camera's frame must find our joints there.
    pose = found[:, 3:75].reshape(7, 24, 3).astype(np.float64)
    tee, _ = forward(joint_offsets(body), smpl.from_smpl_pose(np.zeros((1, 24, 3))))
    hips = tee[0, list(HIPS)] @ np.transpose(smpl.AXES)  # in SMPL's axes
    turned = smpl.rotations_about(pose[:, PELVIS]) @ hips.T  # [t, 3, 2]
    expected = to_camera(motion.joints[:, list(HIPS)], camera)
    np.testing.assert_allclose(
        found[:, None, :3] + turned.swapaxes(1, 2), expected, atol=1e-5
    )
    rest = smpl.to_smpl_pose(motion.rotations)[:, 1:]
    np.testing.assert_allclose(pose[:, 1:], rest, atol=1e-6)


def test_a_walker_who_faces_the_camera_is_turned_by_half_about_x():
    upright = np.broadcast_to(np.eye(3), (1, 24, 3, 3))
    joints, orientations = forward(joint_offsets(average()), upright)
    motion = walk(
        np.random.default_rng(0),
        average(),
        sample_gait(np.random.default_rng(0), average(), 0.0),
        1,
    )
    motion = dataclasses.replace(
        motion, joints=joints, orientations=orientations, rotations=upright
    )
    level = Camera(view=0.0, height=0.9)  # at the height it looks at
    found = smpl.smpl(motion, average(), lambda points: to_camera(points, level))
    np.testing.assert_allclose(np.abs(found[0, 3:6]), (np.pi, 0, 0), atol=1e-5)


def test_betas_measure_deviations_from_the_average():
    np.testing.assert_allclose(smpl.betas(average()), np.zeros(10), atol=1e-12)
    mean, _, deviation = STATURE
    body = dataclasses.replace(
        average(), stature=mean * np.exp(deviation / mean), leg=np.exp(-2 * 0.022)
    )
    np.testing.assert_allclose(smpl.betas(body), [1, -2] + [0] * 8, atol=1e-12)
    drawn = [smpl.betas(sample_body(np.random.default_rng(s))) for s in range(400)]
    spread = np.std(drawn, axis=0)
    assert (spread > 0.8).all() and (spread < 1.8).all()  # the sexes add to it


def test_an_estimate_is_off_by_as_much_as_it_says():
    exact = np.zeros((4000, 85), np.float32)
    off = smpl.estimate(np.random.default_rng(0), exact)
    within = off - off.mean(0)
    np.testing.assert_allclose(within[:, :3].std(), smpl.PLACE_ERROR, rtol=0.1)
    np.testing.assert_allclose(within[:, 3:75].std(), smpl.POSE_ERROR, rtol=0.1)
    np.testing.assert_allclose(within[:, 75:].std(), smpl.BETA_ERROR, rtol=0.1)
    assert np.abs(off[:, 75:].mean(0)).max() > 3 * smpl.BETA_ERROR  # of the sequence
    np.testing.assert_array_equal(
        smpl.estimate(np.random.default_rng(0), exact, 0.0), 0
    )
