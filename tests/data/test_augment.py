"""What is drawn, and what becomes of the body's labels; pictures: tests/ops."""

import numpy as np
import pytest

from gaitjax.data.augment import (
    Augment,
    Draw,
    cut_sides,
    draw_hole,
    perspective_matrix,
    rotation_matrix,
)
from gaitjax.data.smpl_file import labels
from gaitjax.walkers import mesh
from gaitjax.walkers.body import PARENTS


@pytest.mark.parametrize("width, kept", [(64, 44), (128, 88), (44, 44)])
def test_cut(width, kept):
    frames = np.broadcast_to(np.arange(width, dtype=np.uint8), (2, width, width))
    assert cut_sides(frames).shape == (2, width, kept)
    assert cut_sides(frames)[0, 0, 0] == (width - kept) // 2


def test_rotation_leaves_its_pivot_and_turns_by_its_angle():
    matrix = rotation_matrix((64, 44), 7.0)
    # x = 64 // 2, y = 44 // 2: the reference's swapped axes.
    np.testing.assert_allclose(matrix @ [32, 22, 1], [32, 22, 1], atol=1e-9)
    turned = matrix[:2, :2] @ [1, 0]
    assert np.rad2deg(np.arctan2(turned[1], turned[0])) == pytest.approx(7.0)


def test_perspective_takes_the_quad_to_the_full_frame():
    corners = np.array([3, 7, 0, 9])
    matrix = perspective_matrix((64, 64), corners)

    def source(x, y):
        u, v, s = matrix @ [x, y, 1]
        return u / s, v / s

    assert source(0, 0) == pytest.approx((3, 0))
    assert source(64, 0) == pytest.approx((63 - 7, 0))
    assert source(64, 64) == pytest.approx((63 - 9, 64))
    assert source(0, 64) == pytest.approx((0, 64))


def test_hole_has_the_area_and_ratio_it_should():
    rng = np.random.default_rng(0)
    for _ in range(200):
        top, left, h, w = draw_hole(rng, 64, 44)
        assert top >= 0 and left >= 0 and top + h <= 64 and left + w <= 44
        assert 0.04 < h * w / (64 * 44) < 0.21
        assert 0.25 < h / w < 4.0


def test_probability_is_the_share_of_sequences():
    rng = np.random.default_rng(0)
    flips = [Augment(flip=0.2).draw(rng).flip for _ in range(4000)]
    assert np.mean(flips) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("flip, angle", [(True, None), (False, 10.0), (True, -7.0)])
def test_body_of_smpl_goes_where_its_joints_go(flip, angle):
    rng = np.random.default_rng(1)
    image = mesh.mirror_joints()
    rest = rng.normal(size=(24, 3))
    rest = 0.5 * (rest + rest[image] * (-1, 1, 1))  # symmetric, x to the left
    body = {"template": rest, "weights": np.eye(24), "joint_regressor": np.eye(24)}
    body |= {"shape_dirs": np.zeros((24, 3, 10)), "pose_dirs": np.zeros((24, 3, 207))}
    body["parents"] = (-1, *PARENTS[1:])
    numbers = rng.normal(size=(3, 85))
    numbers[2, 3] = np.nan
    draw = Draw(corners=None, flip=flip, angle=angle, hole=None)
    before, _ = labels(body, numbers)
    after, _ = labels(body, draw.smpl(numbers))
    np.testing.assert_allclose(after[:2], draw.points(before, image)[:2], atol=1e-5)
    assert np.isnan(after[2]).all()


def test_points_without_a_label_stay_without_and_the_picture_alone_is_cut():
    joints = np.zeros((2, 24, 3), np.float32)
    joints[1] = np.nan
    moved = Draw(None, True, 5.0, None).points(joints, mesh.mirror_joints())
    assert np.isfinite(moved[0]).all() and np.isnan(moved[1]).all()
    plain = Draw(None, False, None, (3, 4, 5, 6)).points(joints, None)
    np.testing.assert_array_equal(plain, joints)


def test_packed_says_all_that_was_drawn():
    corners, size = np.array([3, 7, 0, 9]), (64, 64)
    numbers = Draw(corners, True, 5.0, (1, 2, 3, 4), size, 44).packed()
    assert numbers.dtype == np.float32 and numbers.shape == (23,)
    want = perspective_matrix(size, corners), rotation_matrix((64, 44), 5.0)
    np.testing.assert_allclose(numbers[:18].reshape(2, 3, 3), want, rtol=1e-6)
    assert numbers[18:].tolist() == [1, 1, 2, 3, 4]
    nothing = Draw(None, False, None, None).packed()
    np.testing.assert_array_equal(nothing[:18].reshape(2, 3, 3), [np.eye(3)] * 2)
    assert not nothing[18:].any()
    assert Augment(erase=0.1).touches and not Augment().touches
