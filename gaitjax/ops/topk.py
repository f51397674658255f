"""The k nearest gallery items of every probe: exact, in bounded memory.

The gallery goes by in blocks; the k best so far are merged with each block. The
answer does not depend on the block size: equal distances come lower index first.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gaitjax.ops import distance


def topk(
    probe: jax.Array,
    gallery: jax.Array,
    k: int,
    *,
    metric: str = "euclidean",
    block: int = 4096,
    exclude: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Nearest first: f32[q,p,d], f32[g,p,d] -> distances f32[q,k], indices i32[q,k].

    metric: as in `ops.distance`.
    block: gallery items per step; a step holds a few [q,block] arrays.
    exclude: bool, broadcastable to [q,g]; True = this probe may not find this item.
    A probe with fewer than k items left gets distance inf and index -1 there.
    """
    num_gallery = gallery.shape[0]
    if not 1 <= k <= num_gallery:
        raise ValueError(
            f"top-k wants 1 <= k <= gallery size, got k={k} and a gallery of "
            f"{num_gallery}; lower k"
        )
    block = min(block, num_gallery)
    hidden = jnp.zeros((1, 1), bool) if exclude is None else jnp.asarray(exclude)
    blocks = _blocks(gallery, block), _hidden_blocks(hidden, num_gallery, block)

    def merge(best, one):
        items, hidden, start = one
        far = distance.distances(probe, items, metric)  # [q,block]
        far = jnp.where(hidden, jnp.inf, far)
        index = jnp.broadcast_to(start + jnp.arange(block), far.shape)
        return _nearest(best, (far, index.astype(jnp.int32)), k), None

    num_probe = probe.shape[0]
    # Starting with k empty places also settles ties: what is excluded is as far
    # as they are, comes after them, and so never shows up with its index.
    empty = (
        jnp.full((num_probe, k), jnp.inf, jnp.float32),
        jnp.full((num_probe, k), -1, jnp.int32),
    )
    starts = jnp.arange(0, num_gallery, block)
    best, _ = jax.lax.scan(merge, empty, (*blocks, starts))
    return best


def _nearest(
    best: tuple[jax.Array, jax.Array], new: tuple[jax.Array, jax.Array], k: int
) -> tuple[jax.Array, jax.Array]:
    """Two lists ([q,a] and [q,b]; distances, indices) -> the k nearest of both."""
    far, index = (jnp.concatenate(pair, 1) for pair in zip(best, new, strict=True))
    far, place = jax.lax.top_k(-far, k)  # ties: lower place first
    return -far, jnp.take_along_axis(index, place, 1)


def _blocks(gallery: jax.Array, block: int) -> jax.Array:
    """[g,p,d] -> [blocks,block,p,d], the last one filled up with zeros."""
    gallery = jnp.pad(gallery, ((0, -gallery.shape[0] % block), (0, 0), (0, 0)))
    return gallery.reshape(-1, block, *gallery.shape[1:])


def _hidden_blocks(hidden: jax.Array, num_gallery: int, block: int) -> jax.Array:
    """What a probe may not find, filling too: [.,g] -> [blocks,.,block]."""
    hidden = jnp.broadcast_to(hidden, (hidden.shape[0], num_gallery))
    filling = ((0, 0), (0, -num_gallery % block))
    hidden = jnp.pad(hidden, filling, constant_values=True)
    return hidden.reshape(hidden.shape[0], -1, block).swapaxes(0, 1)
