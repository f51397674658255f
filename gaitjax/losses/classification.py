"""Cross-entropy on every part."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def part_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, scale: float = 16.0, smoothing: float = 0.1
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean over sequences and parts of the cross-entropy of scale * logits.

    logits [n, p, k], labels i32 [n]. Smoothing as torch defines it:
    (1 - smoothing) one-hot + smoothing / k. Returns the loss and
    {loss, accuracy}, accuracy over sequences and parts.
    """
    logits = logits.astype(jnp.float32)
    target = jax.nn.one_hot(labels, logits.shape[-1])[:, None]  # [n, 1, k]
    target = optax.smooth_labels(target, smoothing)
    loss = optax.softmax_cross_entropy(logits * scale, target).mean()
    accuracy = (logits.argmax(-1) == labels[:, None]).mean()
    return loss, {"loss": loss, "accuracy": accuracy}
