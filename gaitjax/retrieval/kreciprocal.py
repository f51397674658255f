"""Re-ranking by k-reciprocal neighbours (Zhong et al., CVPR 2017), sparse, in blocks.

Probes and gallery are one set of n = q + g rows. N(i,k) is row i and its k nearest
others: a row is always its own nearest, even where another equals it, and does not
use up one of the k, as in the authors' program (others count it, and get k - 1).
Two rows are k-reciprocal where each is in the other's N: R(i,k). R(i,k1) takes in
R(c,k1/2) of its members c that it shares by more than two thirds; every row is
described by weights exp(-d) on that set, averaged over its k2 nearest (itself
counted), and two rows differ by the Jaccard distance of their weights. The result:
(1 - weight) Jaccard + weight d.

d: squared base distance over the largest of the probe's row ("paper"); the
reference's helper ("opengait") does not square and rounds to half precision. It
also sums in half precision; here sums are float32, so the two agree to 3e-3.

Nothing n x n is ever held: distances go by in tiles, of which each row keeps its
nearest and its largest; sets and weights are sparse; Jaccard sums run through an
inverted index. Embeddings stay on the host and may be memory-mapped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from gaitjax.errors import GaitError
from gaitjax.ops import distance, topk

BLOCK = 1024  # rows and columns of a tile; chosen
COMPILED = 256 << 20  # bytes for compiled programs; chosen, about 100 MiB measured


def k_reciprocal(probe: np.ndarray, gallery: np.ndarray, **options) -> np.ndarray:
    """Re-ranked distances, all at once: f32[q,p,d], f32[g,p,d] -> f32[q,g].

    options: as in `k_reciprocal_blocks`.
    """
    return stacked(k_reciprocal_blocks(probe, gallery, **options), probe, gallery)


def k_reciprocal_blocks(
    probe: np.ndarray,
    gallery: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    variant: str = "paper",
    metric: str = "euclidean",
    block: int = BLOCK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows int[b] of the probes and their re-ranked distances f32[b,g], in order.

    k1, k2: clamped to what q + g rows have.
    weight: the base distance's share; variant: "paper" or "opengait", see above.
    metric: of the base, as in `ops.distance`; block: rows per tile and per result.
    The first block waits for the sets of all rows.
    """
    check(probe, gallery, metric, block)
    if variant not in ("paper", "opengait"):
        raise GaitError(f"variant is paper or opengait, got {variant}; choose one")
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise GaitError(
            "k-reciprocal wants k1 and k2 of 1 or more and a weight of 0 to 1, got "
            f"k1={k1}, k2={k2}, weight={weight}; the paper has 20, 6 and 0.3"
        )
    return _blocks(probe, gallery, k1, k2, weight, variant, metric, block)


def predicted_bytes(
    q: int,
    g: int,
    k1: int,
    k2: int,
    parts: int,
    dims: int,
    block: int = BLOCK,
    *,
    matrix: bool = True,
) -> int:
    """An upper bound of what a run takes, embeddings included, Python and JAX not.

    matrix: with the f32[q,g] result, else one block of it at a time.
    """
    n = q + g
    size, row = min(block, n), 4 * parts * dims
    near = min(k1 + 1, n)
    reach = min(near * (round(k1 / 2) + 1), n)  # places of a row before averaging
    spread = min(k2 * reach, n)  # and after; 8 bytes each, an index and a weight
    tiles = 8 * size * row + 24 * size * size
    sets = 8 * n * (6 * near + 4 * reach)
    average = 8 * n * (reach + spread) + 8 * g * spread
    result = 8 * n * spread + 20 * size * g + (4 * q * g if matrix else 0)
    lists = 8 * n * max(near, min(k2, n))
    return n * row + lists + tiles + max(sets, average, result) + COMPILED


