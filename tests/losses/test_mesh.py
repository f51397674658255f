"""Losses of places: zero at the truth, frames without labels do not count."""

import jax
import numpy as np

from gaitjax.losses.mesh import place_l1

RNG = np.random.default_rng(0)
WANTED = RNG.normal(size=(2, 3, 5, 3)).astype(np.float32)
ROOT = np.zeros((2, 3, 1, 3), np.float32)
ALL = np.ones((2, 3), np.float32)


def test_zero_at_the_truth():
    _, values = place_l1(WANTED, WANTED, ROOT, ALL)
    assert {k: float(v) for k, v in values.items()} == dict(
        loss=0.0, error=0.0, unlabelled=0.0
    )


def test_equals_its_twin_with_frames_left_out():
    found = RNG.normal(size=WANTED.shape).astype(np.float32)
    root = found[..., :1, :]
    wanted, counts = WANTED.copy(), ALL.copy()
    wanted[0, 1, 3, 2] = np.nan  # one coordinate, so none of that frame
    counts[1, 2] = 0
    loss, values = place_l1(found, wanted, root, counts)
    rows = [(0, 0), (0, 2), (1, 0), (1, 1)]
    apart = np.stack([found[row] - WANTED[row] for row in rows])
    seen = np.stack([found[row] - root[row] - WANTED[row] for row in rows])
    np.testing.assert_allclose(loss, np.abs(apart).mean(), rtol=1e-6)
    error = np.linalg.norm(seen, axis=-1).mean()
    np.testing.assert_allclose(values["error"], error, rtol=1e-6)
    np.testing.assert_allclose(values["unlabelled"], 1 / 5, rtol=1e-6)


def test_a_frame_without_a_label_has_no_gradient():
    """And the others' are those of the mean, not NaN."""
    found = RNG.normal(size=WANTED.shape).astype(np.float32)
    wanted = WANTED.copy()
    wanted[1, 2, 0, 1] = np.nan
    slope = jax.grad(lambda x: place_l1(x, wanted, ROOT, ALL)[0])(found)
    assert not slope[1, 2].any()
    one = np.sign(found - WANTED) / (5 * WANTED[0, 0].size)
    one[1, 2] = 0
    np.testing.assert_allclose(slope, one, rtol=1e-6)


def test_a_body_that_is_moved_has_no_error_and_yet_a_loss():
    _, values = place_l1(WANTED + 0.25, WANTED, ROOT + 0.25, ALL)
    np.testing.assert_allclose(values["loss"], 0.25, rtol=1e-6)
    np.testing.assert_allclose(values["error"], 0, atol=1e-6)


def test_without_any_label_the_loss_is_zero():
    _, values = place_l1(WANTED, np.full_like(WANTED, np.nan), ROOT, ALL)
    assert values["loss"] == 0 and values["unlabelled"] == 1
    _, values = place_l1(WANTED, WANTED, ROOT, 0 * ALL)
    assert values["loss"] == 0 and values["unlabelled"] == 0
