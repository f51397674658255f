"""The ranking loss of CarGait (arXiv 2503.03501) on distances of pairs."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def ranking(
    positive: jax.Array, negative: jax.Array, *, damping: float = 0.1
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean over triplets of softplus(positive - negative): f32[t] each.

    positive, negative: distances of a probe to somebody right and somebody wrong. That
    is -log sigmoid(negative - positive). damping: beta, the weight of triplets whose
    order is right already. Returns the loss and {loss, right}, the share of these.
    """
    right = negative >= positive
    weights = jnp.where(right, damping, 1.0)
    loss = (weights * jax.nn.softplus(positive - negative)).mean()
    return loss, {"loss": loss, "right": right.mean()}
