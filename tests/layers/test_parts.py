"""Part-wise layers and the pooling below them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaitjax.layers.parts import SeparateBNNecks, SeparateFCs, part_xavier, unit
from gaitjax.ops.frames import network_input
from gaitjax.ops.pooling import horizontal_pyramid, temporal_max


def test_initial_weights_have_torchs_odd_fans():
    weights = np.asarray(part_xavier(jax.random.key(0), (16, 512, 256)))
    bound = np.sqrt(6 / ((512 + 16) * 256))
    assert np.abs(weights).max() == pytest.approx(bound, rel=1e-3)
    assert weights.std() == pytest.approx(bound / np.sqrt(3), rel=1e-2)


def test_every_part_has_its_own_matrix():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), jnp.float32)
    layer = SeparateFCs(6)
    variables = layer.init(jax.random.key(0), x)
    kernel = np.asarray(variables["params"]["kernel"])
    want = np.stack([np.asarray(x)[:, p] @ kernel[p] for p in range(4)], 1)
    np.testing.assert_allclose(layer.apply(variables, x), want, atol=1e-6)


def test_logits_are_cosines():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), jnp.float32)
    layer = SeparateBNNecks(7)
    variables = layer.init(jax.random.key(0), x, train=False)
    features, logits = layer.apply(variables, x, train=False)
    assert logits.shape == (3, 4, 7)
    assert float(jnp.abs(logits).max()) <= 1 + 1e-6
    np.testing.assert_allclose(jnp.linalg.norm(features, axis=-1), 1, rtol=1e-6)


def test_unit_of_zero_is_zero_with_a_finite_gradient():
    grad = jax.grad(lambda x: unit(x, axis=-1).sum())(jnp.zeros((2, 3)))
    assert np.isfinite(np.asarray(grad)).all()
    np.testing.assert_array_equal(unit(jnp.zeros((2, 3)), axis=-1), 0)


def test_pyramid_by_hand():
    x = jnp.arange(8.0).reshape(1, 4, 2, 1)
    parts = horizontal_pyramid(x, (1, 2))[0, :, 0]
    # strips {0..7}, {0..3}, {4..7}: mean + max
    np.testing.assert_array_equal(parts, [3.5 + 7, 1.5 + 3, 5.5 + 7])


def test_temporal_max_ignores_padding():
    x = jnp.asarray([[1.0, 5.0, 9.0], [-3.0, -2.0, 0.0]])[..., None]
    mask = jnp.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(temporal_max(x, mask), [[5.0], [-2.0]])


def test_network_input_scales_and_averages():
    frames = jnp.asarray([[[[0, 255], [255, 255]]]], jnp.uint8)
    np.testing.assert_allclose(network_input(frames)[0, 0, :, :, 0], [[0, 1], [1, 1]])
    np.testing.assert_allclose(network_input(frames, 2)[0, 0, 0, 0, 0], 0.75)
