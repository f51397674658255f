"""Residual blocks that look at neighbouring frames, for batches with padding.

A sequence's end sees zeros, as torch's padding gives it: frames beyond it are zeroed
before every convolution over time. So a padded batch gives what single sequences give.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.layers.conv import BasicBlock, Conv
from gaitjax.layers.norm import BatchNorm


class Stage(nn.Module):
    """Residual blocks of one width; the first takes the stride (space only).

    mode: "2d" (frames on their own), "3d" or "p3d" (convolutions over time).
    """

    mode: str
    features: int
    stride: int = 1
    blocks: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h / stride, w / stride, c']."""
        for i in range(self.blocks):
            stride = self.stride if i == 0 else 1
            block = {"2d": BasicBlock, "3d": Block3D, "p3d": BlockP3D}[self.mode]
            layer = block(self.features, stride, self.dtype, name=f"block{i}")
            if self.mode == "2d":
                flat = mask.reshape(-1, 1, 1, 1)
                x = per_frame(functools.partial(layer, mask=flat, train=train), x)
            else:
                x = layer(x, mask, train=train)
        return x


class FrameConv(nn.Module):
    """A convolution within each frame, batch norm and ReLU."""

    features: int
    kernel: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h, w, features]."""
        x = per_frame(Conv(self.features, self.kernel, 1, self.dtype, name="conv"), x)
        norm = BatchNorm(dtype=self.dtype, name="bn")
        return nn.relu(norm(x, per_sequence(mask), train=train))


class Block3D(nn.Module):
    """ResNet's block with 3 x 3 x 3 convolutions; time is not strided."""

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h / stride, w / stride, c']."""
        norm = _norms(mask, self.dtype, train)
        stride = (1, self.stride, self.stride)
        y = zero_padding(x, mask)
        y = Conv(self.features, 3, stride, self.dtype, name="conv1")(y)
        y = zero_padding(nn.relu(norm(y, "bn1")), mask)
        y = norm(Conv(self.features, 3, 1, self.dtype, name="conv2")(y), "bn2")
        return nn.relu(y + _shortcut(x, self.features, stride, self.dtype, norm))


class BlockP3D(nn.Module):
    """Pseudo-3D (Qiu et al. 2017, P3D-C): a 3 x 1 x 1 path beside the first 3 x 3."""

    features: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> [n, t, h / stride, w / stride, c']."""
        norm = _norms(mask, self.dtype, train)
        conv1 = Conv(self.features, 3, self.stride, self.dtype, name="conv1")
        y = nn.relu(norm(per_frame(conv1, x), "bn1"))
        y = zero_padding(y, mask)
        n, t, h, w, c = y.shape
        # Two axes: convolutions over three are far slower on every device.
        over_time = Conv(c, (3, 1), 1, self.dtype, name="temporal")
        z = over_time(y.reshape(n, t, h * w, c)).reshape(y.shape)
        y = nn.relu(y + norm(z, "temporal_bn"))
        conv2 = Conv(self.features, 3, 1, self.dtype, name="conv2")
        y = norm(per_frame(conv2, y), "bn2")
        stride = (1, self.stride, self.stride)
        return nn.relu(y + _shortcut(x, self.features, stride, self.dtype, norm))


def per_frame(fn: Callable, x: jax.Array) -> jax.Array:
    """fn([n * t, h, w, c]) for x [n, t, h, w, c] -> [n, t, ...]."""
    n, t = x.shape[:2]
    y = fn(x.reshape(n * t, *x.shape[2:]))
    return y.reshape(n, t, *y.shape[1:])


def per_sequence(mask: jax.Array) -> jax.Array:
    """mask [n, t] -> [n, t, 1, 1, 1]."""
    return mask[:, :, None, None, None]


def zero_padding(x: jax.Array, mask: jax.Array) -> jax.Array:
    """x [n, t, h, w, c] with zeros where mask [n, t] is 0."""
    return jnp.where(per_sequence(mask) > 0, x, jnp.zeros((), x.dtype))


def _norms(mask: jax.Array, dtype: jnp.dtype, train: bool) -> Callable:
    def norm(x: jax.Array, name: str) -> jax.Array:
        return BatchNorm(dtype=dtype, name=name)(x, per_sequence(mask), train=train)

    return norm


def _shortcut(
    x: jax.Array,
    features: int,
    stride: tuple[int, ...],
    dtype: jnp.dtype,
    norm: Callable,
) -> jax.Array:
    if max(stride) == 1 and x.shape[-1] == features:
        return x
    x = Conv(features, 1, stride, dtype, name="shortcut")(x)
    return norm(x, "shortcut_bn")
