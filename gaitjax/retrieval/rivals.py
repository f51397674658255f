"""Re-rankers that CarGait is compared with: local blurring and graph convolution.

LBR (local blurring re-ranking, Luo et al., 2019): the top k of each probe are
replaced by averages of each other, the closer the heavier, and sorted again.
GCR (graph convolution re-ranking, Zhang et al., TMM 2023): all rows, probes and
gallery, are averaged over their nearest, a few rounds long, and compared as usual.

Both work on concatenated strips of length one (`strips`); k-reciprocal, the third,
is in `kreciprocal`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from gaitjax.errors import GaitError
from gaitjax.retrieval import kreciprocal, ranking


def strips(embedding: np.ndarray) -> np.ndarray:
    """Strips of length one, side by side, as rows of length one: [n,p,d] -> f32[n,p*d].

    A product of two rows is then the mean cosine of their strips (where none is 0).
    """
    unit = _unit(np.float32(embedding))
    return _unit(unit.reshape(len(unit), -1))


def lbr(
    probe: np.ndarray,
    gallery: np.ndarray,
    *,
    k: int = 50,
    temperature: float = 0.1,
    metric: str = "euclidean",
    hidden: np.ndarray | None = None,
    block: int = 64,
) -> np.ndarray:
    """Places of all items, nearest first: f32[q,p,d], f32[g,p,d] -> i32[q,g].

    The first k are sorted again, the rest keep the base's order.
    k: clamped to the gallery. k and temperature are those of the authors' program.
    metric: of the base, which finds the k; the authors' is the cosine.
    hidden: bool, broadcastable to [q,g]: goes last and blurs nothing.
    block: probes at a time; each takes k embeddings.
    """
    kreciprocal.check(probe, gallery, metric, block)
    if k < 1 or not temperature > 0:
        raise GaitError(
            "local blurring wants k of 1 or more and a temperature above 0, got "
            f"k={k}, temperature={temperature}; 50 and 0.1 are usual"
        )
    hidden = np.zeros((1, 1), bool) if hidden is None else hidden
    hidden = np.broadcast_to(hidden, (len(probe), len(gallery)))
    items, flat = jax.device_put(np.float32(gallery)), jax.device_put(strips(gallery))
    order = np.empty((len(probe), len(gallery)), np.int32)
    top, heat = min(k, len(gallery)), jax.device_put(np.float32(temperature))
    for here, filled in ranking.probe_blocks(len(probe), block):
        x = jax.device_put((np.float32(probe[filled]), strips(probe[filled])))
        away = jax.device_put(hidden[filled])
        found = _resort(*x, items, flat, away, heat, top, metric)
        order[here] = jax.device_get(found)[: len(here)]
    return order


def blur(
    probe: jax.Array, top: jax.Array, valid: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Products of probes with their blurred items: f32[b,d], f32[b,k,d] -> f32[b,k].

    Rows of length one, see `strips`. valid: bool[b,k]; the others get -inf.
    The blurred items W top, W = softmax(top top' / temperature), are never built: the
    probe's product with them is W (top probe).
    """
    dot = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    alike = dot("bkd,bld->bkl", top, top) / temperature
    alike = jnp.where(valid[:, None], alike, -jnp.inf)
    # A softmax over nothing is NaN; what it gives here is replaced below anyway.
    alike = jnp.where(valid.any(1)[:, None, None], alike, 0.0)
    score = dot("bkl,bl->bk", jax.nn.softmax(alike), dot("bkd,bd->bk", top, probe))
    return jnp.where(valid, score, -jnp.inf)


def gcr(
    probe: np.ndarray,
    gallery: np.ndarray,
    probe_group: np.ndarray | None = None,
    gallery_group: np.ndarray | None = None,
    **options,
) -> np.ndarray:
    """Re-ranked distances, all at once: f32[q,p,d], f32[g,p,d] -> f32[q,g].

    Groups and options: as in `gcr_blocks`.
    """
    blocks = gcr_blocks(probe, gallery, probe_group, gallery_group, **options)
    return kreciprocal.stacked(blocks, probe, gallery)


