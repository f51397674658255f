"""Exact top-K: ours against PyTorch, numpy, and faiss-cpu's exact index.

One part, so that all solve the same problem; then as many parts as a gait network has,
which faiss has no distance for.

On the device: `ops.topk.topk` and `exact_topk` beside `torch.cdist` and `topk`, the
same parts, dims and float32, embeddings there already and answers left there. The parts
of a search are programs of their own: matmul, the products alone; distances, these with
roots and mean; selection, of distances that are there. They need not add up to the
total, which the compiler makes one program of. Without torch its rows are "not
measured".

From the host: probes come from there and answers go back, as `numpy` and faiss have
them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.bench.measure import Row, figure, interleaved, ratios, row
from gaitjax.bench.rerank import people
from gaitjax.ops import distance, topk
from gaitjax.runtime import mesh

K = 10
BLOCK = 4096  # gallery items, the default of `topk`
OURS = ("gaitjax topk", "gaitjax exact_topk")
THEIRS = ("torch", "torch, part by part")
PARTS = tuple(f"torch {part}" for part in ("matmul", "distances", "selection"))


def run(quick: bool) -> Iterator[Row]:
    """Milliseconds for all probes, and ratios to ours in the same run."""
    mesh.check_device(None)
    sizes = [(64, 4096, 1, 64), (64, 4096, 8, 64)]
    if not quick:
        sizes = [(512, 20_000, 1, 256), (512, 20_000, 16, 256)]
    for size in sizes:
        yield from rows(*size, 3 if quick else 5)


def rows(q: int, g: int, p: int, d: int, times: int) -> Iterator[Row]:
    """Of one size."""
    probe, gallery = people(q, p, d, 0), people(g, p, d, 1)
    label = f"{q:,} probes, {g:,} items, [{p}, {d}]"
    # A search is short on an accelerator, and waiting for each would be measured, too.
    count = 1 if jax.default_backend() == "cpu" else 20
    calls = ours(probe, gallery, count) | theirs(probe, gallery, count)
    took = interleaved(calls, times)
    took = {name: [v / count for v in values] for name, values in took.items()}
    yield from on_device(f"{label}, on the device", took)
    yield from from_host(label, probe, gallery, times)


def on_device(label: str, took: Mapping[str, list[float]]) -> Iterator[Row]:
    """took: seconds of a search or a part of it, by name."""
    for name in (*dict.fromkeys((*took, *PARTS, *THEIRS)),):
        values = [1e3 * value for value in took.get(name, ())]
        text = f"{label}: {name}"
        yield row(text, "ms", values) if values else figure(text, "ms", None)
    for name in THEIRS:
        for mine in OURS:
            text = f"{label}: {name} / {mine}"
            more = ratios(took, name, mine) if name in took else None
            yield row(text, "times", more) if more else figure(text, "times", None)


def from_host(
    label: str, probe: np.ndarray, gallery: np.ndarray, times: int
) -> Iterator[Row]:
    """The way there and back is in all of them."""
    found = searchers(probe, gallery)
    took = interleaved(found, times)
    for name, seconds in took.items():
        yield row(f"{label}: {name}", "ms", [1e3 * s for s in seconds])
        if name != "gaitjax":
            more = ratios(took, name, "gaitjax")
            yield row(f"{label}: {name} / gaitjax", "times", more)
    if probe.shape[1] == 1 and "faiss" not in took:
        yield figure(f"{label}: faiss-cpu (pip install faiss-cpu)", "ms", None)


def ours(
    probe: np.ndarray, gallery: np.ndarray, count: int
) -> dict[str, Callable[[], object]]:
    """By name, `count` searches and their parts, waited for."""
    x, y = jax.device_put((probe, gallery))
    far = jax.jit(distance.distances)(x, y)
    far = jnp.pad(far, ((0, 0), (0, -far.shape[1] % BLOCK)), constant_values=jnp.inf)
    programs = {
        "gaitjax matmul": (jax.jit(products), x, y),
        "gaitjax distances": (jax.jit(distance.distances), x, y),
        "gaitjax selection": (jax.jit(selected), far),
        OURS[0]: (jax.jit(lambda x, y: topk.topk(x, y, K, block=BLOCK)), x, y),
        OURS[1]: (lambda x, y: topk.exact_topk(x, y, K, block=BLOCK), x, y),
    }

    def repeated(program: Callable, *arguments: jax.Array) -> Callable[[], object]:
        def once() -> object:
            for _ in range(count):
                last = program(*arguments)
            return jax.block_until_ready(last)

        return once

    return {name: repeated(*program) for name, program in programs.items()}


def theirs(
    probe: np.ndarray, gallery: np.ndarray, count: int
) -> dict[str, Callable[[], object]]:
    """The same of PyTorch; none where it or its device is missing."""
    if importlib.util.find_spec("torch") is None:
        return {}
    twin = importlib.import_module("gaitjax.bench.torch_topk")
    return twin.searchers(probe, gallery, K, count)


def products(x: jax.Array, y: jax.Array) -> jax.Array:
    """Those of all parts, one after the other as `ops.distance` has them, added up."""

    def add(total: jax.Array, part: tuple) -> tuple[jax.Array, None]:
        precision = jax.lax.Precision.HIGHEST
        return total + jnp.einsum("qd,gd->qg", *part, precision=precision), None

    start = jnp.zeros((len(x), len(y)), jnp.float32)
    return jax.lax.scan(add, start, (x.swapaxes(0, 1), y.swapaxes(0, 1)))[0]


def selected(far: jax.Array) -> topk.Best:
    """What `ops.topk` does with distances f32[q,g], which are whole blocks."""

    def merge(best: topk.Best, start: jax.Array) -> tuple[topk.Best, None]:
        some = jax.lax.dynamic_slice_in_dim(far, start, BLOCK, 1)
        index = jnp.broadcast_to(start + jnp.arange(BLOCK), some.shape)
        return topk.merged(best, (some, index.astype(jnp.int32)), K), None

    starts = jnp.arange(0, far.shape[1], BLOCK)
    return jax.lax.scan(merge, topk.nothing(len(far), K), starts)[0]


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
