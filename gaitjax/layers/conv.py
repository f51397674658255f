"""Convolutions with torch's explicit padding, and the residual block of ResNet.

`padding="SAME"` would pad a strided convolution on the other side than torch does.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.layers.norm import BatchNorm


class Conv(nn.Module):
    """A square convolution without bias, padded by half its kernel."""

    features: int
    kernel: int = 3
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, h, w, c] -> [n, h / stride, w / stride, features]."""
        if self.kernel == 1:
            # Twice as fast on a CPU as a strided 1 x 1 convolution.
            x = x[:, :: self.stride, :: self.stride]
            return nn.Dense(
                self.features,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=nn.initializers.xavier_uniform(),
                name="dense",
            )(x)
        return nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=self.stride,
            padding=self.kernel // 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            name="conv",
        )(x)


class BasicBlock(nn.Module):
    """ResNet's block of two 3 x 3 convolutions (He et al. 2016, figure 2)."""

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, h, w, c], mask [n, 1, 1, 1] -> [n, h / stride, w / stride, c']."""

        def conv(features: int, kernel: int, stride: int, name: str) -> Conv:
            return Conv(features, kernel, stride, self.dtype, name=name)

        def norm(x: jax.Array, name: str) -> jax.Array:
            return BatchNorm(dtype=self.dtype, name=name)(x, mask, train=train)

        y = conv(self.features, 3, self.stride, "conv1")(x)
        y = nn.relu(norm(y, "bn1"))
        y = norm(conv(self.features, 3, 1, "conv2")(y), "bn2")
        if self.stride != 1 or x.shape[-1] != self.features:
            x = conv(self.features, 1, self.stride, "shortcut")(x)
            x = norm(x, "shortcut_bn")
        return nn.relu(x + y)
