"""A round of Selective Fusion without the network: neighbours, clusters, memory.

Features are made up: 10,000 rows of 62 x 256 on a CPU, 100,000 on an accelerator (on a
CPU those are predicted, not run); 2,000 of 2,048 with `quick`. A person is a point in
a space of RANK dimensions, in which some people are near one another; every one has
TAKES takes (clothes), a person's point moved a little, and a sequence is its take moved
again, with noise in all dimensions. What clusterers find of these people is printed
beside the times: neither all nor nothing.

Timed, in turns in one run: `neighbours`, each clusterer on them (Infomap where it is
installed), `memory` (centroids, support sets, dissolving, once a round), `updates` (the
memory after a step's gradient, 10 steps; a round of the paper has 100). Then the whole
of neighbours and a clusterer, ours against faiss-cpu's exact inner-product index where
it is installed. Extraction is in no figure. Peak memory is that of the process, or of
the device, up to then: it can only grow.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.losses import contrast
from gaitjax.retrieval import clusters, fusion
from gaitjax.runtime import mesh
from gaitjax.runtime.metrics_log import peak_memory_gib

NEIGHBOURS, SUPPORT, BATCH, STEPS, ROUND = 40, 2, 128, 10, 100
SIMILARITY = 0.5  # chosen: between those
# Chosen: cosines are about 0.7 within a take and 0.4 to another take of a person, so
# that clusterers split people and mix some.
RANK, SEQUENCES, TAKES = 32, 40, 4
MOVED, NOISE = (0.9, 0.7), 0.6
Found = tuple[np.ndarray, np.ndarray]  # places i[n,k], cosines f32[n,k]


def run(quick: bool) -> list[Row]:
    """Seconds and ratios of one size."""
    mesh.check_device(None)
    on_cpu = jax.default_backend() == "cpu"
    num, d = (2_000, 2_048) if quick else (10_000 if on_cpu else 100_000, 62 * 256)
    found = list(rows(num, d, 3 if quick or on_cpu else 5))
    if on_cpu and not quick:
        found += predicted(found, num, d)
    return found


def rows(num: int, d: int, times: int) -> Iterator[Row]:
    """Of one size."""
    label = f"{num:,} x {d:,}"
    x, people = made_up(num, d)
    # First: both are wrapped by SWIG, and where faiss comes after it, infomap's
    # iterators are taken for faiss's and crash.
    rival = faiss_search(x)
    yield peak(label, "with the features")
    near = clusters.nearest(x, NEIGHBOURS)
    yield peak(label, "after neighbours")
    labels = {}
    for name, fn in clusterers().items():
        labels[name] = clusters.numbered(fn(*near), 4)
        yield from agreement(f"{label}: {name}", labels[name], people)
    yield peak(label, "after clustering")
    took = interleaved(parts(x, near, labels["dbscan"]), times)
    for name, values in took.items():
        yield row(f"{label}: {name}", "s", values)
    a_round = [ROUND / STEPS * value for value in took["updates"]]
    yield row(f"{label}: updates, times {ROUND // STEPS} for a round", "s", a_round)
    yield peak(label, "after memory")
    yield from rivals(label, x, near, rival, times)


def made_up(num: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features f32[num,d] of length one, and whose they are, i[num]."""
    rng = np.random.default_rng(seed)
    people = np.arange(num) // SEQUENCES
    takes = people * TAKES + np.arange(num) % TAKES
    far, near = (size / np.sqrt(RANK) for size in MOVED)
    points = rng.normal(size=(people[-1] + 1, RANK)) / np.sqrt(RANK)
    points = points.repeat(TAKES, 0)
    points += far * rng.normal(size=points.shape)
    points = points[takes] + near * rng.normal(size=(num, RANK))
    basis = np.float32(rng.normal(size=(RANK, d)) / np.sqrt(d))
    x = np.float32(points) @ basis  # [num,d], lengths about those of the points
    for start in range(0, num, 1_000):  # a block at a time: noise is in doubles
        some = x[start : start + 1_000]
        some += NOISE / np.sqrt(d) * rng.standard_normal(some.shape, np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
    order = rng.permutation(num)
    return x[order], people[order]


def clusterers() -> dict[str, Callable[..., np.ndarray]]:
    """Those that are installed: neighbours' places and cosines -> labels i[n]."""

    def dbscan(place: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        sets = clusters.neighbour_sets(place, cosine, similarity=SIMILARITY)
        return clusters.dbscan(sets, eps=0.5, min_samples=4)

    found: dict[str, Callable[..., np.ndarray]] = {"dbscan": dbscan}
    try:
        import infomap  # noqa: F401
    except ImportError:
        return found
    return found | {
        "infomap": functools.partial(clusters.infomap, similarity=SIMILARITY)
    }


def agreement(label: str, labels: np.ndarray, people: np.ndarray) -> Iterator[Row]:
    """What is clustered is no random graph."""
    found = clusters.quality(labels, people)
    yield figure(
        f"{label}, clusters of {people.max() + 1} people", "", found.pop("clusters")
    )
    for key in ("purity", "ari", "dropped"):
        yield figure(f"{label}, {key}", "", found[key])


def parts(
    x: np.ndarray, near: Found, labels: np.ndarray
) -> dict[str, Callable[[], object]]:
    """What is timed, by name; labels as clustered, i32[n]."""
    return {**between_steps(x, near, labels), "updates": updates(x, labels)}


def between_steps(
    x: np.ndarray, near: Found, labels: np.ndarray
) -> dict[str, Callable[[], object]]:
    """Those of them that come once a round."""
    calls = {"neighbours": lambda: clusters.nearest(x, NEIGHBOURS)}
    for name, fn in clusterers().items():
        calls[name] = functools.partial(fn, *near)
    return {**calls, "memory": lambda: refreshed(x, labels)}


def capacity(labels: np.ndarray) -> int:
    """The paper's memory has room for more than there is; 2,048 are the default."""
    return max(2_048, int(labels.max()) + 1)


def refreshed(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroids and support sets of a round with both fusions. Every fifth cluster is
    one of front views; other clothes are the features themselves."""
    labels = fusion.dissolve(x, labels, labels % 5 == 0, epoch=1)
    centroids = fusion.centroids(x, labels, capacity(labels))
    dressed = fusion.centroids(x, labels, capacity(labels))
    return centroids, fusion.supports(dressed, centroids, SUPPORT)


def updates(x: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """STEPS updates of a memory by batches of clustered rows, each of which moves its
    cluster and another one."""
    num = int(labels.max()) + 1
    some = np.resize(np.flatnonzero(labels >= 0), BATCH)
    rows = np.stack([labels[some], (labels[some] + 1) % num], 1)
    rows = jax.device_put(np.int32(rows))
    q = jax.device_put(x[some])
    update = jax.jit(contrast.update, donate_argnums=0)
    memory = jax.device_put(fusion.centroids(x, labels, capacity(labels)))

    def once() -> None:
        nonlocal memory
        for _ in range(STEPS):
            memory = update(memory, q, rows, jnp.float32(0.5))
        jax.block_until_ready(memory)

    return once


def rivals(
    label: str,
    x: np.ndarray,
    near: Found,
    rival: Callable[[], Found] | None,
    times: int,
) -> Iterator[Row]:
    """Neighbours and a clusterer, ours and the rival's, in turns."""
    for name, fn in clusterers().items():
        searchers = {"gaitjax": functools.partial(clusters.nearest, x, NEIGHBOURS)}
        text = f"{label}: neighbours and {name}"
        if rival is None:
            yield figure(f"{text}: faiss-cpu (pip install faiss-cpu)", "s", None)
            yield figure(f"{text}: faiss-cpu / gaitjax", "times", None)
            continue
        searchers["faiss-cpu"] = rival
        pairs = zip(rival()[0], near[0], strict=True)
        same = np.mean([np.isin(one, other).mean() for one, other in pairs])
        yield figure(f"{text}: neighbours that are faiss-cpu's", "%", 100 * same)
        calls = {
            key: functools.partial(both, one, fn) for key, one in searchers.items()
        }
        yield from compared(text, interleaved(calls, times))


def both(search: Callable[[], Found], fn: Callable[..., np.ndarray]) -> np.ndarray:
    """A search, and clusters of what it found."""
    return fn(*search())


def compared(text: str, took: Mapping[str, list[float]]) -> Iterator[Row]:
    """Seconds by name, and how many times as long as ours, turn by turn."""
    for name, values in took.items():
        yield row(f"{text}: {name}", "s", values)
        if name != "gaitjax":
            more = ratios(took, name, "gaitjax")
            yield row(f"{text}: {name} / gaitjax", "times", more)


def faiss_search(x: np.ndarray) -> Callable[[], Found] | None:
    """faiss's exact search of all rows among themselves, index and all, on as many
    threads as JAX has; None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(os.cpu_count())

    def search() -> Found:
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(x)
        cosine, place = index.search(x, NEIGHBOURS)
        # Itself first, as ours; faiss may have an equal row before it.
        itself = np.arange(len(x))[:, None]
        order = np.argsort(place != itself, axis=1, kind="stable")
        place = np.take_along_axis(place, order, 1).astype(np.int32)
        return place, np.take_along_axis(cosine, order, 1)

    return search


def predicted(
    measured: list[Row], num: int, d: int, of: int = 100_000
) -> Iterator[Row]:
    """Not run: the neighbours of ten times the rows take a hundred times as long, the
    clusters ten times; and what the search has on the device, in half precision."""
    label, more = f"{of:,} x {d:,}, predicted", of / num
    for name in ("neighbours", *clusterers()):
        (one,) = (x for x in measured if x.what == f"{num:,} x {d:,}: {name}")
        factor = more**2 if name == "neighbours" else more
        yield figure(f"{label}: {name}", "s", factor * one.median)
    yield figure(f"{label}: device memory of neighbours", "GiB", device_gib(of, d))


def device_gib(num: int, d: int) -> float:
    """Features in float32 and float16, columns of one product, and four arrays of a
    block against all: products, their sum, and what top-K sorts."""
    numbers = num * (4 * d + 2 * d + 4 * clusters.CHUNK + 4 * 4 * clusters.BLOCK)
    return numbers / 2**30


def peak(label: str, when: str) -> Row:
    """The most that was held so far."""
    return figure(f"{label}: peak memory {when}", "GiB", peak_memory_gib())
