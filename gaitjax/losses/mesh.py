"""Losses of joints, markers and vertices, which some frames may lack."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def place_l1(
    found: jax.Array, wanted: jax.Array, root: jax.Array, counts: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean absolute error of coordinates f32[n, t, k, 3].

    root [n, t, 1, 3]: where the pelvis was found, which is zero in what is wanted.
    counts [n, t]: 0 for frames that do not count. A frame with a NaN among what is
    wanted does not, either. Returns the loss, 0 without any frame, and {loss, error,
    unlabelled}: error is the mean distance of a point as seen from the pelvis, in the
    unit of the coordinates (of joints, MPJPE); unlabelled the share of frames that
    should have counted and have NaN.
    """
    known = jnp.isfinite(wanted).all((-1, -2))  # [n, t]
    weight = jnp.where(known, counts, 0.0)
    wanted = jnp.where(known[..., None, None], wanted, 0.0)
    frames = jnp.maximum(weight.sum(), 1.0)
    loss = (jnp.abs(found - wanted).mean((-1, -2)) * weight).sum() / frames
    apart = jax.lax.stop_gradient(found - root - wanted)
    error = (jnp.linalg.norm(apart, axis=-1).mean(-1) * weight).sum() / frames
    unlabelled = (counts - weight).sum() / jnp.maximum(counts.sum(), 1.0)
    return loss, {"loss": loss, "error": error, "unlabelled": unlabelled}
