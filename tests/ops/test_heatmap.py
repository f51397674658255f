"""Heat maps: places of known Gaussians, gradients, and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.ops import heatmap

SIZE = (8, 10, 12)  # d, h, w: an axis that is mixed up shows
ALPHA = 5.0


@jax.jit
def _places(logits):
    p = heatmap.probabilities(logits, ALPHA)
    return p, heatmap.expected(p)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("deviation", [0.7, 1.0, 1.4])
def test_place_of_a_gaussian_within_a_hundredth_of_a_voxel(deviation):
    """Logits written out here, at places away from the borders, not on centres."""
    rng = np.random.default_rng(0)
    size = (24, 26, 28)
    voxel = rng.uniform(9.0, 14.0, (2, 3, 3))  # [n, k, (x, y, z)], voxel 9 at 9.0
    z, y, x = np.meshgrid(*map(np.arange, size), indexing="ij")
    grid = np.stack([x, y, z], -1)[..., None, :]  # [d, h, w, 1, 3]
    square = ((grid - voxel[:, None, None, None]) ** 2).sum(-1)  # [n, d, h, w, k]
    _, got = _places(jnp.float32(-square / (2 * deviation**2 * ALPHA)))
    width = np.array(size[::-1])
    np.testing.assert_allclose((np.float64(got) + 0.5) * width - 0.5, voxel, atol=0.01)


def test_gradient_is_the_one_worked_out():
    """Of a mean under a softmax: alpha p (place of the voxel - mean)."""
    logits = _random(*SIZE, 2)
    gradient = jax.jit(jax.grad(lambda x: _places(x)[1][1, 0]))(logits)
    p, at = jax.tree.map(np.float64, _places(logits))
    away = (np.arange(12) + 0.5) / 12 - 0.5 - at[1, 0]
    np.testing.assert_allclose(gradient[..., 1], ALPHA * p[..., 1] * away, atol=1e-7)
    assert not gradient[..., 0].any()


def test_sums_to_one_whatever_the_logits():
    p, _ = _places(100 * _random(3, *SIZE, 4))
    np.testing.assert_allclose(p.sum((1, 2, 3)), 1, rtol=1e-5)


def test_cold_softmax_is_the_largest_voxel():
    logits = _random(2, *SIZE, 3)
    p = heatmap.probabilities(logits, 1e5)
    flat = logits.reshape(2, -1, 3).argmax(1)  # [n, k]
    z, y, x = np.unravel_index(flat, SIZE)
    want = (np.stack([x, y, z], -1) + 0.5) / SIZE[::-1] - 0.5
    np.testing.assert_allclose(heatmap.expected(p), want, atol=1e-6)
    np.testing.assert_allclose(heatmap.confidence(p, want), 1)


def test_moved_mirrored_and_turned_maps():
    logits = np.full((*SIZE, 2), -100, np.float32)
    logits[2:5, 3:6, 4:8] = _random(3, 3, 4, 2)
    _, at = _places(logits)
    _, moved = _places(np.roll(logits, (1, -2, 3), (0, 1, 2)))
    np.testing.assert_allclose(moved - at, [[3 / 12, -2 / 10, 1 / 8]] * 2, atol=1e-6)
    _, mirrored = _places(logits[:, :, ::-1])
    np.testing.assert_allclose(mirrored, at * np.float32([-1, 1, 1]), atol=1e-6)
    turned = heatmap.expected(_places(logits)[0].transpose(2, 0, 1, 3))
    np.testing.assert_allclose(turned, at[:, [1, 2, 0]], atol=1e-6)
    _, swapped = _places(logits[..., ::-1])
    np.testing.assert_array_equal(swapped, at[::-1])


def test_even_map_is_the_middle_and_the_shift_of_all_logits_is_nothing():
    p, at = _places(np.full((*SIZE, 2), 3, np.float32))
    np.testing.assert_allclose(p, 1 / np.prod(SIZE), rtol=1e-5)
    np.testing.assert_allclose(at, 0, atol=1e-6)


def test_confidence_is_the_value_in_the_voxel_of_the_place():
    p = _random(2, *SIZE, 2)
    # Voxel (x 7, y 4, z 2) reaches from 7 / 12 to 8 / 12 of the width, and so on.
    inside = np.array([7.9 / 12, 4.1 / 10, 2.5 / 8]) - 0.5
    outside = np.array([-0.7, 0.5, 0.9])
    at = np.float32([[inside, outside], [outside, inside]])  # [n, k, 3]
    got = heatmap.confidence(p, at)
    want = [[p[0, 2, 4, 7, 0], p[0, 7, 9, 0, 1]], [p[1, 7, 9, 0, 0], p[1, 2, 4, 7, 1]]]
    np.testing.assert_array_equal(got, want)

    def total(p, at):
        return heatmap.confidence(p, at).sum()

    to_value, to_place = jax.grad(total, (0, 1))(jnp.asarray(p), jnp.asarray(at))
    assert to_value.sum() == 4 and to_value[0, 2, 4, 7, 0] == 1
    assert not to_place.any()


def test_half_precision_is_computed_in_float32():
    half = jnp.bfloat16(_random(2, *SIZE, 3))
    p, at = _places(half)
    assert p.dtype == at.dtype == jnp.float32
    want, want_at = _places(jnp.float32(half))
    np.testing.assert_array_equal(p, want)
    np.testing.assert_array_equal(at, want_at)
    narrow = jnp.bfloat16(p)
    assert heatmap.expected(narrow).dtype == jnp.float32
    assert heatmap.confidence(narrow, at).dtype == jnp.float32
