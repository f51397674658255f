"""From stored frames to network input."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def network_input(frames: jax.Array, downsample: int = 1) -> jax.Array:
    """u8 [n, t, h, w] or [n, t, h, w, c] -> float32 in [0, 1] [n, t, h', w', c].

    `downsample` averages blocks of that many rows and columns (h' = h / downsample),
    for networks that must run on a CPU.
    """
    x = frames.astype(jnp.float32) / 255
    if x.ndim == 4:
        x = x[..., None]
    if downsample == 1:
        return x
    n, t, h, w, c = x.shape
    s = downsample
    return x.reshape(n, t, h // s, s, w // s, s, c).mean((3, 5))
