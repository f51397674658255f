"""Dilation and erosion against scipy, and what the cloth augmentation may change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gaitjax.ops import morphology

DRESS = jax.jit(morphology.clothes, static_argnums=2)


def blobs(seed, shape=(3, 2, 64, 44)):
    """Binary frames with something at every border: u8, 0 or 255."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(
        rng.normal(size=shape), (0,) * (len(shape) - 2) + (2, 2)
    )
    return np.uint8(255) * (smooth > 0.05)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_both_are_scipys(size):
    for frames in (blobs(0, (2, 3, 9, 12)), np.uint8(blobs(1, (2, 9, 7)) % 91)):
        element = (1,) * (frames.ndim - 2) + (size, size)
        np.testing.assert_array_equal(
            morphology.dilate(jnp.asarray(frames), size),
            ndimage.grey_dilation(frames, size=element),
        )
        np.testing.assert_array_equal(
            morphology.erode(jnp.asarray(frames), size),
            ndimage.grey_erosion(frames, size=element),
        )


def candidates(frames):
    """Every answer for one sequence u8[t,h,w]: {(part, op, start, stop): frames}."""
    found = {}
    for thicker, fn in ((True, ndimage.grey_dilation), (False, ndimage.grey_erosion)):
        for part in ("upper", "lower", "whole"):
            side = 2 if part == "lower" else 5
            changed = fn(frames, size=(1, side, side))
            starts = range(38, 43) if part == "lower" else range(14, 19)
            stops = range(38, 43) if part == "upper" else range(60, 65)
            for start in starts:
                for stop in stops:
                    want = frames.copy()
                    want[:, start:stop] = changed[:, start:stop]
                    found[part, thicker, start, stop] = want
    return found


def test_each_sequence_gets_one_of_the_six_in_all_frames():
    frames = np.repeat(blobs(2, (1, 2, 64, 44)), 400, 0)
    every = {v.tobytes(): k for k, v in candidates(frames[0]).items()}
    assert len(every) == 150  # no two of them are alike: 6 kinds x 25 boundaries
    drawn = np.asarray(DRESS(jax.random.key(0), jnp.asarray(frames), 1.0))
    kinds = [every[one.tobytes()] for one in drawn]  # KeyError: not one of them
    counts = {
        kind: sum(k[:2] == kind for k in kinds) for kind in {k[:2] for k in kinds}
    }
    assert len(counts) == 6 and min(counts.values()) > 40  # 67 wanted, sigma 7.5
    for place, rows in ((2, range(14, 19)), (3, range(60, 65))):
        whole = {k[place] for k in kinds if k[0] == "whole"}
        assert whole == set(rows)  # every boundary comes, both ends included


def test_half_stay_as_they_are_bit_for_bit():
    frames = np.repeat(np.uint8(blobs(3, (1, 2, 64, 44)) // 3), 200, 0)  # grey: 85
    drawn = np.asarray(DRESS(jax.random.key(1), jnp.asarray(frames), 0.5))
    same = (drawn == frames).all((1, 2, 3))
    assert 70 < same.sum() < 130
    assert set(np.unique(drawn[~same])) <= {0, 85}  # under half of full: no body
    none = DRESS(jax.random.key(1), jnp.asarray(frames[:4]), 0.0)
    np.testing.assert_array_equal(none, frames[:4])


def test_boundaries_follow_the_height():
    frames = np.zeros((64, 1, 32, 22), np.uint8)
    frames[:, :, :, 10] = 255  # a line: dilation of any kind shows its rows
    drawn = np.asarray(DRESS(jax.random.key(2), jnp.asarray(frames), 1.0))
    rows = (drawn != frames).any((1, 3))  # [n, h]
    assert not rows[:, :7].any() and rows[:, 21:30].any()
    first = {int(row.argmax()) for row in rows if row.any()}
    assert first == {7, 8, 9, 19, 20, 21}
