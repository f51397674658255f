"""Embeddings on a plane, by t-SNE, to be coloured by what they should (not) show."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from gaitjax.retrieval.protocols import Labels

# Chosen: a second of t-SNE, and a picture that can still be read.
NUM_POINTS, NUM_PEOPLE, NUM_COLOURED = 1000, 40, 6


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """Places f32[n,2], and labels str[n] by what they say; "" is drawn in grey."""

    places: np.ndarray
    labels: dict[str, np.ndarray]


def sample_rows(index: Labels, seed: int = 0) -> np.ndarray:
    """Rows of a few people, all of their sequences as far as there is room; sorted.

    Whole people, since one sequence of each says nothing about who lies where.
    """
    rng = np.random.default_rng(seed)
    people = rng.permutation(np.unique(index.subject))[:NUM_PEOPLE]
    rows = np.flatnonzero(np.isin(index.subject, people))
    return np.sort(rng.permutation(rows)[:NUM_POINTS])


def lay_out(
    views: Mapping[str, np.ndarray], index: Labels, seed: int = 0
) -> EmbeddingMap | None:
    """t-SNE (van der Maaten and Hinton, JMLR 2008) of PCA of all parts, flattened.

    views: f32[n,p,d] by modality, row i being row i of the index; those of the first
    one's shape share the plane. None where there is nothing to lay out: fewer than
    ten points, or all of them the same.
    """
    # They take a second to import, which only a report has to pay.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    shape = np.shape(next(iter(views.values())))[1:]
    views = {key: x for key, x in views.items() if x.shape[1:] == shape}
    rng = np.random.default_rng(seed)
    number = min(len(index.subject), NUM_POINTS // len(views))
    rows = np.sort(rng.permutation(len(index.subject))[:number])
    x = np.concatenate([x[rows].reshape(number, -1) for x in views.values()])
    if len(x) < 10 or not np.ptp(x, 0).max() > 1e-6 * np.abs(x).max():
        return None
    dims = min(50, *x.shape)
    # One thread: the same every time, and on a busy machine many times faster.
    with threadpool_limits(1):
        x = PCA(dims, svd_solver="randomized", random_state=seed).fit_transform(x)
        perplexity = min(30, (len(x) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        places = np.float32(tsne.fit_transform(x))
    labels = {
        "identity": _few(index.subject[rows], rng),
        "condition": np.array([kind(name) for name in index.condition[rows]]),
        "view": index.view[rows],
    }
    labels = {key: np.tile(values, len(views)) for key, values in labels.items()}
    labels["modality"] = np.repeat(list(views), number)
    several = {key: v for key, v in labels.items() if len(set(v.tolist())) > 1}
    return EmbeddingMap(places, several)


def _few(subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some people by name and the others as ""."""
    names = np.unique(subject)
    if len(names) <= NUM_COLOURED:
        return subject
    chosen = rng.permutation(names)[:NUM_COLOURED]
    return np.where(np.isin(subject, chosen), subject, "")


def kind(condition: str) -> str:
    """`nm-01` is `nm`; what is only a number stays."""
    return re.sub(r"-\d+$", "", condition) or condition