def neighbours(
    probe: np.ndarray,
    gallery: np.ndarray,
    k: int,
    *,
    metric: str = "euclidean",
    block: int = BLOCK,
    group: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's k nearest of the joint set, itself first, and its largest distance.

    f32[q,p,d], f32[g,p,d] -> places i32[n,k], distances f32[n,k], f32[n]; k <= n.
    group: i32[n]; rows find none of their own group but themselves. Ties: lower place
    first; where no row is left, place -1 and distance inf.
    """
    joint = probe, gallery
    num = len(probe) + len(gallery)
    group = np.arange(num, dtype=np.int32) if group is None else np.int32(group)
    size = min(block, num)
    found = np.empty((num, k), np.int32), np.empty((num, k), np.float32)
    largest = np.empty(num, np.float32)
    for here in _tiles(num, size):
        x = jax.device_put((_take(joint, here), here, group[here]))
        best = jax.device_put(_nothing(size, k))
        for there in _tiles(num, size):
            y = jax.device_put((_take(joint, there), there, group[there]))
            jax.block_until_ready(best)  # one tile at a time in memory
            best = _merge(x, y, best, metric)
        here = here[here >= 0]
        far, place, top = (value[: len(here)] for value in jax.device_get(best))
        found[0][here], found[1][here] = place, np.maximum(far, 0)
        largest[here] = top
    return *found, largest


def expanded(whole: sparse.csr_array, half: sparse.csr_array) -> sparse.csr_array:
    """Each row's R(i,k1) and what it takes in: ones [n,n], [n,n] -> sparse [n,n].

    whole, half: ones where i and j are k1- and k1/2-reciprocal. Being reciprocal is
    mutual, so these matrices are their own transposes.
    """
    # |R(i,k1) and R(c,k1/2)| for the members c of R(i,k1): both contain c.
    shared = (whole @ half).multiply(whole).tocsr()
    # In whole numbers: two thirds themselves are not more than two thirds.
    shared.data = (3 * shared.data > 2 * _counts(half)[shared.indices]) * np.float32(1)
    shared.eliminate_zeros()
    return (whole + shared @ half).tocsr()


def stacked(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    probe: np.ndarray,
    gallery: np.ndarray,
) -> np.ndarray:
    """All blocks of (rows, distances) as one matrix f32[q,g]."""
    out = np.empty((len(probe), len(gallery)), np.float32)
    for rows, far in blocks:
        out[rows] = far
    return out


def check(probe: np.ndarray, gallery: np.ndarray, metric: str, block: int) -> None:
    """Refuse what no re-ranker can work on, in one line."""
    for name, rows in (("probe", probe), ("gallery", gallery)):
        if np.ndim(rows) != 3 or not len(rows) or rows.shape[1:] != probe.shape[1:]:
            raise GaitError(
                f"re-ranking wants probe and gallery [rows, parts, dims], one row or "
                f"more and alike in parts and dims, got {list(probe.shape)} and "
                f"{list(gallery.shape)}; embed both with one base"
            )
        for start in range(0, len(rows), 1024):
            bad = ~np.isfinite(rows[start : start + 1024]).all((1, 2))
            if bad.any():
                raise GaitError(
                    f"re-ranking wants finite embeddings, got NaN or infinity in "
                    f"{name} row {start + bad.argmax()}; leave that sequence out"
                )
    if metric not in ("euclidean", "cosine"):
        raise GaitError(f"metric is euclidean or cosine, got {metric}; choose one")
    if block < 1:
        raise GaitError(f"block is 1 row or more, got {block}; leave it out")


def _blocks(
    probe: np.ndarray,
    gallery: np.ndarray,
    k1: int,
    k2: int,
    weight: float,
    variant: str,
    metric: str,
    block: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    num = len(probe) + len(gallery)
    width = min(max(k1 + 1, k2), num)
    place, _, largest = neighbours(probe, gallery, width, metric=metric, block=block)
    power = 2 if variant == "paper" else 1
    scale = np.where(largest > 0, largest, 1)[:, None]  # all alike: distances 0

    def rounded(values: np.ndarray) -> np.ndarray:
        half = variant == "opengait"
        return values.astype(np.float16).astype(np.float32) if half else values

    sets = _expanded(place, k1)
    far = _pair_distances((probe, gallery), sets, metric, block)
    sets.data = np.exp(-((far / np.repeat(scale[:, 0], np.diff(sets.indptr))) ** power))
    sets.data /= np.repeat(np.add.reduceat(sets.data, sets.indptr[:-1]), _counts(sets))
    sets.data = rounded(sets.data)
    probes, index = _averaged(sets, place[:, :k2], len(probe))
    probes.data, index.data = rounded(probes.data), rounded(index.data)
    del sets, far
    size = min(block, len(probe))
    for start in range(0, len(probe), size):
        rows = np.arange(start, min(start + size, len(probe)))
        out = rounded(_jaccard(probes[rows], index))
        out *= 1 - weight
        if weight:
            base = _base_distances(probe[rows], gallery, metric, size)
            base /= scale[rows]
            out += weight * base**power
        yield rows, out


def _expanded(place: np.ndarray, k1: int) -> sparse.csr_array:
    """Each row's R(i,k1) and what it takes in: i32[n,width] -> sparse [n,n]."""
    return expanded(_mutual(place[:, : k1 + 1]), _mutual(place[:, : round(k1 / 2) + 1]))


def _mutual(place: np.ndarray) -> sparse.csr_array:
    """Ones where i and j have each other among their nearest: i32[n,k] -> [n,n]."""
    num, k = place.shape
    starts = np.arange(0, num * k + 1, k)
    ones = np.ones(num * k, np.float32)
    near = sparse.csr_array((ones, place.ravel(), starts), (num, num))
    return near.multiply(near.T).tocsr()


def _averaged(
    weights: sparse.csr_array, place: np.ndarray, num_probe: int
) -> tuple[sparse.csr_array, sparse.csc_array]:
    """The mean over each row's nearest (i32[n,k2]): rows of probes, index of gallery.

    The gallery's by column: which items have weight there, and how much.
    """
    num, k = place.shape
    starts = np.arange(0, num * k + 1, k)
    share = np.full(num * k, 1 / k, np.float32)
    mean = sparse.csr_array((share, place.ravel(), starts), (num, num))
    return mean[:num_probe] @ weights, (mean[num_probe:] @ weights).tocsc()


def _jaccard(probes: sparse.csr_array, index: sparse.csc_array) -> np.ndarray:
    """1 - sum min / sum max of weights that sum to 1 each: [b,n], [g,n] -> f32[b,g]."""
    out = np.empty((probes.shape[0], index.shape[0]), np.float32)
    for row in range(len(out)):
        mine = slice(probes.indptr[row], probes.indptr[row + 1])
        column, value = probes.indices[mine], probes.data[mine]
        count = index.indptr[column + 1] - index.indptr[column]
        end = np.cumsum(count)
        entry = np.arange(end[-1]) + np.repeat(index.indptr[column + 1] - end, count)
        least = np.minimum(np.repeat(value, count), index.data[entry])
        common = np.bincount(index.indices[entry], least, len(out[row]))
        out[row] = 1 - common / (2 - np.minimum(common, 1))
    return out


def _base_distances(
    probe: np.ndarray, gallery: np.ndarray, metric: str, block: int
) -> np.ndarray:
    """f32[b,p,d], f32[g,p,d] -> f32[b,g], by tiles of the gallery.

    Probes are padded to the block, so that the last one compiles nothing new.
    """
    rows = np.arange(block) % len(probe)
    x = jax.device_put(np.float32(probe[rows]))
    far = np.empty((len(probe), len(gallery)), np.float32)
    for there in _tiles(len(gallery), min(block, len(gallery))):
        y = jax.device_put(np.float32(gallery[there]))
        there = there[there >= 0]
        tile = jax.device_get(_distances(x, y, metric))
        far[:, there] = tile[: len(probe), : len(there)]
    return far


def _pair_distances(
    joint: tuple[np.ndarray, np.ndarray],
    pairs: sparse.csr_array,
    metric: str,
    block: int,
) -> np.ndarray:
    """The base distance of each entry, a row's to itself 0: [n,n] -> f32[entries]."""
    row = np.repeat(np.arange(pairs.shape[0], dtype=np.int32), _counts(pairs))
    far = np.empty(len(row), np.float32)
    for here in _tiles(len(row), min(block, len(row))):
        x = jax.device_put(_take(joint, row[here]))
        y = jax.device_put(_take(joint, pairs.indices[here]))
        here = here[here >= 0]
        far[here] = jax.device_get(distance.paired(x, y, metric))[: len(here)]
    far[row == pairs.indices] = 0
    return far


def _counts(matrix: sparse.csr_array) -> np.ndarray:
    """Entries of each row, int[n]."""
    return np.diff(matrix.indptr)


def _tiles(num: int, size: int) -> Iterator[np.ndarray]:
    """0 .. num - 1 in blocks of one size, the last one filled up with -1."""
    for start in range(0, num, size):
        index = np.arange(start, start + size, dtype=np.int32)
        yield np.where(index < num, index, np.int32(-1))


def _take(joint: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Embeddings of rows of the joint set, a probe for -1: f32[b,p,d]."""
    probe, gallery = joint
    of_gallery = rows >= len(probe)
    out = np.empty((len(rows), *probe.shape[1:]), np.float32)
    out[of_gallery] = gallery[rows[of_gallery] - len(probe)]
    out[~of_gallery] = probe[rows[~of_gallery]]
    return out


def _nothing(num: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances, places and largest distances before the first tile."""
    far, place = np.full((num, k), np.inf, np.float32), np.full((num, k), -1, np.int32)
    return far, place, np.zeros(num, np.float32)


_distances = jax.jit(distance.distances, static_argnames="metric")


@functools.partial(jax.jit, static_argnames="metric")
def _merge(x, y, best, metric: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One tile into the nearest so far; x and y: embeddings, numbers and groups."""
    (rows, row, row_group), (columns, column, column_group) = x, y
    near, place, largest = best
    far = distance.distances(rows, columns, metric)  # [b,c]
    filling = column < 0
    largest = jnp.maximum(largest, far.max(1))  # filling repeats a row: no larger
    alike = row_group[:, None] == column_group
    far = jnp.where(filling | alike, jnp.inf, far)
    # Rounding gives a row some distance to itself; before all others whatever it is.
    far = jnp.where(row[:, None] == column, -1.0, far)
    numbers = jnp.broadcast_to(column, far.shape)
    return *topk.merged((near, place), (far, numbers), near.shape[1]), largest
