"""Pooling over frames and over horizontal strips.

Masks are 1 for real frames, which come first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gaitjax.errors import GaitError


def temporal_max(x: jax.Array, mask: jax.Array) -> jax.Array:
    """x [n, t, ...], mask [n, t] (1 = a real frame) -> [n, ...], padding left out."""
    mask = mask.reshape(mask.shape + (1,) * (x.ndim - 2))
    return first_max(jnp.where(mask > 0, x, -jnp.inf), 1)


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
        parts.append(strips.mean(2) + first_max(strips, 2))  # [n, b, c]
    return jnp.concatenate(parts, axis=1)


def first_max(x: jax.Array, axis: int) -> jax.Array:
    """Maximum over an axis; its gradient goes to the first largest element, as torch's.

    The gradient of `jnp.max` looks for elements that equal the maximum. Where XLA
    computes x once for the one and once for the other, rounded differently, there may
    be none, and it divides by zero, or one of several: seen on maps that are a product
    and a sum away from what is kept in memory, and over frames with XLA's optimisations
    turned off, where a network's gradients were wrong by as much as themselves.
    """
    places = jnp.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - axis - 1))
    first = places == jnp.argmax(jax.lax.stop_gradient(x), axis, keepdims=True)
    return jnp.where(first, x, 0).sum(axis)


def mean_around(x: jax.Array, window: int) -> jax.Array:
    """Mean over `window` frames around each: x [n, t, ...], 0 where padded.

    Divides by `window` at the ends too, where some of these frames do not exist: so
    does the reference (Fan et al., CVPR 2020).
    """
    return sum(_shifted(x, window, 0)) / window


def max_around(x: jax.Array, mask: jax.Array, window: int) -> jax.Array:
    """Maximum over `window` frames around each, of those that exist.

    x [n, t, ...], mask [n, t] -> the same shape; 0 where the centre is padded.
    """
    real = mask.reshape(mask.shape + (1,) * (x.ndim - 2)) > 0
    frames = _shifted(jnp.where(real, x, -jnp.inf), window, -jnp.inf)
    # Far beyond the end all are -inf, which 0 gradients turn into NaN.
    return jnp.where(real, functools.reduce(jnp.maximum, frames), 0)


def _shifted(x: jax.Array, window: int, fill: float) -> list[jax.Array]:
    half = window // 2
    pad = [(0, 0), (half, half), *[(0, 0)] * (x.ndim - 2)]
    padded = jnp.pad(x, pad, constant_values=fill)
    return [padded[:, i : i + x.shape[1]] for i in range(window)]


def generalised_mean(x: jax.Array, power: jax.Array, axis: int) -> jax.Array:
    """(mean x^power)^(1 / power) over an axis, x clamped from below at 1e-6.

    Radenovic et al. 2018 (GeM). By way of logarithms: 1e-6 to the power of 6.5 is
    less than the smallest normal float32, and becomes 0 where those are flushed.
    """
    x = power * jnp.log(jnp.maximum(x, 1e-6))
    total = jax.nn.logsumexp(x, axis) - jnp.log(jnp.float32(x.shape[axis]))
    return jnp.exp(total / power)
