"""Pooling over frames and over horizontal strips."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError


def temporal_max(x: jax.Array, mask: jax.Array) -> jax.Array:
    """x [n, t, ...], mask [n, t] (1 = a real frame) -> [n, ...], padding left out."""
    mask = mask.reshape(mask.shape + (1,) * (x.ndim - 2))
    return jnp.where(mask > 0, x, -jnp.inf).max(1)


def horizontal_pyramid(x: jax.Array, bins: Sequence[int]) -> jax.Array:
    """Mean + max of every strip: x [n, h, w, c] -> [n, sum(bins), c].

    For each b of `bins` the map is cut into b strips of equal height (Fu et al.
    2019; as in GaitSet the two poolings are added).
    """
    n, height, width, channels = x.shape
    parts = []
    for b in bins:
        if height * width % b:
            raise GaitError(
                f"a {height} x {width} feature map cannot be cut into {b} equal "
                "strips; choose bins that divide its height"
            )
        strips = x.reshape(n, b, height * width // b, channels)
        parts.append(strips.mean(2) + strips.max(2))  # [n, b, c]
    return jnp.concatenate(parts, axis=1)
