"""Distances with fixed bits against a numpy twin, and the bounds below them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.exact_twin import twin_distances

from gaitjax.ops import exact

METRICS = ("euclidean", "cosine")
distances = jax.jit(exact.distances, static_argnames="metric")
lower_bounds = jax.jit(exact.lower_bounds, static_argnames="metric")
prepared = jax.jit(exact.prepared, static_argnames="metric")


def pairs(shape=(5, 3, 37), scale=1e-3, seed=0):
    """Probes and twice as many items: some very near, some the same, some zero."""
    rng = np.random.default_rng(seed)
    probe = rng.normal(2, 1, shape).astype(np.float32)
    near = probe + np.float32(scale) * rng.normal(size=shape).astype(np.float32)
    gallery = np.concatenate([near, probe])
    gallery[1, 0] = probe[-1, -1] = 0
    return probe, gallery


def both(probe, gallery, metric):
    x, y = prepared(probe, metric=metric), prepared(gallery, metric=metric)
    far = distances(x[:, None], y[None], metric=metric)
    return np.asarray(far), np.asarray(lower_bounds(x, y, metric=metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(5, 3, 37), (2, 1, 1), (3, 16, 64)])
def test_bits_are_those_of_the_twin(metric, shape):
    probe, gallery = pairs(shape)
    got, _ = both(probe, gallery, metric)
    want = twin_distances(probe, gallery, metric)
    np.testing.assert_array_equal(got.view(np.int32), want.view(np.int32))


@pytest.mark.parametrize("metric", METRICS)
def test_accuracy_against_float64(metric):
    probe, gallery = pairs(scale=0.1)
    x, y = np.float64(probe)[:, None], np.float64(gallery)
    want = np.linalg.norm(x - y, axis=-1)
    if metric == "cosine":
        length = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
        want = 1 - (x * y).sum(-1) / np.where(length > 0, length, 1)
    got, _ = both(probe, gallery, metric)
    # Parts of length one are only so to the last place: 1e-7 of a cosine.
    absolute = 3e-7 if metric == "cosine" else 1e-12
    np.testing.assert_allclose(got, want.mean(-1), rtol=1e-6, atol=absolute)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-5, 1e-3, 1.0])
def test_bounds_are_below_and_close(metric, scale):
    for seed in range(5):
        probe, gallery = pairs(scale=scale, seed=seed)
        far, bound = both(probe, gallery, metric)
        assert (bound <= far).all()
        slack = 2 * 4 * (37 + 16) / 2**24  # and the distance's own rounding
        # |x|^2 + |y|^2 is 2, or about 2 * 37 * (2^2 + 1^2); of parts near 0 the root.
        near = far < 5
        off = np.where(near, 0.08, slack * 500 / np.maximum(far, 5))
        off = slack if metric == "cosine" else off
        assert (far - bound <= off).all()


def test_a_large_mean_does_not_break_the_bound():
    rng = np.random.default_rng(0)
    probe = (1000 + rng.normal(size=(4, 2, 256))).astype(np.float32)
    far, bound = both(probe, probe[::-1].copy(), "euclidean")
    assert (bound <= far).all() and far.max() > 10


def test_bits_do_not_change_with_the_shape():
    probe, gallery = pairs()
    whole, _ = both(probe, gallery, "cosine")
    for row in range(3):
        one, _ = both(probe[row : row + 1], gallery[row : row + 4], "cosine")
        np.testing.assert_array_equal(one, whole[row : row + 1, row : row + 4])


def test_unknown_metric():
    with pytest.raises(ValueError, match="'euclidean' or 'cosine', got 'l1'"):
        exact.prepared(jnp.zeros((1, 1, 2)), "l1")
