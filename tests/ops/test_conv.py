"""The kernel gradient for the CPU against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gaitjax.layers.temporal import Stage
from gaitjax.ops import conv

OPTIONS = dict(
    lhs_dilation=(1, 1),
    rhs_dilation=(1, 1),
    dimension_numbers=lax.ConvDimensionNumbers(
        (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
    ),
    feature_group_count=1,
    precision=None,
)


def xla(x, kernel):
    half = [(k // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, (1, 1), half, **OPTIONS)


@pytest.mark.parametrize("size", [(3, 3), (5, 5), (3, 1), (1, 3), (5, 3)])
@pytest.mark.parametrize("images", [1, 6, 7])
def test_gradients_are_xlas(size, images, monkeypatch):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(images, 6, 5, 2)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(*size, 2, 3)), jnp.float32)
    out, grads = jax.vjp(conv.same_conv, x, kernel)
    want, want_grads = jax.vjp(xla, x, kernel)
    np.testing.assert_array_equal(out, want)
    grad = jnp.asarray(rng.normal(size=out.shape), jnp.float32)
    # Two images to the block, or all of them.
    for limit in (2 * 6 * 5 * 4 * (2 * size[1] + 3 * size[0]), 1 << 20):
        monkeypatch.setattr(conv, "_BLOCK_BYTES", limit)
        for got, expected in zip(grads(grad), want_grads(grad), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_half_precision_kernel_gradient_is_summed_in_float32():
    x = jnp.ones((64, 8, 8, 1), jnp.bfloat16)
    grad = jnp.ones((64, 8, 8, 1), jnp.bfloat16)
    centre = conv.kernel_gradient(x, grad, (3, 3))[1, 1, 0, 0]
    assert centre == 64 * 8 * 8  # bfloat16 stops counting at 256
    kernel = jnp.ones((3, 3, 1, 1), jnp.bfloat16)
    assert jax.grad(lambda k: conv.same_conv(x, k).sum())(kernel).dtype == jnp.bfloat16


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)


def test_a_block_of_the_network_trains_with_it(one_device, monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 2, 8, 6, 3))
    mask = jnp.ones((2, 2))
    block = Stage("2d", 3)
    variables = block.init(jax.random.key(1), x, mask, train=True)

    def loss(variables):
        y, _ = block.apply(variables, x, mask, train=True, mutable=["batch_stats"])
        return (y**2).mean()

    blocks = []
    ours = conv.kernel_gradient
    monkeypatch.setattr(
        conv, "kernel_gradient", lambda *args: blocks.append(1) or ours(*args)
    )
    got = jax.grad(loss)(variables)["params"]
    assert len(blocks) == 2  # both 3 x 3 convolutions
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    want = jax.grad(loss)(variables)["params"]
    assert len(blocks) == 2
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, want
    )


@pytest.mark.parametrize(
    "strides, padding, change",
    [
        ((2, 2), [(1, 1), (1, 1)], {}),
        ((1, 1), [(0, 0), (0, 0)], {}),
        ((1, 1), "SAME", {}),
        ((1, 1), [(1, 1), (1, 1)], dict(rhs_dilation=(2, 2))),
    ],
)
def test_what_it_cannot_do_is_left_to_xla(one_device, strides, padding, change):
    options = OPTIONS | change
    x = jax.random.normal(jax.random.key(0), (2, 8, 6, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
    got = conv.conv_general_dilated(x, kernel, strides, padding, **options)
    want = lax.conv_general_dilated(x, kernel, strides, padding, **options)
    np.testing.assert_array_equal(got, want)


def test_channels_by_themselves_are_left_to_xla(one_device):
    x = jax.random.normal(jax.random.key(0), (2, 8, 6, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 3))
    options = OPTIONS | dict(feature_group_count=3)
    half = [(1, 1), (1, 1)]
    got = conv.conv_general_dilated(x, kernel, (1, 1), half, **options)
    want = lax.conv_general_dilated(x, kernel, (1, 1), half, **options)
    np.testing.assert_array_equal(got, want)
