"""Augmentations against scipy, geometry and their own definitions."""

import numpy as np
import pytest
from scipy import ndimage

from gaitjax.data.augment import (
    Augment,
    Draw,
    cut_sides,
    draw_hole,
    perspective_matrix,
    rotation_matrix,
    warp,
)
from gaitjax.data.smpl_file import labels
from gaitjax.walkers import mesh
from gaitjax.walkers.body import PARENTS


@pytest.fixture
def frames():
    """A smooth blob in three frames: u8 [3, 64, 44]."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((3, 64, 44)), (0, 3, 3))
    noise = (noise - noise.min()) / np.ptp(noise)
    return (noise * 255).astype(np.uint8)


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


def test_warp_equals_scipy(frames):
    matrix = rotation_matrix((64, 44), 9.0)
    # scipy's affine_transform wants (row, column), ours is (x, y).
    swapped = matrix[:2, :2][::-1, ::-1]
    offset = matrix[:2, 2][::-1]
    want = [
        ndimage.affine_transform(
            f.astype(np.float64), swapped, offset, order=1, mode="grid-constant"
        )
        for f in frames
    ]
    assert np.abs(warp(frames, matrix) - np.rint(want)).max() <= 1
    assert (warp(frames, np.eye(3)) == frames).all()


def test_warp_of_several_channels_is_that_of_each(frames):
    matrix = rotation_matrix((64, 44), -5.0)
    stacked = np.stack([frames, 255 - frames], -1)
    want = np.stack([warp(frames, matrix), warp(255 - frames, matrix)], -1)
    assert (warp(stacked, matrix) == want).all()


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


def test_each_option_does_something_and_nothing_is_the_cut(frames):
    wide = np.pad(frames, ((0, 0), (0, 0), (10, 10)))
    rng = np.random.default_rng(0)
    plain = Augment().draw(rng)(wide)
    assert (plain == cut_sides(wide)).all()
    flipped = Augment(flip=1.0).draw(rng)(wide)
    assert (flipped == plain[:, :, ::-1]).all()
    for option in ("perspective", "rotate", "erase"):
        changed = Augment(**{option: 1.0}).draw(rng)(wide)
        assert changed.shape == plain.shape and changed.dtype == np.uint8
        assert (changed != plain).any(), option
    erased = Augment(erase=1.0).draw(rng)(np.full_like(wide, 255))
    hole = erased == 0
    assert (hole == hole[:1]).all()  # the same for all frames
    assert 0.04 < hole.mean() < 0.21


def test_probability_is_the_share_of_sequences():
    rng = np.random.default_rng(0)
    flips = [Augment(flip=0.2).draw(rng).flip for _ in range(4000)]
    assert np.mean(flips) == pytest.approx(0.2, abs=0.02)


def drawn(joints):
    """A picture u8 [64, 64] per joint f[j, 3], a blob where it is seen from afar."""
    y, x = np.mgrid[:64, :64]
    place = 32 + 14 * joints[:, :2]  # pixels; 14 to the metre
    apart = (x - place[:, 0, None, None]) ** 2 + (y - place[:, 1, None, None]) ** 2
    return np.rint(255 * np.exp(-apart / 4)).astype(np.uint8)


def centres(pictures):
    """Middle (x, y) of what is white, f[j, 2]."""
    y, x = np.mgrid[: pictures.shape[1], : pictures.shape[2]]
    mass = pictures.sum((1, 2))
    return np.stack([(pictures * axis).sum((1, 2)) / mass for axis in (x, y)], 1)


@pytest.mark.parametrize("flip, angle", [(True, None), (False, 10.0), (True, -7.0)])
def test_points_of_the_body_go_where_the_picture_goes(flip, angle):
    joints = np.random.default_rng(0).uniform(-0.8, 0.8, (1, 24, 3)).astype(np.float32)
    draw = Draw(corners=None, flip=flip, angle=angle, hole=(0, 0, 1, 1))
    mirror = mesh.mirror_joints()
    moved = draw.points(joints, mirror)
    seen = centres(draw(drawn(joints[0])))
    if flip:  # what is drawn at the left hand is a right hand now
        seen = seen[mirror]
    np.testing.assert_allclose(
        seen - seen[0], 14 * (moved[0] - moved[0, 0])[:, :2], atol=0.15
    )
    depth = joints[0, mirror if flip else slice(None), 2]
    np.testing.assert_allclose(moved[0, :, 2], depth, atol=1e-6)
    assert moved.dtype == np.float32


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
    plain = Draw(None, False, None, (3, 4, 5, 6), cut=True).points(joints, None)
    np.testing.assert_array_equal(plain, joints)
