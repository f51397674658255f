"""Sorting a gallery for many probes on the device, in blocks of one shape.

Rows are numbers into host arrays; what crosses to the device is one block of
probes and one gallery at a time, always explicitly (`jax.transfer_guard` may be
on). The last block of probes is padded, so a shape compiles once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.ops import distance, topk


def nearest(
    probe: np.ndarray,
    gallery: jax.Array,
    hidden: np.ndarray,
    k: int,
    metric: str,
) -> np.ndarray:
    """Places of the k nearest, -1 where none is left: [b,p,d], [g,p,d] -> i32[b,k].

    hidden: bool, broadcastable to [b,g]: what a probe may not find.
    """
    return np.asarray(_nearest(on_device(probe), gallery, on_device(hidden), k, metric))


def sort_gallery(
    probe: np.ndarray, gallery: jax.Array, hidden: np.ndarray, metric: str
) -> np.ndarray:
    """Places of all items, nearest first: [b,p,d], [g,p,d] -> i32[b,g].

    hidden: bool, broadcastable to [b,g]: goes last.
    """
    return np.asarray(_sort(on_device(probe), gallery, on_device(hidden), metric))


def probe_blocks(num_probe: int, block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of each block, and the same padded to the size that all blocks have."""
    size = min(block, num_probe)
    for start in range(0, num_probe, size):
        here = np.arange(start, min(start + size, num_probe))
        yield here, padded(here, size)


def padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows, the first one repeated up to the size."""
    return np.concatenate([rows, np.full(size - len(rows), rows[0])])


def on_device(array: np.ndarray) -> jax.Array:
    """Masks as they are, embeddings of any precision as float32."""
    return jax.device_put(array if array.dtype == bool else np.float32(array))


@functools.partial(jax.jit, static_argnames=("k", "metric"))
def _nearest(probe, gallery, hidden, k: int, metric: str) -> jax.Array:
    return topk.topk(probe, gallery, k, metric=metric, exclude=hidden)[1]


@functools.partial(jax.jit, static_argnames="metric")
def _sort(probe, gallery, hidden, metric: str) -> jax.Array:
    """Equal distances come lower place first, as in `topk`."""
    far = distance.distances(probe, gallery, metric)
    far = jnp.where(hidden, jnp.inf, far)
    place = jax.lax.broadcasted_iota(jnp.int32, far.shape, 1)
    return jax.lax.sort((far, place), dimension=1, num_keys=1, is_stable=True)[1]
