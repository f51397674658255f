"""What sorting again costs per probe: CarGait against rivals without training.

All get the same made-up embeddings in host memory; CarGait and LBR sort the same ten
nearest, which the base has found, k-reciprocal and GCR look at everybody, as they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from gaitjax.bench.measure import Row, interleaved, ratios, row
from gaitjax.methods.cargait import ReRanker
from gaitjax.ops import topk
from gaitjax.retrieval import kreciprocal, rivals
from gaitjax.runtime import mesh

K = 10


def run(quick: bool) -> list[Row]:
    """Milliseconds per probe, and how many times CarGait's that is."""
    mesh.check_device(None)
    q, g, p, d = (64, 512, 8, 64) if quick else (512, 4096, 16, 256)
    probe, gallery = people(q, p, d, 0), people(g, p, d, 1)
    took = interleaved(methods(probe, gallery), 3 if quick else 5)
    return list(rows(took, q, f"{q:,} probes in {g:,}, [{p}, {d}]"))


def rows(took: dict[str, list[float]], q: int, label: str) -> Iterator[Row]:
    """took: seconds for all probes, by name; `cargait` is what ratios are of."""
    for name, seconds in took.items():
        yield row(f"{label}: {name}", "ms/probe", [1e3 * s / q for s in seconds])
    for name in took:
        if name not in ("cargait", "base top-10"):
            more = ratios(took, name, "cargait")
            yield row(f"{label}: {name} / cargait", "times", more)


def methods(
    probe: np.ndarray, gallery: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
    """Each sorts again for all probes: f32[q,p,d], f32[g,p,d]."""
    model = ReRanker(8, 256, False, False, 0, 1)
    pair = np.zeros((2, 1, *probe.shape[1:]), np.float32)
    params = jax.jit(model.init)(jax.random.key(0), *pair)
    nearest = jax.jit(lambda x, y: topk.topk(x, y, K)[1])
    near = np.asarray(nearest(probe, gallery))

    @jax.jit
    def rescore(params: dict, x: jax.Array, y: jax.Array, near: jax.Array) -> jax.Array:
        return model.apply(params, x[:, None], y[near]).argsort(-1)

    return {
        "base top-10": lambda: np.asarray(nearest(probe, gallery)),
        "cargait": lambda: np.asarray(rescore(params, probe, gallery, near)),
        "lbr": lambda: rivals.lbr(probe, gallery, k=K),
        "k-reciprocal": lambda: kreciprocal.k_reciprocal(probe, gallery),
        "gcr": lambda: rivals.gcr(probe, gallery),
    }


def people(n: int, p: int, d: int, seed: int) -> np.ndarray:
    """Embeddings f32[n,p,d] of n / 8 people who differ more than their walks do."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(n // 8, 1), p, d))
    noise = np.random.default_rng((1, seed)).normal(size=(n, p, d))
    return np.float32(centres[np.arange(n) % len(centres)] + 0.7 * noise)
