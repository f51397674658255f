"""A small PointNet (Qi et al., CVPR 2017) whose global feature is one per strip.

For the input study of DiffCrossGait, where raw LiDAR points take the place of range
views; the paper does not describe its network, so all sizes are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gaitjax.layers.norm import BatchNorm


class PointStrips(nn.Module):
    """An MLP on every point, then the maximum over the points of each height.

    channels: of the MLP's layers. strips: equal parts of a frame's own height, highest
    first, as rows of a picture are.
    """

    channels: Sequence[int]
    strips: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, v, 3] metres, z up, rows of NaN where there is no point; mask
        [n, t] -> [n, t, strips, 1, channels[-1]], 0 for strips without a point."""
        real = jnp.isfinite(x).all(-1) & (mask[:, :, None] > 0)  # [n, t, v]
        x = jnp.where(real[..., None], x, 0.0)
        x, height = centred(x, real)
        strip = jnp.clip((1 - height) * self.strips, 0, self.strips - 1)
        y = x.astype(self.dtype)
        for i, features in enumerate(self.channels, 1):
            dense = nn.Dense(
                features, use_bias=False, dtype=self.dtype, name=f"dense{i}"
            )
            norm = BatchNorm(dtype=self.dtype, name=f"bn{i}")
            y = nn.relu(norm(dense(y), real[..., None], train=train))
        return strip_max(y, strip.astype(jnp.int32), real, self.strips)[:, :, :, None]


def centred(x: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Points [n, t, v, 3] about their frame's middle, and their height from 0, the
    frame's lowest, to 1 [n, t, v]; real [n, t, v] says which are points."""
    weight = real[..., None].astype(x.dtype)
    count = jnp.maximum(weight.sum(2, keepdims=True), 1)
    x = x - (x * weight).sum(2, keepdims=True) / count
    z = x[..., 2]
    lowest = jnp.where(real, z, jnp.inf).min(-1, keepdims=True)
    highest = jnp.where(real, z, -jnp.inf).max(-1, keepdims=True)
    extent = jnp.maximum(highest - lowest, 1e-3)
    return x, jnp.where(real, (z - lowest) / extent, 0.0)


def strip_max(
    x: jax.Array, strip: jax.Array, real: jax.Array, strips: int
) -> jax.Array:
    """Maximum over the real points of each strip: x [n, t, v, c] of values >= 0, strip
    i32 [n, t, v] -> [n, t, strips, c], 0 where there is none."""
    n, t, v, c = x.shape
    frame = jnp.arange(n * t)[:, None]
    # Points that are none go to a strip of their own, which is thrown away.
    place = jnp.where(real, strip, strips).reshape(n * t, v) + frame * (strips + 1)
    found = jax.ops.segment_max(
        x.reshape(n * t * v, c), place.reshape(-1), n * t * (strips + 1)
    )
    return jnp.maximum(found, 0).reshape(n, t, strips + 1, c)[:, :, :strips]
