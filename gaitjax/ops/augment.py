"""Augmentation of pictures on the device: what `data.augment` drew, in the step's jit.

So frames travel as the bytes that are stored, and the host makes numbers alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

HOST_NUMBERS = 9, 18, 19  # where the parts of `data.augment.Draw.packed` end


def augment(
    frames: jax.Array,
    draws: jax.Array,
    kept: int,
    *,
    perspective: bool = True,
    flip: bool = True,
    rotate: bool = True,
    erase: bool = True,
) -> jax.Array:
    """frames u8 [n, t, h, w, ...], draws f32 [n, 23] -> u8 [n, t, h, kept, ...].

    draws: as `data.augment.Draw.packed`, a row per sequence. kept: columns left after
    the perspective. perspective ... erase: steps that occur at all; others are not in
    the program.
    """
    stretch, turn, flipped, hole = jnp.split(draws, HOST_NUMBERS, axis=1)
    if perspective:
        frames = warp(frames, stretch.reshape(-1, 3, 3))
    cut = (frames.shape[3] - kept) // 2
    frames = frames[:, :, :, cut : cut + kept]
    like = (-1, *(1,) * (frames.ndim - 1))
    if flip:
        frames = jnp.where(flipped.reshape(like) > 0, frames[:, :, :, ::-1], frames)
    if rotate:
        frames = warp(frames, turn.reshape(-1, 3, 3))
    if erase:
        inside = _inside(hole, *frames.shape[2:4])
        inside = inside.reshape(len(draws), 1, *frames.shape[2:4], *like[4:])
        frames = jnp.where(inside, jnp.zeros((), frames.dtype), frames)
    return frames


def warp(frames: jax.Array, matrix: jax.Array) -> jax.Array:
    """Bilinear, zeros outside, rounded: u8 [n, t, h, w, ...], f32 [n, 3, 3] -> u8.

    matrix takes a result's (x, y, 1) to its source. The identity changes nothing.
    """
    return jax.vmap(_warp)(frames, matrix)


def _warp(frames: jax.Array, matrix: jax.Array) -> jax.Array:
    h, w = frames.shape[1:3]
    y, x = jnp.mgrid[:h, :w].astype(jnp.float32)
    # Written out: a matrix product would be of 10 bits on some devices.
    u, v, s = (row[0] * x + row[1] * y + row[2] for row in matrix)
    u, v = u / s, v / s
    left, top = jnp.floor(u), jnp.floor(v)
    total = jnp.zeros(frames.shape, jnp.float32)
    for down in (0, 1):
        for right in (0, 1):
            column, row = left + right, top + down
            weight = (1 - jnp.abs(u - column)) * (1 - jnp.abs(v - row))
            there = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            weight = jnp.where(there, weight, 0).reshape(
                h, w, *(1,) * (frames.ndim - 3)
            )
            at = (
                jnp.clip(z, 0, n - 1).astype(jnp.int32)
                for z, n in ((row, h), (column, w))
            )
            total += weight * frames[:, *at].astype(jnp.float32)
    return jnp.round(total).astype(frames.dtype)


def _inside(hole: jax.Array, h: int, w: int) -> jax.Array:
    """hole f32 [n, 4] (top, left, height, width) -> bool [n, h, w]."""
    y, x = jnp.mgrid[:h, :w].astype(jnp.float32)
    top, left, height, width = (hole[:, i, None, None] for i in range(4))
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
