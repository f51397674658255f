"""The k nearest gallery items of every probe: exact, in bounded memory.

The gallery goes by in blocks; the k best so far are merged with each block. Equal
distances come lower index first. `topk` compares distances as a matrix product
rounds them, so near ties may change places with the block size. `exact_topk` gives
the same bits for any block size and any number of devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from gaitjax.ops import distance, exact

# Candidates beyond k that are compared exactly; chosen: enough that the bounds decide
# nearly always, few enough to cost nothing beside the matrix product.
EXTRA = 8

Best = tuple[jax.Array, jax.Array]  # distances f32[q,k], indices i32[q,k]


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
    items, hidden = _divided(gallery, exclude, block)
    blocks = (
        items.reshape(-1, block, *items.shape[1:]),  # [blocks,block,p,d]
        hidden.reshape(len(hidden), -1, block).swapaxes(0, 1),  # [blocks,.,block]
    )

    def merge(best, one):
        items, hidden, start = one
        far = distance.distances(probe, items, metric)  # [q,block]
        far = jnp.where(hidden, jnp.inf, far)
        index = jnp.broadcast_to(start + jnp.arange(block), far.shape)
        return merged(best, (far, index.astype(jnp.int32)), k), None

    # Starting with k empty places also settles ties: what is excluded is as far
    # as they are, comes after them, and so never shows up with its index.
    starts = jnp.arange(0, num_gallery, block)
    best, _ = jax.lax.scan(merge, nothing(probe.shape[0], k), (*blocks, starts))
    return best


def nothing(num_probe: int, k: int) -> Best:
    """A list of k places for each probe with nothing found yet."""
    far = jnp.full((num_probe, k), jnp.inf, jnp.float32)
    return far, jnp.full((num_probe, k), -1, jnp.int32)


def merged(best: Best, new: Best, k: int) -> Best:
    """Two lists ([q,a] and [q,b]; distances, indices) -> the k nearest of both."""
    far, index = (jnp.concatenate(pair, 1) for pair in zip(best, new, strict=True))
    far, place = jax.lax.top_k(-far, k)  # ties: lower place first
    return -far, jnp.take_along_axis(index, place, 1)


@functools.partial(jax.jit, static_argnames=("k", "metric", "block", "mesh"))
def exact_topk(
    probe: jax.Array,
    gallery: jax.Array,
    k: int,
    *,
    metric: str = "euclidean",
    block: int = 4096,
    exclude: jax.Array | None = None,
    mesh: Mesh | None = None,
    best: Best | None = None,
    start: jax.Array | int = 0,
) -> Best:
    """As `topk`, the same bits for any block, any number of devices, any chunks.

    mesh: shard the gallery over all of its devices (along its only axis); each finds
      its own k, then these are merged. The gallery's rows need not divide.
    best, start: go on with what the chunks before found; this one's first item has
      index `start`.
    k may exceed the gallery: what is left over has distance inf and index -1.

    Guaranteed: the answer is the first k of all items sorted by (`exact.distances`,
    index), for finite embeddings. That function's bits depend on its pair alone, so
    near ties have one order, and ties go by the index. Why no item is missed: a device
    takes the k + EXTRA items of least lower bound and compares those exactly. What it
    leaves out is no nearer than the last bound; only where the k-th distance found is
    below that is the list taken as it is. Else (more than EXTRA items within rounding
    of the k-th, such as duplicates) that probe is compared exactly with everything,
    which is slow (measured on a CPU: 15 times) but right.
    """
    num_devices = 1 if mesh is None else mesh.size
    items, hidden = _divided(jnp.asarray(gallery), exclude, num_devices)
    share = len(items) // num_devices
    starts = jnp.asarray(start, jnp.int32) + share * jnp.arange(num_devices)
    shards = exact.prepared(probe, metric), items, hidden, starts
    best = nothing(len(probe), k) if best is None else best
    same = {"k": k, "metric": metric, "block": min(block, share)}

    find = _on_shards(functools.partial(_compare_candidates, **same), mesh, 0)
    far, index, left = find(*shards)  # [q,shards*k], twice, and [q,shards]
    found = _first(best, (far, index), k)
    sure = (found[0][:, -1:] < left) | jnp.isinf(left)
    sure = sure.all(1)  # [q]

    def compare_all():
        find = _on_shards(functools.partial(_compare_all, **same), mesh, 1)
        again = _first(best, find(*shards, sure), k)
        pairs = zip(found, again, strict=True)
        return tuple(jnp.where(sure[:, None], a, b) for a, b in pairs)

    return jax.lax.cond(sure.all(), lambda: found, compare_all)


def _divided(
    gallery: jax.Array, exclude: jax.Array | None, number: int
) -> tuple[jax.Array, jax.Array]:
    """Items and what a probe may not find, filled up to a multiple of `number`."""
    hidden = jnp.zeros((1, 1), bool) if exclude is None else jnp.asarray(exclude)
    hidden = jnp.broadcast_to(hidden, (len(hidden), len(gallery)))
    filling = -len(gallery) % number
    if filling:
        gallery = jnp.pad(gallery, ((0, filling), (0, 0), (0, 0)))
        hidden = jnp.pad(hidden, ((0, 0), (0, filling)), constant_values=True)
    return gallery, hidden


def _on_shards(fn: Callable, mesh: Mesh | None, num_more: int) -> Callable:
    """fn(probe, items, hidden, start [1], *more) on every device of the mesh.

    What it returns has an axis 1 that goes on from device to device.
    """
    if mesh is None:
        return fn
    (axis,) = mesh.axis_names
    nowhere, across = PartitionSpec(), PartitionSpec(None, axis)
    rows = PartitionSpec(axis)
    specs = (nowhere, rows, across, rows, *[nowhere] * num_more)
    return jax.shard_map(
        fn, mesh=mesh, in_specs=specs, out_specs=across, check_vma=False
    )


def _compare_candidates(
    probe: jax.Array,
    items: jax.Array,
    hidden: jax.Array,
    start: jax.Array,
    *,
    k: int,
    metric: str,
    block: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of this device: distances [q,k], indices [q,k], a bound on the others [q,1]."""
    number = min(k + EXTRA, len(items))

    def bounds(some, hidden):
        bound = exact.lower_bounds(probe, exact.prepared(some, metric), metric)
        return jnp.where(hidden, jnp.inf, bound)

    bound, place = _scan(bounds, items, hidden, len(probe), number, block)

    def compare(place):
        return exact.distances(probe, exact.prepared(items[place], metric), metric)

    far = jax.lax.map(compare, jnp.maximum(place, 0).T).T  # [q,number]
    there = place >= 0
    far = jnp.where(there, far, jnp.inf)
    best = _first((far, jnp.where(there, start + place, -1)), None, k)
    left = (
        bound[:, -1:] if number < len(items) else jnp.full_like(bound[:, :1], jnp.inf)
    )
    return *best, left


