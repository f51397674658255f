"""Exact top-K: ours against numpy, and faiss-cpu's exact index where it is installed.

One part, so that all three solve the same problem; then as many parts as a gait
network has, which faiss has no distance for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import jax
import numpy as np

from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.bench.rerank import people
from gaitjax.ops import topk

K = 10


def run(quick: bool) -> list[Row]:
    """Milliseconds for all probes, and ratios to ours in the same run."""
    sizes = [(64, 4096, 1, 64), (64, 4096, 8, 64)]
    if not quick:
        sizes = [(512, 20_000, 1, 256), (512, 20_000, 16, 256)]
    return [row for size in sizes for row in rows(*size, 3 if quick else 5)]


def rows(q: int, g: int, p: int, d: int, times: int) -> Iterator[Row]:
    """Of one size."""
    probe, gallery = people(q, p, d, 0), people(g, p, d, 1)
    label = f"{q:,} probes, {g:,} items, [{p}, {d}]"
    found = searchers(probe, gallery)
    took = interleaved(found, times)
    for name, seconds in took.items():
        yield row(f"{label}: {name}", "ms", [1e3 * s for s in seconds])
        if name != "gaitjax":
            more = ratios(took, name, "gaitjax")
            yield row(f"{label}: {name} / gaitjax", "times", more)
    if p == 1 and "faiss" not in took:
        yield figure(f"{label}: faiss-cpu (pip install faiss-cpu)", "ms", None)


def searchers(
    probe: np.ndarray, gallery: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives places i[q,K] of the nearest; the gallery is where they want it."""
    search = jax.jit(lambda x, y: topk.topk(x, y, K)[1])
    there = jax.device_put(gallery)
    found = {
        "gaitjax": lambda: np.asarray(search(probe, there)),
        "numpy": lambda: by_numpy(probe, gallery),
    }
    if probe.shape[1] == 1:
        index = faiss_index(gallery[:, 0])
        if index is not None:
            found["faiss"] = lambda: index.search(probe[:, 0], K)[1]
    return found


def by_numpy(probe: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The plainest way that is not slow: products per part, argpartition, a sort."""
    far = np.zeros((len(probe), len(gallery)), np.float32)
    for part in range(probe.shape[1]):
        x, y = probe[:, part], gallery[:, part]
        square = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * (x @ y.T)
        far += np.sqrt(np.maximum(square, 0))
    near = np.argpartition(far, K, 1)[:, :K]
    order = np.take_along_axis(far, near, 1).argsort(1)
    return np.take_along_axis(near, order, 1)


def faiss_index(rows: np.ndarray):
    """faiss's exact index of f32[g,d] on as many threads as JAX has, or None."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(os.cpu_count())
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    return index
