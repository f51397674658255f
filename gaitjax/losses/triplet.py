"""The batch-all triplet loss of gait recognition, per part."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from gaitjax.ops.distance import part_distances


def triplet(
    embeddings: jax.Array, labels: jax.Array, *, margin: float = 0.2
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean over parts of the mean over all non-zero triplets of that part.

    embeddings [n, p, d] (not normalised), labels i32 [n]; any number of sequences
    per label. As in the reference an anchor is its own positive too, which makes
    K (N - K) triplets per anchor; a part without a non-zero triplet counts as 0 in
    the mean. Returns the loss and {loss, hard, nonzero, mean_dist}, means over
    parts: `hard` the largest triplet, `nonzero` their number, `mean_dist` the mean
    of all distances, the diagonal included (near 0 when the embeddings collapse).
    """
    distances = part_distances(embeddings, embeddings)  # [p, n, n]
    # Exactly 0: |x|^2 + |x|^2 - 2xx is a rounding error, whose square root would
    # count as a distance of about sqrt(eps) |x|, and have a gradient.
    itself = jnp.eye(len(labels), dtype=bool)
    distances = jnp.where(itself, 0, distances)
    return triplet_from_distances(distances, labels, labels, margin=margin)


def triplet_from_distances(
    distances: jax.Array,
    anchor_labels: jax.Array,
    sample_labels: jax.Array,
    *,
    margin: float = 0.2,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`triplet` on distances [p, n, m] of anchors to the samples to compare with."""
    same = anchor_labels[:, None] == sample_labels  # [n, m]
    total, count, hard = _sums(distances, same, margin)  # each [p]
    loss = (total / (count + 1e-9)).mean()
    metrics = {
        "loss": loss,
        "hard": hard.mean(),
        "nonzero": count.mean(),
        "mean_dist": distances.mean(),
    }
    return loss, metrics


# Under `checkpoint` XLA fuses the n m m values into the sums in both directions;
# without it the backward pass would keep them in memory.
@functools.partial(jax.checkpoint, static_argnums=2)
def _sums(
    distances: jax.Array, same: jax.Array, margin: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    positive = distances[:, :, :, None]  # [p, n, m, 1]
    negative = distances[:, :, None, :]  # [p, n, 1, m]
    valid = same[:, :, None] & ~same[:, None, :]  # [n, m, m]
    values = jnp.where(valid, jax.nn.relu(positive - negative + margin), 0)
    axes = (1, 2, 3)
    count = (values > 0).sum(axes).astype(jnp.float32)
    return values.sum(axes), count, values.max(axes)
