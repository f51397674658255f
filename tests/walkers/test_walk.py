"""Bodies and their motion: bones, ground, symmetry, and what 0 freezes."""

import dataclasses

import numpy as np
import pytest

from gaitjax.walkers.body import PARENTS, SIDES, joint_offsets, sample_body
from gaitjax.walkers.gait import sample_gait, walk
from gaitjax.walkers.kinematics import forward, rotations_of
from gaitjax.walkers.surface import capsules
from gaitjax.walkers.wear import Wear, sample_bag, sample_clothing

# Every joint's image in a mirror: left and right change places.
MIRROR = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15]
MIRROR += [17, 16, 19, 18, 21, 20, 23, 22]


def person(seed, spread=1.3):
    rng = np.random.default_rng(seed)
    body = sample_body(rng, spread)
    return body, sample_gait(rng, body, spread)


@pytest.fixture(params=range(6))
def walker(request):
    body, gait = person(request.param)
    rng = np.random.default_rng(request.param)
    return body, walk(rng, body, gait, 40, spread=0.6)


def test_rotations_turn_the_way_the_docstring_says():
    quarter, none = np.pi / 2, np.float64(0)
    forwards, left, up = np.eye(3)
    np.testing.assert_allclose(rotations_of(quarter, none, none) @ left, up, atol=1e-12)
    bowed = rotations_of(none, quarter, none) @ up
    np.testing.assert_allclose(bowed, forwards, atol=1e-12)
    turned = rotations_of(none, none, quarter) @ forwards
    np.testing.assert_allclose(turned, left, atol=1e-12)


def test_rotations_are_rotations(walker):
    _, motion = walker
    for frames in (motion.rotations, motion.orientations):
        squares = frames @ frames.swapaxes(-1, -2)
        np.testing.assert_allclose(
            squares, np.broadcast_to(np.eye(3), squares.shape), atol=1e-9
        )
        np.testing.assert_allclose(np.linalg.det(frames), 1.0, atol=1e-9)


def test_no_rotation_is_the_rest_pose():
    offsets = joint_offsets(person(0)[0])
    joints, _ = forward(offsets, np.broadcast_to(np.eye(3), (2, 24, 3, 3)))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        np.testing.assert_allclose(joints[1, joint], joints[1, parent] + offsets[joint])


def test_bones_keep_the_length_of_the_body(walker):
    body, motion = walker
    parents = list(PARENTS[1:])
    bones = motion.joints[:, 1:] - motion.joints[:, parents]
    lengths = np.linalg.norm(joint_offsets(body)[1:], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(bones, axis=-1), np.tile(lengths, (40, 1)), atol=1e-6
    )


@pytest.mark.parametrize("sample", [None, sample_bag, sample_clothing])
def test_the_lowest_point_touches_the_ground(walker, sample):
    body, motion = walker
    wear = sample(np.random.default_rng(1)) if sample else Wear()
    surface = capsules(body, motion, wear)
    bottoms = np.minimum(
        surface.start[..., 2] - surface.start_radius,
        surface.end[..., 2] - surface.end_radius,
    ).min(1)
    np.testing.assert_allclose(bottoms, 0.0, atol=1e-9)


def test_legs_are_half_a_stride_apart():
    # Mean walker, no noise: 10 frames are half a stride, after which the walker is its
    # own mirror image, so the right leg does what the left did.
    body, gait = person(3, spread=0.0)
    rng = np.random.default_rng(0)
    motion = walk(rng, body, gait, 31, fps=gait.cadence / 6.0, spread=0.0)
    relative = motion.joints - motion.joints[:, :1]
    image = relative[:, MIRROR] * (1.0, -1.0, 1.0)
    np.testing.assert_allclose(relative[10:], image[:-10], atol=1e-9)
    np.testing.assert_allclose(relative[20:], relative[:-20], atol=1e-9)
    assert np.abs(relative[5:] - image[:-5]).max() > 0.1  # a quarter is not enough


def test_arms_swing_against_the_legs():
    body, gait = person(0, spread=0.0)
    motion = walk(np.random.default_rng(0), body, gait, 60, spread=0.0)
    forwards = motion.joints[..., 0] - motion.joints[:, :1, 0]
    for ankle, hand in ((7, 22), (8, 23)):
        assert np.corrcoef(forwards[:, ankle], forwards[:, hand])[0, 1] < -0.8


def test_a_bag_in_the_hand_stills_that_arm_only():
    body, gait = person(0, spread=0.0)

    def reach(wear):
        rng = np.random.default_rng(0)
        joints = walk(rng, body, gait, 60, wear=wear, spread=0.0).joints
        return np.ptp(joints[:, [22, 23], 0] - joints[:, :1, 0], axis=0)

    free = reach(Wear())
    for side, sign in enumerate(SIDES):
        held = reach(Wear(bag="hand", bag_side=int(sign), bag_radius=0.06))
        assert held[side] < 0.6 * free[side]
        np.testing.assert_allclose(held[1 - side], free[1 - side])


def test_zero_freezes_body_and_gait():
    (first, walks), (second, walks_too) = person(0, 0.0), person(1, 0.0)
    np.testing.assert_array_equal(joint_offsets(first), joint_offsets(second))
    for name, value in dataclasses.asdict(walks).items():
        np.testing.assert_array_equal(value, getattr(walks_too, name), err_msg=name)
    assert not np.array_equal(joint_offsets(person(0)[0]), joint_offsets(person(1)[0]))


def test_walkers_go_forward_at_a_human_pace(walker):
    body, motion = walker
    metres = np.linalg.norm(motion.joints[-1, 0, :2] - motion.joints[0, 0, :2])
    assert 0.7 < metres / (39 / 25.0) < 2.2
    assert motion.joints[-1, 0, 0] > motion.joints[0, 0, 0]
    assert 0.9 < motion.joints[:, 15, 2].mean() / (0.92 * body.stature) < 1.05
