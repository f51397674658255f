"""Exact top-K in a gallery that is larger than the device's memory.

The gallery is an array that is sliced, such as a memory-mapped file. Its chunks cross
to the devices one after the other; while they compare one chunk, the next one is read
and sent. Two chunks at most are there at a time.
"""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gaitjax.arguments import at_least
from gaitjax.ops.topk import exact_topk
from gaitjax.retrieval import ranking

CHUNK_BYTES = 2**28  # of embeddings at a time; chosen


def search(
    probe: np.ndarray,
    gallery: np.ndarray,
    k: int,
    *,
    metric: str = "euclidean",
    chunk: int | None = None,
    block: int = 256,
    mesh: Mesh | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest first: [q,p,d], [g,p,d] -> distances f32[q,k], indices i32[q,k].

    The answer of `topk.exact_topk` on the whole gallery, bit for bit; beyond the
    gallery's size distances are inf and indices -1.
    chunk: rows at a time, default: what 256 MiB hold. block: probes per step. mesh:
    each chunk is sharded over its devices; default: the first device alone.
    """
    at_least(1, k=k, chunk=chunk, block=block)
    if not len(probe) or not len(gallery):
        return np.full((len(probe), k), np.inf, np.float32), _missing(len(probe), k)
    devices = mesh or Mesh(np.array(jax.local_devices()[:1]), ("data",))
    row_bytes = 4 * gallery.shape[1] * gallery.shape[2]
    chunk = min(chunk or max(1, CHUNK_BYTES // row_bytes), len(gallery))
    chunk += -chunk % devices.size
    everywhere = NamedSharding(devices, PartitionSpec())
    probes = [
        (here, jax.device_put(np.float32(probe[filled]), everywhere))
        for here, filled in ranking.probe_blocks(len(probe), block)
    ]
    size = len(probes[0][1])
    nothing = np.full((size, k), np.inf, np.float32), _missing(size, k)
    best = [jax.device_put(nothing, everywhere) for _ in probes]
    ahead = _send(gallery, 0, chunk, devices)
    for after in range(chunk, len(gallery) + chunk, chunk):
        items, hidden, start = ahead
        best = [
            exact_topk(
                x,
                items,
                k,
                metric=metric,
                exclude=hidden,
                mesh=mesh,
                best=found,
                start=start,
            )
            for (_, x), found in zip(probes, best, strict=True)
        ]
        if after < len(gallery):
            ahead = _send(gallery, after, chunk, devices)  # while they compare
        jax.block_until_ready(best)  # else chunks pile up on the devices
    found = [
        [part[: len(here)] for part in jax.device_get(lists)]
        for (here, _), lists in zip(probes, best, strict=True)
    ]
    far, index = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return far, index


def _send(gallery: np.ndarray, start: int, size: int, mesh: Mesh) -> tuple:
    """Rows [size,p,d] from `start` on, which of them are filling [1,size], `start`."""
    rows = np.zeros((size, *gallery.shape[1:]), np.float32)
    some = gallery[start : start + size]
    rows[: len(some)] = some
    filling = np.arange(size)[None] >= len(some)
    (axis,) = mesh.axis_names
    specs = PartitionSpec(axis), PartitionSpec(None, axis), PartitionSpec()
    where = tuple(NamedSharding(mesh, spec) for spec in specs)
    return jax.device_put((rows, filling, np.int32(start)), where)


def _missing(num_probe: int, k: int) -> np.ndarray:
    return np.full((num_probe, k), -1, np.int32)
