"""Augmentation on the device against scipy, geometry and its own definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import augment_twin
from scipy import ndimage

from gaitjax.data.augment import Augment, Draw, cut_sides, rotation_matrix
from gaitjax.ops import augment as device
from gaitjax.walkers import mesh

augmented = jax.jit(
    device.augment, static_argnames=("kept", "perspective", "flip", "rotate", "erase")
)
warped = jax.jit(device.warp)


@pytest.fixture(scope="module")
def frames():
    """A smooth blob in three frames: u8 [3, 64, 64]."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((3, 64, 64)), (0, 3, 3))
    noise = (noise - noise.min()) / np.ptp(noise)
    return (noise * 255).astype(np.uint8)


def warp(frames, matrix):
    """One sequence by one matrix."""
    matrix = jnp.asarray(matrix, jnp.float32)
    return np.asarray(warped(frames[None], matrix[None])[0])


def apply(draw, frames):
    """One sequence by one draw."""
    return np.asarray(augmented(frames[None], draw.packed()[None], draw.kept)[0])


def assert_nearly(got, want):
    """Bytes, but for roundings that single precision turns: of a few in a thousand."""
    apart = np.abs(got.astype(int) - want)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.005


@pytest.mark.parametrize("channels", [(), (3,)])
def test_all_steps_equal_the_twin(frames, channels):
    frames = np.broadcast_to(
        frames.reshape(3, 64, 64, *(1 for _ in channels)), (3, 64, 64, *channels)
    )
    rng = np.random.default_rng(1)
    chances = Augment(perspective=0.7, flip=0.5, rotate=0.7, erase=0.7)
    draws = [chances.draw(rng) for _ in range(12)]
    for draw in draws:
        got = apply(draw, frames)
        assert got.shape == (3, 64, 44, *channels) and got.dtype == np.uint8
        assert_nearly(got, augment_twin.pictures(draw, frames))
    kinds = [
        (d.corners is None, d.flip, d.angle is None, d.hole is None) for d in draws
    ]
    assert all(len(set(kind)) == 2 for kind in zip(*kinds, strict=True))


def test_a_batch_is_augmented_row_by_row(frames):
    rng = np.random.default_rng(2)
    chances = Augment(perspective=0.5, flip=0.5, rotate=0.5, erase=0.5)
    draws = [chances.draw(rng, cut=False) for _ in range(5)]
    batch = np.stack([np.roll(frames, i, 2) for i in range(5)])
    got = augmented(batch, np.stack([draw.packed() for draw in draws]), 64)
    for row, draw, one in zip(got, draws, batch, strict=True):
        np.testing.assert_array_equal(row, apply(draw, one))


def test_steps_that_never_occur_may_be_left_out(frames):
    rng = np.random.default_rng(3)
    draws = np.stack([Augment(flip=0.5).draw(rng).packed() for _ in range(6)])
    batch = np.broadcast_to(frames, (6, *frames.shape))
    some = augmented(batch, draws, 44, perspective=False, rotate=False, erase=False)
    np.testing.assert_array_equal(some, augmented(batch, draws, 44))


def test_rotation_equals_scipys_affine_transform(frames):
    matrix = rotation_matrix((64, 64), 9.0)
    # scipy's affine_transform wants (row, column), ours is (x, y).
    swapped = matrix[:2, :2][::-1, ::-1]
    offset = matrix[:2, 2][::-1]
    want = [
        ndimage.affine_transform(
            f.astype(np.float64), swapped, offset, order=1, mode="grid-constant"
        )
        for f in frames
    ]
    assert_nearly(warp(frames, matrix), np.rint(want))
    assert (warp(frames, np.eye(3)) == frames).all()


def test_each_option_does_something_and_nothing_is_the_cut(frames):
    rng = np.random.default_rng(0)
    plain = apply(Augment().draw(rng), frames)
    assert (plain == cut_sides(frames)).all()
    flipped = apply(Augment(flip=1.0).draw(rng), frames)
    assert (flipped == plain[:, :, ::-1]).all()
    for option in ("perspective", "rotate", "erase"):
        changed = apply(Augment(**{option: 1.0}).draw(rng), frames)
        assert (changed != plain).any(), option
    erased = apply(Augment(erase=1.0).draw(rng), np.full_like(frames, 255))
    hole = erased == 0
    assert (hole == hole[:1]).all()  # the same for all frames
    assert 0.04 < hole.mean() < 0.21


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
    draw = Draw(None, flip, angle, (0, 0, 1, 1))
    mirror = mesh.mirror_joints()
    moved = draw.points(joints, mirror)
    seen = centres(apply(draw, drawn(joints[0])))
    if flip:  # what is drawn at the left hand is a right hand now
        seen = seen[mirror]
    np.testing.assert_allclose(
        seen - seen[0], 14 * (moved[0] - moved[0, 0])[:, :2], atol=0.15
    )
    depth = joints[0, mirror if flip else slice(None), 2]
    np.testing.assert_allclose(moved[0, :, 2], depth, atol=1e-6)
    assert moved.dtype == np.float32
