"""Distances between part-wise embeddings: the mean over parts of a per-part distance.

The field compares two sequences part by part (horizontal strips): Euclidean
distance, or one minus the cosine, of every part, then the mean over the parts.
Always float32 with full-precision products, whatever the network ran in: the
Euclidean form |x|^2 + |y|^2 - 2xy cancels, and half precision would reorder
neighbours.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


def distances(
    probe: jax.Array, gallery: jax.Array, metric: str = "euclidean"
) -> jax.Array:
    """Mean over parts: f32[q,p,d], f32[g,p,d] -> f32[q,g].

    metric: "euclidean" or "cosine". Goes through the parts one at a time, so it
    holds a few [q,g] arrays and never [p,q,g].
    """
    x = _parts_first(probe, metric)  # [p,q,d]
    y = _parts_first(gallery, metric)  # [p,g,d]

    def add(total, part):
        return total + _one_part(*part, metric), None

    start = jnp.zeros((x.shape[1], y.shape[1]), jnp.float32)
    total, _ = jax.lax.scan(add, start, (x, y))
    return total / x.shape[0]


@functools.partial(jax.jit, static_argnames="metric")
def paired(x: jax.Array, y: jax.Array, metric: str = "euclidean") -> jax.Array:
    """As `distances`, of row i and row i: f32[n,p,d], f32[n,p,d] -> f32[n]."""

    def one(a: jax.Array, b: jax.Array) -> jax.Array:
        return distances(a[None], b[None], metric)[0, 0]

    return jax.vmap(one)(x, y)


def part_distances(x: jax.Array, y: jax.Array, metric: str = "euclidean") -> jax.Array:
    """The distance of every part on its own: f32[n,p,d], f32[m,p,d] -> f32[p,n,m].

    The gradient at distance zero is zero, never NaN (an anchor of the triplet
    loss meets itself).
    """
    x = _parts_first(x, metric)
    y = _parts_first(y, metric)
    return _one_part(x, y, metric)


def _parts_first(x: jax.Array, metric: str) -> jax.Array:
    """[n,p,d] -> f32[p,n,d], for the cosine with rows of length one."""
    x = jnp.swapaxes(jnp.asarray(x, jnp.float32), 0, 1)
    if metric == "euclidean":
        return x
    if metric == "cosine":
        # The floor makes a zero vector's cosine 0 and keeps its gradient finite.
        square = jnp.sum(x * x, -1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
    raise ValueError(f"metric is 'euclidean' or 'cosine', got {metric!r}")


def _one_part(x: jax.Array, y: jax.Array, metric: str) -> jax.Array:
    """[...,n,d], [...,m,d] -> [...,n,m]."""
    dot = jnp.einsum("...nd,...md->...nm", x, y, precision=jax.lax.Precision.HIGHEST)
    if metric == "cosine":
        return 1.0 - dot
    x_square = jnp.sum(x * x, -1)[..., :, None]
    y_square = jnp.sum(y * y, -1)[..., None, :]
    square = jnp.maximum(x_square + y_square - 2.0 * dot, 0.0)
    # sqrt has an infinite slope at 0, and 0 * inf is NaN: both branches of a
    # `where` are differentiated, hence one inside and one outside.
    apart = ~(square <= 0)  # also where it is NaN, which stays NaN
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)