def _compare_all(
    probe: jax.Array,
    items: jax.Array,
    hidden: jax.Array,
    start: jax.Array,
    sure: jax.Array,
    *,
    k: int,
    metric: str,
    block: int,
) -> Best:
    """Of this device, for the probes that are not sure: distances, indices [q,k]."""

    def one(row):
        mine = hidden[row % len(hidden)][None]

        def compare(some, hidden):
            far = exact.distances(probe[row], exact.prepared(some, metric), metric)
            return jnp.where(hidden, jnp.inf, far)

        far, place = _scan(compare, items, mine, 1, k, block)
        return far[0], jnp.where(place >= 0, start + place, -1)[0]

    def none(row):
        far, index = nothing(1, k)
        return far[0], index[0]

    def either(row):
        return jax.lax.cond(sure[row], none, one, row)

    return jax.lax.map(either, jnp.arange(len(probe)))


def _scan(
    distances: Callable,
    items: jax.Array,
    hidden: jax.Array,
    num_probe: int,
    k: int,
    block: int,
) -> Best:
    """The k nearest [num_probe,k] by distances(some items [b,p,d], hidden [.,b]).

    Blocks are cut out one by one; the last one goes back to be full, and hides what
    was there before: no second gallery in memory.
    """

    def merge(best, start):
        at = jnp.minimum(start, len(items) - block)
        some = jax.lax.dynamic_slice_in_dim(items, at, block)
        away = jax.lax.dynamic_slice_in_dim(hidden, at, block, 1)
        place = at + jnp.arange(block)
        far = distances(some, away | (place < start))  # [q,b]
        return merged(best, (far, jnp.broadcast_to(place, far.shape)), k), None

    starts = jnp.arange(0, len(items), block)
    return jax.lax.scan(merge, nothing(num_probe, k), starts)[0]


def _first(one: Best, two: Best | None, k: int) -> Best:
    """The first k of one list or two, by (distance, index)."""
    if two is not None:
        one = tuple(jnp.concatenate(pair, 1) for pair in zip(one, two, strict=True))
    far, index = jax.lax.sort(one, dimension=1, num_keys=2)
    return far[:, :k], index[:, :k]
