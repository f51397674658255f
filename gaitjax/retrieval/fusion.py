"""Which clusters move together, and which are dissolved (Selective Fusion).

arXiv 2303.10772: clusters whose centroids are near those of a cluster in other clothes
move with it (SCF); clusters mostly of front and back views are dissolved, and their
sequences go to the nearest of the other clusters, the nearest ones first (SSF). Pure
functions of features f32[n,d], rows of length one, and labels i32[n], clusters
0 .. q-1 and -1 for what is in none. A memory has `capacity` rows c, zeros after the
q-th, so that no round compiles anew.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from gaitjax.errors import GaitError
from gaitjax.retrieval.clusters import numbered

BLOCK = 1024  # rows that are compared at a time; chosen


def flat_unit(embeddings: np.ndarray) -> np.ndarray:
    """All parts in one row of length one: [n,p,d] -> f32[n,p d]; zeros stay."""
    flat = np.float32(embeddings).reshape(len(embeddings), -1)
    return flat / _lengths(flat)


def centroids(features: np.ndarray, labels: np.ndarray, capacity: int) -> np.ndarray:
    """The mean of each cluster, of length one: f32[n,d], i32[n] -> f32[c,d]."""
    num = labels.max(initial=-1) + 1
    if num > capacity:
        raise GaitError(
            f"{num} clusters do not fit into a memory of capacity={capacity}; set "
            f"capacity to {num} or more"
        )
    members = np.flatnonzero(labels >= 0)
    ones = np.ones(len(members), np.float32)
    shape = capacity, len(features)
    # A sparse product adds the rows of a cluster in order, and copies none.
    total = sparse.csr_array((ones, (labels[members], members)), shape) @ features
    total /= _lengths(total)
    return total


def alone(labels: np.ndarray, capacity: int, size: int) -> np.ndarray:
    """Every cluster moves by itself: i32[c,size], the rest -1."""
    rows = np.full((capacity, size), -1, np.int32)
    num = labels.max(initial=-1) + 1
    rows[:num, 0] = np.arange(num)
    return rows


def supports(dressed: np.ndarray, memory: np.ndarray, size: int) -> np.ndarray:
    """What moves with each cluster, itself first: f32[c,d], f32[c,d] -> i32[c,size].

    dressed: centroids of the same clusters in other clothes. After the cluster itself
    come those whose centroids are the nearest to it by cosine, lower number first if
    equal; -1 where there are no more, and for rows of zeros.
    """
    num = np.count_nonzero(memory.any(1))
    rows = np.full((len(memory), size), -1, np.int32)
    for start in range(0, num, BLOCK):
        here = np.arange(start, min(start + BLOCK, num))
        cosine = dressed[here] @ memory[:num].T  # [b,q]
        cosine[np.arange(len(here)), here] = np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :size]
        rows[here, : order.shape[1]] = order
    return rows


def dissolve(
    features: np.ndarray,
    labels: np.ndarray,
    frontal: np.ndarray,
    *,
    epoch: int,
    share: float = 0.8,
    similarity: float = 0.7,
    rate: float = 0.005,
    adaptive: bool = True,
    previous: int | None = None,
) -> np.ndarray:
    """New labels, without clusters of front and back views: i32[n] -> i32[n].

    frontal bool[n]: seen from the front or the back. A cluster with more than `share`
    of those is dissolved; each of its sequences goes to the nearest centroid of the
    others if their cosine is over `threshold`, else to none (-1).
    epoch: rounds since the first of these. previous: clusters kept in the round before,
    None if there was none; the other options: see `threshold`.
    """
    gone = frontal_clusters(labels, frontal, share)
    num = np.count_nonzero(~gone)
    if num < 2:
        raise GaitError(
            f"front and back views are more than frontal_share={share} of {gone.sum()} "
            f"of {len(gone)} clusters, which leaves {num}, wanted 2 or more; raise "
            "frontal_share, or look at the classifier of views"
        )
    least = threshold(epoch, num, previous, similarity, rate, adaptive)
    lost = (labels >= 0) & gone[labels]
    kept = numbered(np.where(lost, np.int32(-1), labels))
    nearest, cosine = _nearest(features, lost, centroids(features, kept, num))
    kept[lost] = np.where(cosine > least, nearest, -1)
    return numbered(kept)


def frontal_clusters(
    labels: np.ndarray, frontal: np.ndarray, share: float
) -> np.ndarray:
    """Clusters with more than `share` of front and back views: bool[q]."""
    inside = labels >= 0
    size = np.bincount(labels[inside])
    return np.bincount(labels[inside], frontal[inside], len(size)) > share * size


def threshold(
    epoch: int,
    clusters: int,
    previous: int | None = None,
    similarity: float = 0.7,
    rate: float = 0.005,
    adaptive: bool = True,
) -> float:
    """The cosine over which a sequence of a dissolved cluster is taken in.

    similarity - epoch * rate * clusters / previous: the formula (Eq. 4), which lowers
    it, though the paper's text says that it grows. Without `previous`, or where not
    adaptive, the ratio is 1. Counted are the clusters that are kept.
    """
    ratio = clusters / previous if adaptive and previous else 1.0
    return similarity - epoch * rate * ratio


def _nearest(
    features: np.ndarray, chosen: np.ndarray, memory: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the chosen (bool[n]): the nearest centroid i32[m], the lower if equal, and
    the cosine f32[m]."""
    rows = np.flatnonzero(chosen)
    place, cosine = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        here = slice(start, start + BLOCK)
        values = features[rows[here]] @ memory.T
        place[here], cosine[here] = values.argmax(1), values.max(1)
    return place, cosine


def _lengths(x: np.ndarray) -> np.ndarray:
    """f32[n,d] -> f32[n,1], 1 for zeros."""
    square = np.einsum("nd,nd->n", x, x, dtype=np.float64)[:, None]
    return np.float32(np.sqrt(np.where(square > 0, square, 1)))
