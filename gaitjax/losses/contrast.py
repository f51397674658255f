"""Losses against a memory of cluster centroids, and how the memory follows.

ClusterNCE and the momentum update are Cluster-Contrast's (Dai et al., ACCV 2022), the
update of several clusters at once and the schedule of the momentum Selective Fusion's
(arXiv 2303.10772, Eq. 2). `instances` is the rival's, GaitSSB. Embeddings q and
centroids are rows of length one, parts in a row (`flat_unit`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

HIGHEST = jax.lax.Precision.HIGHEST


def flat_unit(embeddings: jax.Array) -> jax.Array:
    """All parts in one row of length one: [n, p, d] -> f32 [n, p d]."""
    n, p, d = embeddings.shape
    return _unit(embeddings.astype(jnp.float32).reshape(n, p * d))


def cluster_nce(
    q: jax.Array,
    memory: jax.Array,
    filled: jax.Array,
    target: jax.Array,
    temperature: float = 0.05,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean of -log of the share of the own centroid among exp(q C / temperature).

    q f32 [n, d], memory f32 [c, d], filled [c] (0: no cluster in this place), target
    i32 [n] (-1: the row does not count). No gradient goes to the memory. Returns the
    loss and {loss, accuracy, similarity}, the latter that of q to its centroid.
    """
    counts = (target >= 0).astype(jnp.float32)  # [n]
    place = jnp.maximum(target, 0)
    memory = jax.lax.stop_gradient(memory)
    cosine = jnp.einsum("nd,cd->nc", q, memory, precision=HIGHEST)
    logits = jnp.where(filled > 0, cosine / temperature, -jnp.inf)
    own = jnp.take_along_axis(cosine, place[:, None], 1)[:, 0]
    loss = jax.nn.logsumexp(logits, 1) - own / temperature  # [n]
    right = (logits.argmax(1) == place).astype(jnp.float32)
    num = jnp.maximum(counts.sum(), 1)
    values = {"loss": loss, "accuracy": right, "similarity": own}
    metrics = {key: (value * counts).sum() / num for key, value in values.items()}
    return metrics["loss"], metrics


def update(
    memory: jax.Array, q: jax.Array, rows: jax.Array, momentum: jax.Array | float
) -> jax.Array:
    """C <- m C + (1 - m) q, of length one again, sample by sample: f32 [c, d] -> same.

    q f32 [n, d]; rows i32 [n, a]: the clusters that each sample moves, all different,
    -1 for none. A sample finds the centroids as the ones before it left them.
    """
    # Out of bounds is dropped; -1 itself would be the last row.
    rows = jnp.where(rows < 0, len(memory), rows)

    def one(memory, sample):
        q, row = sample  # [d], [a]
        old = memory[jnp.minimum(row, len(memory) - 1)]  # [a, d]
        new = _unit(momentum * old + (1 - momentum) * q[None])
        return memory.at[row].set(new, mode="drop"), None

    return jax.lax.scan(one, memory, (q, rows))[0]


def momentum(progress: jax.Array, high: float = 0.5, low: float = 0.1) -> jax.Array:
    """From high to low along a cosine: the share of a round that is over, f32 []."""
    angle = jnp.pi * progress
    return low + 0.5 * (high - low) * (1 + jnp.cos(angle))


def instances(
    q: jax.Array, label: jax.Array, target: jax.Array | None = None, scale: float = 16.0
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean of -log of the share of the other clips of the own sequence.

    q f32 [n, d]; label i32 [n]: its sequence, every one there with two clips or more.
    The first clips are compared with the second ones, and the second with the first,
    by exp(scale q target); target f32 [n, d] takes no gradient, default q. Clips of a
    sequence that is there but once do not count. Returns the loss and {loss, accuracy}.
    """
    target = jax.lax.stop_gradient(q if target is None else target)
    same = label[:, None] == label  # [n, n]
    clip = jnp.tril(same, -1).sum(1)  # a sequence's first clip is 0, its second 1
    other = clip[:, None] != clip
    logits = scale * jnp.einsum("nd,md->nm", q, target, precision=HIGHEST)
    logits = jnp.where(other, logits, -jnp.inf)
    positive = (same & other).astype(jnp.float32)  # [n, n]
    each = jax.nn.logsumexp(logits, 1, keepdims=True) - logits  # inf where not other
    each = jnp.where(positive > 0, each, 0).sum(1) / jnp.maximum(positive.sum(1), 1)
    right = jnp.take_along_axis(positive, logits.argmax(1)[:, None], 1)[:, 0]
    counts = positive.max(1)
    num = jnp.maximum(counts.sum(), 1)
    values = {"loss": jnp.where(counts > 0, each, 0), "accuracy": right}
    metrics = {key: value.sum() / num for key, value in values.items()}
    return metrics["loss"], metrics


def _unit(x: jax.Array) -> jax.Array:
    """Rows of length one; zeros stay. The floor keeps their gradient finite."""
    square = jnp.sum(x * x, -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
