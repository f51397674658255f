"""Clusters of unlabelled sequences on the graph of their nearest neighbours.

Features f32[n,d] are rows of length one. Each row's k nearest are found on the device
(`neighbours`, exact), then clustered on the host, on a sparse graph of those whose
cosine is `similarity` or more:

- "infomap": the map equation on directed edges weighted by the cosine, as in
  Cluster-Contrast's code (Dai et al., ACCV 2022). Wants the package infomap.
- "dbscan": DBSCAN on the Jaccard distance of sets of k-reciprocal neighbours (Zhong et
  al., CVPR 2017; plain sets, not weighted by distance), by scikit-learn.

The result is i32[n]: clusters 0 .. q-1 in the order of their first members, -1 for
what is in none.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import sparse
from sklearn import metrics
from sklearn.cluster import DBSCAN
from sklearn.neighbors import sort_graph_by_row_values

from gaitjax.arguments import at_least, between, unknown
from gaitjax.errors import GaitError
from gaitjax.ops import exact
from gaitjax.retrieval import kreciprocal, ranking

CLUSTERERS = ("infomap", "dbscan")
BLOCK = 512  # rows that are compared with all at a time; chosen
CHUNK = 1024  # dimensions of one product: short sums have small errors; chosen
EXTRA = 24  # candidates beyond k that are compared exactly; chosen
MOST = 256  # as many at the most; chosen


def cluster(
    name: str,
    features: np.ndarray,
    *,
    neighbours: int = 40,
    similarity: float = 0.7,
    smallest: int = 4,
    eps: float = 0.5,
    min_samples: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Labels of all sequences: f32[n,d] -> i32[n].

    name: "infomap" or "dbscan". neighbours: of each row, itself counted, all there
    are if there are fewer. similarity: the least cosine of an edge. smallest: clusters
    of so many or fewer are dropped. eps, min_samples: of DBSCAN; seed: of Infomap.
    """
    at_least(1, neighbours=neighbours, min_samples=min_samples)
    at_least(0, smallest=smallest, seed=seed)
    between(-1, 1, similarity=similarity)
    between(0, 1, eps=eps)
    check_installed(name)  # before the neighbours are searched
    if neighbours > len(features):
        print(f"note: {len(features)} neighbours, all there are, not {neighbours}")
    place, cosine = nearest(features, min(neighbours, len(features)))
    if name == "infomap":
        found = infomap(place, cosine, similarity=similarity, seed=seed)
    else:
        near = neighbour_sets(place, cosine, similarity=similarity)
        found = dbscan(near, eps=eps, min_samples=min_samples)
    labels = numbered(found, smallest)
    _check_number(name, labels, found, similarity, smallest)
    return labels


def check_installed(name: str) -> None:
    """Raises GaitError for an unknown clusterer, or one whose package is missing."""
    if name not in CLUSTERERS:
        raise GaitError(unknown(name, CLUSTERERS, "clusterer"))
    if name == "infomap":
        _infomap()


