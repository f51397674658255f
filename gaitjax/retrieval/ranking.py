"""Sorting a gallery for many probes on the device, in blocks of one shape.

Rows are numbers into host arrays; what crosses to the devices is one block of
probes and one gallery at a time, always explicitly (`jax.transfer_guard` may be
on). The last block of probes is padded, so a shape compiles once. All devices of the
process hold the gallery and share the probes of a block.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gaitjax.ops import distance, topk

# (places of probes i[b], places of what they find nearest i[b,m]) -> f[b,m]
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rerank:
    """Sorts what is nearest by other distances.

    stage: its name in results. depth: how many of the nearest are sorted again, None =
    all. open(probes f32[q,p,d], gallery f32[g,p,d]) -> `Score`, whose values have a
    meaning within a row only.
    """

    stage: str
    depth: int | None
    open: Callable[[np.ndarray, np.ndarray], Score]


class Ranker:
    """Finds the nearest of one list for blocks of its probes."""

    def __init__(
        self,
        probes: np.ndarray,
        gallery: np.ndarray,
        metric: str,
        rerank: Rerank | None = None,
        size: int | None = None,
    ):
        """probes f32[q,p,d]; gallery f32[g,p,d], filled up to `size`, since lists of
        one size compile once: what fills it is never found."""
        self.length, self.size = len(gallery), size or len(gallery)
        self.probes, self.metric, self.rerank = probes, metric, rerank
        self.gallery = everywhere(gallery[padded(np.arange(self.length), self.size)])
        self.score = rerank.open(probes, gallery) if rerank else None

    def nearest(self, places: np.ndarray, hidden: np.ndarray, k: int) -> np.ndarray:
        """Places of the k nearest, -1 where none is left: i[b] -> i32[b,k].

        hidden: bool, broadcastable to [b,g]: what a probe may not find.
        """
        hidden = self._hidden(hidden)
        if self.rerank is None:
            return nearest(self.probes[places], self.gallery, hidden, k, self.metric)
        if self.rerank.depth is None:
            order = self._sort(places, hidden)[:, :k]
            last = np.take_along_axis(_rows(hidden, order), order, 1)
            return np.where(last, -1, order)
        depth = min(max(k, self.rerank.depth), hidden.shape[1])
        found = nearest(self.probes[places], self.gallery, hidden, depth, self.metric)
        return self._again(places, found, found < 0)[:, :k]

    def sort(self, places: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Places of all items, nearest first, what is hidden last: i[b] -> i32[b,g]."""
        return self._sort(places, self._hidden(hidden))

    def _hidden(self, hidden: np.ndarray) -> np.ndarray:
        """With what fills the list."""
        hidden = np.broadcast_to(hidden, (len(hidden), self.length))
        more = self.size - self.length
        return np.pad(hidden, ((0, 0), (0, more)), constant_values=True)

    def _sort(self, places: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        order = sort_gallery(self.probes[places], self.gallery, hidden, self.metric)
        if self.rerank is None:
            return order
        last = np.take_along_axis(_rows(hidden, order), order, 1)
        return self._again(places, order, last)

    def _again(
        self, places: np.ndarray, found: np.ndarray, last: np.ndarray
    ) -> np.ndarray:
        """The first ones sorted by the new distances; the rest keeps its order."""
        head = found[:, : self.rerank.depth]
        last = last[:, : self.rerank.depth]
        far = self.score(places, np.where(last, 0, head))
        # What is hidden after what is far, even where that is infinite or NaN.
        order = np.lexsort((far, last), axis=1)
        head = np.take_along_axis(head, order, 1)
        return np.concatenate([head, found[:, head.shape[1] :]], 1)


def nearest(
    probe: np.ndarray,
    gallery: jax.Array,
    hidden: np.ndarray,
    k: int,
    metric: str,
) -> np.ndarray:
    """Places of the k nearest, -1 where none is left: [b,p,d], [g,p,d] -> i32[b,k].

    gallery: of `everywhere`; its devices share the probes.
    hidden: bool, broadcastable to [b,g]: what a probe may not find.
    """
    shares, mesh = _shares(probe, hidden, gallery)
    return np.asarray(_nearest(*shares, k=k, metric=metric, mesh=mesh))[: len(probe)]


def sort_gallery(
    probe: np.ndarray, gallery: jax.Array, hidden: np.ndarray, metric: str
) -> np.ndarray:
    """Places of all items, nearest first: [b,p,d], [g,p,d] -> i32[b,g].

    gallery: as in `nearest`. hidden: bool, broadcastable to [b,g]: goes last.
    """
    shares, mesh = _shares(probe, hidden, gallery)
    return np.asarray(_sort(*shares, metric=metric, mesh=mesh))[: len(probe)]


def _shares(
    probe: np.ndarray, hidden: np.ndarray, gallery: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Mesh]:
    """Probe, what it may not find and gallery on the devices that hold the gallery.
    What hides the same from all probes stays one row."""
    mesh = gallery.sharding.mesh
    rows = padded(np.arange(len(probe)), -(-len(probe) // mesh.size) * mesh.size)
    hidden = hidden if len(hidden) == 1 else hidden[rows]
    where = [NamedSharding(mesh, spec) for spec in (P("probes"), _rows_spec(hidden))]
    there = jax.device_put((np.float32(probe[rows]), hidden), tuple(where))
    return (*there, gallery), mesh


def _rows_spec(hidden: np.ndarray | jax.Array) -> P:
    return P() if len(hidden) == 1 else P("probes")


def _rows(hidden: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Broadcast to a row per probe."""
    return np.broadcast_to(hidden, (len(order), hidden.shape[1]))


def probe_blocks(num_probe: int, block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of each block, and the same padded to the size that all blocks have."""
    size = min(block, num_probe)
    for start in range(0, num_probe, size):
        here = np.arange(start, min(start + size, num_probe))
        yield here, padded(here, size)


def shared_blocks(
    num_probe: int, block: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `probe_blocks`, with up to `block` probes for each device of the process."""
    return probe_blocks(num_probe, block * jax.local_device_count())


def padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows, the first one repeated up to the size."""
    return np.concatenate([rows, np.full(size - len(rows), rows[0])])


def everywhere(
    gallery: np.ndarray, devices: Sequence[jax.Device] | None = None
) -> jax.Array:
    """Embeddings of any precision as float32 on each device; default: all of this
    process."""
    mesh = Mesh(np.array(devices or jax.local_devices()), ("probes",))
    return jax.device_put(np.float32(gallery), NamedSharding(mesh, P()))


@functools.partial(jax.jit, static_argnames=("k", "metric", "mesh"))
def _nearest(probe, hidden, gallery, *, k: int, metric: str, mesh: Mesh) -> jax.Array:
    def find(probe, hidden, gallery):
        return topk.topk(probe, gallery, k, metric=metric, exclude=hidden)[1]

    return _by_probes(find, mesh, hidden)(probe, hidden, gallery)


@functools.partial(jax.jit, static_argnames=("metric", "mesh"))
def _sort(probe, hidden, gallery, *, metric: str, mesh: Mesh) -> jax.Array:
    def sort(probe, hidden, gallery):
        return sort_distances(probe, gallery, hidden, metric)[1]

    return _by_probes(sort, mesh, hidden)(probe, hidden, gallery)


def _by_probes(
    fn: Callable[..., jax.Array], mesh: Mesh, hidden: jax.Array
) -> Callable[..., jax.Array]:
    """fn(probe, hidden, gallery), each device some of the probes."""
    specs = P("probes"), _rows_spec(hidden), P()
    return jax.shard_map(
        fn, mesh=mesh, in_specs=specs, out_specs=P("probes"), check_vma=False
    )


def sort_distances(
    probe: jax.Array, gallery: jax.Array, hidden: jax.Array, metric: str
) -> tuple[jax.Array, jax.Array]:
    """Within a program: distances f32[b,g] and places i32[b,g], nearest first.

    hidden: as in `sort_gallery`; inf. Equal distances come lower place first, as in
    `topk`.
    """
    far = distance.distances(probe, gallery, metric)
    far = jnp.where(hidden, jnp.inf, far)
    place = jax.lax.broadcasted_iota(jnp.int32, far.shape, 1)
    return jax.lax.sort((far, place), dimension=1, num_keys=1, is_stable=True)
