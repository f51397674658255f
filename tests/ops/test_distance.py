"""Distances against float64 numpy, and the gradient where it is delicate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.ops.distance import distances, paired, part_distances


def _by_hand(x, y, metric):
    """Float64, from the differences: no cancellation to share. [p,n,m]."""
    x, y = np.float64(x)[:, None], np.float64(y)[None]
    if metric == "euclidean":
        return np.moveaxis(np.linalg.norm(x - y, axis=-1), 2, 0)
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.moveaxis(1 - (x * y).sum(-1) / norms, 2, 0)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equal_to_float64(metric):
    x, y = _random(7, 5, 16), _random(9, 5, 16, seed=1)
    want = _by_hand(x, y, metric)
    np.testing.assert_allclose(part_distances(x, y, metric), want, atol=1e-5)
    np.testing.assert_allclose(distances(x, y, metric), want.mean(0), atol=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_pairs_are_the_diagonal(metric):
    x, y = _random(6, 3, 8), _random(6, 3, 8, seed=1)
    got = paired(x, y, metric)
    assert got.shape == (6,) and got.dtype == jnp.float32
    want = np.diagonal(_by_hand(x, y, metric).mean(0))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_an_answer_to_check_by_head():
    x = jnp.array([[[3.0, 0.0], [0.0, 1.0]]])  # one sequence, two parts
    y = jnp.array([[[0.0, 4.0], [0.0, 1.0]]])
    np.testing.assert_allclose(distances(x, y), [[2.5]])  # (5 + 0) / 2
    np.testing.assert_allclose(distances(x, y, "cosine"), [[0.5]])  # (1 + 0) / 2


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_half_precision_input_is_computed_in_float32(metric):
    x, y = jnp.bfloat16(_random(4, 2, 8)), jnp.bfloat16(_random(6, 2, 8, seed=1))
    got = distances(x, y, metric)
    assert got.dtype == jnp.float32
    want = _by_hand(np.float32(x), np.float32(y), metric).mean(0)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_gradient_between_equal_rows_is_finite(metric, value):
    x = jnp.full((3, 2, 4), value)

    def total(x):
        return part_distances(x, x, metric).sum()

    gradient = jax.grad(total)(x)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_gradient_is_the_unit_vector():
    x, y = jnp.array([[[3.0, 4.0]]]), jnp.zeros((1, 1, 2))
    gradient = jax.grad(lambda x: part_distances(x, y).sum())(x)
    np.testing.assert_allclose(gradient, [[[0.6, 0.8]]], rtol=1e-6)


def test_a_zero_vector_has_cosine_zero():
    zero, one = jnp.zeros((1, 1, 4)), jnp.ones((1, 1, 4))
    np.testing.assert_allclose(distances(zero, one, "cosine"), [[1.0]])


def test_unknown_metric():
    with pytest.raises(ValueError, match="'euclidean' or 'cosine', got 'l1'"):
        distances(jnp.zeros((1, 1, 2)), jnp.zeros((1, 1, 2)), "l1")