def nearest(
    features: np.ndarray,
    k: int,
    *,
    half: bool | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by cosine, itself first: f32[n,d] -> i32[n,k], f32[n,k]; k <= n.

    half: find candidates by products in half precision; default: not on a CPU.
    devices: which share the rows, default all of this process; their number changes no
    bit of the result.
    Guaranteed, with and without: the first k by (`ops.exact`, place), whose bits depend
    on the pair alone. Candidates, EXTRA more than k, are compared exactly; rows for
    which the bound on the errors of the others leaves a doubt go again with more. Only
    where MOST + k are not enough is a row's list taken as it is, with a note: that many
    within 1e-3 of one cosine are features that have collapsed.

    On each device: features f32[n,d], half of that again for half precision, columns
    f32[n,CHUNK], some f32[BLOCK,n], and the candidates that are compared exactly, a
    column at a time f32[BLOCK,d].
    """
    num = len(features)
    _check_features(features, k)
    half = jax.default_backend() != "cpu" if half is None else half
    mesh = jax.sharding.Mesh(np.array(devices or jax.local_devices()), ("rows",))
    by_rows = NamedSharding(mesh, P("rows"))
    items = jax.device_put(np.asarray(features, np.float32), NamedSharding(mesh, P()))
    low, errors = _rounded(items) if half else (items, jnp.zeros(num, jnp.float32))
    place, cosine = np.empty((num, k), np.int32), np.empty((num, k), np.float32)
    rows, number = np.arange(num, dtype=np.int32), min(k + EXTRA, num)
    # Whatever number of rows is in doubt: nothing compiles anew.
    size = mesh.size * min(BLOCK, -(-num // mesh.size))
    while len(rows):
        sure = np.empty(len(rows), bool)
        for start in range(0, len(rows), size):
            here = rows[start : start + size]
            some = jax.device_put(ranking.padded(here, size), by_rows)
            found = _nearest(items, low, errors, some, k=k, number=number, mesh=mesh)
            found = [value[: len(here)] for value in jax.device_get(found)]
            place[here], cosine[here], sure[start : start + size] = found
        rows = rows[~sure]
        if number >= min(k + MOST, num):
            break
        number = min(k + MOST, num)
    if len(rows):
        print(
            f"note: {len(rows)} of {num} sequences have more than {number} others "
            "equally near; the features may have collapsed"
        )
    return place, cosine


def graph(place: np.ndarray, cosine: np.ndarray, similarity: float) -> sparse.csr_array:
    """Each row's neighbours of that cosine or more: i32[n,k], f32[n,k] -> [n,n].

    Itself always. Entries are the cosines, but none is 0.
    """
    num, k = place.shape
    keep = cosine >= similarity
    keep[:, 0] = True
    row = np.repeat(np.arange(num), k).reshape(num, k)[keep]
    # A zero stored is a zero lost in the products of sparse matrices.
    value = np.where(cosine[keep] == 0, np.float32(1e-12), cosine[keep])
    return sparse.csr_array((value, (row, place[keep])), (num, num))


def neighbour_sets(
    place: np.ndarray, cosine: np.ndarray, *, similarity: float
) -> sparse.csr_array:
    """Ones where j is in the set of i: i32[n,k], f32[n,k] -> [n,n].

    Those k-reciprocal with it (each among the other's k) and what they take in, as
    in `kreciprocal`.
    """
    half = round((place.shape[1] - 1) / 2) + 1
    sets = kreciprocal.expanded(
        _mutual(graph(place, cosine, similarity)),
        _mutual(graph(place[:, :half], cosine[:, :half], similarity)),
    )
    sets.data[:] = 1
    return sets


def dbscan(sets: sparse.csr_array, *, eps: float, min_samples: int) -> np.ndarray:
    """DBSCAN on the Jaccard distance of the rows' sets: [n,n] of ones -> i[n].

    A row with min_samples (itself counted) within eps is a core of a cluster.
    """
    size = sets.sum(1)
    other = sets.T.tocsr()
    blocks = []
    for start in range(0, len(size), BLOCK):
        common = (sets[start : start + BLOCK] @ other).tocoo()
        either = size[common.row + start] + size[common.col] - common.data
        far = 1 - common.data / either
        keep = far <= eps
        entries = far[keep], (common.row[keep], common.col[keep])
        blocks.append(sparse.csr_array(entries, common.shape))
    distances = sparse.vstack(blocks, format="csr")
    distances = sort_graph_by_row_values(distances, warn_when_not_sorted=False)
    scan = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    return scan.fit_predict(distances)


def infomap(
    place: np.ndarray, cosine: np.ndarray, *, similarity: float, seed: int = 0
) -> np.ndarray:
    """Two-level modules of the directed graph: i32[n,k], f32[n,k] -> i[n].

    A sequence without an edge is a cluster by itself.
    """
    edges = graph(place, cosine, similarity).tocoo()
    use = (edges.row != edges.col) & (edges.data > 0)  # flow cannot be negative
    ends = edges.row[use].tolist(), edges.col[use].tolist()
    links = list(zip(*ends, edges.data[use].tolist(), strict=True))
    labels = len(place) + 1 + np.arange(len(place))  # over all modules
    if links:
        network = _infomap()(f"--two-level --directed --silent --seed {seed + 1}")
        network.add_links(links)
        modules = network.run().modules()
        labels[list(modules)] = list(modules.values())
    return labels


def numbered(labels: np.ndarray, smallest: int = 0) -> np.ndarray:
    """0 .. q-1 by first member; -1 stays: i[n] -> i32[n].

    Clusters of `smallest` members or fewer become -1.
    """
    values, first, which, size = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    keep = (values >= 0) & (size > smallest)
    order = np.argsort(np.where(keep, first, len(labels)))[: keep.sum()]
    new = np.full(len(values), -1, np.int32)
    new[order] = np.arange(len(order))
    return new[which]


def quality(labels: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """How clusters and people (of any type, [n]) agree, where there are clusters.

    nmi, ari: scikit-learn's, of the sequences that are in a cluster; purity: their
    share that belongs to the most frequent person of its cluster, the share in none:
    dropped; clusters: their number.
    """
    kept = labels >= 0
    who = np.unique(people, return_inverse=True)[1].reshape(-1)[kept]
    inside = labels[kept]
    num = inside.max(initial=-1) + 1
    shape = num, who.max(initial=-1) + 1
    table = sparse.coo_array((np.ones(len(who)), (inside, who)), shape).tocsr()
    most = table.max(1).sum() if num else 0.0
    return {
        "nmi": float(metrics.normalized_mutual_info_score(who, inside)) if num else 0.0,
        "ari": float(metrics.adjusted_rand_score(who, inside)) if num else 0.0,
        "purity": float(most / max(len(who), 1)),
        "clusters": float(num),
        "dropped": float(1 - kept.mean()),
    }


def _check_features(features: np.ndarray, k: int) -> None:
    num = len(features)
    if not 1 <= k <= num or num < 2:
        raise GaitError(
            f"clustering wants 2 sequences or more and a neighbour or more of them, "
            f"got {num} and {k}; take more sequences"
        )
    for start in range(0, num, BLOCK):
        some = features[start : start + BLOCK]
        # Of equal numbers a sum in float32 is 3e-5 off.
        square = np.einsum("nd,nd->n", some, some, dtype=np.float64)
        bad = ~(np.abs(square - 1) < 1e-5)  # NaN, too
        if bad.any():
            raise GaitError(
                "clustering wants features of length one, got "
                f"{np.linalg.norm(some[bad.argmax()]):.3g} in row "
                f"{start + bad.argmax()}; 0 or NaN: the network is dead, lower its "
                "learning rate"
            )


def _check_number(
    name: str, labels: np.ndarray, found: np.ndarray, similarity: float, smallest: int
) -> None:
    """None, or one for all, is nothing to learn from."""
    num = labels.max() + 1
    looser = "similarity or smallest" + (", or raise eps" if name == "dbscan" else "")
    stricter = "similarity" + (" or lower eps" if name == "dbscan" else "")
    if num == 0:
        _, size = np.unique(found[found >= 0], return_counts=True)
        raise GaitError(
            f"{name} leaves all {len(labels)} sequences without a cluster of more than "
            f"smallest={smallest} at similarity={similarity} (the largest has "
            f"{size.max(initial=0)}); lower {looser}"
        )
    if num == 1:
        raise GaitError(
            f"{name} makes one cluster of {np.sum(labels == 0)} of {len(labels)} "
            f"sequences at similarity={similarity}, wanted 2 or more; raise {stricter}"
        )


def _infomap() -> type:
    try:
        from infomap import Infomap
    except ImportError as error:
        raise GaitError(
            "clusterer infomap wants the package infomap (its licence: GPL 3 or "
            "later): pip install -e '.[unsupervised]', or take clusterer=dbscan"
        ) from error
    return Infomap


def _mutual(near: sparse.csr_array) -> sparse.csr_array:
    near.data[:] = 1
    return near.multiply(near.T).tocsr()


@jax.jit
def _rounded(items: jax.Array) -> tuple[jax.Array, jax.Array]:
    """In half precision, and how far each row moves: f16[n,d], f32[n]."""
    low = items.astype(jnp.float16)
    away = items - low.astype(jnp.float32)
    return low, jnp.sqrt(jnp.sum(away * away, 1))


@functools.partial(jax.jit, static_argnames=("k", "number", "mesh"))
def _nearest(
    *arrays: jax.Array, k: int, number: int, mesh: jax.sharding.Mesh
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`_nearest_of`, each device some of the rows. Under plain `jit` top-K would gather
    all products on every device."""
    some = functools.partial(_nearest_of, k=k, number=number)
    return jax.shard_map(
        some,
        mesh=mesh,
        in_specs=(P(), P(), P(), P("rows")),
        out_specs=P("rows"),
        check_vma=False,
    )(*arrays)


def _nearest_of(
    items: jax.Array,
    low: jax.Array,
    errors: jax.Array,
    rows: jax.Array,
    k: int,
    number: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of rows i32[b]: places and cosines [b,k], whether no other can be nearer [b]."""
    num, d = items.shape
    itself = rows[:, None] == jnp.arange(num)
    rough = jnp.where(itself, 2.0, _products(low[rows], low))
    # Without the barrier XLA merges these with the rest: 3 times as long on a CPU.
    # (One for each: XLA's CPU backend aborts on one of both inside a shard_map.)
    rough, place = map(jax.lax.optimization_barrier, jax.lax.top_k(rough, number))
    mine = items[rows][:, None]

    def compare(column):
        return exact.distances(mine, items[column][:, None], "euclidean")

    far = jax.lax.map(compare, place.T).T  # [b,number]
    far = jnp.where(place == rows[:, None], -1.0, far)
    far, place = jax.lax.sort((far, place), dimension=1, num_keys=2)
    far = jnp.maximum(far[:, :k], 0.0)
    cosine = 1 - 0.5 * far * far
    # |xy - x'y'| <= |x - x'| |y| + |x'| |y - y'|, then the sums' own errors (Higham,
    # Accuracy and Stability, 3.1), twice as large, then lengths that are not quite 1.
    sums = 2 * (CHUNK + d / CHUNK + 64) * exact.HALF
    bound = 1.01 * (errors[rows] + errors.max()) + sums + 2e-5
    sure = cosine[:, -1] > rough[:, -1] + bound
    return place[:, :k], cosine, sure | (number == num)


def _products(x: jax.Array, y: jax.Array) -> jax.Array:
    """[b,d], [n,d] -> f32[b,n]."""
    total = jnp.zeros((len(x), len(y)), jnp.float32)
    for start in range(0, x.shape[1], CHUNK):
        here = slice(start, start + CHUNK)
        total += jnp.einsum(
            "bd,nd->bn",
            x[:, here],
            y[:, here],
            precision=jax.lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )
    return total
