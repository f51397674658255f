"""Distances whose bits depend on the two embeddings alone, and bounds below them.

A matrix product sums in an order that changes with its shape, so the same pair gets
other bits in another block or on another number of devices, and near ties change
places. `distances` here has one order of summation, written out; it costs some ten
times as much and is for a few pairs. `lower_bounds` costs what a matrix product costs
and says which pairs those are.

Why the bits stay: every operation is element-wise and rounded on its own. What a
compiler may still do, multiply and add in one rounding, changes nothing, because the
products that are added are exact: a difference is cut into halves of 12 bits each.
Holds for finite embeddings whose distances are neither under 1e-15 nor over 1e18.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

HALF = 2.0**-24  # of the last place of a float32 in [1, 2): the rounding error


def prepared(embedding: jax.Array, metric: str) -> jax.Array:
    """What the functions below compare: [n,p,d] -> f32[n,p,d].

    The embedding itself for "euclidean", parts of length one for "cosine".
    """
    x = jnp.asarray(embedding, jnp.float32)
    if metric == "euclidean":
        return x
    if metric == "cosine":
        # Without a last bit, the compiler cannot make a root and a division, or a
        # product and the difference that comes next, one rounding of another kind.
        length = _without_bits(jnp.sqrt(_sum_of_squares(x)), 1)[..., None]
        scale = jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0)
        return _without_bits(x * scale, 1)
    raise ValueError(f"metric is 'euclidean' or 'cosine', got {metric!r}")


def distances(probe: jax.Array, gallery: jax.Array, metric: str) -> jax.Array:
    """Of pairs, mean over parts: f32[...,p,d], f32[...,p,d] -> f32[...].

    Both `prepared`; leading axes broadcast.
    """
    # Not a division: the compiler makes a product of it here and there.
    return _sum(_one_part(probe, gallery, metric)) * (1 / probe.shape[-2])


def lower_bounds(probe: jax.Array, gallery: jax.Array, metric: str) -> jax.Array:
    """Never more than `distances`: f32[q,p,d], f32[g,p,d], prepared -> f32[q,g].

    |x|^2 + |y|^2 - 2xy less all that float32 can be off by, whatever the order of
    the sums: (d + 2 log2 d + 9) * 2^-23 of |x|^2 + |y|^2 (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1); taken twice as large.
    """
    d = probe.shape[-1]
    slack = 4 * (d + 16) * HALF
    x, y = jnp.swapaxes(probe, 0, 1), jnp.swapaxes(gallery, 0, 1)  # [p,.,d]

    def add(total, part):
        x, y = part
        dot = jnp.einsum("qd,gd->qg", x, y, precision=jax.lax.Precision.HIGHEST)
        x_square, y_square = jnp.sum(x * x, -1)[:, None], jnp.sum(y * y, -1)
        square = (1 - slack) * (x_square + y_square) - 2.0 * dot
        square = jnp.maximum(square, 0.0)
        return total + _of_square(square, x_square, y_square, metric), None

    start = jnp.zeros((x.shape[1], y.shape[1]), jnp.float32)
    total, _ = jax.lax.scan(add, start, (x, y))
    # The roots, their sum and the mean are rounded too, here and in `distances`.
    return total * ((1 - 4 * (len(x) + 4) * HALF) / len(x))


def _one_part(x: jax.Array, y: jax.Array, metric: str) -> jax.Array:
    """f32[...,d], f32[...,d] -> f32[...]."""
    square = _sum_of_squares(x - y)
    if metric == "euclidean":
        return jnp.sqrt(square)
    x_square, y_square = jnp.sum(x * x, -1), jnp.sum(y * y, -1)
    return _of_square(square, x_square, y_square, metric)


def _of_square(
    square: jax.Array, x_square: jax.Array, y_square: jax.Array, metric: str
) -> jax.Array:
    """The distance from its square; the others matter only where they are 0."""
    if metric == "euclidean":
        return jnp.sqrt(square)
    # 1 - xy = |x - y|^2 / 2 for parts of length one; a part of zeros is 1 away from
    # everything, as in `ops.distance`.
    zeros = (x_square == 0) | (y_square == 0)
    return jnp.where(zeros, 1.0, 0.5 * square)


def _sum_of_squares(x: jax.Array) -> jax.Array:
    """f32[...,d] -> f32[...]."""
    high = _without_bits(x, 12)  # 12 bits
    low = x - high  # 12 bits, so that no product below is rounded
    return _sum((high * high + low * low) + 2.0 * (high * low))


def _sum(x: jax.Array) -> jax.Array:
    """f32[...,n] -> f32[...]: halves of the axis are added until one number is left."""
    while x.shape[-1] > 1:
        if x.shape[-1] % 2:
            x = jnp.concatenate([x, jnp.zeros_like(x[..., :1])], -1)
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x[..., 0]


def _without_bits(x: jax.Array, number: int) -> jax.Array:
    """float32 with the last bits of its mantissa 0, that is, cut off."""
    kept = jnp.uint32(2**32 - 2**number)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) & kept
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
