"""Convolution whose kernel gradient is fast on a CPU.

XLA computes the gradient of a kernel on a CPU as a convolution with a window as large
as the image, which can take several times as long as the forward pass. Here it is one
matrix product per block of images: the column shifts of the input, side by side,
against the row shifts of the output's gradient, side by side. For a 3 x 3 kernel these
are 3 and 3: the product holds the nine offsets and nothing else, and the copies are 3
times as large as the images, not 9 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_BLOCK_BYTES = 4 << 20  # of the two shifted copies: they stay in a core's cache


def conv_general_dilated(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Any,
    **options: Any,
) -> jax.Array:
    """`lax.conv_general_dilated`, as `nn.Conv` calls it, for training.

    Its kernel gradient is ours where that is faster: on a single CPU device, for
    stride 1 and an odd kernel that keeps the image's size. There is no forward-mode
    derivative then.
    """
    if is_ours(x, kernel, strides, padding, options):
        return same_conv(x, kernel)
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def is_ours(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Any,
    options: dict[str, Any],
) -> bool:
    """Whether the kernel gradient is ours."""
    # Several devices: a loop over blocks of a sharded batch would move the batch.
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return False
    half = [(k // 2, k // 2) for k in kernel.shape[:-2]]
    dilated = any(
        d != 1
        for key in ("lhs_dilation", "rhs_dilation")
        for d in options.get(key) or ()
    )
    return (
        x.ndim == 4
        and kernel.shape[0] > 1
        and all(k % 2 for k in kernel.shape[:2])
        and set(strides) == {1}
        and not isinstance(padding, str)
        and [tuple(p) for p in padding] == half
        and not dilated
        and options.get("feature_group_count", 1) == 1
    )


@jax.custom_vjp
def same_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [n, h, w, c], kernel [odd, odd, c, o] -> [n, h, w, o], zeros outside x."""
    half = [(k // 2, k // 2) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), half, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return same_conv(x, kernel), (x, kernel)


def _backward(saved: Any, grad: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    # The gradient of x is the same convolution with the kernel turned about.
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    kernel_grad = kernel_gradient(x, grad, kernel.shape[:2]).astype(kernel.dtype)
    return same_conv(grad, turned), kernel_grad


same_conv.defvjp(_forward, _backward)


def kernel_gradient(x: jax.Array, grad: jax.Array, size: Sequence[int]) -> jax.Array:
    """The gradient of `same_conv`'s kernel, summed in blocks of images.

    x [n, h, w, c], grad [n, h, w, o], size (a, b) -> [a, b, c, o] float32.
    """
    rows, columns = size
    n, h, w, c = x.shape
    features = grad.shape[-1]
    image = h * w * (columns * c + rows * features) * x.dtype.itemsize
    fits = max(1, _BLOCK_BYTES // image)
    block = max(b for b in range(1, min(n, fits) + 1) if not n % b)
    x = x.reshape(n // block, block, h, w, c)
    grad = grad.reshape(n // block, block, h, w, features)

    def step(total: jax.Array, some: tuple[jax.Array, jax.Array]) -> Any:
        x, grad = some
        x = jnp.pad(x, ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)))
        x = [x[:, :, shift : shift + w] for shift in range(columns)]
        # Row y of the padded image meets row y - shift of the gradient.
        grad = jnp.pad(grad, ((0, 0), (rows - 1,) * 2, (0, 0), (0, 0)))
        tall = h + rows - 1
        first = [rows - 1 - shift for shift in range(rows)]
        grad = [grad[:, at : at + tall] for at in first]
        product = lax.dot_general(
            jnp.concatenate(x, -1),
            jnp.concatenate(grad, -1),
            (((0, 1, 2), (0, 1, 2)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        return total + product, None

    total = jnp.zeros((columns * c, rows * features), jnp.float32)
    total, _ = lax.scan(step, total, (x, grad))
    total = total.reshape(columns, c, rows, features)
    return total.transpose(2, 0, 1, 3)
