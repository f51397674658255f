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
    Only the loss, and the mean distance, have gradients.
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


# A triplet of an anchor is max(0, threshold - negative), the threshold being a
# positive's distance plus the margin. With both in one ascending row, the sum over the
# negatives below a threshold grows, from one place to the next, by their number times
# the gap: n m^2 triplets are n rows of 2 m to sort, and nothing is subtracted from a
# sum.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _sums(
    distances: jax.Array, same: jax.Array, margin: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sum, number and largest of the non-zero triplets of each part: [p, n, m], bool
    [n, m] -> f32[p] each. Only the sum has a gradient."""
    return _sums_and_slopes(distances, same, margin)[0]


def _forward(distances: jax.Array, same: jax.Array, margin: float) -> tuple:
    return _sums_and_slopes(distances, same, margin)


def _backward(margin: float, slopes: jax.Array, towards: tuple) -> tuple:
    return slopes * towards[0][:, None, None], None


_sums.defvjp(_forward, _backward)


def _sums_and_slopes(
    distances: jax.Array, same: jax.Array, margin: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
    """What `_sums` gives, and the sum's gradient by the distances: [p, n, m]."""
    m = distances.shape[-1]
    values = jnp.concatenate([distances + margin, distances], -1)  # [p, n, 2 m]
    place = jax.lax.broadcasted_iota(jnp.int32, values.shape, 2)
    # 1 for thresholds, -1 for negatives, 0 for what is neither.
    positive = same.astype(jnp.float32)
    kind = jnp.concatenate([positive, positive - 1], -1)
    kind = jnp.broadcast_to(kind, values.shape)
    # Of equals thresholds come first: a triplet of exactly 0 does not count.
    values, place = jax.lax.sort((values, place), num_keys=1, is_stable=True)
    kind = jnp.take_along_axis(kind, place, -1)
    below = jnp.cumsum(kind < 0, -1, dtype=jnp.float32)  # negatives up to here
    gaps = jnp.diff(values, prepend=values[..., :1])
    grown = jnp.cumsum(jnp.pad(below, ((0, 0), (0, 0), (1, 0)))[..., :-1] * gaps, -1)
    above = jnp.cumsum((kind > 0)[..., ::-1], -1, dtype=jnp.float32)[..., ::-1]
    slopes = jnp.where(kind > 0, below, jnp.where(kind < 0, -above, 0))
    slopes = jax.vmap(jax.vmap(_put))(slopes, place)
    slopes = slopes[..., :m] + slopes[..., m:]
    found = kind > 0
    total = jnp.where(found, grown, 0).sum((1, 2))
    # Sorting puts NaN last, where it is below no threshold.
    total = jnp.where(jnp.isnan(distances).any((1, 2)), jnp.nan, total)
    count = jnp.where(found, below, 0).sum((1, 2))
    farthest = jnp.where(same, distances, -jnp.inf).max(-1)
    nearest = jnp.where(same, jnp.inf, distances).min(-1)
    hard = jax.nn.relu(farthest - nearest + margin).max(-1)
    return (total, count, hard), slopes


def _put(values: jax.Array, place: jax.Array) -> jax.Array:
    """Values f32[m] where `place` i32[m], a permutation, says."""
    return jnp.zeros_like(values).at[place].set(values, unique_indices=True)
