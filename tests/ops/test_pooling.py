"""Poolings over frames, strips and rows, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.errors import GaitError
from gaitjax.ops import pooling


@pytest.fixture
def frames():
    """x [2, 7, 3] and the lengths 7 and 4 of its rows, as a mask."""
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    lengths = (7, 4)
    return x, lengths, np.float32(np.arange(7) < np.array(lengths)[:, None])


@pytest.mark.parametrize("window", [3, 5])
def test_frames_around(frames, window):
    """Means divide by the window also where frames are missing; maxima leave out."""
    x, lengths, mask = frames
    x[1] -= 5  # a zero beyond the end would be the maximum
    means = pooling.mean_around(jnp.asarray(x * mask[..., None]), window)
    largest = pooling.max_around(jnp.asarray(x), jnp.asarray(mask), window)
    half = window // 2
    for row, length in enumerate(lengths):
        for i in range(length):
            near = x[row, max(i - half, 0) : min(i + half + 1, length)]
            np.testing.assert_allclose(means[row, i], near.sum(0) / window, rtol=1e-5)
            np.testing.assert_array_equal(largest[row, i], near.max(0))
    assert (largest[1, 4:] == 0).all()


def test_gradient_of_the_maximum_is_finite_in_the_padding(frames):
    x, _, mask = frames

    def total(x):
        return jnp.sum(pooling.max_around(x, jnp.asarray(mask), 3) ** 2)

    gradient = jax.grad(total)(jnp.asarray(x))
    assert np.isfinite(gradient).all()
    assert (gradient[1, 4:] == 0).all() and np.abs(gradient[1, :4]).max() > 0


def test_generalised_mean():
    x = jnp.asarray(np.random.default_rng(1).random((2, 5, 3)), jnp.float32)
    want = (np.asarray(x, np.float64) ** 6.5).mean(1) ** (1 / 6.5)
    got = pooling.generalised_mean(x, jnp.array([6.5]), axis=1)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    mean = pooling.generalised_mean(x, jnp.array([1.0]), axis=1)
    np.testing.assert_allclose(mean, x.mean(1), rtol=1e-5)
    most = pooling.generalised_mean(x, jnp.array([1000.0]), axis=1)
    np.testing.assert_allclose(most, x.max(1), rtol=1e-2)


def test_generalised_mean_of_nothing_positive():
    """The clamp, whose power is below float32's normal numbers."""

    def fn(x, power):
        return pooling.generalised_mean(x, power, axis=0).sum()

    x, power = jnp.array([[-1.0], [0.0]]), jnp.array([6.5])
    assert float(fn(x, power)) == pytest.approx(1e-6, rel=1e-4)
    gradients = jax.grad(fn, argnums=(0, 1))(x, power)
    assert all(np.isfinite(g).all() for g in gradients)


def test_pyramid_by_hand():
    x = jnp.arange(4.0).reshape(1, 4, 1, 1)
    parts = pooling.horizontal_pyramid(x, (2, 1))
    assert parts.ravel().tolist() == [0.5 + 1, 2.5 + 3, 1.5 + 3]
    with pytest.raises(GaitError, match="3 equal strips"):
        pooling.horizontal_pyramid(x, (3,))


def test_gradient_of_the_temporal_max_goes_to_the_first_of_the_largest():
    x = jnp.float32([[[1.0], [3.0], [3.0], [9.0]], [[2.0], [2.0], [1.0], [0.0]]])
    mask = jnp.float32([[1, 1, 1, 0], [1, 1, 1, 1]])
    grad = jax.grad(lambda x: (2 * pooling.temporal_max(x, mask)).sum())(x)
    np.testing.assert_array_equal(grad[..., 0], [[0, 2, 0, 0], [2, 0, 0, 0]])
