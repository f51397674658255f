"""Video Swin Transformer blocks (Liu et al., CVPR 2022), for batches with padding.

What the reference does to a sequence of L frames on its own, done to every row of a
padded batch: up to 3 frames are one window in time, without a shift; more are filled
up to a multiple of 3 with zeros, *which are attended to*. Frames after that are not.
Real frames come first in a row. Height and width are multiples of their windows.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

WINDOW = (3, 3, 5)  # frames, rows, columns: SwinGait's
SHIFT = tuple(size // 2 for size in WINDOW)
# The reference lets the regions that a shift brings together see each other by e^-100.
APART = -100.0
NEVER = -1e9  # finite: a window without a single frame must not become NaN


class SwinBlock(nn.Module):
    """Attention within windows, then an MLP, both after a layer norm.

    drop_path: share of sequences that skip each of the two, in training.
    """

    heads: int
    shifted: bool
    drop_path: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [n, t, h, w, c], mask [n, t] -> the same shape."""
        c = x.shape[-1]
        y = layer_norm(x, "norm1", self.dtype)
        y = self._attend(y, mask)
        x = x + self._drop(y, train)
        y = layer_norm(x, "norm2", self.dtype)
        y = nn.gelu(linear(4 * c, "fc1", self.dtype)(y), approximate=False)
        return x + self._drop(linear(c, "fc2", self.dtype)(y), train)

    def _drop(self, y: jax.Array, train: bool) -> jax.Array:
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3, 4))
        return drop(y, deterministic=not train)

    def _attend(self, y: jax.Array, mask: jax.Array) -> jax.Array:
        _, t, h, w, _ = y.shape
        lengths = mask.sum(1).astype(jnp.int32)
        y = jnp.where(mask[:, :, None, None, None] > 0, y, jnp.zeros((), y.dtype))
        fill = -t % WINDOW[0]
        y = jnp.pad(y, ((0, 0), (0, fill), (0, 0), (0, 0), (0, 0)))
        t += fill
        y = roll(y, lengths, -1) if self.shifted else y
        bias = attention_mask(lengths, (t, h, w), self.shifted)
        attention = WindowAttention(self.heads, self.dtype, name="attn")
        y = attention(to_windows(y), bias)
        y = from_windows(y, (t, h, w))
        y = roll(y, lengths, 1) if self.shifted else y
        return y[:, : t - fill]


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a bias by relative position."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [n, b, v, c] of b windows, mask [n, b, v, v] to add -> like x."""
        n, b, v, c = x.shape
        table_shape = (math.prod(2 * size - 1 for size in WINDOW), self.heads)
        table = self.param("position_bias", nn.initializers.normal(0.02), table_shape)
        qkv = linear(3 * c, "qkv", self.dtype)(x)
        qkv = qkv.reshape(n, b, v, 3, self.heads, c // self.heads)
        q, k, v_ = qkv[:, :, :, 0], qkv[:, :, :, 1], qkv[:, :, :, 2]
        logits = jnp.einsum(
            "nbvhd,nbuhd->nbhvu",
            q * (c // self.heads) ** -0.5,
            k,
            preferred_element_type=jnp.float32,
        )
        bias = table[relative_position()].transpose(2, 0, 1)  # [heads, v, v]
        logits += bias + mask[:, :, None]
        weights = jax.nn.softmax(logits).astype(self.dtype)
        y = jnp.einsum("nbhvu,nbuhd->nbvhd", weights, v_).reshape(n, b, v, c)
        return linear(c, "proj", self.dtype)(y)


def relative_position() -> np.ndarray:
    """int [v, v]: the row of the bias table for each pair of a window's tokens."""
    axes = [np.arange(size) for size in WINDOW]
    tokens = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    apart = tokens[:, None] - tokens[None] + np.array(WINDOW) - 1  # [v, v, 3] from 0
    return np.ravel_multi_index(
        tuple(np.moveaxis(apart, -1, 0)), [2 * size - 1 for size in WINDOW]
    )


def attention_mask(
    lengths: jax.Array, size: tuple[int, int, int], shifted: bool
) -> jax.Array:
    """What to add to logits: f32 [n, windows, v, v] for rolled maps of `size`."""
    shape = (len(lengths), *size)
    frames = jnp.broadcast_to(jnp.arange(size[0]), shape[:2])[:, :, None, None]
    frames = jnp.broadcast_to(frames, shape)[..., None]
    frames = roll(frames, lengths, -1) if shifted else frames
    frames = to_windows(frames)[..., 0]  # [n, b, v]: the frame of every token
    filled = -(-lengths // WINDOW[0]) * WINDOW[0]
    ends = jnp.where(lengths > WINDOW[0], filled, lengths)
    keys = jnp.where(frames < ends[:, None, None], 0.0, NEVER)[:, :, None]
    if not shifted:
        return jnp.broadcast_to(keys, (*frames.shape, frames.shape[-1]))
    # A window that wraps around holds the last tokens of an axis, then the first ones.
    time = (frames < SHIFT[0]) & (lengths > WINDOW[0])[:, None, None]
    space = to_windows(jnp.asarray(_wrapped(size))[None, ..., None])[..., 0]
    together = _same(time) & _same(space)
    return jnp.where(together, 0.0, APART) + keys


def _same(label: jax.Array) -> jax.Array:
    """Of every pair of a window's tokens: [..., v] -> bool [..., v, v]."""
    return label[..., :, None] == label[..., None, :]


def _wrapped(size: tuple[int, int, int]) -> np.ndarray:
    """int [t, h, w] of a rolled map: which of h and w came from the other side."""
    _, h, w = size
    rows = np.arange(h) >= h - SHIFT[1]
    columns = np.arange(w) >= w - SHIFT[2]
    return np.broadcast_to(rows[:, None] * 1 + columns * 2, size)


def roll(x: jax.Array, lengths: jax.Array, sign: int) -> jax.Array:
    """Moves x [n, t, h, w, c] by the shift of each axis, sequences of a window not
    in time.

    Frames move around the whole padded axis, past a short sequence's end: its first
    frames are then in a window with frames that nobody attends to, which is as good
    as with those that the reference sets apart.
    """
    x = jnp.roll(x, [sign * size for size in SHIFT[1:]], (2, 3))
    if x.shape[1] <= WINDOW[0]:
        return x
    long = (lengths > WINDOW[0])[:, None, None, None, None]
    return jnp.where(long, jnp.roll(x, sign * SHIFT[0], 1), x)


def to_windows(x: jax.Array) -> jax.Array:
    """x [n, t, h, w, c] -> [n, windows, tokens of a window, c]."""
    n, *size, c = x.shape
    cut = [
        part
        for axis, s in enumerate(size)
        for part in (s // WINDOW[axis], WINDOW[axis])
    ]
    x = x.reshape(n, *cut, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(n, -1, math.prod(WINDOW), c)


def from_windows(x: jax.Array, size: tuple[int, int, int]) -> jax.Array:
    """The inverse of `to_windows`: [n, windows, tokens, c] -> [n, t, h, w, c]."""
    n, c = x.shape[0], x.shape[-1]
    counts = [s // window for s, window in zip(size, WINDOW, strict=True)]
    x = x.reshape(n, *counts, *WINDOW, c).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(n, *size, c)


def layer_norm(x: jax.Array, name: str, dtype: jnp.dtype) -> jax.Array:
    """With torch's epsilon and its two passes for the variance, in float32."""
    norm = nn.LayerNorm(1e-5, use_fast_variance=False, name=name)
    return norm(x.astype(jnp.float32)).astype(dtype)


def linear(
    features: int, name: str, dtype: jnp.dtype, use_bias: bool = True
) -> nn.Dense:
    # The field's truncated normal is cut at 100 deviations: a normal.
    init = nn.initializers.normal(0.02)
    return nn.Dense(features, use_bias, dtype=dtype, kernel_init=init, name=name)