def gcr_blocks(
    probe: np.ndarray,
    gallery: np.ndarray,
    probe_group: np.ndarray | None = None,
    gallery_group: np.ndarray | None = None,
    *,
    k1: int = 15,
    k2: int = 3,
    beta1: float = 0.2,
    beta2: float = 0.2,
    scale: float = 0.3,
    rounds: int = 3,
    block: int = kreciprocal.BLOCK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows int[b] of the probes and their re-ranked distances f32[b,g], in order.

    probe_group, gallery_group: views (the authors': cameras), any labels [q], [g].
    A row is averaged over its k1 nearest at large (1 - scale) and its k2 nearest of
    other views (scale), itself counted; without groups over the former alone.
    The defaults are the authors' for Market-1501. k1, k2: clamped to q + g.
    Departs from the authors' program, where a row short of k2 in other views takes
    some of its own view, with a weight of exp(-3 / beta2) relative to itself.
    """
    kreciprocal.check(probe, gallery, "euclidean", block)
    if min(k1, k2, rounds) < 1 or not min(beta1, beta2) > 0 or not 0 <= scale <= 1:
        raise GaitError(
            "graph convolution wants k1, k2 and rounds of 1 or more, betas above 0 and "
            f"a scale of 0 to 1, got k1={k1}, k2={k2}, rounds={rounds}, beta1={beta1}, "
            f"beta2={beta2}, scale={scale}; leave out what is wrong"
        )
    group = _groups(probe, gallery, probe_group, gallery_group)
    scale = 0.0 if group is None else scale
    parts = (1 - scale, k1, beta1, None), (scale, k2, beta2, group)
    return _gcr(probe, gallery, [part for part in parts if part[0]], rounds, block)


def _gcr(
    probe: np.ndarray, gallery: np.ndarray, parts: list, rounds: int, block: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    q = len(probe)
    x = np.concatenate([strips(probe), strips(gallery)])  # [n,p*d]
    for _ in range(rounds):
        mixed = np.zeros_like(x)
        for share, k, beta, group in parts:
            mixed += np.float32(share) * (_graph(x, q, k, beta, group, block) @ x)
        x = _unit(mixed)
    size = min(block, q)
    for start in range(0, q, size):
        rows = np.arange(start, min(start + size, q))
        yield rows, _euclidean(x[rows], x[q:], size)


def _euclidean(probe: np.ndarray, gallery: np.ndarray, block: int) -> np.ndarray:
    """[b,d], [g,d] -> f32[b,g], in float64 on the host.

    The rounds draw neighbours together to 1e-4 and less, where float32's
    |x|^2 + |y|^2 - 2xy is rounding only: it would sort the best matches by chance.
    """
    x = np.float64(probe)
    out = np.empty((len(probe), len(gallery)), np.float32)
    for start in range(0, len(gallery), block):
        y = np.float64(gallery[start : start + block])
        square = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
        out[:, start : start + block] = np.sqrt(np.maximum(square, 0))
    return out


def _graph(
    x: np.ndarray,
    q: int,
    k: int,
    beta: float,
    group: np.ndarray | None,
    block: int,
) -> sparse.csr_array:
    """Weights exp(cosine / beta) of the k nearest, normalised both ways: [n,n].

    By root of the row's sum times root of the column's, not made symmetric.
    """
    num = len(x)
    k = min(k, num)
    place, far, _ = kreciprocal.neighbours(
        x[:q, None], x[q:, None], k, metric="cosine", block=block, group=group
    )
    # exp((cosine - 1) / beta): the constant cancels, and small betas do not overflow.
    weight = np.exp(-far / np.float32(beta))  # [n,k]; no neighbour: 0
    place = np.maximum(place, 0)
    column = np.bincount(place.ravel(), weight.ravel(), num)  # never 0: itself
    weight = weight / np.sqrt(weight.sum(1, keepdims=True) * column[place])
    starts = np.arange(0, num * k + 1, k)
    weight = weight.astype(np.float32).ravel()
    return sparse.csr_array((weight, place.ravel(), starts), (num, num))


def _groups(
    probe: np.ndarray,
    gallery: np.ndarray,
    probe_group: np.ndarray | None,
    gallery_group: np.ndarray | None,
) -> np.ndarray | None:
    """Groups of all rows as numbers, i32[n]."""
    if probe_group is None and gallery_group is None:
        return None
    groups = [() if one is None else one for one in (probe_group, gallery_group)]
    sizes = [len(one) for one in groups]
    if sizes != [len(probe), len(gallery)]:
        raise GaitError(
            f"groups want one label per row, {len(probe)} and {len(gallery)}, got "
            f"{sizes[0]} and {sizes[1]}; give both or none"
        )
    return np.unique(np.concatenate(groups), return_inverse=True)[1].astype(np.int32)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Length one along the last axis; a zero row stays zero."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


@functools.partial(jax.jit, static_argnames=("k", "metric"))
def _resort(
    probe, flat_probe, gallery, flat_gallery, hidden, temperature, k: int, metric: str
) -> jax.Array:
    """One block of probes: i32[b,g]."""
    far, place = ranking.sort_distances(probe, gallery, hidden, metric)
    first, rest = place[:, :k], place[:, k:]
    valid = jnp.isfinite(far[:, :k])
    score = blur(flat_probe, flat_gallery[first], valid, temperature)
    again = jnp.argsort(-score, axis=1, stable=True)
    return jnp.concatenate([jnp.take_along_axis(first, again, 1), rest], 1)
