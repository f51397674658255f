"""The light U-Net of DiffCrossGait: four residual blocks, attention in the middle.

Lu and Cheng, ICML 2026, section on the denoiser. Widths, the four blocks, the axial
bottleneck and its condition are stated there; the order of the blocks, separable
convolutions, 8 heads and group norm are chosen so that the branch has the stated
2.3 M parameters at 512 channels.
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.layers.attention import AxialAttention
from gaitjax.layers.conv import Conv
from gaitjax.ops.conv import conv_general_dilated

Block = Literal["separable", "full"]
TIME_DIMS = 256  # stated


class Denoiser(nn.Module):
    """Predicts the noise in a latent; any height and width.

    features: of the inner maps. block: depthwise-separable 3 x 3 convolutions, or full
    ones. axial: whether rows attend to each other in the bottleneck.
    """

    features: int = 256
    block: Block = "separable"
    heads: int = 8
    axial: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, steps: jax.Array, condition: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """x [n, h, w, c], steps i32 [n], condition [n, d] -> float32 noise [n, h, w, c]
        and bridging state [n, h', w', features], the bottleneck's output."""

        def block(x: jax.Array, name: str) -> jax.Array:
            return ResBlock(self.features, self.block, self.dtype, name=name)(x, time)

        _, h, w, channels = x.shape
        time = step_embedding(steps, TIME_DIMS)
        time = nn.silu(self._dense(TIME_DIMS, "time1")(time))
        time = self._dense(TIME_DIMS, "time2")(time)  # [n, 256]

        outer = block(x.astype(self.dtype), "block_a")  # [n, h, w, features]
        inner = self._conv(2, "down")(outer)  # [n, h', w', features], half, rounded up
        inner = block(inner, "block_b")
        both = jnp.concatenate([time, condition.astype(self.dtype)], -1)
        bridge = inner + self._dense(self.features, "condition")(both)[:, None, None]
        if self.axial:
            bridge += AxialAttention(self.heads, self.dtype, name="axial")(bridge)
        inner = block(bridge, "block_c")
        inner = inner.repeat(2, 1).repeat(2, 2)[:, :h, :w]
        x = block(jnp.concatenate([inner, outer], -1), "block_d")
        x = nn.silu(group_norm(x, "norm", self.dtype))
        noise = nn.Dense(channels, dtype=self.dtype, name="noise")(x)
        return noise.astype(jnp.float32), bridge.astype(jnp.float32)

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, dtype=self.dtype, name=name)

    def _conv(self, stride: int, name: str) -> nn.Module:
        return convolution(self.features, self.block, stride, self.dtype, name)


class ResBlock(nn.Module):
    """Two convolutions, each after norm and SiLU, with the time added in between.

    The second one starts at zero, so that a block starts as its shortcut.
    """

    features: int
    block: Block
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, time: jax.Array) -> jax.Array:
        """x [n, h, w, c], time [n, d] -> [n, h, w, features]."""
        y = nn.silu(group_norm(x, "norm1", self.dtype))
        y = convolution(self.features, self.block, 1, self.dtype, "conv1")(y)
        y += nn.Dense(self.features, dtype=self.dtype, name="time")(time)[:, None, None]
        y = nn.silu(group_norm(y, "norm2", self.dtype))
        y = convolution(self.features, self.block, 1, self.dtype, "conv2", zero=True)(y)
        if x.shape[-1] != self.features:
            x = Conv(self.features, 1, dtype=self.dtype, name="shortcut")(x)
        return x + y


def convolution(
    features: int,
    block: Block,
    stride: int,
    dtype: jnp.dtype,
    name: str,
    zero: bool = False,
) -> nn.Module:
    """A 3 x 3 convolution of either kind; zero: it starts as nothing."""
    kernel_init = nn.initializers.zeros if zero else nn.initializers.lecun_normal()
    if block == "separable":
        return SeparableConv(features, stride, kernel_init, dtype, name=name)
    return nn.Conv(
        features,
        (3, 3),
        stride,
        padding=1,
        kernel_init=kernel_init,
        dtype=dtype,
        conv_general_dilated=conv_general_dilated,
        name=name,
    )


class SeparableConv(nn.Module):
    """A 3 x 3 convolution of each channel by itself, then a 1 x 1 over channels."""

    features: int
    stride: int = 1
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [n, h, w, c] -> [n, h / stride, w / stride, features], rounded up."""
        fan_in_9 = nn.initializers.variance_scaling(
            1.0, "fan_in", "normal", in_axis=(0, 1), out_axis=2
        )
        kernel = self.param("depthwise", fan_in_9, (3, 3, x.shape[-1]))
        x = depthwise(x, kernel.astype(self.dtype), self.stride)
        dense = nn.Dense(
            self.features,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="pointwise",
        )
        return dense(x)


def depthwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """x [n, h, w, c] with kernel [3, 3, c], zeros around.

    A sum of nine shifted maps, which XLA fuses: on a CPU with its gradient 3 to 6 times
    as fast as a convolution in c groups.
    """
    h, w = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, i : i + h : stride, j : j + w : stride] * kernel[i, j]
        for i in range(3)
        for j in range(3)
    )


def group_norm(x: jax.Array, name: str, dtype: jnp.dtype) -> jax.Array:
    """Group norm in 32 groups, fewer where they would have under 8 channels."""
    channels = x.shape[-1]
    most = min(max(channels // 8, 1), 32)
    groups = max(g for g in range(1, most + 1) if channels % g == 0)
    return nn.GroupNorm(groups, dtype=dtype, name=name)(x)


def step_embedding(steps: jax.Array, dims: int) -> jax.Array:
    """Sines and cosines at `dims` / 2 rates (Vaswani et al. 2017): f32 [n, dims]."""
    rates = 10_000.0 ** (-jnp.arange(dims // 2) / (dims // 2))
    angles = steps[:, None].astype(jnp.float32) * rates
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
