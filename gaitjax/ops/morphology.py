"""Dilation and erosion of silhouettes, and the cloth augmentation made of them.

Selective Fusion (arXiv 2303.10772): a walker in other clothes is a silhouette with its
upper half, its lower half or all of it made thicker or thinner, alike in all frames.
The paper does not say whether a half is cut out first (here the whole frame is dilated
and rows of it taken) nor the element for the whole body (here that of the upper half).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# All of the paper: rows of a 64-row frame between which each boundary is drawn, both
# included; probability of the augmentation; sides of the elements.
ROWS = ((14, 18), (38, 42), (60, 64))
PROBABILITY = 0.5
UPPER, LOWER = 5, 2


def dilate(frames: jax.Array, size: int) -> jax.Array:
    """The largest value under a square of `size` pixels: u8 [..., h, w] -> u8.

    What is outside the frame does not count. A square of even size reaches one pixel
    further down and right, for erosion up and left, as in scipy.ndimage.
    """
    return _window(frames, size, jax.lax.max, 0, (size - 1) // 2)


def erode(frames: jax.Array, size: int) -> jax.Array:
    """The smallest value under a square of `size` pixels: u8 [..., h, w] -> u8.

    See `dilate`.
    """
    return _window(frames, size, jax.lax.min, 255, size // 2)


def clothes(
    rng: jax.Array, frames: jax.Array, probability: float = PROBABILITY
) -> jax.Array:
    """Each sequence in other clothes, or as it is: u8 [n, t, h, w] -> u8.

    One draw per sequence: whether at all, thicker or thinner, upper or lower or whole
    body, and the rows where these begin and end. The rows changed become 0 or 255.
    """
    n, _, h, _ = frames.shape
    keys = jax.random.split(rng, 6)
    change = jax.random.uniform(keys[0], (n,)) < probability
    thicker = jax.random.bernoulli(keys[1], 0.5, (n,))
    part = jax.random.randint(keys[2], (n,), 0, 3)  # upper, lower, whole
    top, middle, bottom = (
        jax.random.randint(key, (n,), low, high + 1) * h // 64
        for key, (low, high) in zip(keys[3:], ROWS, strict=True)
    )
    start, stop = (
        jnp.where(part == 1, middle, top),
        jnp.where(part == 0, middle, bottom),
    )
    row = jnp.arange(h)
    here = (row >= start[:, None]) & (row < stop[:, None]) & change[:, None]  # [n, h]
    black = jnp.where(frames > 127, jnp.uint8(255), jnp.uint8(0))

    def either(choice: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
        return jnp.where(choice[:, None, None, None], yes, no)

    coarse = either(thicker, dilate(black, UPPER), erode(black, UPPER))
    fine = either(thicker, dilate(black, LOWER), erode(black, LOWER))
    changed = either(part == 1, fine, coarse)
    return jnp.where(here[:, None, :, None], changed, frames)


def _window(x: jax.Array, size: int, most, start: int, before: int) -> jax.Array:
    """Rows first, then columns: 2 size reads a pixel, not size^2."""
    for axis in (x.ndim - 2, x.ndim - 1):
        window, padding = [1] * x.ndim, [(0, 0)] * x.ndim
        window[axis], padding[axis] = size, (before, size - 1 - before)
        x = jax.lax.reduce_window(
            x, jnp.uint8(start), most, window, (1,) * x.ndim, padding
        )
    return x
