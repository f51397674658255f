"""Re-rankers that learn nothing, by name, as `ranking.Rerank`: CarGait's rivals.

They see one list, probes and gallery, at a time: in a protocol of view pairs the
gallery of one view, else all of it. What a probe may not find still counts among the
neighbours that they look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gaitjax.arguments import unknown
from gaitjax.errors import GaitError
from gaitjax.retrieval import kreciprocal, rivals
from gaitjax.retrieval.ranking import Rerank, Score

RIVALS = ("kreciprocal", "lbr", "gcr")
K1, K2 = 20, 6  # of k-reciprocal, as published


def make(names: Sequence[str], metric: str) -> list[Rerank]:
    """Some of `RIVALS`; metric: the base distance."""
    matrices: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "kreciprocal": lambda x, y: _k_reciprocal(x, y, metric),
        "lbr": lambda x, y: _places(rivals.lbr(x, y, metric=metric)),
        "gcr": rivals.gcr,
    }
    for name in names:
        if name not in matrices:
            raise GaitError(unknown(name, RIVALS, "name in eval.rivals"))
    return [Rerank(name, None, _by(matrices[name])) for name in names]


def _by(
    matrix: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], Score]:
    """Of a function that gives f[q,g] at once."""

    def open_list(probes: np.ndarray, gallery: np.ndarray) -> Score:
        far = matrix(probes, gallery)
        return lambda places, near: far[places[:, None], near]

    return open_list


def _k_reciprocal(probe: np.ndarray, gallery: np.ndarray, metric: str) -> np.ndarray:
    """Says what it is about to take: memory is what it is known to run out of."""
    q, g = len(probe), len(gallery)
    size = kreciprocal.predicted_bytes(q, g, K1, K2, *probe.shape[1:])
    print(f"k-reciprocal of {q:,} probes x {g:,}: at most {size / 2**30:.2f} GiB")
    return kreciprocal.k_reciprocal(probe, gallery, k1=K1, k2=K2, metric=metric)


def _places(order: np.ndarray) -> np.ndarray:
    """order[i] lists places -> where each place is in it."""
    return np.argsort(order, axis=1, kind="stable")
